"""Remo's rows as values of the program, and documents composed from them. Pure."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from labelmirror.errors import ProtocolError
from labelmirror.model.document import Document, JsonObject, JsonValue, digest_of, render
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import AnnotationSet, Dataset, ListedDocument, ListedImage, Reading, Token
from labelmirror.providers.remo import wire
from labelmirror.providers.remo.format import RemoFormat
from labelmirror.providers.remo.schema import SetRules
from labelmirror.providers.remo.settings import RemoSettings

UNTOUCHED: Final = "not_annotated"

_FORMAT = RemoFormat()
_MD5 = re.compile(r"/([0-9a-f]{32})$")

#: The classes of each annotation set, by its id.
Classes = Mapping[str, Sequence[str]]


def change_of(row: JsonObject, sets: Sequence[JsonObject]) -> str:
    """A digest that moves with nearly every change of a dataset, tags excepted: its own time, and what its sets count."""
    fields = ("id", "name", "task", "updated_at", "last_annotated_date", "statistics")
    seen = [{name: entry.get(name) for name in fields} for entry in sets]
    return digest_of([row.get("updated_at"), row.get("quantity"), seen])


def dataset_of(row: wire.DatasetRow, sets: Sequence[wire.SetRow], classes: Classes, change: str) -> Dataset:
    """A dataset with its annotation sets; the change goes into its details."""
    return Dataset(
        id=str(row.id),
        name=row.name,
        images=row.quantity,
        annotations=sum(item.count for entry in sets for item in entry.statistics.all_classes),
        categories=tuple({"name": name} for name in sorted({name for names in classes.values() for name in names})),
        sets=tuple(AnnotationSet(str(e.id), e.name, e.task.name, tuple(classes[str(e.id)])) for e in sets),
        details={
            "change": change,
            "sets": {
                str(entry.id): {
                    "task": entry.task.type,
                    "untouched": entry.statistics.done_count + entry.statistics.skipped_count == 0,
                }
                for entry in sets
            },
        },
    )


def rules_of(dataset: Dataset, annotation_set: str) -> SetRules:
    """What a set's documents may have. Raises ProtocolError for a set that the dataset does not have."""
    task = _set_details(dataset, annotation_set)["task"]
    assert isinstance(task, str)
    return SetRules(task, set_of(dataset, annotation_set).categories)


def is_untouched(dataset: Dataset, annotation_set: str) -> bool:
    """Whether no image of the set has another status than the first one."""
    return bool(_set_details(dataset, annotation_set)["untouched"])


def set_of(dataset: Dataset, annotation_set: str) -> AnnotationSet:
    """One of the dataset's sets. Raises ProtocolError for a set that it does not have."""
    held = next((entry for entry in dataset.sets if entry.id == annotation_set), None)
    if held is None:
        raise ProtocolError(f"the dataset {dataset.name} has no annotation set {annotation_set}")
    return held


def _set_details(dataset: Dataset, annotation_set: str) -> JsonObject:
    sets = dataset.details["sets"]
    assert isinstance(sets, Mapping)
    held = sets[set_of(dataset, annotation_set).id]
    assert isinstance(held, Mapping)
    return held


# --- what is noted and what is there -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Noted:
    """What the server noted of a document in one step at the end of its last save, for each place the classes there.

    `doubled` are places where more than one object is, which reading them one by one does not show (contract, 5.3).
    """

    classes: Mapping[str, Sequence[str]]
    tags: Sequence[str] = ()
    doubled: frozenset[str] = frozenset()

    def completed(self, annotations: Sequence[JsonObject]) -> Sequence[JsonObject]:
        """The annotations that were read, with the classes of those that hide behind them: a save would drop these."""
        return [self._with_hidden(annotation) for annotation in annotations]

    def _with_hidden(self, annotation: JsonObject) -> JsonObject:
        where = _place(annotation)
        if where not in self.doubled:
            return annotation
        held = annotation["classes"]
        assert isinstance(held, Sequence)
        hidden = [name for name in self.classes[where] if name not in _names(annotation)]
        return {**annotation, "classes": [*held, *({"name": name, "lower": name.lower()} for name in hidden)]}


