"""What Remo keeps as it is sent, and the body that is sent for a document. Pure.

The server takes nearly everything and answers 200: of two objects with one name or in one place it drops the second, a box
without two points breaks the export of the whole set, and a class that is mistyped is created (contract, 5.2). So a
document is looked at here, and each problem names its place in the file.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Digest, Document, JsonObject, JsonValue, digest_of
from labelmirror.model.keys import DocumentKey
from labelmirror.providers.documents import Problem, is_number, kind, located, parse_document, shown
from labelmirror.providers.places import Path
from labelmirror.providers.remo.format import RemoFormat, tags_of
from labelmirror.providers.remo.matching import comparable, is_flat, place
from labelmirror.providers.remo.settings import RemoSettings

#: Longer names are an error 500 in the middle of a save.
NAME_MAX = 255
#: JSON can spell these; the server's database cannot hold them, and it drops the object silently.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_OBJECT_KEYS = ("name", "coordinates", "classes", "auto_created", "position_number")
_CLASS_KEYS = ("name", "lower", "questionable")

_FORMAT = RemoFormat()


@dataclass(frozen=True, slots=True)
class SetRules:
    """What a set's documents may have: its task, by Remo's word for its type, and its classes."""

    task: str
    classes: Collection[str]

    @property
    def is_classification(self) -> bool:
        """Whether annotations are classes of the image, and not objects."""
        return self.task == "image_classification"


def invalid(data: bytes, key: DocumentKey, rules: SetRules) -> Sequence[InvalidDocument]:
    """Every reason why the server would not keep this file as the document, with pointers and lines."""
    try:
        document = parse_document(data)
    except InvalidDocument as error:
        return [error]
    return located(data, problems(document, key, rules))


def problems(document: Document, key: DocumentKey, rules: SetRules) -> Sequence[Problem]:
    """The same of a parsed document."""
    return list(_document(document, key, rules))


def unsavable(wanted: Document, held: Document) -> Sequence[Problem]:
    """What shows only beside the document that the server was just read to hold.

    Objects of no size: annotations have no ids, and one that the server holds already, just so, is left alone.
    """
    there = {digest_of(comparable(annotation)) for annotation in _FORMAT.annotations(held)}
    return [
        Problem(
            ("annotations", index, "coordinates"),
            f"the object {shown(annotation['name'])} has no size",
            "A width and a height of at least one pixel are expected.",
        )
        for index, annotation in enumerate(_FORMAT.annotations(wanted))
        if is_flat(annotation) and digest_of(comparable(annotation)) not in there
    ]


def save_body(document: Document, rules: SetRules) -> JsonObject:
    """What is sent for the annotations of a document without problems. A classification loses its status without it."""
    annotations = [_sendable(item) for item in _FORMAT.annotations(document)]
    if rules.is_classification:
        return {"classes": annotations, "status": document["status"]}
    return {"objects": annotations}


def _sendable(annotation: JsonObject) -> JsonObject:
    form = comparable(annotation)
    # Classes keep the order in which they stand: the first one is what an export to COCO shows.
    return {**form, "classes": annotation["classes"]} if "classes" in annotation else form


def _document(document: Document, key: DocumentKey, rules: SetRules) -> Iterator[Problem]:
    if str(document.get("image_id", key.image)) != key.image:
        yield Problem(("image_id",), "this is the document of another image", f"The image here is {key.image}.")
    of = document.get("annotation_set")
    if isinstance(of, Mapping) and str(of.get("id", key.set)) != key.set:
        yield Problem(
            ("annotation_set", "id"), "this is the document of another annotation set", f"It is {key.set} here."
        )
    status = document.get("status")
    if status not in RemoSettings.statuses:
        yield Problem(
            ("status",), f"the status is {shown(status)}", f"Statuses are: {', '.join(RemoSettings.statuses)}."
        )
    yield from _tags(document)
    look = _class if rules.is_classification else _object
    names: dict[Digest, int] = {}
    places: dict[Digest, int] = {}
    for index, annotation in enumerate(_FORMAT.annotations(document)):
        path: Path = ("annotations", index)
        found = list(look(annotation, path, rules))
        yield from found
        if found:
            continue
        if (earlier := names.setdefault(digest_of(annotation["name"]), index)) != index:
            said = f"the name {shown(annotation['name'])} is used twice, first by number {earlier + 1}"
            yield Problem((*path, "name"), said, "The server keeps one annotation of each name.")
        if (earlier := places.setdefault(digest_of(place(annotation)), index)) != index and "coordinates" in annotation:
            said = f"these are the coordinates of number {earlier + 1} in whole pixels"
            yield Problem((*path, "coordinates"), said, "The server keeps one; give it the classes of both.")


def _tags(document: Document) -> Iterator[Problem]:
    tags = document.get("tags")
    if not isinstance(tags, Sequence) or isinstance(tags, str):
        yield Problem(("tags",), f"the tags are {kind(tags)}", "A list of texts is expected.")
        return
    for index, tag in enumerate(tags):
        yield from _text(tag, ("tags", index))
    if len(tags_of(document)) < sum(isinstance(tag, str) for tag in tags):
        yield Problem(("tags",), "a tag stands twice", "The server makes tags lower case.")


def _object(annotation: JsonObject, path: Path, rules: SetRules) -> Iterator[Problem]:
    yield from _keys(annotation, ("name", "coordinates", "classes"), _OBJECT_KEYS, path, "an object")
    if "name" in annotation:
        yield from _text(annotation["name"], (*path, "name"))
    if "coordinates" in annotation:
        yield from _coordinates(annotation["coordinates"], (*path, "coordinates"), rules)
    yield from _flag(annotation, "auto_created", path)
    classes = annotation.get("classes", [])
    if not isinstance(classes, list):
        yield Problem((*path, "classes"), f"the classes are {kind(classes)}", "A list of objects is expected.")
        return
    # One class may stand twice in an object: renaming a class to another that is there leaves such on the server.
    for index, item in enumerate(classes):
        yield from _class(item, (*path, "classes", index), rules)


def _class(value: JsonValue, path: Path, rules: SetRules) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, f"a class is {kind(value)}", 'An object is expected, with the key "name".')
        return
    allowed = (*_CLASS_KEYS, "score") if rules.is_classification else _CLASS_KEYS
    yield from _keys(value, ("name",), allowed, path, "a class")
    yield from _flag(value, "questionable", path)
    score = value.get("score")
    if rules.is_classification and score is not None and not is_number(score):
        yield Problem((*path, "score"), f"the score is {shown(score)}", "A number is expected, or null.")
    if "name" not in value:
        return
    name, where = value["name"], (*path, "name")
    found = list(_text(name, where))
    yield from found
    if not found and name not in rules.classes:
        near = difflib.get_close_matches(str(name), rules.classes, n=3, cutoff=0.4) or sorted(rules.classes)[:10]
        names = ", ".join(shown(item) for item in near)
        said = f"the annotation set has no class {shown(name)}"
        yield Problem(where, said, f"The nearest classes are: {names}." if near else "It has no classes at all.")


def _coordinates(value: JsonValue, path: Path, rules: SetRules) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(path, f"the coordinates are {kind(value)}", "A list of points {x, y} is expected.")
        return
    if rules.task == "object_detection" and len(value) != 2:
        yield Problem(path, f"a box has {len(value)} points", "Two points are expected: opposite corners.")
    elif rules.task == "instance_segmentation" and len(value) < 3:
        yield Problem(path, f"an outline has {len(value)} points", "At least three points are expected.")
    for index, point in enumerate(value):
        where: Path = (*path, index)
        if not isinstance(point, Mapping) or point.keys() != {"x", "y"}:
            yield Problem(where, f"a point is {shown(point)}", "An object with x and y is expected.")
        else:
            for axis in ("x", "y"):
                if not is_number(point[axis]):
                    yield Problem((*where, axis), f'"{axis}" is {kind(point[axis])}', "A number of pixels is expected.")


def _keys(
    value: JsonObject, needed: Sequence[str], allowed: Sequence[str], path: Path, owner: str
) -> Iterator[Problem]:
    for key in needed:
        if key not in value:
            yield Problem(path, f'the key "{key}" is missing', f"Keys are: {', '.join(allowed)}.")
    for key in value:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            meant = f' Is "{near[0]}" meant?' if near else ""
            said = f"{owner} here has no key {shown(key)}"
            yield Problem((*path, key), said, f"The server would drop it. Keys are: {', '.join(allowed)}.{meant}")


_TEXT = f"A text of 1 to {NAME_MAX} letters that is not blank is expected."


def _text(value: JsonValue, path: Path) -> Iterator[Problem]:
    said = ""
    if not isinstance(value, str):
        said = f"this is {kind(value)}"
    elif not value.strip():
        said = "this text is blank"
    elif len(value) > NAME_MAX:
        said = f"this text has {len(value)} letters"
    elif _UNSTORABLE.search(value):
        said = "this text has a letter that cannot be stored"
    if said:
        yield Problem(path, said, _TEXT)


def _flag(value: JsonObject, key: str, path: Path) -> Iterator[Problem]:
    if not isinstance(value.get(key, False), bool):
        yield Problem((*path, key), f'"{key}" is {kind(value[key])}', "true or false is expected.")
