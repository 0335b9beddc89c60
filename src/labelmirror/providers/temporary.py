"""Files in the folder for temporary files, for what a server sends that is too large for memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from labelmirror.errors import disk_error


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError inside into a DiskError that names the folder and a remedy."""
    try:
        yield
    except OSError as error:
        raise disk_error(str(folder), error, forbidden="This user must be allowed to write there.") from error


@contextmanager
def temporary_file(folder: Path) -> Iterator[IO[bytes]]:
    """A file without a name, so that no end of the program leaves it behind. What the disk refuses inside is a DiskError."""
    with disk_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        yield file
