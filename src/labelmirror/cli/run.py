"""`labelmirror run`."""

import logging
import os
import random
import signal
from typing import TYPE_CHECKING

import anyio

from labelmirror.cli.frame import Call, command
from labelmirror.errors import ExitCode

if TYPE_CHECKING:
    from labelmirror.daemon.service import Service


@command
def run(call: Call) -> ExitCode:
    """Keep the mirrors in step until stopped: at their times, and local edits as they are made.

    SIGHUP reads the configuration again, SIGTERM stops, SIGUSR2 stops when the cycles under way have ended.
    """
    from labelmirror.cli import shapes
    from labelmirror.cli.shop import open_shop
    from labelmirror.daemon.memory import keep_small
    from labelmirror.daemon.service import Service
    from labelmirror.telemetry.systemd import Notifier

    async def work() -> ExitCode:
        with open_shop(call, failures=logging.WARNING) as shop:
            service = Service(
                shop, load=call.load, shape=shapes.run_shape, notifier=Notifier(os.environ), draw=random.random
            )
            ended_by: list[signal.Signals] = []
            async with anyio.create_task_group() as tasks:
                await tasks.start(_obey, service, ended_by)
                mirrors = await service.run()
                tasks.cancel_scope.cancel()
        last = ended_by[-1]
        code = ExitCode.INTERRUPTED if last is signal.SIGINT else ExitCode.DONE
        return call.answer(
            {"ended_by": last.name, "mirrors": mirrors}, lambda: f"stopped by {last.name}; all is on record", code
        )

    keep_small()
    return anyio.run(work)


async def _obey(service: "Service", ended_by: list[signal.Signals], *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """Do what signals say. The second one that asks for the end ends at once."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
    with anyio.open_signal_receiver(*numbers) as received:
        task_status.started()
        async for number in received:
            if number is signal.SIGHUP:
                await service.reload()
                continue
            if number is not signal.SIGUSR2:
                if any(earlier is not signal.SIGUSR2 for earlier in ended_by):
                    # At once means at once: neither handlers nor threads are waited for. Records are crash-safe.
                    os._exit(128 + number)
                service.stop()
            ended_by.append(number)
            service.leave()
