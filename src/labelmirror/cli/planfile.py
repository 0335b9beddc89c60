"""Plans in files: what `plan -o` keeps and `apply` reads.

The file is JSON. It holds what each item saw on its three sides, and a digest of all of it: a plan is agreed to as it was
shown, and a file that was edited shows something else. It holds no secret.
"""

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, ValidationError

from labelmirror import __version__
from labelmirror.cli.shapes import time_text
from labelmirror.errors import DiskError, UsageError, command_line
from labelmirror.model.actions import Agreed, PlanItem, Sides
from labelmirror.model.document import JsonObject, digest_of
from labelmirror.model.keys import DocumentKey
from labelmirror.model.report import PlanReport

#: The key that tells a plan from other JSON, and its version.
FORMAT: Final = "labelmirror_plan"
VERSION: Final = 1
#: How the file of any version begins.
OPENING: Final = f'{{\n "{FORMAT}": '.encode()
#: What to do about a file that is none.
_MAKE_ONE: Final = "labelmirror plan -o FILE makes one"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class KeptItem(_Part):
    """One item: what is to be done where, and the digests that the plan saw (null: absent)."""

    id: str
    set: str
    path: str
    action: str
    base: str | None
    local: str | None
    remote: str | None


class KeptMirror(_Part):
    """The items of one mirror, and the store that they are for."""

    name: str
    store_id: str
    items: list[KeptItem]

    def agreed(self) -> Agreed:
        """Agreement on these items."""
        return Agreed.on(
            PlanItem(DocumentKey(item.id, item.set), item.path, item.action, Sides(item.base, item.local, item.remote))
            for item in self.items
        )


class KeptPlan(_Part):
    """A plan as it lies in its file, without its version and digest."""

    made_at: str
    made_by: str
    mirrors: list[KeptMirror]


async def write(file: Path, reports: Sequence[PlanReport], *, made_at_s: float) -> None:
    """Keep a plan, whole or not at all. Raises DiskError."""
    body: JsonObject = {
        FORMAT: VERSION,
        "made_at": time_text(made_at_s),
        "made_by": f"labelmirror {__version__}",
        "mirrors": [
            {
                "name": report.name,
                "store_id": report.store_id,
                "items": [_item(item) for item in report.items if not item.waits],
            }
            for report in reports
        ],
    }
    text = json.dumps({**body, "digest": digest_of(body)}, indent=1) + "\n"
    await to_thread.run_sync(_write_whole, file, text.encode())


def _item(item: PlanItem) -> JsonObject:
    sides = item.sides
    return {
        "id": item.key.image,
        "set": item.key.set,
        "path": item.path,
        "action": item.action,
        "base": sides.base,
        "local": sides.local,
        "remote": sides.remote,
    }


def _write_whole(file: Path, data: bytes) -> None:
    unfinished = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        try:
            with unfinished.open("xb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(f"{file}: the plan cannot be written: {error.strerror}") from error


async def read(file: Path) -> KeptPlan:
    """Read a kept plan. Raises UsageError, naming file, place and remedy, for anything else."""
    try:
        data = await to_thread.run_sync(file.read_bytes)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}", hint=_MAKE_ONE) from error
    return parse(file, data)


def parse(file: Path, data: bytes) -> KeptPlan:
    """A kept plan of these bytes. Raises UsageError as `read` does."""
    remedy = "make a new plan: " + command_line("plan", "-o", str(file))
    try:
        found = json.loads(data)
        is_object = isinstance(found, dict)
        digest = digest_of({key: value for key, value in found.items() if key != "digest"}) if is_object else None
    except (ValueError, RecursionError) as error:
        line = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(f"{file}: {line}this is not JSON, or not all of it", hint=remedy) from error
    if digest is None or FORMAT not in found:
        raise UsageError(f"{file}: /{FORMAT} is missing: this is no plan", hint=_MAKE_ONE)
    if found[FORMAT] != VERSION:
        made_by = found.get("made_by", "another version")
        raise UsageError(
            f"{file}: /{FORMAT}: the plan has version {found[FORMAT]}, made by {made_by}; this is labelmirror "
            f"{__version__}, which carries out version {VERSION}",
            hint=remedy,
        )
    if found.pop("digest", None) != digest:
        raise UsageError(f"{file}: /digest: the file was changed after the plan was made", hint=remedy)
    del found[FORMAT]
    try:
        return KeptPlan.model_validate(found)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = "/" + "/".join(str(part) for part in problem["loc"])
        raise UsageError(f"{file}: {place}: {problem['msg']}", hint=remedy) from error
