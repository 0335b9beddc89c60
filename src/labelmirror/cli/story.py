"""The demonstration, step by step: a server, a first mirror, an edit on either side, and what a sync makes of them."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from anyio import to_thread
from rich.text import Text

from labelmirror.app import open_local_mirror, open_mirror
from labelmirror.cli import endings, shapes
from labelmirror.cli.frame import Call
from labelmirror.cli.output import printable, write_human
from labelmirror.cli.shop import furnish
from labelmirror.cli.telling import size
from labelmirror.config import Config, load
from labelmirror.engine import cycle
from labelmirror.engine.cycle import CycleOptions
from labelmirror.engine.status import ImageStanding, MirrorStanding, status
from labelmirror.errors import DiskError, ExitCode, UsageError
from labelmirror.model.report import MirrorReport
from labelmirror.standin import Colleague, Standin, StandinError, StandinOptions, serve
from labelmirror.telemetry.logs import Masker

#: The mirror's name, and that of its folder.
MIRROR: Final = "harbour"
CONFIG: Final = "labelmirror.toml"
STATE: Final = "state"
_FIRST_LINE: Final = (
    "# Written by labelmirror demo, which removes this file, the mirror and the state when it runs again."
)


@dataclass(slots=True)
class Narrator:
    """Says what happens, as it happens; says nothing where a program will read one JSON object."""

    silent: bool
    steps: int = 0

    def step(self, title: str) -> None:
        """Begin a step."""
        self.steps += 1
        self._print(Text(f"\n{self.steps}. {printable(title)}", style="bold"))

    def say(self, text: str) -> None:
        """One line of a step."""
        self._print(Text(f"   {printable(text)}"))

    def _print(self, text: Text) -> None:
        if not self.silent:
            write_human(lambda: text)


@dataclass(frozen=True, slots=True)
class Stage:
    """What is done with the mirror. Bars go away with each act, so that the narrator has the terminal between them."""

    config: Config
    masker: Masker

    async def sync(self, *, full_check: bool) -> MirrorReport:
        """One sync."""
        with furnish(self.config, self.masker, {}) as shop:
            async with open_mirror(shop, MIRROR) as mirror:
                return await cycle.sync(mirror, CycleOptions(full_check=full_check))

    async def standing(self) -> MirrorStanding:
        """How the mirror stands, with each image."""
        with furnish(self.config, self.masker, {}) as shop:
            async with open_local_mirror(shop, MIRROR) as mirror:
                return await status(mirror, with_images=True)


@dataclass(frozen=True, slots=True)
class Told:
    """What happened: the syncs, at least one, and how the mirror stands after them."""

    runs: Sequence[MirrorReport]
    standing: MirrorStanding


async def tell_story(call: Call, kind: str, images: int, folder: Path) -> ExitCode:
    """Run the whole demonstration in `folder`. Raises UsageError for a folder that holds something else."""
    narrator = Narrator(silent=call.as_json)
    try:
        async with serve(StandinOptions(kind=kind, images=images, export_polls=0)) as standin:
            await to_thread.run_sync(_clear, folder)
            file = await to_thread.run_sync(_configure, folder, standin)
            stage = Stage(load(file, {}), call.masker)
            told = await _play(stage, standin, narrator, folder)
    except StandinError as error:
        raise UsageError(str(error)) from error
    narrator.step("Look around")
    program = "labelmirror" if shutil.which("labelmirror") else str(Path(sys.executable).with_name("labelmirror"))
    narrator.say(shlex.join([program, "status", "--images", "--config", str(file)]))
    narrator.say(shlex.join([program, "history", "--config", str(file)]))
    narrator.say("The server is gone now; labelmirror serve-standin runs one for you to try your own configuration on.")
    report = told.runs[-1]
    code = endings.exit_code([endings.run_codes(report)])
    pushed = sum(run.documents.pushed for run in told.runs)
    summary = (
        f"\n{told.standing.counts['images']} images mirrored, {pushed} edit of yours on the server, "
        f"{report.documents.pulled} edit of somebody else's here: nothing lost."
    )
    return call.answer(
        {
            "mirrors": [shapes.run_shape(report)],
            **shapes.speaking_shape([report.error], code),
        },
        lambda: Text(summary, style="bold"),
        code,
        errors=[(report.name, report.error)],
    )


async def _play(stage: Stage, standin: Standin, narrator: Narrator, folder: Path) -> Told:
    """All acts but the last."""
    colleague = standin.colleague
    total = colleague.image_count()
    narrator.step(f"A server with {total} annotated images")
    narrator.say(f"A stand-in for {standin.kind} listens at {standin.url}; its configuration is {folder / CONFIG}")

    narrator.step("The first mirror")
    first = await stage.sync(full_check=False)
    narrator.say(
        f"{first.images.pulled} images ({size(first.images.size_bytes)}) and {first.documents.pulled} documents"
    )
    saved = f"; one for each image would have been {total + 1}" if total + 1 > first.traffic.api else ""
    narrator.say(f"for {_requests(first)}{saved}.")
    narrator.say(f"They are ordinary files in {folder / MIRROR}")
    if first.error is not None:
        return Told((first,), await stage.standing())

    mine, theirs = _two_annotated((await stage.standing()).images, colleague)
    document = folder / MIRROR / mine.document_path
    before, after = await to_thread.run_sync(_edit, document)
    narrator.step("Two people edit")
    narrator.say(f"You: {mine.document_path} ({before} annotations, now {after})")
    colleague.move_geometry(theirs.id, theirs.set)
    narrator.say(f"Somebody else, on the server: moves one shape in {theirs.name} of {theirs.directory or '/'}")

    narrator.step("An ordinary sync")
    second = await stage.sync(full_check=False)
    narrator.say(f"It cost {_requests(second)}, and pushed {second.documents.pushed} document:")
    now = colleague.annotation_count(mine.id, mine.set)
    narrator.say(f"{mine.name} on the server: {before} annotations, now {now}.")
    narrator.say("It was read again just before it was saved, and once more after it: nobody's work was overwritten.")
    narrator.say("On a server that stays, labelmirror history lists every save, and labelmirror undo takes one back.")
    if second.documents.pulled:
        narrator.say("It found the document that the server changed as well:")
        _tell_of_pulled(narrator, theirs, second)
        return Told((first, second), await stage.standing())
    narrator.say("The shape that was moved shows in no listing; once a day, or when asked to, a full check finds it:")

    narrator.step("A sync with --full-check")
    last = await stage.sync(full_check=True)
    narrator.say(f"It cost {_requests(last)}, and found {last.documents.pulled} document that the server changed:")
    _tell_of_pulled(narrator, theirs, last)
    return Told((first, second, last), await stage.standing())


def _tell_of_pulled(narrator: Narrator, theirs: ImageStanding, report: MirrorReport) -> None:
    narrator.say(f"{theirs.document_path}: the new version is here,")
    narrator.say(f"the old one is .labelmirror/history/{report.run}/{theirs.document_path}")


def _two_annotated(images: list[ImageStanding], colleague: Colleague) -> tuple[ImageStanding, ImageStanding]:
    """The first two documents, by path, that have annotations."""
    annotated = [
        image
        for image in sorted(images, key=lambda image: image.document_path)
        if colleague.annotation_count(image.id, image.set) > 0
    ]
    return annotated[0], annotated[1]


def _requests(report: MirrorReport) -> str:
    api, storage = report.traffic.api, report.traffic.storage
    return f"{api} requests" + (f" of the quota (files: {storage}, which are free)" if storage else "")


def _edit(document: Path) -> tuple[int, int]:
    """Take the last annotation out of a document, as a person would with an editor; their number before and after."""
    held = json.loads(document.read_bytes())
    before = len(held["annotations"])
    del held["annotations"][-1]
    document.write_text(json.dumps(held, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return before, before - 1


def _clear(folder: Path) -> None:
    """Remove what an earlier demonstration left in the folder. Raises UsageError if it holds anything else."""
    config = folder / CONFIG
    if not folder.exists():
        return
    try:
        ours = folder.is_dir() and config.is_file() and config.read_text("utf-8", "replace").startswith(_FIRST_LINE)
        if not ours:
            if folder.is_dir() and not any(folder.iterdir()):
                return
            raise UsageError(
                f"{folder} holds something that no demonstration wrote", hint="name another with --dir DIR"
            )
        for name in (MIRROR, STATE):
            if (folder / name).exists():
                shutil.rmtree(folder / name)
        config.unlink()
    except OSError as error:
        raise DiskError(f"{error.filename}: {error.strerror}") from error


def _configure(folder: Path, standin: Standin) -> Path:
    """Write the configuration, for its owner's eyes only: the key, or the password, is in it."""
    access = asdict(standin.login) if standin.login else {"key": standin.key}
    lines = [
        _FIRST_LINE,
        "version = 1",
        f"state = {json.dumps(STATE)}",
        f"ledger = {json.dumps(f'{STATE}/ledger.db')}",
        "",
        "[servers.demo]",
        f"kind = {json.dumps(standin.kind)}",
        f"url = {json.dumps(standin.url)}",
        *(f"{name} = {json.dumps(value)}" for name, value in access.items()),
        "",
        f"[datasets.{MIRROR}]",
        'server = "demo"',
        f"name = {json.dumps(standin.colleague.dataset)}",
        f"path = {json.dumps(MIRROR)}",
        "push = true",
    ]
    file = folder / CONFIG
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write("\n".join(lines) + "\n")
    except OSError as error:
        raise DiskError(f"{error.filename}: {error.strerror}") from error
    return file
