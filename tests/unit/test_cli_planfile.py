"""A kept plan is read back as it was written, or refused in one line that names the place and the remedy."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelmirror.cli.planfile import FORMAT, VERSION, parse, read, write
from labelmirror.errors import DiskError, UsageError
from labelmirror.model.actions import Agreed, PlanItem, Sides
from labelmirror.model.document import digest_of
from labelmirror.model.keys import DocumentKey
from labelmirror.model.report import PlanReport

ITEMS = [
    PlanItem(DocumentKey("1"), "images/a.jpg", "pull", Sides(None, None, "ab")),
    PlanItem(DocumentKey("1", "set-7"), "annotations/boxes/a.jpg.json", "push", Sides("ab", "cd", "ab")),
    PlanItem(DocumentKey("\ud800"), "annotations/b.jpg.json", "retire", Sides("ab", "ab", None)),
]
HELD = PlanItem(DocumentKey("2"), "annotations/c.jpg.json", "hold", Sides("a", "b", "c"), waits=True)


async def kept(folder: Path) -> Path:
    file = folder / "night.plan"
    await write(file, [PlanReport("street", items=[*ITEMS, HELD], store_id="store")], made_at_s=0.0)
    return file


def resealed(found: dict[str, Any]) -> bytes:
    body = {key: value for key, value in found.items() if key != "digest"}
    return json.dumps({**body, "digest": digest_of(body)}).encode()


async def test_what_was_kept_is_what_is_agreed_on_and_what_waits_is_not_kept(tmp_path: Path) -> None:
    (mirror,) = (await read(await kept(tmp_path))).mirrors
    assert (mirror.name, mirror.store_id) == ("street", "store")
    assert mirror.agreed() == Agreed.on(ITEMS)


async def test_a_plan_takes_the_place_of_an_older_one_whole(tmp_path: Path) -> None:
    file = await kept(tmp_path)
    await write(file, [PlanReport("street", store_id="other")], made_at_s=0.0)
    assert (await read(file)).mirrors[0].store_id == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["night.plan"]


async def test_a_plan_that_cannot_be_written_is_a_matter_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="cannot be written"):
        await write(tmp_path / "x" / "night.plan", [], made_at_s=0.0)


async def test_every_edit_of_a_kept_plan_is_noticed(tmp_path: Path) -> None:
    text = (await kept(tmp_path)).read_text()
    file = Path("night.plan")
    for old, new in (('"cd"', '"ce"'), ('"push"', '"pull"'), ("images/a", "images/b"), ('"store"', '"stor"')):
        assert old in text
        with pytest.raises(UsageError, match=r"night.plan: /digest: .*changed") as caught:
            parse(file, text.replace(old, new).encode())
        assert "labelmirror plan -o night.plan" in caught.value.hint


@pytest.mark.parametrize("cut", [0, 1, 100, -3])
async def test_half_a_plan_is_no_plan(tmp_path: Path, cut: int) -> None:
    data = (await kept(tmp_path)).read_bytes()
    with pytest.raises(UsageError, match=r"line \d+: this is not JSON"):
        parse(Path("night.plan"), data[:cut])


@pytest.mark.parametrize("data", [b"[]", b"{}", b'"text"', b"3", b"[" * 100_000, b"\xff", b'{"labelmirror_plan": NaN}'])
def test_what_is_no_plan_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"^night.plan: "):
        parse(Path("night.plan"), data)


async def test_another_version_names_both_versions(tmp_path: Path) -> None:
    found = json.loads((await kept(tmp_path)).read_bytes())
    with pytest.raises(UsageError, match=f"version {VERSION + 1}.*version {VERSION}"):
        parse(Path("night.plan"), resealed({**found, FORMAT: VERSION + 1}))


async def test_a_plan_with_a_digest_and_without_the_rest_names_the_place(tmp_path: Path) -> None:
    found = json.loads((await kept(tmp_path)).read_bytes())
    del found["mirrors"][0]["items"][1]["remote"]
    with pytest.raises(UsageError, match="/mirrors/0/items/1/remote: Field required"):
        parse(Path("night.plan"), resealed(found))


async def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file") as caught:
        await read(tmp_path / "night.plan")
    assert "plan -o" in caught.value.hint
