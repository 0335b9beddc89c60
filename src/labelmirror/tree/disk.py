"""What the disk says when it refuses, as an error that a person can act on."""

from collections.abc import Iterator
from contextlib import contextmanager

from labelmirror.errors import disk_error


@contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turn an OSError inside into a DiskError that names the path and a remedy."""
    try:
        yield
    except OSError as error:
        if isinstance(error, PermissionError) and isinstance(error.filename, str) and not path.endswith(error.filename):
            path = f"{path}: {error.filename}"
        forbidden = "This user must be allowed to read and write everything in that directory."
        raise disk_error(path, error, forbidden=forbidden) from error
