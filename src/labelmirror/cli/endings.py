"""How a run over several mirrors ends: one exit code for all of them, and the one error that speaks for it. Pure."""

from collections.abc import Iterable, Sequence

from labelmirror.daemon.control import Ending
from labelmirror.engine.backup import BackupReport
from labelmirror.engine.verify import VerifyReport
from labelmirror.errors import EXIT_PRECEDENCE, ExitCode, RoleRefused, SnapshotDamaged
from labelmirror.model.report import MirrorOutcome, MirrorReport, RunError
from labelmirror.model.trouble import Failed, Held

#: Codes of a mirror that could not be worked on at all.
_IDLE = frozenset({ExitCode.LOCKED, ExitCode.UNREACHABLE})
#: What outcomes mean that come without an error.
_OUTCOMES = {
    MirrorOutcome.HELD: frozenset({ExitCode.HELD}),
    MirrorOutcome.PARTIAL: frozenset({ExitCode.SOME_FAILED}),
    MirrorOutcome.REFUSED: frozenset({ExitCode.REFUSED}),
    MirrorOutcome.FAILED: frozenset({ExitCode.SOME_FAILED}),
}


def exit_code(mirrors: Sequence[frozenset[ExitCode]]) -> ExitCode:
    """The exit code of a run, from the codes that apply to each mirror (none: all is well).

    A mirror that was locked or unreachable decides the code only if no mirror could be worked on; else it is one
    that failed among others that did not.
    """
    all_idle = all(codes and codes <= _IDLE for codes in mirrors)
    applying = {ExitCode.SOME_FAILED if code in _IDLE and not all_idle else code for codes in mirrors for code in codes}
    return next((code for code in EXIT_PRECEDENCE if code in applying), ExitCode.DONE)


def run_codes(report: MirrorReport) -> frozenset[ExitCode]:
    """The codes that apply to a run over one mirror."""
    codes = error_codes(report.error)
    if report.refused is not None:
        codes |= {ExitCode.REFUSED}
    if any(isinstance(trouble, Held) for trouble in report.troubles):
        codes |= {ExitCode.HELD}
    failed = {trouble.code for trouble in report.troubles if isinstance(trouble, Failed)}
    if failed:
        codes |= {ExitCode.SOME_FAILED}
    codes |= {error.exit_code for error in (RoleRefused, SnapshotDamaged) if error.code in failed}
    return codes


def ending_codes(ending: Ending) -> frozenset[ExitCode]:
    """The codes that apply to a cycle of the daemon."""
    return error_codes(ending.error) or _OUTCOMES.get(ending.outcome, frozenset())


def verify_codes(report: VerifyReport) -> frozenset[ExitCode]:
    """The codes that apply to a check of one mirror."""
    unrepaired = any(not damage.repaired for damage in report.damaged)
    return error_codes(report.error) | (frozenset({ExitCode.DAMAGED}) if unrepaired else frozenset())


def backup_codes(report: BackupReport) -> frozenset[ExitCode]:
    """The codes that apply to a backup of one mirror, with the sync before it."""
    failed = frozenset({ExitCode.SOME_FAILED}) if report.failed else frozenset()
    return error_codes(report.error) | failed | (run_codes(report.synced) if report.synced is not None else frozenset())


def error_codes(error: RunError | None) -> frozenset[ExitCode]:
    """The code of an error, none without one."""
    return frozenset() if error is None else frozenset({ExitCode(error.exit_code)})


def speaking(errors: Iterable[RunError | None], code: ExitCode) -> RunError | None:
    """The first error that has the run's exit code: the answer as a whole is about it."""
    return next((error for error in errors if error is not None and error.exit_code == code), None)
