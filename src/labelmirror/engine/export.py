"""A mirror's documents as one COCO file, from what is on this machine.

Images and annotations are numbered from 1 in the order of the mirror's rows, categories in that of the dataset; what they
are called on the server goes along as `source_id`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from labelmirror.engine.marker import check_marker
from labelmirror.engine.mirror import DOCUMENT_LIMIT_BYTES, LocalMirror, image_path, reported
from labelmirror.engine.rows import document_pages
from labelmirror.errors import InvalidDocument, TooLarge, Unreadable, UsageError, command_line
from labelmirror.model.coco import CocoAnnotation, CocoCategory, CocoDocument
from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.events import Phase
from labelmirror.model.rows import DocumentRow
from labelmirror.model.trouble import Failed, Stage
from labelmirror.ports.export import CocoForm, RowsFile
from labelmirror.ports.reporter import Reporter

#: The lists of the file, in its order.
SECTIONS = ("images", "annotations", "categories")


@dataclass(slots=True)
class Exported:
    """What went into the file, and what did not: see CocoDocument. `sizeless` counts images of unknown size."""

    images: int = 0
    annotations: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    sizeless: int = 0
    troubles: list[Failed] = field(default_factory=list)


async def export_coco(mirror: LocalMirror, form: CocoForm, out: RowsFile, reporter: Reporter) -> Exported:
    """Write all documents that are in the mirror, as they are now. One that cannot be read fails, the others go on.

    Raises UsageError for a mirror that nothing was brought to yet: an empty file could replace a good one.
    """
    await check_marker(mirror, claim=False)
    if (await mirror.state.facts()).last_sync_s is None:
        raise UsageError(
            f"{mirror.name}: was never synced, so there is nothing to export", hint=command_line("sync", mirror.name)
        )
    work = _Export(mirror, form, out)
    summary = await mirror.tree.read_summary_head() or {}
    work.know(_declared(summary.get("categories")))
    with reported(reporter, mirror.name, Phase.EXPORTING) as progress:
        async for page in document_pages(mirror.state):
            await work.take(page)
            progress.add(len(page))
    await out.add("categories", work.categories())
    return work.done


@dataclass(slots=True)
class _Export:
    """An export under way. `_last_image` is that of the last document: the next one may be its own in another set."""

    mirror: LocalMirror
    form: CocoForm
    out: RowsFile
    done: Exported = field(default_factory=Exported)
    _categories: dict[str, CocoCategory] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _last_image: str | None = None

    def know(self, categories: Sequence[CocoCategory]) -> None:
        """Give numbers to categories that have none, and learn what more there is to say of the others."""
        for category in categories:
            known = self._categories.setdefault(category.name, category)
            self._numbers.setdefault(category.name, len(self._numbers) + 1)
            if not known.keypoints and not known.supercategory:
                self._categories[category.name] = category

    async def take(self, rows: Sequence[DocumentRow]) -> None:
        """Write one page of documents."""
        found = [(row, document) for row in rows if (document := await self._document(row)) is not None]
        images: list[JsonObject] = []
        annotations: list[JsonObject] = []
        sizes = await self._sizes(found)
        for row, document in found:
            if row.key.image != self._last_image:
                self._last_image = row.key.image
                self.done.images += 1
                images.append(self._image(row, sizes.get(row.key.image)))
            self.know(document.categories)
            self.know([CocoCategory(name) for name in self._new_names(document)])
            annotations += [self._annotation(row, annotation) for annotation in document.annotations]
            self.done.left_out.update(document.left_out)
            self.done.lost.update(document.lost)
        await self.out.add("images", images)
        await self.out.add("annotations", annotations)

    def categories(self) -> Sequence[JsonObject]:
        """All categories, by number."""
        rows: list[JsonObject] = []
        for name, number in self._numbers.items():
            category = self._categories[name]
            posed: JsonObject = {}
            if category.keypoints:
                posed = {"keypoints": list(category.keypoints), "skeleton": [list(pair) for pair in category.skeleton]}
            rows.append({"id": number, "name": name, "supercategory": category.supercategory, **posed})
        return rows

    def _new_names(self, document: CocoDocument) -> Sequence[str]:
        names = dict.fromkeys(annotation.category for annotation in document.annotations)
        return [name for name in names if name not in self._numbers]

    async def _document(self, row: DocumentRow) -> CocoDocument | None:
        """The working document as it is now; None if it is not there or no document."""
        try:
            read = await self.mirror.tree.read(row.path, limit_bytes=DOCUMENT_LIMIT_BYTES)
            return None if read is None else self.form(self.mirror.format.parse(read[0]))
        except (InvalidDocument, TooLarge, Unreadable) as error:
            path = image_path(row.place)
            self.done.troubles.append(
                Failed(row.key.image, row.key.set, path, Stage.VALIDATE, error.code, f"{row.path}: {error}")
            )
            return None

    async def _sizes(self, found: Sequence[tuple[DocumentRow, CocoDocument]]) -> Mapping[str, tuple[int, int]]:
        """Width and height of images: as the document says, else the listing, else the file."""
        sizes = {row.key.image: document.size for row, document in found if document.size is not None}
        lacking = sorted({row.key.image for row, _ in found} - sizes.keys())
        for image in await self.mirror.state.listed(lacking):
            if image.width_px is not None and image.height_px is not None:
                sizes[image.id] = (image.width_px, image.height_px)
        places = {row.key.image: image_path(row.place) for row, _ in found if row.key.image not in sizes}
        pictures = await self.mirror.tree.picture_sizes(list(places.values()))
        return sizes | {image: size for image, size in zip(places, pictures, strict=True) if size is not None}

    def _image(self, row: DocumentRow, size: tuple[int, int] | None) -> JsonObject:
        sized: JsonObject = {}
        if size is None:
            self.done.sizeless += 1
        else:
            sized = {"width": size[0], "height": size[1]}
        return {"id": self.done.images, "file_name": row.place, **sized, "source_id": row.key.image}

    def _annotation(self, row: DocumentRow, annotation: CocoAnnotation) -> JsonObject:
        self.done.annotations += 1
        posed: dict[str, JsonValue] = {}
        if annotation.keypoints:
            labelled = sum(flag > 0 for flag in annotation.keypoints[2::3])
            posed = {"keypoints": list(annotation.keypoints), "num_keypoints": labelled}
        return {
            "id": self.done.annotations,
            "image_id": self.done.images,
            "category_id": self._numbers[annotation.category],
            "bbox": list(annotation.bbox),
            "area": annotation.area,
            "segmentation": [list(ring) for ring in annotation.segmentation],
            "iscrowd": int(annotation.iscrowd),
            **posed,
            **({"source_id": annotation.source_id} if annotation.source_id is not None else {}),
            **({"set": row.key.set} if row.key.set else {}),
        }


def _declared(categories: JsonValue) -> Sequence[CocoCategory]:
    """The categories that the dataset is known to have."""
    if not isinstance(categories, list):
        return []
    names = [entry.get("name") for entry in categories if isinstance(entry, Mapping)]
    return [CocoCategory(name) for name in names if isinstance(name, str)]
