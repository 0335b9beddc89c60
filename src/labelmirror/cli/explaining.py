"""Differences, held documents and saves in words, for somebody who sees them for the first time.

Pure: values in, something that rich prints out.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from labelmirror.cli.output import printable, table
from labelmirror.cli.shapes import time_text
from labelmirror.cli.telling import HELD_BECAUSE, SHOWN, answer
from labelmirror.engine.compare import DocumentDiff, HeldDocument
from labelmirror.engine.mirror import image_path
from labelmirror.model.saving import SaveRecord
from labelmirror.model.trouble import HoldReason

#: A save's id is shown so long: enough to tell it from others, and `undo` takes it.
ID_SHOWN = 12

_WHAT_HAPPENED: Mapping[HoldReason, str] = {
    HoldReason.BOTH_EDITED: (
        "It was changed here and on the server since both sides last agreed, and the two were not merged: either the same "
        "annotation differs, or the configuration says so (push, on_conflict)."
    ),
    HoldReason.EDITED_AND_DELETED: (
        "It was edited here, and the server no longer has its image. Nothing is created anew there. To keep the edit, move "
        "the file out of the mirror: the next sync then forgets the image."
    ),
    HoldReason.BOTH_ADDED: (
        "Both sides have it, they differ, and it is not known what they last agreed on (as after a repair)."
    ),
    HoldReason.SHRUNK: (
        "On one side it lost at least half of its annotations, and at least ten. That may be meant, or an accident that must "
        "not spread to the other side."
    ),
    HoldReason.CATEGORY_GONE: (
        "It has annotations of a category that the server no longer has. Was the category renamed? Then give the annotations "
        "in your file the new name, or make the category on the server again."
    ),
    HoldReason.FOREIGN_SAVE_OVERWRITTEN: (
        "Somebody saved it on the server in the moment between the last reading and the save from here, and that save was "
        "overwritten. Ask who worked on it: what they saved is not known here. Then confirm a version."
    ),
    HoldReason.BEING_ANNOTATED: "Somebody is annotating it now. The next sync tries again.",
}

_TAKING: Mapping[str, str] = {
    "local": "your file wins, and is saved to the server",
    "remote": "the server's version wins, and replaces your file",
    "base": "both sides go back to what they last agreed on",
}


#: Why a side has no differences to show.
_NOT_COMPARED: Mapping[str, str] = {"local": "missing, or no valid document", "remote": "not there, or not known"}


def differences(mirror: str, entries: Sequence[DocumentDiff], seen_at_s: float | None) -> RenderableType:
    """How documents differ on either side from what both last agreed on."""
    seen = time_text(seen_at_s)
    when = f"The server as it was seen at {seen}; --fresh looks again." if seen else "The server was never looked at."
    if not entries:
        return Group(Text(f"{printable(mirror)}: no document differs."), Text(when))
    rows = [row for entry in entries[:SHOWN] for row in _difference_rows(entry)]
    shown = table(("document", "side", "added", "removed", "changed"), rows)
    more = [f"and {len(entries) - SHOWN} more; --json has all"] if len(entries) > SHOWN else []
    return answer(shown, [*more, when], "")


def _difference_rows(entry: DocumentDiff) -> Sequence[Sequence[object]]:
    """A row for each side, with the annotations' keys."""
    rows: list[Sequence[object]] = []
    for side, found in (("local", entry.local), ("remote", entry.remote)):
        if found is None:
            rows.append((entry.path, side, _NOT_COMPARED[side], None, None))
        else:
            rows.append((entry.path, side, *(_keys(keys) for keys in (found.added, found.removed, found.changed))))
    return rows


def _keys(keys: Sequence[str]) -> str | None:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more if keys else None


def held_list(held: Sequence[tuple[str, HeldDocument]]) -> RenderableType:
    """The held documents of mirrors, each with its reason, and how to go on."""
    if not held:
        return Text("nothing is held")
    rows = [
        (mirror, entry.path, HELD_BECAUSE[entry.held.reason], entry.held.reason.value) for mirror, entry in held[:SHOWN]
    ]
    lines = [f"and {len(held) - SHOWN} more; --json has all"] if len(held) > SHOWN else []
    lines.append("Neither side was touched; nothing is lost while you look.")
    mirror, first = held[0]
    following = f"next: labelmirror conflicts show {shlex.quote(mirror)} {shlex.quote(first.path)}"
    return answer(table(("mirror", "document", "what happened", "reason"), rows), lines, printable(following))


def held_document(mirror: str, folder: Path, entry: HeldDocument, diff: DocumentDiff | None) -> RenderableType:
    """One held document: what happened, the versions to compare, how they differ, and the commands that decide."""
    reason = entry.held.reason
    versions = {"base": entry.base, "local": entry.local, "remote": entry.remote}
    meanings = {
        "base": "what both sides last agreed on",
        "local": "your file",
        "remote": "what the server was seen to hold",
    }
    files = [
        (version, meanings[version], folder / path if path is not None else "there is none")
        for version, path in versions.items()
    ]
    parts: list[RenderableType] = [
        Text(printable(f"{entry.path} is held: {HELD_BECAUSE[reason]} ({reason.value})."), style="bold"),
        Text(_WHAT_HAPPENED[reason]),
        Text(""),
        table(("version", "what it is", "file"), files),
    ]
    if diff is not None:
        rows = [row[1:] for row in _difference_rows(diff)]
        parts += [Text(""), table(("against base", "added", "removed", "changed"), rows)]
    named = [shlex.quote(mirror), shlex.quote(entry.path)]
    takes = [
        (" ".join(("labelmirror conflicts take", version, *named)), meaning)
        for version, meaning in _TAKING.items()
        if versions[version] is not None and reason is not HoldReason.EDITED_AND_DELETED
    ]
    if takes:
        parts += [Text(""), table(("to decide", "what it does"), takes)]
        parts.append(Text("Or edit your file into what both sides shall hold, and take local."))
        parts.append(Text(printable(f"Every save can be taken back: labelmirror history {named[0]} lists them.")))
    return Group(*parts)


def history(saves: Sequence[tuple[str, SaveRecord]]) -> RenderableType:
    """What was saved to servers, newest first."""
    if not saves:
        return Text("no save is on record")
    rows = [
        (
            save.id[:ID_SHOWN],
            time_text(save.at_s),
            mirror,
            image_path(save.image),
            f"{save.read_count} -> {save.new_count}",
            save.outcome.value,
            save.run,
        )
        for mirror, save in saves
    ]
    columns = ("save", "at", "mirror", "image", "annotations", "outcome", "run")
    return answer(
        table(columns, rows), [], "to take one back: labelmirror undo SAVE; a whole run: labelmirror undo --run RUN"
    )
