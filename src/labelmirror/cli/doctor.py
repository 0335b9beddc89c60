"""`labelmirror doctor`."""

from typing import TYPE_CHECKING

from labelmirror.cli.frame import Call, command
from labelmirror.cli.output import table
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from labelmirror.cli.checks import Check


@command
def doctor(call: Call) -> ExitCode:
    """Check configuration, disk, clock and locks, and what each server really supports; say how to mend what is amiss."""
    from labelmirror.cli import checks
    from labelmirror.cli.shop import open_shop

    async def work() -> ExitCode:
        made: list[Check] = []
        try:
            with open_shop(call) as shop:
                made = [check async for check in checks.every(shop)]
        except ConfigError as error:
            made.append(checks.broken_config(error))
        return call.answer(
            {
                "checks": [
                    {"name": check.name, "ok": check.ok, "detail": check.detail, "fix": check.fix} for check in made
                ]
            },
            lambda: table(
                ("", "check", "detail", "what to do"),
                (("ok" if check.ok else "FAIL", check.name, check.detail, check.fix) for check in made),
            ),
            ExitCode.DONE if all(check.ok for check in made) else ExitCode.SOME_FAILED,
        )

    return run_cancellable(work)
