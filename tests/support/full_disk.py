"""A disk without room for temporary files."""

import errno
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest


class _Full(io.BytesIO):
    def write(self, _: Any, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on temporary files can be made, and not written."""

    def full(*, dir: Path) -> _Full:  # noqa: A002 - as tempfile calls it
        assert dir.is_dir()
        return _Full()

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
