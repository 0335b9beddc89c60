"""Uploads of image files: a session is opened, filled, completed, and worked off a little later (contract, section 6).

Archives, annotation files and links to files of the server's machine are not stood in for.
"""

import asyncio
import io
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from PIL import Image as Picture
from PIL import UnidentifiedImageError

from labelmirror.standin.exchange import Call, Refusal, Reply, Route, Upload
from labelmirror.standin.remo import wire
from labelmirror.standin.remo.desk import Desk, members, number
from labelmirror.standin.remo.door import Access, broken
from labelmirror.standin.remo.model import Dataset
from labelmirror.standin.remo.world import RemoWorld

_UPLOADS = "/api/v1/ui/uploads"
_SUFFIXES = ("jpg", "jpeg", "png", "tif", "tiff")
_FORMATS = ("JPEG", "PNG", "TIFF")
_UNSUPPORTED = "File content type not supported"


class Progress(StrEnum):
    """How far an upload is."""

    OPEN = "not complete"
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class Session:
    """One upload. `images` and `files` are complaints about images, by their names, and about other files."""

    id: str
    dataset: Dataset
    created_s: float
    progress: Progress = Progress.OPEN
    finished_s: float | None = None
    waiting: list[Upload] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    successful: int = 0
    failed: int = 0
    images: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def take(self, file: Upload) -> None:
        """Receive a file; what is no image by its name or its content is refused at once."""
        name = file.filename.rpartition("/")[2]
        if name.rpartition(".")[2].lower() not in _SUFFIXES:
            self.files.append(name)
            return
        self.sizes.append(len(file.data))
        if _format(file.data) in _FORMATS:
            self.waiting.append(Upload(name, file.data))
        else:
            self.failed += 1
            self.images.append((name, _UNSUPPORTED))

    def work_off(self, world: RemoWorld) -> None:
        """Add the images; a name that is there already counts as a success and as an error, and changes nothing."""
        for file in self.waiting:
            self.successful += 1
            if any(image.name == file.filename for image in self.dataset):
                self.images.append((file.filename, "not added (Duplicated image)"))
                continue
            twin = next((image.name for image in self.dataset if image.payload == file.data), None)
            if twin is not None:
                msg = f"image correctly added, but we found a duplicate within the dataset: {twin}"
                self.warnings.append((file.filename, msg))
            with Picture.open(io.BytesIO(file.data)) as picture:
                mime, size = picture.get_format_mimetype() or "", picture.size
            world.add_image(self.dataset, file.filename, payload=file.data, mime=mime, size=size)
        self.waiting.clear()
        self.finished_s = world.clock.now_s()
        self.progress = Progress.FAILED if self.images or self.files else Progress.DONE

    def told(self) -> dict[str, Any]:
        """The session as the server tells of it."""
        nothing = {"pending": 0, "total": 0, "successful": 0, "failed": 0, "errors": [], "warnings": []}
        return {
            "session_id": self.id,
            "created_at": wire.iso(self.created_s),
            "finished_at": None if self.finished_s is None else wire.iso(self.finished_s),
            "dataset": {"id": self.dataset.id, "name": self.dataset.name},
            "status": self.progress.value,
            "substatus": "",
            "images": {
                "pending": 0,
                "total": self.successful + self.failed,
                "successful": self.successful,
                "failed": self.failed,
                "errors": [{"filename": name, "errors": [error]} for name, error in self.images],
                "warnings": [{"filename": name, "warnings": [warning]} for name, warning in self.warnings],
            },
            "annotations": nothing,
            "errors": [{"type": "file", "error": _UNSUPPORTED, "value": name} for name in self.files],
            "warnings": [],
            "uploaded": {
                "total": _amount(self.sizes),
                "images": _amount(self.sizes),
                "annotations": _amount([]),
                "archives": _amount([]),
            },
        }


class UploadRoutes:
    """What can be done with uploads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._sessions: dict[str, Session] = {}

    def routes(self) -> tuple[Route, ...]:
        """The routes."""
        route, one = self._desk.route, _UPLOADS + "/{upload}"
        return (
            route("uploads.send", "POST", "/api/dataset/{dataset}/upload/", self._send, Access.STATED),
            route("uploads.open", "POST", f"{_UPLOADS}/", self._open, Access.STATED),
            route("uploads.complete", "POST", f"{one}/complete/", self._complete, Access.STATED),
            route("uploads.status", "GET", f"{one}/status/", self._status, Access.STATED),
        )

    async def _send(self, call: Call) -> Reply:
        dataset, given = self._desk.world.datasets.get(number(call, "dataset")), members(call)
        if dataset is None:
            raise Refusal(403, "error", "Only admin can edit public datasets.")
        if "folder_id" in given:
            raise broken()
        session = self._found(str(given["session_id"])) if "session_id" in given else self._new(dataset)
        # A session that is completed takes nothing more, and says nothing.
        if session.progress is Progress.OPEN:
            for field_name, file in call.files:
                if field_name == "files":
                    session.take(file)
            if str(given.get("complete", "")).lower() == "true":
                self._finish(session)
        return Reply({"session_id": session.id})

    async def _open(self, call: Call) -> Reply:
        dataset = self._desk.world.datasets.get(members(call).get("dataset_id", -1))
        if dataset is None:
            raise Refusal(404, "error", "Dataset not found")
        return Reply(self._new(dataset).told(), 201)

    async def _complete(self, call: Call) -> Reply:
        session = self._sessions.get(call.params["upload"])
        if session is None or session.progress is not Progress.OPEN:
            return Reply({"session_id": call.params["upload"]}, 404)
        self._finish(session)
        return Reply({"session_id": session.id})

    async def _status(self, call: Call) -> Reply:
        return Reply(self._found(call.params["upload"]).told())

    def _new(self, dataset: Dataset) -> Session:
        session = Session(str(uuid.UUID(self._desk.world.token()[:32])), dataset, self._desk.world.clock.now_s())
        self._sessions[session.id] = session
        return session

    def _found(self, name: str) -> Session:
        if name not in self._sessions:
            raise Refusal(404, "error", f"session_id: {name} was not found")
        return self._sessions[name]

    def _finish(self, session: Session) -> None:
        session.progress = Progress.PENDING
        world = self._desk.world
        asyncio.get_running_loop().call_later(world.import_s, session.work_off, world)


def _format(data: bytes) -> str | None:
    try:
        with Picture.open(io.BytesIO(data)) as picture:
            return picture.format
    except UnidentifiedImageError:
        return None


def _amount(sizes: list[int]) -> dict[str, Any]:
    size_bytes = sum(sizes)
    spoken = f"{size_bytes} b" if size_bytes < 1024 else f"{size_bytes / 1024:.1f} Kb"
    return {"items": len(sizes), "size": size_bytes, "human_size": spoken}
