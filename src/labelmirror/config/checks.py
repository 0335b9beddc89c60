"""What no single value shows: settings that contradict one another, and what a careful person would not leave so."""

import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from labelmirror.config.document import KeyPath
from labelmirror.config.problems import Problem, nearest, one_of
from labelmirror.config.settings import DatasetSettings, Settings
from labelmirror.providers.forms import is_loopback

#: Names appear in unit names, environment variables and paths of the state.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]|_(?!_)){0,99}")


def contradictions(settings: Settings) -> Iterator[Problem]:
    """What is wrong between the settings, in the order of the file. Follows symbolic links to compare folders."""
    for table, names in (("servers", settings.servers), ("datasets", settings.datasets)):
        for name in names:
            if not _NAME.fullmatch(name):
                yield Problem((table, name), 'is no usable name: letters, digits, "-" and single "_", at most 100')
    for name, dataset in settings.datasets.items():
        yield from _in_dataset(("datasets", name), dataset, settings)
    yield from _between_folders(settings)


def _in_dataset(path: KeyPath, dataset: DatasetSettings, settings: Settings) -> Iterator[Problem]:
    if dataset.server not in settings.servers:
        yield Problem((*path, "server"), f"names no [servers.…] entry{nearest(dataset.server, settings.servers)}")
    if dataset.name is None and dataset.id is None:
        yield Problem(path, "needs name or id, to say which dataset of the server is meant")
    if dataset.name is not None and dataset.id is not None:
        yield Problem((*path, "id"), "contradicts name: give one of them")
    if dataset.calendar is not None and "every" in dataset.model_fields_set:
        yield Problem((*path, "calendar"), "contradicts every: give one of them")
    if dataset.push and dataset.content == "images":
        yield Problem((*path, "push"), 'contradicts content = "images": there are no documents to push')
    known = settings.servers[dataset.server].statuses if dataset.server in settings.servers else ()
    for status in dataset.select.status or ():
        if known and status not in known:  # it would select nothing, and nothing would look wrong
            yield Problem((*path, "select", "status"), f"must list only {one_of(known)}{nearest(status, known)}")


def _between_folders(settings: Settings) -> Iterator[Problem]:
    mirrors: Mapping[str, Path] = {name: _real(dataset.path) for name, dataset in settings.datasets.items()}
    for (first, one), (second, other) in combinations(mirrors.items(), 2):
        if relation := _relation(other, one):
            yield Problem(("datasets", second, "path"), f"is {relation} datasets.{first}.path")
    for key, folder in ((("state",), settings.state), (("backup", "path"), settings.backup.path)):
        for name, mirror in mirrors.items():
            if relation := _relation(mirror, _real(folder)):
                yield Problem(("datasets", name, "path"), f"is {relation} {'.'.join(key)}")
    for name, mirror in mirrors.items():
        if _real(settings.ledger).is_relative_to(mirror):
            yield Problem(("ledger",), f"is inside datasets.{name}.path")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _relation(path: Path, other: Path) -> str:
    if path == other:
        return "the same folder as"
    if path.is_relative_to(other):
        return "inside"
    return "around" if other.is_relative_to(path) else ""


def warnings(settings: Settings) -> Iterator[Problem]:
    """What is allowed and still deserves a word."""
    for name, server in settings.servers.items():
        parts = urlsplit(server.url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield Problem(
                ("servers", name, "url"), "is plain http: the key and every document travel readable by others"
            )
        for field, source in server.secrets():
            if source.file is not None and (mode := _open_mode(source.file)) is not None:
                text = f"may be read by others (mode {mode:04o}); chmod 600 {shlex.quote(str(source.file))}"
                yield Problem(("servers", name, field), text)
    for name, dataset in settings.datasets.items():
        if dataset.select.status is not None and len(set(dataset.select.status)) < len(dataset.select.status):
            yield Problem(("datasets", name, "select", "status"), "names a status twice")


def _open_mode(path: Path) -> int | None:
    """The mode of a file of one's own that others may read too. A file of another owner is that owner's matter."""
    try:
        status = path.stat()
    except OSError:
        return None  # told when it is needed, which need not be now
    mode = stat.S_IMODE(status.st_mode)
    return mode if status.st_uid == os.getuid() and mode & 0o077 else None
