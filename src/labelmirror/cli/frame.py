"""What every command shares: the options that all of them take, and the call that they are handed."""

import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from labelmirror.cli.failure import error_lines
from labelmirror.cli.output import write_human, write_json
from labelmirror.cli.signals import Interrupted
from labelmirror.errors import ExitCode
from labelmirror.model.document import JsonValue
from labelmirror.telemetry.logs import Masker, configure

if TYPE_CHECKING:
    from rich.console import RenderableType

    from labelmirror.config import Config
    from labelmirror.model.report import RunError


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command: what the shared options say, and the masker that must learn each secret."""

    config: Path | None
    assignments: tuple[str, ...]
    as_json: bool
    masker: Masker

    def load(self) -> "Config":
        """Find, read and validate the configuration; its warnings go to the log. Raises ConfigError."""
        import structlog

        from labelmirror.config import load

        config = load(self.config, os.environ, self.assignments)
        for warning in config.warnings:
            structlog.get_logger(__name__).warning("config.warning", about=warning)
        return config

    def answer(
        self,
        keys: Mapping[str, JsonValue],
        human: "Callable[[], RenderableType]",
        exit_code: ExitCode = ExitCode.DONE,
        *,
        errors: "Iterable[tuple[str, RunError | None]]" = (),
    ) -> ExitCode:
        """Write the command's answer, in the form that was asked for, and give its exit code back.

        `errors` are of single mirrors or servers, each with its name: people read them on standard error, programs in
        `keys`.
        """
        if self.as_json:
            write_json(keys, exit_code)
            return exit_code
        write_human(human)
        for name, error in errors:
            if error is not None:
                named = error.message if error.message.startswith(f"{name}: ") else f"{name}: {error.message}"
                lines = error_lines(self.masker.clean(named), self.masker.clean(error.hint))
                sys.stderr.write("".join(f"{line}\n" for line in lines))
        return exit_code


def _shared(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Configuration file.", show_default=False)
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one setting of the file.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log errors only.")] = False,
) -> None:
    """Carries the options that all commands take, as `command` reads them from its signature."""


_SHARED: Final = tuple(inspect.signature(_shared).parameters.values())


def command(function: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """Make a typer command of a function that takes a `Call` and its own options, all by keyword, and gives an exit code.

    A flag that the command has itself means what the command says, and is not the shared one there.
    """
    _, *own = inspect.signature(function).parameters.values()
    taken = {flag for item in own for flag in _flags(item)}
    shared = [item for item in _SHARED if not taken & _flags(item)]

    def run(context: typer.Context, **options: Any) -> ExitCode:
        masker = context.ensure_object(Masker)
        quiet, verbose = options.pop("quiet"), options.pop("verbose")
        configure(sys.stderr, logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO, masker)
        call = Call(
            options.pop("config"), tuple(options.pop("assignments", None) or ()), options.pop("as_json"), masker
        )
        try:
            return function(call, **options)
        except KeyboardInterrupt:
            raise Interrupted("stopped by Ctrl-C") from None

    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *(item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in (*own, *shared))]
    # typer reads options from these three.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    run.__doc__ = function.__doc__
    return run


def _flags(parameter: inspect.Parameter) -> frozenset[str]:
    """The flags under which an option is given, such as --set."""
    infos = getattr(parameter.annotation, "__metadata__", ())
    # In an annotation, typer keeps the first flag where a default would be.
    return frozenset(flag for info in infos for flag in (info.default, *(info.param_decls or ())) if flag is not ...)
