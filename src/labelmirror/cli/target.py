"""Where a person may have files written, and what there they may take the place of."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from labelmirror.errors import UsageError

if TYPE_CHECKING:
    from labelmirror.config import Config

_ELSEWHERE: Final = "name another file with -o"


def check_target(config: "Config", path: Path, *, what: str, opening: bytes) -> None:
    """Make sure that a file can be written there and that nothing is lost by it. Raises UsageError.

    It lies in a folder that exists and apart from what is this program's own. Of what is there already only an older
    file of its kind is replaced, which begins with `opening`, or an empty one. `what` says of which kind, with its
    article.
    """
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else "lies in a folder that is not there"
        raise UsageError(f"-o: {path} {problem}", hint="name a file in a folder that exists")
    places = _places(path)
    for owner, folder in _folders(config):
        if any(place.is_relative_to(folder.resolve()) for place in places):
            hint = "name a file outside of it with -o"
            raise UsageError(f"{path} lies in the folder of {owner}, where only its own files belong", hint=hint)
    for owner, file in _files(config):
        if not places.isdisjoint(_places(file)):
            raise UsageError(f"{path} is {owner}", hint=_ELSEWHERE)
    if path.exists() and not _replaceable(path, opening):
        hint = f"{_ELSEWHERE}, or remove this one"
        raise UsageError(f"{path} is there already and is not {what}: it is left as it is", hint=hint)


def check_folder(config: "Config", path: Path) -> None:
    """Make sure that a folder to write into lies apart from what is this program's own. Raises UsageError."""
    for owner, folder in _folders(config):
        if path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{path} lies in the folder of {owner}, where only its own files belong",
                hint="name another folder; documents are brought back on the server with --to-server",
            )


def _places(path: Path) -> frozenset[Path]:
    """Where a file lies, and where it leads to if it is a link."""
    return frozenset({path.parent.resolve() / path.name, path.resolve()})


def _folders(config: "Config") -> Iterator[tuple[str, Path]]:
    settings = config.settings
    yield "the state", settings.state
    yield "the backups", settings.backup.path
    for name, dataset in settings.datasets.items():
        yield f"the mirror {name}", dataset.path


def _files(config: "Config") -> Iterator[tuple[str, Path]]:
    settings = config.settings
    yield "the configuration", config.file
    yield "the ledger", settings.ledger
    if settings.daemon.textfile is not None:
        yield "the file of the metrics", settings.daemon.textfile
    for name, server in settings.servers.items():
        for field, source in server.secrets():
            if source.file is not None:
                yield f"the {field} of the server {name}", source.file


def _replaceable(path: Path, opening: bytes) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            begins = file.read(len(opening))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", hint=_ELSEWHERE) from error
    return begins in {b"", opening}
