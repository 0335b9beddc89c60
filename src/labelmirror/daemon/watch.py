"""Hints that files were touched, from the system. A hint can get lost; that is why all files are looked at now and then."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final

import anyio
import structlog
from watchfiles import Change, awatch

from labelmirror.tree.names import TEMPORARY

#: Touched files are gathered until there was none for this long, or for as long as the second figure.
_STEP_MS: Final = 50
_GATHER_MS: Final = 500
#: How long the watching thread may take to notice that it is not needed any more.
_NOTICE_MS: Final = 1000


class WatchImpossible(Exception):
    """The system does not watch these folders: it has a limit, or they are of a kind that cannot be watched."""


async def touched(
    folders: Mapping[str, Path], until: anyio.Event, grown: Callable[[], None]
) -> AsyncGenerator[Mapping[str, frozenset[str]]]:
    """For each name the files below its folder that were touched, relative to what the folder lies in, until `until` is set.

    Only what can be a document counts; there may be none. From the first time on everything is watched. `grown` is called when a folder came: that one may be beyond what the system watches,
    which says nothing of it then.

    Raises WatchImpossible.
    """

    def is_wanted(change: Change, path: str) -> bool:
        if _is_document(path):
            return True
        if change is Change.added and Path(path).is_dir():
            grown()
        return False

    roots = {str(await anyio.Path(folder).resolve()): name for name, folder in folders.items()}
    try:
        async for changes in awatch(
            *roots,
            watch_filter=is_wanted,
            debounce=_GATHER_MS,
            step=_STEP_MS,
            rust_timeout=_NOTICE_MS,
            yield_on_timeout=True,
            stop_event=until,
        ):
            yield _by_name(roots, (path for _, path in changes))
    except (OSError, RuntimeError) as error:  # the second, and a kind of its own, where there may be no more watchers
        raise WatchImpossible(str(error)) from error


def _is_document(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith(".json") and not name.startswith(TEMPORARY)


def _by_name(roots: Mapping[str, str], paths: Iterable[str]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for path in paths:
        for root, name in roots.items():
            if path.startswith(f"{root}/"):
                found.setdefault(name, set()).add(path[root.rindex("/") + 1 :])
    return {name: frozenset(below) for name, below in found.items()}


class Watcher:
    """Watches the folders that there are at the time, and begins anew when others have come in their place.

    `folders` names them, `note` takes what was touched, `lost` the names of those where something may have been missed.
    """

    def __init__(
        self,
        folders: Callable[[], Mapping[str, Path]],
        note: Callable[[Mapping[str, frozenset[str]]], None],
        lost: Callable[[Iterable[str]], None],
    ) -> None:
        self._folders = folders
        self._note = note
        self._lost = lost
        self._again = anyio.Event()
        self._grown = False
        self._seen: frozenset[tuple[str, int, int]] = frozenset()
        #: Whether the system sends hints for what is there.
        self.watching = False

    def look_again(self) -> None:
        """Begin anew if a folder has come, gone or been replaced."""
        if self._grown or _identities(self._folders()) != self._seen:
            self._again.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._again = anyio.Event()
            self._grown = False
            folders = self._folders()
            self._seen = _identities(folders)
            self.watching = False
            try:
                if folders:
                    async with aclosing(touched(folders, self._again, self._grow)) as hints:
                        async for found in hints:
                            if not self.watching:
                                self.watching = True
                                # What happened while nobody watched is found by looking.
                                self._lost(folders)
                            if found:
                                self._note(found)
            except WatchImpossible as error:
                self.watching = False
                self._lost(folders)
                structlog.get_logger("labelmirror").warning(
                    "watch.impossible",
                    reason=str(error),
                    instead="all files are looked at every few seconds; raise fs.inotify.max_user_watches or "
                    "fs.inotify.max_user_instances, and restart",
                )
            await self._again.wait()

    def _grow(self) -> None:
        self._grown = True


def _identities(folders: Mapping[str, Path]) -> frozenset[tuple[str, int, int]]:
    """What tells a folder from another one of its name."""
    found: set[tuple[str, int, int]] = set()
    for name, folder in folders.items():
        try:
            seen = folder.stat()
        except OSError:
            continue  # gone, or not to be seen: it is not watched then
        found.add((name, seen.st_dev, seen.st_ino))
    return frozenset(found)
