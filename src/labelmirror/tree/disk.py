"""What the disk says when it refuses, as an error that a person can act on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from labelmirror.errors import DiskError

_KEPT: Final = "what is done is kept, and the next run goes on from there."
_FULL: Final = f"Make room on its disk or raise the quota; {_KEPT}"
_FORBIDDEN: Final = "This user must be allowed to read and write everything in that directory."
_HINTS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: f"Its disk is mounted read-only: mount it for writing; {_KEPT}",
    errno.EIO: "The disk fails to read or write: look at the kernel's log, and do not trust this disk.",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
}


@contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turn an OSError inside into a DiskError that names the path and a remedy."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, f"See what is wrong there; {_KEPT}")
        raise DiskError(f"{path}: {error.strerror or error}", hint=hint) from error
