"""The key and the queries of signed links appear in no output and in no file, whatever happens."""

import re
from pathlib import Path

from aiohttp import web

from labelmirror.standin import Fault, FaultKind
from support.cli import KEY_VARIABLE, Home, home, labelmirror
from support.web import site

COMMANDS = (
    ("config", "show", "--origin"),
    ("plan",),
    ("sync", "--json"),
    ("sync", "--full-check"),
    ("status", "--images", "--json"),
    ("verify", "--json"),
    ("datasets", "--json"),
    ("doctor", "--json"),
    ("doctor",),
    ("repair",),
)
REFUSED = (("sync",), ("sync", "--json"), ("doctor", "--json"), ("datasets",))


async def outputs(here: Home, commands: tuple[tuple[str, ...], ...], env: dict[str, str]) -> str:
    """Everything that commands print, at their most talkative."""
    ended = [await here.run(*command, "--verbose", env=env) for command in commands]
    return "".join(each.stdout + each.stderr for each in ended)


def written(folder: Path) -> bytes:
    """All files below a folder, one after another."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


async def test_neither_key_nor_link_is_in_any_output_or_file(tmp_path: Path) -> None:
    faults = (
        Fault(route="storage.image", kind=FaultKind.EXPIRED_LINK, nth=2, times=100),
        Fault(route="images.list", kind=FaultKind.ERROR_503, nth=2),
    )
    async with home(tmp_path, faults=faults) as here:
        said = await outputs(here, COMMANDS, here.env)
        assert "link_expired" in said
        assert here.standin.key not in said
        assert here.standin.key.encode() not in written(tmp_path)
        assert re.findall(r"\?(?!\*\*\*)\w+=[^\s\"']{8,}", said) == []
        assert re.findall(rb"https?:[^\s\"?]+\?\w", written(tmp_path)) == []


async def test_a_key_that_the_server_repeats_in_its_refusal_is_not_repeated(tmp_path: Path) -> None:
    key = "pk_live_canary0123456789canary01234567"

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"detail": f"the key {request.headers['X-API-Key']} is not valid"}, status=401)

    async with home(tmp_path) as here, site(refuse) as other:
        here.config.write_text(here.config.read_text().replace(here.standin.url, other.url))
        said = await outputs(here, REFUSED, {KEY_VARIABLE: key})
    assert "is not valid" in said
    assert key not in said
    assert key.encode() not in written(tmp_path)


async def test_a_literal_key_is_refused_in_a_file_that_others_can_read(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        text = here.config.read_text().replace(f'{{ env = "{KEY_VARIABLE}" }}', f'"{here.standin.key}"')
        here.config.write_text(text)
        here.config.chmod(0o644)
        ended = await here.run("sync")
        assert (ended.exit_code, here.standin.key in ended.stderr) == (2, False)
        here.config.chmod(0o600)
        await here.json("sync")


def test_the_demonstration_keeps_its_key_to_its_owner(tmp_path: Path) -> None:
    ended = labelmirror("demo", cwd=tmp_path)
    config = tmp_path / "demo-mirror" / "labelmirror.toml"
    found = re.search(r"pk_live_\w+", config.read_text())
    assert found is not None
    assert found[0] not in ended.stdout + ended.stderr
    assert config.stat().st_mode & 0o777 == 0o600
