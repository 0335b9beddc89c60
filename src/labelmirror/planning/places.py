"""Where an image lies in the mirror: server names, which may be anything, mapped to safe paths that no two share.

A place is a path below images/, with "/" between parts; the document of an image at `a/b.jpg` lies at `a/b.jpg.json` below
annotations/. Ordinary names are kept as they are. A name that some file system cannot hold, or that another image's name
could be taken for, gets `~` and the first digits of the SHA-256 of the image's id before its extension; a folder gets the
digits of its path on the server. Places depend on names, ids and recorded places, never on the order of a listing.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final

from labelmirror.model.folding import folded, folders_of
from labelmirror.model.remote import AnnotationSet, ListedImage
from labelmirror.model.rows import SetRecord, Unplaced

#: Bytes of one component: below the 255 of common file systems by what documents, old versions and encryption add.
COMPONENT_BYTES: Final = 200
#: A folder whose path is longer becomes one component, so that a whole path stays below the 4096 bytes of PATH_MAX.
FOLDER_BYTES: Final = 1024
#: What follows a longer dot is no extension that a program would look for.
_EXTENSION_BYTES: Final = 16
#: Digits of a suffix, and of the one that is taken without asking when the short one is not free.
_DIGITS, _DIGITS_SURE = 8, 64

#: Separators, control characters, lone surrogates, and what Windows and its network shares refuse.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')
#: Windows drops these at the end of a name, and "." and ".." consist of them.
_TRAILING = re.compile(r"[. ]+\Z")
#: Device names of Windows, with and without an extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|\Z)", re.IGNORECASE)
_OURS = ".labelmirror"
#: A name that looks as if it had a suffix gets one too, so that nobody's suffix can be taken by a name.
_SUFFIXED = re.compile(rf"~([0-9a-f]{{{_DIGITS}}}|[0-9a-f]{{{_DIGITS_SURE}}})(\.[^.]*)?\Z", re.IGNORECASE)


def fold(directory: str, name: str) -> str:
    """What the place of such an image looks like to file systems that ignore case or normalise Unicode.

    Images with equal folds cannot both have their plain names.
    """
    return folded("/".join([*_folder(directory), _escaped(name)]))


def candidates(unplaced: Sequence[Unplaced]) -> Sequence[str]:
    """The folded paths of which `assign` must know whether they are recorded files or folders, sorted."""
    return sorted(
        {path for entry in unplaced for option in _options(entry) for path in _in_the_way(folded("/".join(option)))}
    )


def assign(unplaced: Sequence[Unplaced], files: AbstractSet[str], folders: AbstractSet[str]) -> Mapping[str, str]:
    """A place for each of these images, by id. `files` and `folders` are those of `candidates` that are recorded."""
    new_files: set[str] = set()
    new_folders: set[str] = set()
    places: dict[str, str] = {}
    for entry in sorted(unplaced, key=lambda entry: (fold(entry.image.directory, entry.image.name), entry.image.id)):
        own = {folded(entry.record.place)} if entry.record is not None else set()
        for option in _options(entry):
            path = folded("/".join(option))
            if _is_free(path, (files - own if own else files), folders) and _is_free(path, new_files, new_folders):
                break
        else:
            option = _sure(entry.image)
            path = folded("/".join(option))
        new_files.add(path)
        new_folders.update(folders_of(path))
        places[entry.image.id] = "/".join(option)
    return places


def set_folders(sets: Sequence[AnnotationSet], recorded: Sequence[SetRecord]) -> Sequence[SetRecord]:
    """A folder for each of these annotation sets that has none on record yet, no two of them alike."""
    known = {entry.id for entry in recorded}
    taken = {folded(entry.folder) for entry in recorded}
    new = [entry for entry in sets if entry.id not in known]
    looks = Counter(folded(_escaped(entry.name)) for entry in new)
    records: list[SetRecord] = []
    for entry in sorted(new, key=lambda entry: entry.id):
        folder = _escaped(entry.name)
        look = folded(folder)
        if folder != entry.name or looks[look] > 1 or look in taken or _SUFFIXED.search(folder):
            short = _with_suffix(folder, entry.id, _DIGITS)
            folder = short if folded(short) not in taken else _with_suffix(folder, entry.id, _DIGITS_SURE)
        taken.add(folded(folder))
        records.append(SetRecord(entry.id, entry.name, folder))
    return records


def moved_document(path: str, old: str, new: str) -> str:
    """The path of a document whose image moves from one place to another."""
    return f"{path.removesuffix(f'{old}.json')}{new}.json"


def _options(entry: Unplaced) -> Iterator[tuple[str, ...]]:
    """Places for an image, the most readable first; which are free is for the caller to find out."""
    image = entry.image
    name = _escaped(image.name)
    names = [] if name != image.name or entry.group > 1 or entry.taken or _SUFFIXED.search(name) else [name]
    names.append(_with_suffix(name, image.id, _DIGITS))
    folder = _folder(image.directory)
    for last in names:
        yield *folder, last


def _sure(image: ListedImage) -> tuple[str, ...]:
    """The place that nothing else can have, for images whose folder is a file here: every part has all digits of its hash."""
    name = _with_suffix(_escaped(image.name), image.id, _DIGITS_SURE)
    return *_folder(image.directory, digits=_DIGITS_SURE), name


def _in_the_way(path: str) -> Iterator[str]:
    """Folded paths that a file or folder must not have beside an image at `path`.

    An image at `a` has a document at `a.json`: a folder of either name would be in the way of one of the two.
    """
    yield path
    yield f"{path}.json"
    for folder in folders_of(path):
        yield folder
        yield folder.removesuffix(".json")


def _is_free(path: str, files: AbstractSet[str], folders: AbstractSet[str]) -> bool:
    if path in files or path in folders or f"{path}.json" in folders:
        return False
    return not any(folder in files or folder.removesuffix(".json") in files for folder in folders_of(path))


@lru_cache(maxsize=1024)
def _folder(directory: str, *, digits: int = 0) -> tuple[str, ...]:
    """The folder of a server directory; with `digits` every component has a suffix, else those that need one."""
    if not directory:
        return ()
    parts: list[str] = []
    server = directory.split("/")
    for count, part in enumerate(server, 1):
        safe = _escaped(part)
        if digits or safe != part or _SUFFIXED.search(safe):
            safe = _with_suffix(safe, "/".join(server[:count]), digits or _DIGITS)
        parts.append(safe)
    if sum(len(part.encode()) + 1 for part in parts) <= FOLDER_BYTES:
        return tuple(parts)
    return (_with_suffix(_escaped("_".join(server)), directory, digits or _DIGITS),)


# A name is looked at several times while its page is given places.
@lru_cache(maxsize=4096)
def _escaped(name: str) -> str:
    """The name with everything replaced that some file system refuses, short enough for a component."""
    safe = _FORBIDDEN.sub("_", name)
    safe = _TRAILING.sub(lambda found: "_" * len(found.group()), safe) or "_"
    if _RESERVED.match(safe) or folded(safe).startswith(_OURS):
        safe = f"_{safe}"
    return _cut(safe, COMPONENT_BYTES)


def _with_suffix(name: str, meant: str, digits: int) -> str:
    """The escaped name of what is meant, told from all others of the same look."""
    mark = "~" + hashlib.sha256(meant.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    stem, extension = _split(_cut(name, COMPONENT_BYTES - len(mark)))
    return f"{stem}{mark}{extension}"


def _cut(name: str, size_bytes: int) -> str:
    """The name in at most so many bytes: characters go from the end of its stem."""
    if len(name.encode()) <= size_bytes:
        return name
    stem, extension = _split(name)
    return stem.encode()[: size_bytes - len(extension.encode())].decode(errors="ignore") + extension


def _split(name: str) -> tuple[str, str]:
    """Stem and extension with its dot; a name that only begins with a dot has none."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _EXTENSION_BYTES:
        return name, ""
    return stem, dot + extension
