"""`doctor` as a process: it looks at everything, stops at nothing, and says how to mend what is amiss."""

from pathlib import Path
from typing import Any

from labelmirror.state.lock import hold_lock
from labelmirror.telemetry.clock import SystemClock
from support.cli import Home, home


async def checks(here: Home, *, exit_code: int) -> dict[str, dict[str, Any]]:
    answer = await here.json("doctor", exit_code=exit_code)
    assert all(check.keys() == {"name", "ok", "detail", "fix"} for check in answer["checks"])
    return {check["name"]: check for check in answer["checks"]}


async def test_all_is_well_and_everything_was_looked_at(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.json("sync")
        async with hold_lock(tmp_path / "state", "harbour", clock=SystemClock()):
            found = await checks(here, exit_code=0)
    assert list(found) == [
        "config",
        "state",
        "ledger",
        "daemon",
        "mirror.harbour.directory",
        "mirror.harbour.marker",
        "mirror.harbour.lock",
        "server.acme.reachable",
        "server.acme.key",
        "server.acme.generation",
        "server.acme.quota",
        "server.acme.clock",
        "mirror.harbour.dataset",
    ]
    assert str(tmp_path / "ledger.db") in found["ledger"]["detail"]
    assert "process" in found["mirror.harbour.lock"]["detail"]
    assert found["server.acme.generation"]["detail"].startswith("g2")
    assert "a push re-reads and reads back" in found["server.acme.generation"]["detail"]
    assert "of 5000 requests left" in found["server.acme.quota"]["detail"]
    assert "6 images" in found["mirror.harbour.dataset"]["detail"]


async def test_a_failed_check_names_its_remedy_and_the_others_are_made(tmp_path: Path) -> None:
    async with home(tmp_path, clock_offset_s=-3600) as here:
        here.configure(
            "[datasets.another]",
            'server = "acme"',
            'name = "harbor"',
            'path = "another"',
            "[datasets.nowhere]",
            'server = "acme"',
            'name = "harbour"',
            f'path = "{"x" * 300}"',
            "[servers.silent]",
            'kind = "pictograph"',
            'url = "http://127.0.0.1:1"',
            'key = { env = "LABELMIRROR_TEST_KEY" }',
            "[servers.keyless]",
            'kind = "pictograph"',
            'url = "http://127.0.0.1:1"',
            'key = { env = "LABELMIRROR_TEST_NO_KEY" }',
        )
        (tmp_path / "another").write_text("a file")
        found = await checks(here, exit_code=1)
    failed = {name for name, check in found.items() if not check["ok"]}
    assert failed == {
        "mirror.another.directory",
        "mirror.another.marker",
        "mirror.nowhere.marker",
        "server.acme.clock",
        "mirror.another.dataset",
        "server.silent.reachable",
        "server.keyless.key",
    }
    assert all(found[name]["fix"] for name in failed)
    assert found["mirror.harbour.dataset"]["ok"]


async def test_a_refused_key_is_told_from_a_silent_server(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.standin.revoke_key()
        found = await checks(here, exit_code=1)
    assert (found["server.acme.reachable"]["ok"], found["server.acme.key"]["ok"]) == (True, False)


async def test_a_configuration_with_mistakes_is_a_failed_check(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        here.configure("pull = true")
        found = await checks(here, exit_code=1)
    assert list(found) == ["config"]
    assert "pull" in found["config"]["detail"]