def noted_of(entry: wire.SetContents | None, rules: SetRules) -> Noted:
    """What is noted of a document; None: it was never touched."""
    if entry is None:
        return Noted({})
    if rules.is_classification:
        return Noted(dict.fromkeys(entry.classes, ()), entry.tags)
    # One object without any point is noted as no coordinates at all.
    coordinates = entry.coordinates or [()] * len(entry.object_classes)
    places = [_text([{"x": point.x, "y": point.y} for point in points]) for points in coordinates]
    found: dict[str, set[str]] = {}
    for where, names in zip(places, entry.object_classes, strict=False):
        found.setdefault(where, set()).update(names)
    doubled = frozenset(where for where, often in Counter(places).items() if often > 1)
    return Noted({where: sorted(names) for where, names in found.items()}, entry.tags, doubled)


def shows(annotations: Sequence[JsonObject], rules: SetRules) -> Noted:
    """The same of annotations that were read."""
    if rules.is_classification:
        return Noted({str(item.get("name")): () for item in annotations})
    return Noted({_place(item): sorted(_names(item)) for item in annotations})


def _place(annotation: JsonObject) -> str:
    return _text(annotation.get("coordinates"))


def _names(annotation: JsonObject) -> set[str]:
    classes = annotation.get("classes")
    assert isinstance(classes, Sequence)
    return {str(item.get("name")) for item in classes if isinstance(item, Mapping)}


def _text(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


# --- listing rows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sign:
    """What a listing shows of a document, and what its token holds: a digest of the annotations, the status, the tags."""

    annotations: str
    status: str
    tags: Sequence[str]

    def token(self) -> Token:
        """Weak: names of objects, scores and doubts can change under it."""
        return Token(_text([self.annotations, self.status, list(self.tags)]), strong=False)


def sign_of(noted: Noted, status: str) -> Sign:
    """The sign of what is noted."""
    return Sign(digest_of(noted.classes)[:24], status, sorted(noted.tags))


def sign_in(document: ListedDocument) -> Sign | None:
    """The sign in a listed document's token; None where it has none."""
    if document.token is None:
        return None
    annotations, status, tags = json.loads(document.token.text)
    return Sign(annotations, status, tags)


def image_of(
    row: wire.ImageContents, directory: str, dataset: Dataset, statuses: Mapping[str, Mapping[int, str]]
) -> ListedImage:
    """A row of a listing. `statuses` are those of each set; an image that is missing there gets no token.

    The image's own status is the least finished one that it has in any set.
    """
    held = {str(entry.annotation_set_id): entry for entry in row.annotations}
    documents: list[ListedDocument] = []
    found: list[str] = []
    count = 0
    for entry in dataset.sets:
        noted = noted_of(held.get(entry.id), rules_of(dataset, entry.id))
        status = UNTOUCHED if is_untouched(dataset, entry.id) else statuses[entry.id].get(row.id)
        token = sign_of(noted, status).token() if status is not None else None
        documents.append(ListedDocument(entry.id, token, empty=token is not None and not noted.classes))
        count += len(noted.classes)
        found += [] if status is None else [status]
    md5 = _MD5.search(row.preview or "")
    width_px, height_px = row.dimensions or (None, None)
    return ListedImage(
        id=str(row.id),
        directory=directory,
        name=row.name,
        status=min(found, key=_progress, default=None),
        size_bytes=row.size_in_bytes,
        width_px=width_px,
        height_px=height_px,
        md5=md5[1] if md5 else None,
        annotations=count,
        documents=tuple(documents),
    )


def _progress(status: str) -> int:
    order = RemoSettings.statuses
    return order.index(status) if status in order else len(order)


# --- documents ---------------------------------------------------------------------------------------------------


def reading_of(
    dataset: Dataset,
    image: ListedImage,
    annotation_set: str,
    *,
    status: str,
    tags: Sequence[str],
    annotations: Sequence[JsonObject],
) -> Reading:
    """A document that was read; objects are put in the order of their positions."""
    ordered: Sequence[JsonObject] = sorted(annotations, key=_position)
    held = set_of(dataset, annotation_set)
    document: Document = {
        "image_id": int(image.id),
        "image": image.name,
        "annotation_set": {"id": int(held.id), "name": held.name, "task": held.task},
        "status": status,
        "tags": sorted(tags),
        "annotations": ordered,
    }
    key = DocumentKey(image.id, annotation_set)
    return Reading(key, render(document), _FORMAT.digest(document), _FORMAT.counts(document))


def _position(annotation: JsonObject) -> int:
    position = annotation.get("position_number")
    return position if isinstance(position, int) else 0
