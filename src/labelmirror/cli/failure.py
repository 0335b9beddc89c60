"""The one place where an error becomes a message, a hint and an exit code."""

import sys

from labelmirror.cli.output import OutputLost, ReaderLeft, write_json
from labelmirror.errors import ExitCode, LabelmirrorError, disk_error, weightiest
from labelmirror.telemetry.logs import Masker


def report(error: Exception, masker: Masker, *, as_json: bool) -> ExitCode:
    """Tell a person what happened on standard error, or a program in the JSON answer; give the exit code.

    Nothing is said when nobody reads. Of a group of errors the weightiest speaks. What this program did not foresee is one
    line here and a traceback in the log at debug level.
    """
    speaking = _known(error)
    if speaking is not None:
        if isinstance(speaking, ReaderLeft):
            return speaking.exit_code
        as_json = as_json and not isinstance(speaking, OutputLost)
        return tell(speaking.code, speaking.message, speaking.hint, speaking.exit_code, masker, as_json=as_json)
    import structlog

    structlog.get_logger(__name__).debug("unexpected", exc_info=error)
    message = f"unexpected {type(error).__name__}: {str(error).partition(chr(10))[0]}".removesuffix(": ")
    hint = "this is a defect of labelmirror; run again with --verbose for the details and report them"
    return tell("internal", message, hint, ExitCode.SOME_FAILED, masker, as_json=as_json)


def tell(code: str, message: str, hint: str, exit_code: ExitCode, masker: Masker, *, as_json: bool) -> ExitCode:
    """Write one error, masked, in the form that was asked for."""
    message, hint = masker.clean(message), masker.clean(hint)
    lines = error_lines(message, hint)
    if not as_json:
        sys.stderr.write("\n".join(lines) + "\n")
        return exit_code
    try:
        write_json({"error": {"code": code, "message": message, "hint": hint}}, exit_code)
    except OutputLost as unwritten:
        sys.stderr.write("\n".join([*lines, f"error: {unwritten.message}"]) + "\n")
    return exit_code


def error_lines(message: str, hint: str) -> list[str]:
    """An error as it stands on standard error."""
    return [f"error: {message}"] + ([f"hint: {hint}"] if hint else [])


def _known(error: Exception) -> LabelmirrorError | None:
    """The error of ours that is told, if there is one; also of a path that somebody named and the system refuses."""
    if isinstance(error, ExceptionGroup):
        ours = error.subgroup(LabelmirrorError)
        if ours is None:
            return _known(error.exceptions[0]) if len(error.exceptions) == 1 else None
        return weightiest(ours)
    if isinstance(error, OSError) and error.filename is not None:
        return disk_error(str(error.filename), error, forbidden="This user must be allowed to go there.")
    return error if isinstance(error, LabelmirrorError) else None
