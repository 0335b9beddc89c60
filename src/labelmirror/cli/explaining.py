"""Differences, held documents and saves in words, for somebody who sees them for the first time.

Pure: values in, something that rich prints out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from labelmirror.cli.output import printable, table, verbatim
from labelmirror.cli.shapes import time_text
from labelmirror.cli.telling import HELD_BECAUSE, SHOWN, answer
from labelmirror.engine.compare import AnnotationDiff, DocumentDiff, HeldDocument
from labelmirror.engine.mirror import image_path
from labelmirror.errors import command_line
from labelmirror.model.document import JsonValue
from labelmirror.model.saving import SaveRecord
from labelmirror.model.trouble import HoldReason

#: A save's id is shown so long: enough to tell it from others, and `undo` takes it.
ID_SHOWN = 12
#: Of each annotation, so many fields are shown; the files have all.
FIELDS_SHOWN = 8
#: An id of a server fits; what is made from the content of an addition is longer, and cut.
KEY_LENGTH_MAX = 40
#: Longer values are cut, so that three of them fit a terminal.
VALUE_LENGTH_MAX = 20

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
        "overwritten: what they saved is not known here. Or a save from here was cut off, and they saved what it had left: "
        "what is missing there need not be their deletion. Ask who worked on it, then confirm a version."
    ),
    HoldReason.BEING_ANNOTATED: "Somebody is annotating it now. The next sync tries again.",
}

_TAKING: Mapping[str, str] = {
    "local": "your file wins, and is saved to the server",
    "remote": "the server's version wins, and replaces your file",
    "base": "both sides go back to what they last agreed on",
}


#: Why a side has no differences to show.
_NOT_COMPARED: Mapping[str, str] = {
    "local": "The local file is not compared: it is missing, or no valid document.",
    "remote": "The server's version is not compared: it is not there, not known, or no valid document.",
}


def differences(mirror: str, entries: Sequence[DocumentDiff], seen_at_s: float | None) -> RenderableType:
    """How documents differ on either side from what both last agreed on."""
    seen = time_text(seen_at_s)
    when = f"The server as it was seen at {seen}; --fresh looks again." if seen else "The server was never looked at."
    if not entries:
        return Group(Text(f"{printable(mirror)}: no document differs."), Text(when))
    shown = [part for entry in entries[:SHOWN] for part in (verbatim(entry.path), *_compared(entry), Text(""))]
    more = [Text(f"and {len(entries) - SHOWN} more; --json has all")] if len(entries) > SHOWN else []
    return Group(*shown, *more, Text(when))


def _compared(diff: DocumentDiff) -> Sequence[RenderableType]:
    """Each annotation that differs, with the values that do."""
    parts: list[RenderableType] = []
    if not diff.has_base:
        parts.append(Text("It is not known what both sides last agreed on: the two are compared with each other."))
    parts += [Text(_NOT_COMPARED[side]) for side in ("local", "remote") if getattr(diff, side) is None]
    sides = [side for side in ("local", "remote") if getattr(diff, side) is not None]
    for each in diff.annotations[:SHOWN]:
        parts += _annotation(each, ["base", *sides] if diff.has_base else sides)
    if len(diff.annotations) > SHOWN:
        parts.append(Text(f"and {len(diff.annotations) - SHOWN} more annotations; the files have all"))
    return parts


def _annotation(diff: AnnotationDiff, sides: Sequence[str]) -> Sequence[RenderableType]:
    """What happened to one annotation on these sides, and the fields in which they differ."""
    key = diff.sides.key if len(diff.sides.key) <= KEY_LENGTH_MAX else f"{diff.sides.key[:ID_SHOWN]}…"
    category = next((diff.categories[side] for side in sides if diff.categories.get(side)), None)
    name = key if category is None else f"{key} ({category})"
    title = Text(printable(f"{name}: {', '.join(_happened(diff, sides))}"), style="bold")
    fields = diff.fields
    if not fields:
        return [title]
    rows = [
        (field.name, *(_value(field.values[side]) if side in field.values else None for side in sides))
        for field in fields[:FIELDS_SHOWN]
    ]
    more = (
        [Text(f"and {len(fields) - FIELDS_SHOWN} more fields; the files have all")]
        if len(fields) > FIELDS_SHOWN
        else []
    )
    return [title, table(("field", *sides), rows), *more]


def _happened(diff: AnnotationDiff, sides: Sequence[str]) -> Sequence[str]:
    base = diff.sides.base
    values = {"local": diff.sides.local, "remote": diff.sides.remote}
    where = {"local": "here", "remote": "on the server"}
    there = [side for side in ("local", "remote") if values[side] is not None]
    if "base" not in sides:
        return [f"only {where[there[0]]}"] if len(there) == 1 else ["not the same here and on the server"]
    said: list[str] = []
    for side in ("local", "remote"):
        if side in sides and values[side] != base:
            happened = "added" if base is None else "deleted" if values[side] is None else "changed"
            said.append(f"{happened} {where[side]}")
    return said


def _value(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= VALUE_LENGTH_MAX:
        return text
    return f"{len(value)} items" if isinstance(value, list) else f"{text[:VALUE_LENGTH_MAX]}…"


def held_list(held: Sequence[tuple[str, HeldDocument]]) -> RenderableType:
    """The held documents of mirrors, each with its reason, and how to go on."""
    if not held:
        return Text("nothing is held")
    parts: list[RenderableType] = []
    for mirror, entry in held[:SHOWN]:
        reason = entry.held.reason
        parts += [verbatim(entry.path), Text(printable(f"  {mirror}: {HELD_BECAUSE[reason]} ({reason.value})"))]
    parts.append(Text(""))
    if len(held) > SHOWN:
        parts.append(Text(f"and {len(held) - SHOWN} more; --json has all"))
    parts.append(Text("Neither side was touched; nothing is lost while you look."))
    mirror, first = held[0]
    parts += [
        Text(""),
        verbatim(f"next: {command_line('conflicts', 'show', mirror, first.path)}"),
    ]
    return Group(*parts)


def held_document(mirror: str, folder: Path, entry: HeldDocument, diff: DocumentDiff | None) -> RenderableType:
    """One held document: what happened, the versions to compare, how they differ, and the commands that decide."""
    reason = entry.held.reason
    versions = {"base": entry.base, "local": entry.local, "remote": entry.remote}
    meanings = {
        "base": "what both sides last agreed on",
        "local": "your file",
        "remote": "what the server was seen to hold",
    }
    parts: list[RenderableType] = [
        verbatim(entry.path),
        Text(f"is held: {HELD_BECAUSE[reason]} ({reason.value}).", style="bold"),
        Text(_WHAT_HAPPENED[reason]),
        Text(""),
    ]
    for version, path in versions.items():
        parts.append(Text(f"{version}, {meanings[version]}:{' there is none' if path is None else ''}"))
        if path is not None:
            parts.append(verbatim(str(folder / path)))
    if diff is not None:
        parts += [Text(""), *_compared(diff)]
    takes = [
        (f"{meaning}:", command_line("conflicts", "take", version, mirror, entry.path))
        for version, meaning in _TAKING.items()
        if versions[version] is not None and reason is not HoldReason.EDITED_AND_DELETED
    ]
    if takes:
        parts += [Text(""), Text("To decide:", style="bold")]
        for meaning, command in takes:
            parts += [Text(meaning), verbatim(command)]
        parts += [
            Text(""),
            Text("Or edit your file into what both sides shall hold, and take local."),
            Text("Every save can be taken back; this lists them:"),
            verbatim(command_line("history", mirror)),
        ]
    return Group(*parts)


def history(saves: Sequence[tuple[str, SaveRecord]]) -> RenderableType:
    """What was saved to servers, newest first."""
    if not saves:
        return Text("no save is on record")
    # Few servers have annotation sets.
    sets = ("set",) if any(save.key.set for _, save in saves) else ()
    rows = [
        (
            save.id[:ID_SHOWN],
            time_text(save.at_s),
            mirror,
            image_path(save.image),
            *(save.key.set or None for _ in sets),
            f"{save.read_count} -> {save.new_count}",
            save.outcome.value,
            save.run,
        )
        for mirror, save in saves
    ]
    columns = ("save", "at", "mirror", "image", *sets, "annotations", "outcome", "run")
    return answer(
        table(columns, rows), [], "to take one back: labelmirror undo SAVE; a whole run: labelmirror undo --run RUN"
    )
