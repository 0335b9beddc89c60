"""House rules that a machine can keep: imports point down, and nobody but the Clock adapter asks what time it is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "labelmirror"

MODULES = sorted(path for path in SOURCE.rglob("*.py"))

#: What each part may import of the program itself. A part may always import its own modules.
PROJECT = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": {"model"},
    "model": set(),
    "planning": {"model"},
    "ports": {"model", "errors"},
    "engine": {"model", "planning", "ports", "errors"},
    "transport": {"model", "ports", "errors", "__init__"},
    "providers": {"model", "ports", "errors", "transport"},
    "tree": {"model", "ports", "errors"},
    "state": {"model", "ports", "errors"},
    "snapshots": {"model", "ports", "errors", "tree"},
    "ledger": {"model", "ports", "errors", "transport"},
    "telemetry": {"__init__", "model", "ports", "errors"},
    "standin": {"__init__"},
    "config": {"model", "providers", "errors"},
    "app": {
        "config",
        "engine",
        "errors",
        "ledger",
        "model",
        "ports",
        "providers",
        "snapshots",
        "state",
        "telemetry",
        "transport",
        "tree",
    },
    "daemon": {"app", "config", "engine", "errors", "model", "ports", "telemetry", "transport", "tree"},
    "cli": {"__init__", "app", "config", "daemon", "engine", "errors", "model", "providers", "standin", "telemetry"},
}

#: What each part may import of libraries; None allows any.
LIBRARIES: dict[str, set[str] | None] = {
    "errors": set(),
    "model": set(),
    "planning": set(),
    "ports": set(),
    "engine": {"anyio"},
    "transport": {"aiohttp", "aiolimiter", "anyio", "yarl", "multidict"},
    "providers": {"pydantic", "pydantic_core", "anyio", "aiohttp", "yarl"},
    "tree": {"anyio", "aiofiles", "PIL"},
    "state": {"anyio"},
    "snapshots": {"anyio"},
    "ledger": {"anyio", "pydantic"},
    "standin": {"aiohttp", "pydantic", "PIL", "anyio", "yarl", "multidict"},
    "config": {"pydantic", "pydantic_core", "platformdirs", "aiofiles", "anyio"},
    "daemon": {"anyio", "pydantic", "structlog", "watchfiles"},
    "telemetry": {"aiohttp", "anyio", "prometheus_client", "rich", "structlog"},
}

STANDARD = set(__import__("sys").stdlib_module_names)

#: Where time is asked for and waited by hand; everything else gets a Clock.
TIME_KEEPERS = {"telemetry/clock.py"}
BANNED_CALLS = {
    "time.time",
    "time.monotonic",
    "time.sleep",
    "time.perf_counter",
    "datetime.now",
    "datetime.utcnow",
    "asyncio.sleep",
    "anyio.sleep",
    "anyio.current_time",
    "asyncio.create_task",
    "asyncio.ensure_future",
    "loop.create_task",
}


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module == "labelmirror":
                yield from ((node.lineno, f"labelmirror.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    assert part in PROJECT, f"{part} has no layer: give it one here and in docs/design.md"
    for line, module in imports(ast.parse(path.read_text())):
        top, _, rest = module.partition(".")
        place = f"{name_of(path)}:{line} imports {module}"
        if top == "labelmirror":
            other = rest.split(".")[0] or "__init__"
            other = "__init__" if other == "__version__" else other
            assert other == part or other in PROJECT[part], place
            if part == "providers" and other == "providers":
                mine, theirs = path.relative_to(SOURCE / "providers").parts, rest.split(".")[1:]
                folders = {entry.name for entry in (SOURCE / "providers").iterdir() if entry.is_dir()}
                foreign = theirs and theirs[0] in folders and theirs[0] != mine[0] and mine[0] in folders
                assert not foreign, f"{place}: servers do not know one another"
        elif top not in STANDARD:
            allowed = LIBRARIES.get(part)
            assert allowed is None or top in allowed, place


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_clock_adapter_asks_the_time_and_only_task_groups_start_tasks(path: Path) -> None:
    if name_of(path) in TIME_KEEPERS or part_of(path) == "standin":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in BANNED_CALLS, f"{name_of(path)}:{node.lineno} calls {called}"


def test_a_command_in_a_hint_is_quoted_where_it_holds_a_name() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                said = "".join(str(part.value) if isinstance(part, ast.Constant) else "{" for part in node.values)
                assert not re.search(r"labelmirror [a-z]+[^;,`{]*\{", said), (
                    f"{name_of(path)}:{node.lineno}: command_line() of errors.py writes it as a shell reads it"
                )
