"""Exports: archives with one document per image, built beside the serving (contract, section 8)."""

import json
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelmirror.standin.clock import ServerClock, iso
from labelmirror.standin.options import StandinOptions
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.pictograph.wire import ORGANIZATION, Wire
from labelmirror.standin.sample import Annotation
from labelmirror.standin.storage import StoredFile
from labelmirror.standin.world import Dataset, Image

_EXPIRES_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class File:
    """Content on the disk."""

    path: Path

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`."""
        with self.path.open("rb") as file:
            file.seek(start)
            while start < stop:
                chunk = file.read(min(262_144, stop - start))
                yield chunk
                start += len(chunk)


@dataclass(frozen=True, slots=True)
class Order:
    """What an export is to contain."""

    name: str
    include_images: bool = False
    class_filter: tuple[str, ...] | None = None
    status_filter: str | None = None
    organize_by_split: bool = False


@dataclass(slots=True)
class Export:
    """One export and how far it is. `built` gives the number of images and of annotations in the archive."""

    id: str
    dataset: Dataset
    order: Order
    created_s: float
    built: "Future[tuple[int, int]]"
    path: Path
    polls: int = 0


class Exports:
    """All exports of a stand-in; archives are built by one thread, into `folder`, as the world is at their order."""

    def __init__(self, options: StandinOptions, clock: ServerClock, wire: Wire, folder: Path) -> None:
        self._options = options
        self._clock = clock
        self._wire = wire
        self._folder = folder
        self._builder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="standin-export")
        self._exports: dict[str, Export] = {}
        self._closing = threading.Event()

    def close(self) -> None:
        """Give up what is not built yet."""
        self._closing.set()
        self._builder.shutdown(wait=True, cancel_futures=True)

    def create(self, export_id: str, dataset: Dataset, order: Order) -> Export:
        """Order an export of the dataset as it is now. Raises ValueError if its name is taken."""
        if self.find(dataset, order.name) is not None:
            raise ValueError(f"An export named {order.name!r} already exists")
        wanted = [
            (image, image.directory, image.filename, image.edited)
            for image in reversed(dataset.active)
            if order.status_filter is None or image.status == order.status_filter
        ]
        path = self._folder / f"{export_id}.zip"
        built = self._builder.submit(self._build, dataset, order, wanted, path)
        export = Export(export_id, dataset, order, self._clock.now_s(), built, path)
        self._exports[export_id] = export
        return export

    def find(self, dataset: Dataset | None, name_or_id: str) -> Export | None:
        """An export by id, or by name within a dataset."""
        if name_or_id in self._exports:
            return self._exports[name_or_id]
        for export in self._exports.values():
            if export.dataset is dataset and export.order.name == name_or_id:
                return export
        return None

    def newest_first(self) -> list[Export]:
        """All exports."""
        return list(reversed(self._exports.values()))

    def delete(self, export: Export) -> None:
        """Forget an export; its archive goes when the stand-in does."""
        del self._exports[export.id]

    def status(self, export: Export) -> str:
        """pending, processing or completed. A failure to build is raised: it would be a fault of the stand-in."""
        asked_enough = export.polls > self._options.export_polls
        due = self._clock.now_s() >= export.created_s + self._options.export_build_s
        if not (asked_enough and due and export.built.done()):
            return "processing" if export.polls > self._options.export_polls // 2 else "pending"
        export.built.result()
        return "completed"

    def row(self, export: Export, link: str | None) -> dict[str, Any]:
        """The row of an export; `link` where it can be downloaded."""
        status = self.status(export)
        done = status == "completed"
        images, annotations = export.built.result() if done else (None, None)
        owner = "dataset_id" if self._wire.generation is Generation.G2 else "project_id"
        return {
            "id": export.id,
            owner: export.dataset.id,
            "dataset_name": export.dataset.name,
            "organization_id": ORGANIZATION,
            "name": export.order.name,
            "format": "pictograph",
            "include_images": export.order.include_images,
            "class_filter": None if export.order.class_filter is None else list(export.order.class_filter),
            "status_filter": export.order.status_filter,
            "status": status,
            "error_message": None,
            "file_size": File(export.path).size_bytes if done else None,
            "image_count": images,
            "annotation_count": annotations,
            "created_at": iso(export.created_s),
            "expires_at": iso(export.created_s + _EXPIRES_S),
            "download_url": link if done else None,
        }

    def stored(self, file_name: str) -> StoredFile | None:
        """The archive behind a link of the storage host; None if it was deleted."""
        export = self._exports.get(file_name.removesuffix(".zip"))
        if export is None:
            return None
        return StoredFile(File(export.path), "application/zip", f'"{export.id}"', export.created_s)

    def _build(
        self,
        dataset: Dataset,
        order: Order,
        wanted: list[tuple[Image, str, str, tuple[Annotation, ...] | None]],
        path: Path,
    ) -> tuple[int, int]:
        images = annotations = 0
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for image, directory, filename, edited in wanted:
                if self._closing.is_set():
                    break
                kept = image.sampled if edited is None else edited
                if order.class_filter is not None:
                    kept = tuple(entry for entry in kept if entry["name"] in order.class_filter)
                if not kept and not self._options.export_empty:
                    continue
                split = f"{image.split or 'train'}/" if order.organize_by_split else ""
                place = f"{directory.rstrip('/')}/{filename}"
                document = self._wire.document(dataset, image, kept)
                text = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
                archive.writestr(f"{split}annotations{place}.json", text)
                if order.include_images:
                    archive.writestr(f"{split}images{place}", image.content)
                images, annotations = images + 1, annotations + len(kept)
        return images, annotations
