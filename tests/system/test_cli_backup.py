"""Snapshots as people make, look through, thin and check them."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from labelmirror.state.lock import hold_file, hold_lock, share_file
from labelmirror.telemetry.clock import SystemClock
from support.cli import Home, drop_annotation, home


async def snapshot(here: Home, *options: str) -> dict[str, Any]:
    """Make one."""
    (made,) = (await here.json("backup", *options))["snapshots"]
    found: dict[str, Any] = made
    return found


def contents(here: Home) -> set[str]:
    store = here.folder / "backups"
    return {
        file.name.partition(".")[0]
        for kind in ("documents", "pages", "images")
        for file in (store / kind).rglob("*")
        if file.is_file()
    }


def harm(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


async def test_a_mirror_is_saved_as_it_is_without_asking_its_server(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        here.standin.requests.clear()
        drop_annotation(here.documents()[0])
        ended = await here.run("backup", "--json", env={})  # no key at all
        assert ended.exit_code == 0, ended
        (first,) = ended.answer["snapshots"]
        assert first.keys() >= {"id", "mirror", "images", "documents", "bytes_new"}
        assert (first["mirror"], first["images"], first["documents"]) == ("harbour", 6, 6)
        assert first["bytes_new"] > 0
        again = await snapshot(here)
        assert again["bytes_new"] == 0
        assert again["id"] != first["id"]
        assert len(here.standin.requests) == 0
        listed = (await here.json("snapshots", "harbour"))["snapshots"]
        assert [{**each} for each in listed] == [first, again]
        assert all(each["at"].endswith("Z") for each in listed)


async def test_a_changed_document_costs_its_page_and_itself(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        first = await snapshot(here)
        before = contents(here)
        drop_annotation(here.documents()[0])
        second = await snapshot(here)
        assert 0 < second["bytes_new"] < first["bytes_new"]
        assert len(contents(here) - before) == 2


async def test_images_are_saved_when_asked_for_and_stay_as_they_were(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        named = await snapshot(here)
        included = await snapshot(here, "--images")
        assert (named["images_included"], included["images_included"]) == (False, True)
        assert (await snapshot(here, "--images"))["bytes_new"] == 0
        image = next(path for path in (here.mirror / "images").rglob("*") if path.is_file())
        image.write_bytes(b"vandal")
        assert (await here.json("verify", "--snapshot", included["id"]))["damaged"] == []
        assert (await snapshot(here, "--images"))["bytes_new"] > 0


async def test_a_document_that_the_server_does_not_know_and_one_that_is_lost_are_saved_too(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        (here.mirror / "annotations" / "mine.json").write_text('{"annotations": []}')
        here.documents()[0].unlink()
        assert (await snapshot(here))["documents"] == 7
        assert (await here.json("verify", "--snapshot", "latest"))["checked"] == 9


async def test_a_backup_may_sync_first_and_saves_what_is_here_if_that_fails(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        answer = await here.json("backup", "--sync")
        assert answer["mirrors"][0]["outcome"] == "synced"
        assert answer["snapshots"][0]["documents"] == 6
        here.config.write_text(here.config.read_text().replace(here.standin.url, "http://127.0.0.1:9"))
        answer = await here.json("backup", "--sync", exit_code=11)
        assert answer["mirrors"][0]["outcome"] == "unreachable"
        assert answer["snapshots"][0]["documents"] == 6


async def test_a_backup_that_is_stopped_while_it_syncs_ends_in_good_order_without_a_snapshot(tmp_path: Path) -> None:
    async with home(tmp_path, images=20, latency_s=0.2) as here:
        backing = here.start("backup", "--sync", "--json")
        while not len(here.standin.requests):
            await anyio.sleep(0.02)
        backing.send_signal(signal.SIGTERM)
        said, _ = await to_thread.run_sync(backing.communicate)
        assert backing.returncode == 143, said
        answer = json.loads(said)
        assert (answer["exit_code"], answer["mirrors"][0]["outcome"], answer["snapshots"]) == (143, "stopped", [])
        assert not (here.folder / "backups").exists()
        assert (await here.json("backup", "--sync"))["snapshots"][0]["documents"] == 20


async def test_a_mirror_that_was_never_synced_has_nothing_to_save(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        answer = await here.json("backup", exit_code=2)
        assert "was never synced" in answer["error"]["message"]
        assert answer["snapshots"] == []
        assert not (here.folder / "backups").exists() or not contents(here)


async def test_a_backup_leaves_a_mirror_alone_that_a_run_works_on_unless_it_may_wait(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        async with hold_lock(here.folder / "state", "harbour", clock=SystemClock()):
            answer = await here.json("backup", exit_code=5)
            assert (answer["error"]["code"], answer["snapshots"]) == ("locked", [])
            waiting = here.start("backup", "--wait", "1m")
        _, said = await to_thread.run_sync(waiting.communicate)
        assert waiting.returncode == 0, said
        assert len((await here.json("snapshots"))["snapshots"]) == 1


async def test_who_changes_the_snapshots_has_them_to_itself_and_readers_share_them(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        await snapshot(here)
        lock = here.folder / "backups" / "lock"
        changing: list[tuple[str, ...]] = [("backup",), ("prune", "--keep-last", "1")]
        reading: list[tuple[str, ...]] = [
            ("verify", "--snapshot", "latest"),
            ("prune", "--keep-last", "1", "--dry-run"),
        ]
        async with hold_file(lock, busy="busy", clock=SystemClock()):
            for arguments in changing + reading:
                assert (await here.json(*arguments, exit_code=5))["error"]["code"] == "locked", arguments
            await here.json("snapshots")
            waiting = [here.start(*each, "--wait", "1m") for each in (changing[1], ("restore", "latest", "--drill"))]
        for each in waiting:
            _, said = await to_thread.run_sync(each.communicate)
            assert each.returncode == 0, said
        async with share_file(lock, busy="busy", clock=SystemClock()):
            for arguments in reading:
                await here.json(*arguments)
            for arguments in changing:
                await here.json(*arguments, exit_code=5)


async def test_rules_say_what_stays_and_nothing_else_is_kept(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        made = [await snapshot(here)]
        for _ in range(2):
            drop_annotation(here.documents()[0])
            made.append(await snapshot(here))
        held = contents(here)
        answer = await here.json("prune", "--keep-last", "1", "--keep-within", "1h", "--dry-run")
        assert [each["reasons"] for each in answer["snapshots"]] == [["within 1h", "last"], *[["within 1h"]] * 2]
        would = await here.json("prune", "harbour", "--keep-last", "1", "--dry-run")
        assert [(each["id"], each["keep"]) for each in would["snapshots"]] == [
            (each["id"], each is made[-1]) for each in reversed(made)
        ]
        assert (would["removed"], contents(here)) == (None, held)
        done = await here.json("prune", "--keep-last", "1")
        assert done["snapshots"] == would["snapshots"]
        assert done["removed"]["files"] == len(held - contents(here)) == 4
        assert [each["id"] for each in (await here.json("snapshots"))["snapshots"]] == [made[-1]["id"]]
        assert (await here.json("verify", "--snapshot", "latest"))["damaged"] == []


async def test_prune_without_a_rule_or_of_an_unknown_mirror_is_refused(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        await snapshot(here)
        for arguments in (
            (),
            ("--dry-run",),
            ("--keep-last", "0"),
            ("--keep-within", "5min"),
            ("nobody", "--keep-last", "1"),
        ):
            answer = await here.json("prune", *arguments, exit_code=2)
            assert answer["error"]["message"], arguments
            assert answer["error"]["hint"], arguments
        assert len((await here.json("snapshots"))["snapshots"]) == 1


async def test_a_snapshot_is_named_by_the_beginning_of_its_id_or_as_the_latest(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        answer = await here.json("verify", "--snapshot", "latest", exit_code=2)
        assert "holds no snapshots" in answer["error"]["message"]
        assert (await here.json("snapshots"))["snapshots"] == []
        await here.json("sync")
        made = await snapshot(here)
        for name in (made["id"], made["id"][:6], "latest", "latest:harbour"):
            assert (await here.json("verify", "--snapshot", name))["damaged"] == []
        for name in ("", "xyz", "latest:street"):
            answer = await here.json("verify", "--snapshot", name, exit_code=2)
            assert answer["error"]["code"] == "unknown_snapshot", name


async def test_a_flipped_byte_in_a_snapshot_is_found_and_mended_by_the_next_backup(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        await snapshot(here)
        harm(next((here.folder / "backups" / "documents").rglob("*.gz")))
        answer = await here.json("verify", "--snapshot", "latest", exit_code=10)
        (damaged,) = answer["damaged"]
        assert (damaged["problem"], damaged["repaired"]) == ("digest", False)
        assert damaged["path"].startswith("annotations/")
        await snapshot(here)
        assert (await here.json("verify", "--snapshot", "latest"))["damaged"] == []


async def test_while_it_is_not_known_what_a_snapshot_needs_nothing_is_removed(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        await snapshot(here)
        drop_annotation(here.documents()[0])
        await snapshot(here)
        held = contents(here)
        store = here.folder / "backups"
        (oldest, newest) = sorted((store / "snapshots").iterdir(), key=lambda path: json.loads(path.read_text())["at"])
        whole = newest.read_bytes()
        harm(newest)
        answer = await here.json("prune", "--keep-last", "1", exit_code=10)
        assert answer["error"]["code"] == "snapshot_damaged"
        assert newest.stem[:8] in answer["error"]["message"]
        assert contents(here) == held
        assert oldest.exists()
        assert [each["id"] for each in (await here.json("snapshots"))["unusable"]] == [newest.stem]
        assert (await here.json("verify", "--snapshot", newest.stem, exit_code=10))["error"][
            "code"
        ] == "snapshot_damaged"
        newest.write_bytes(whole)
        harm(next((store / "pages").rglob("*.gz")))
        await here.json("prune", "--keep-last", "2", exit_code=10)
        assert contents(here) == held


async def test_a_folder_that_cannot_be_written_or_holds_something_else_is_named(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        (here.folder / "backups").mkdir()
        (here.folder / "backups" / "letters.txt").write_text("dear")
        answer = await here.json("backup", exit_code=2)
        assert "letters.txt" in answer["error"]["message"]
        answer = await here.json("backup", "--set", "backup.path=labelmirror.toml/backups", exit_code=12)
        assert answer["error"]["code"] == "disk"
        assert answer["error"]["hint"]
        assert os.listdir(here.folder / "backups") == ["letters.txt"] or contents(here) == set()  # noqa: PTH208
