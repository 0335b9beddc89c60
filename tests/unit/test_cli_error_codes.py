"""docs/operations.md lists every code that an answer can carry, and none besides."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import labelmirror
from labelmirror.errors import EXIT_PRECEDENCE, ExitCode, LabelmirrorError

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

#: Calls by which a code is given as a text, and the place of that text among the arguments.
CODE_ARGUMENT = {"fail": 3, "_fail": 1, "_leave_untouched": 1, "Failed": 4, "ReadProblem": 0, "tell": 0}


def of_errors() -> Iterator[str]:
    for module in pkgutil.walk_packages(labelmirror.__path__, "labelmirror."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def walk(error: type[LabelmirrorError]) -> Iterator[str]:
        yield error.code
        for inner in error.__subclasses__():
            # Tests of other files make errors of their own.
            if inner.__module__.startswith("labelmirror."):
                yield from walk(inner)

    yield from walk(LabelmirrorError)


def of_calls() -> Iterator[str]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            place = CODE_ARGUMENT.get(name)
            if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                yield str(ast.literal_eval(node.args[place]))


def test_every_code_is_listed_and_none_besides() -> None:
    table = OPERATIONS.partition("## What does an error code mean?")[2]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert listed == sorted(listed)
    assert set(listed) == {*of_errors(), *of_calls()}


def test_every_exit_code_is_listed() -> None:
    listed = re.findall(r"^\| ([\d, ]+) \|", OPERATIONS, re.MULTILINE)
    assert {int(code) for cell in listed for code in cell.split(",")} == {int(code) for code in ExitCode}
    assert ", ".join(str(int(code)) for code in EXIT_PRECEDENCE) in OPERATIONS


def test_links_within_the_document_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", OPERATIONS)) <= anchors
