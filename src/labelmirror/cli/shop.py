"""What commands that work on mirrors share: the parts to work with, and trouble as a value instead of an end."""

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from labelmirror.app import Workshop
from labelmirror.cli.frame import Call
from labelmirror.config import Config
from labelmirror.engine.runs import run_error
from labelmirror.errors import LabelmirrorError
from labelmirror.model.report import RunError
from labelmirror.telemetry.clock import SystemClock
from labelmirror.telemetry.logs import Masker
from labelmirror.telemetry.reporter import BarReporter, LogReporter

R = TypeVar("R")


@contextmanager
def open_shop(call: Call, *, failures: int = logging.DEBUG) -> Iterator[Workshop]:
    """Load the configuration, and have everything at hand that commands build from. Raises ConfigError."""
    with furnish(call.load(), call.masker, os.environ, failures=failures) as shop:
        yield shop


@contextmanager
def furnish(
    config: Config, masker: Masker, environ: Mapping[str, str], *, failures: int = logging.DEBUG
) -> Iterator[Workshop]:
    """The same for a configuration that was loaded. Progress shows as bars on a terminal, as a line now and then elsewhere.

    Items that failed are logged at the level `failures`, which is for commands whose answers do not name them.
    """
    clock = SystemClock()
    log = LogReporter(clock, failures)
    if not sys.stderr.isatty():
        yield Workshop(config, masker, clock, log, environ)
        return
    from rich.console import Console

    with BarReporter(Console(stderr=True), log) as bars:
        yield Workshop(config, masker, clock, bars, environ)


async def attempt(work: Callable[[], Awaitable[R]], otherwise: Callable[[RunError], R]) -> R:
    """Do some work; an error of this program becomes a result, so that the next mirror has its turn."""
    try:
        return await work()
    except (LabelmirrorError, ExceptionGroup) as error:
        return otherwise(run_error(error))
