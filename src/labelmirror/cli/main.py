"""The program: all commands under one name, and the way out of each."""

import gc
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from labelmirror import __version__
from labelmirror.cli.apply import apply
from labelmirror.cli.backup import backup
from labelmirror.cli.config_check import check
from labelmirror.cli.config_show import show
from labelmirror.cli.conflicts import list_, take
from labelmirror.cli.conflicts import show as show_conflict
from labelmirror.cli.datasets import datasets
from labelmirror.cli.demo import demo
from labelmirror.cli.diff import diff
from labelmirror.cli.doctor import doctor
from labelmirror.cli.export import export
from labelmirror.cli.failure import report, tell
from labelmirror.cli.history import history
from labelmirror.cli.init import init
from labelmirror.cli.output import open_standard_streams
from labelmirror.cli.plan import plan
from labelmirror.cli.prune import prune
from labelmirror.cli.repair import repair
from labelmirror.cli.restore import restore
from labelmirror.cli.run import run as run_daemon
from labelmirror.cli.serve_standin import serve_standin
from labelmirror.cli.signals import Interrupted
from labelmirror.cli.snapshots import snapshots
from labelmirror.cli.status import status
from labelmirror.cli.steer import pause, resume, sync_now
from labelmirror.cli.sync import sync
from labelmirror.cli.undo import undo
from labelmirror.cli.verify import verify
from labelmirror.cli.version import version
from labelmirror.errors import ExitCode
from labelmirror.telemetry.logs import Masker

#: New objects after which garbage is looked for.
GARBAGE_OBJECTS = 10_000

#: Plain help text: it reads the same in a pipe, and does not wait for rich.
app = typer.Typer(
    name="labelmirror",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(name="config", help="Check and show the configuration.", rich_markup_mode=None)
conflicts_app = typer.Typer(name="conflicts", help="List, explain and decide what is held.", rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"labelmirror {__version__}\n")
        raise typer.Exit


@app.callback()
def labelmirror(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Mirror annotated image datasets from annotation servers, and carry local edits back."""


app.command("init")(init)
app.add_typer(config_app)
config_app.command("check")(check)
config_app.command("show")(show)
app.command("demo")(demo)
app.command("datasets")(datasets)
app.command("plan")(plan)
app.command("apply")(apply)
app.command("sync")(sync)
app.command("status")(status)
app.command("diff")(diff)
app.add_typer(conflicts_app)
conflicts_app.command("list")(list_)
conflicts_app.command("show")(show_conflict)
conflicts_app.command("take")(take)
app.command("history")(history)
app.command("undo")(undo)
app.command("verify")(verify)
app.command("repair")(repair)
app.command("export")(export)
app.command("backup")(backup)
app.command("snapshots")(snapshots)
app.command("restore")(restore)
app.command("prune")(prune)
app.command("run")(run_daemon)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("sync-now")(sync_now)
app.command("doctor")(doctor)
app.command("serve-standin")(serve_standin)
app.command("version")(version)


def run(arguments: list[str]) -> int:
    """Carry one command line out and give the exit code. Every error ends here."""
    masker = Masker()
    as_json = "--json" in arguments
    try:
        return int(app(args=arguments, prog_name="labelmirror", standalone_mode=False, obj=masker) or ExitCode.DONE)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f"see: {context.command_path if context else 'labelmirror'} --help"
        return tell("usage", error.format_message(), hint, ExitCode.USAGE, masker, as_json=as_json)
    except typer.Abort:
        return report(Interrupted("stopped at a question; nothing was done"), masker, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the last place that can turn an error into a sentence
        return report(error, masker, as_json=as_json)


def main() -> None:
    """The entry point of the `labelmirror` program."""
    open_standard_streams()
    # Pages of rows are many objects and no garbage: looking through them as often as Python does by itself, and through all
    # that was imported, takes some seven percent of a first mirror's time.
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    sys.exit(run(sys.argv[1:]))
