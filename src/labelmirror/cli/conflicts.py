"""`labelmirror conflicts list`, `show` and `take`."""

from collections.abc import Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.options import Image, Name, Names
from labelmirror.cli.signals import run_cancellable, run_stoppable
from labelmirror.errors import ExitCode, UsageError, command_line

if TYPE_CHECKING:
    from labelmirror.cli.signals import Stop
    from labelmirror.model.report import MirrorReport

#: Takes the place of the shared --set; the environment still overrides settings.
AnnotationSet = Annotated[
    str | None, typer.Option("--set", metavar="SET", help="The annotation set, where images have several.")
]


class Version(Enum):
    """The versions of a held document between which a person decides."""

    LOCAL = "local"
    REMOTE = "remote"
    BASE = "base"


@command
def list_(call: Call, names: Names = None) -> ExitCode:
    """List the documents that wait for a decision, and where their versions can be read. Changes nothing."""
    from labelmirror.app import chosen, open_local_mirror
    from labelmirror.cli import explaining, shapes
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine.compare import HeldDocument, held_documents

    async def work() -> ExitCode:
        held: list[tuple[str, HeldDocument]] = []
        with open_shop(call) as shop:
            mirrors = chosen(shop.config, names or [])
            for name in mirrors:
                async with open_local_mirror(shop, name) as mirror:
                    held += [(name, entry) for entry in await held_documents(mirror)]
        return call.answer(
            {"held": [shapes.held_shape(name, mirrors[name].path, entry) for name, entry in held]},
            lambda: explaining.held_list(held),
        )

    return run_cancellable(work)


@command
def show(call: Call, name: Name, image: Image, annotation_set: AnnotationSet = None) -> ExitCode:
    """Explain one held document: what happened, its versions, how they differ, and how to decide. Changes nothing."""
    from labelmirror.app import chosen, open_local_mirror
    from labelmirror.cli import explaining, shapes
    from labelmirror.cli.naming import document_of
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine.compare import diff, held_documents
    from labelmirror.model.keys import DocumentKey

    async def work() -> ExitCode:
        with open_shop(call) as shop:
            folder = chosen(shop.config, [name])[name].path
            async with open_local_mirror(shop, name) as mirror:
                key = await document_of(mirror, image, annotation_set)
                held = {DocumentKey(entry.held.id, entry.held.set): entry for entry in await held_documents(mirror)}
                differing = {entry.key: entry for entry in await diff(mirror, key.image)}
        if key not in held:
            raise UsageError(
                f"{name}: {image} is not held",
                hint=f"{command_line('conflicts', 'list', name)}; {command_line('diff', name, image)}",
            )
        return call.answer(
            {**shapes.held_shape(name, folder, held[key]), "diff": shapes.sides_shape(differing.get(key))},
            lambda: explaining.held_document(name, folder, held[key], differing.get(key)),
        )

    return run_cancellable(work)


@command
def take(
    call: Call,
    version: Annotated[Version, typer.Argument(help="The version that both sides shall hold.")],
    name: Name,
    image: Image,
    annotation_set: AnnotationSet = None,
) -> ExitCode:
    """Decide for one version of a held document: it becomes that of both sides. The others stay in history."""
    from labelmirror.app import chosen, open_local_mirror
    from labelmirror.cli.naming import document_of, documents_of
    from labelmirror.cli.runs import answer_with_runs, run_one
    from labelmirror.cli.shop import open_shop
    from labelmirror.engine import resolve
    from labelmirror.model.saving import WishKind

    async def work(stop: "Stop") -> ExitCode:
        with open_shop(call) as shop:
            folder = chosen(shop.config, [name])[name].path
            async with open_local_mirror(shop, name) as local:
                key = await document_of(local, image, annotation_set)
                path = next(row.path for row in await documents_of(local, key.image) if row.key == key)
            run = partial(resolve.take, key=key, kind=WishKind(version.value), stop=stop.requested)
            report = await run_one(shop, name, run, stop.requested)
        return answer_with_runs(call, [report], stop, _kept(folder, path, report))

    return run_stoppable(work)


def _kept(folder: Path, path: str, report: "MirrorReport") -> Sequence[str]:
    """Where the version of this document that was not taken can be found."""
    replaced = folder / ".labelmirror" / "history" / report.run / path
    lines = [f"the file as it was: {replaced}"] if replaced.is_file() else []
    if report.documents.pushed:
        lines.append(f"to bring back what the server held: {command_line('undo', '--run', report.run)}")
    return lines
