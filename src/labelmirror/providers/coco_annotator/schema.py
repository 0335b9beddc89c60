"""What the server would refuse, drop or not keep of a document, each with its place in the file. Pure.

The server itself checks nothing: it stores letters where numbers belong, and fails later on what it stored. Annotations
that it gave an id may be odd in harmless ways, because somebody else made them so; additions are looked at closely.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from labelmirror.errors import InvalidDocument
from labelmirror.model.document import Document, JsonObject, JsonValue
from labelmirror.model.remote import Dataset
from labelmirror.providers.coco_annotator.annotation import id_of, name_in, names_of
from labelmirror.providers.coco_annotator.format import CocoAnnotatorFormat, annotations_of
from labelmirror.providers.coco_annotator.geometry import is_dropped, is_flat, rounded
from labelmirror.providers.documents import Problem, is_number, kind, located, shown
from labelmirror.providers.places import Path

_FORMAT = CocoAnnotatorFormat()

#: Fields of an annotation: what people edit, and what the server fills in.
FIELDS = (
    *("id", "image_id", "category_id", "dataset_id", "segmentation", "area", "bbox", "iscrowd", "isbbox"),
    *("keypoints", "color", "metadata", "creator", "width", "height"),
)
#: The database holds whole numbers of 64 bits.
_INT_MAX = 2**63
#: Pixels. The server walks along every outline to compute its area: 10**8 of them keep it from everybody else for seconds
#: and take gigabytes, some more end it.
_COORDINATE_MAX = 1e6
#: Numbers in the polygons of one annotation: with the editor's path, the server's database has 16 MiB for them.
_NUMBERS_MAX = 300_000
#: Levels of metadata: the server's database takes 100 in all, and no answer of more than 64 is read here.
_LEVELS_MAX = 50
#: JSON can spell these, and the server's database cannot hold them.
_UNSTORABLE = re.compile("[\ud800-\udfff]")
_UNSTORABLE_KEY = re.compile("^\\$|[\0\ud800-\udfff]")


def invalid(data: bytes, dataset: Dataset, image: str) -> Sequence[InvalidDocument]:
    """Every reason why this file cannot be saved as the document of the image, with pointers and lines."""
    try:
        document = _FORMAT.parse(data)
    except InvalidDocument as error:
        return [error]
    return located(data, problems(document, dataset, image))


def problems(document: Document, dataset: Dataset, image: str) -> Sequence[Problem]:
    """The same of a parsed document."""
    own = cast("JsonObject", document["image"])
    if str(own.get("id", image)) != image:
        return [Problem(("image", "id"), "this is the document of another image", f"The image here is {image}.")]
    about = _Dataset.of(dataset, document, own)
    found = list(_metadata(own.get("metadata"), ("image", "metadata")))
    found += _categories(document, about)
    seen: dict[int, int] = {}
    for index, annotation in enumerate(annotations_of(document)):
        path: Path = ("annotations", index)
        found += _annotation(annotation, path, about)
        number = id_of(annotation)
        if number is not None and seen.setdefault(number, index) != index:
            said = f"the id {number} is used twice"
            found.append(Problem((*path, "id"), said, "Leave the id of an addition out: the server gives it one."))
    return found


def unsavable(wanted: Document, held: Document) -> Sequence[Problem]:
    """What shows only beside the document that the server was just read to hold.

    Crowd marks, which no request sets (contract, 15), categories that went or were renamed since the dataset was read,
    polygons of no size, and polygons that the server cannot compute because it has no size of the picture (contract, 8.3):
    what it holds already is left alone.
    """
    there = {id_of(annotation): annotation for annotation in annotations_of(held)}
    here, now = names_of(wanted["categories"]), names_of(held["categories"])
    found: list[Problem] = []
    for index, annotation in enumerate(annotations_of(wanted)):
        before = there.get(id_of(annotation), {})
        if bool(annotation.get("iscrowd")) != bool(before.get("iscrowd")):
            found.append(_crowd(("annotations", index)))
        if rounded(annotation.get("segmentation") or []) != rounded(before.get("segmentation") or []):
            found += _flat(annotation, ("annotations", index))
            found += _unsized(before or cast("JsonObject", held["image"]), ("annotations", index, "segmentation"))
        name = name_in(now, annotation)
        if name is None or name != name_in(here, annotation):
            place: Path = ("annotations", index, "category_id")
            found.append(Problem(place, "its category was removed or renamed on the server", "Sync again first."))
    return found


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What annotations are checked against: the dataset's categories, those that the document names, the image's size."""

    names: Mapping[int, str]
    labels: Mapping[int, Sequence[JsonValue]]
    named: Mapping[int, JsonValue]
    image: JsonValue
    width: int
    height: int

    @classmethod
    def of(cls, dataset: Dataset, document: Document, image: JsonObject) -> "_Dataset":
        rows = {cast("int", row["id"]): row for row in dataset.categories}
        width, height = image.get("width"), image.get("height")
        return cls(
            names={number: str(row.get("name")) for number, row in rows.items()},
            labels={number: _items(row.get("keypoint_labels")) for number, row in rows.items()},
            named=names_of(document["categories"]),
            image=image.get("id"),
            width=width if isinstance(width, int) else 0,
            height=height if isinstance(height, int) else 0,
        )

    def nearest(self, meant: JsonValue) -> str:
        near = difflib.get_close_matches(str(meant), self.names.values(), n=3) or sorted(self.names.values())[:10]
        ids = {name: number for number, name in self.names.items()}
        return "Categories are: " + ", ".join(f"{ids[name]} ({name})" for name in near) + "."


def _categories(document: Document, about: _Dataset) -> Iterator[Problem]:
    for index, row in enumerate(cast("list[JsonObject]", document["categories"])):
        number = id_of(row)
        name = about.names.get(number) if number is not None else None
        if name is not None and row.get("name") != name:
            said = f"the category {number} is called {shown(name)} on the server"
            yield Problem(("categories", index, "name"), said, "Categories are renamed on the server.")


def _annotation(annotation: JsonObject, path: Path, about: _Dataset) -> Iterator[Problem]:
    number = annotation.get("id")
    if number is not None and (id_of(annotation) is None or not 0 < (id_of(annotation) or 0) < _INT_MAX):
        yield Problem(
            (*path, "id"), f"the id is {shown(number)}", "The server gives ids: leave that of an addition out."
        )
    if annotation.get("image_id", about.image) != about.image:
        yield Problem((*path, "image_id"), "this is an annotation of another image", f"The image is {about.image}.")
    yield from _category(annotation, path, about)
    yield from _segmentation(annotation, path, about)
    yield from _keypoints(annotation, path, about)
    if not isinstance(annotation.get("isbbox", False), bool):
        yield Problem((*path, "isbbox"), f'"isbbox" is {kind(annotation["isbbox"])}', "true or false is expected.")
    color = annotation.get("color")
    if not isinstance(color, str | None):
        said = f"the color is {kind(color)}"
        yield Problem((*path, "color"), said, 'A text is expected, such as "#ff8800".')
    elif _UNSTORABLE.search(color or ""):
        yield Problem((*path, "color"), "this text has a letter that cannot be stored", 'Write it as "#ff8800".')
    yield from _metadata(annotation.get("metadata"), (*path, "metadata"))
    for key in (key for key in annotation if key not in FIELDS):
        near = difflib.get_close_matches(key, FIELDS, n=1, cutoff=0.8)
        if near and near[0] not in {*annotation, "category_id"}:
            yield Problem((*path, key), f"an annotation has no key {shown(key)}", f'Is "{near[0]}" meant?')
    if id_of(annotation) is None:
        yield from _addition(annotation, path)


def _addition(annotation: JsonObject, path: Path) -> Iterator[Problem]:
    if annotation.get("iscrowd"):
        yield _crowd(path)
    yield from _flat(annotation, path)
    segmentation, box = annotation.get("segmentation") or [], annotation.get("bbox")
    if not segmentation and not annotation.get("keypoints"):
        allowed = "An addition needs polygons or keypoints."
        if isinstance(box, list) and len(box) == 4 and all(map(is_number, box)):
            x, y, width, height = cast("list[float]", box)
            ring = [x, y, x + width, y, x + width, y + height, x, y + height]
            allowed = f'A box is a polygon: "segmentation": [{shown(ring)}], "isbbox": true.'
        yield Problem((*path, "segmentation"), "there is nothing to be seen of it", allowed)
    elif annotation.get("isbbox") is True and not (
        isinstance(segmentation, list) and len(segmentation) == 1 and len(_items(segmentation[0])) == 8
    ):
        yield Problem(
            (*path, "isbbox"), "a box is one polygon of four points", "Leave isbbox out, or mend the polygon."
        )


def _category(annotation: JsonObject, path: Path, about: _Dataset) -> Iterator[Problem]:
    if "category_id" not in annotation:
        meant = annotation.get("category") or annotation.get("category_name") or annotation.get("name")
        yield Problem((*path, "category_id"), 'the key "category_id" is missing', about.nearest(meant))
        return
    number = annotation["category_id"]
    if not isinstance(number, int) or isinstance(number, bool) or number not in about.names:
        said = f"the dataset has no category {shown(number)}"
        meant = about.named.get(number, number) if isinstance(number, int) else number
        yield Problem((*path, "category_id"), said, about.nearest(meant))
    elif number not in about.named:
        entry = f'{{"id": {number}, "name": {shown(about.names[number])}}}'
        said = f"the document does not name the category {number}"
        yield Problem((*path, "category_id"), said, f'Add {entry} to "categories".')


def _segmentation(annotation: JsonObject, path: Path, about: _Dataset) -> Iterator[Problem]:
    value, place = annotation.get("segmentation"), (*path, "segmentation")
    if value is None:
        return
    if isinstance(value, Mapping):
        yield Problem(place, "the server keeps no run lengths (RLE)", "A list of polygons is expected.")
        return
    if not isinstance(value, list):
        yield Problem(place, f"the segmentation is {kind(value)}", "A list of polygons is expected.")
        return
    if value and all(map(is_number, value)):
        yield Problem(
            place, "the segmentation is a flat list of numbers", "A list of polygons is expected: [[x1, y1, …]]."
        )
        return
    if sum(len(_items(ring)) for ring in value) > _NUMBERS_MAX:
        yield Problem(place, "the server cannot store so many points", f"At most {_NUMBERS_MAX // 2:,} are expected.")
        return
    for index, ring in enumerate(value):
        yield from _ring(ring, (*place, index), about)


def _ring(ring: JsonValue, path: Path, about: _Dataset) -> Iterator[Problem]:
    allowed = "A polygon is a list of numbers, x and y of at least 3 points: [x1, y1, x2, y2, x3, y3]."
    if not isinstance(ring, list):
        yield Problem(path, f"a polygon is {kind(ring)}", allowed)
        return
    odd = [index for index, number in enumerate(ring) if not is_number(number)]
    far = [index for index, number in enumerate(ring) if is_number(number) and abs(number) > _COORDINATE_MAX]
    if odd:
        yield Problem(
            (*path, odd[0]), f"a coordinate is {kind(ring[odd[0]])}", "A finite number of pixels is expected."
        )
    elif far:
        said = f"a coordinate is {shown(ring[far[0]])}"
        yield Problem((*path, far[0]), said, f"At most {_COORDINATE_MAX:,.0f} pixels are expected.")
    elif len(ring) % 2:
        yield Problem(path, f"a polygon has {len(ring)} numbers, one of x and y is missing", allowed)
    elif len(ring) < 6:
        yield Problem(path, f"a polygon has {len(ring) // 2} of 3 points", allowed)
    elif is_dropped(cast("list[list[float]]", rounded([ring]))[0], about.width, about.height):
        yield Problem(path, "the server drops a polygon whose numbers cancel out, or all are the image's size", allowed)


def _flat(annotation: JsonObject, path: Path) -> Iterator[Problem]:
    """Polygons of no size once they have the decimals that are kept. What is no polygon is told elsewhere."""
    for index, ring in enumerate(_items(rounded(annotation.get("segmentation")))):
        if (
            isinstance(ring, list)
            and len(ring) >= 6
            and all(map(is_number, ring))
            and is_flat(cast("list[float]", ring))
        ):
            place = (*path, "segmentation", index)
            yield Problem(place, "a polygon has no size", "A width and a height above 0 are expected.")


def _unsized(row: JsonObject, path: Path) -> Iterator[Problem]:
    """Polygons of what the server stores no width and height of: it would break halfway through a save."""
    if not row.get("width") or not row.get("height"):
        said = "the server stores no width and height with this annotation or image, and can take no polygons for it"
        yield Problem(path, said, "Leave them as they were, or save this one in the server's own editor.")


def _keypoints(annotation: JsonObject, path: Path, about: _Dataset) -> Iterator[Problem]:
    value, place = annotation.get("keypoints"), (*path, "keypoints")
    if not value and (value is None or isinstance(value, list)):
        return
    number = annotation.get("category_id")
    labels = about.labels.get(number, ()) if isinstance(number, int) else ()
    allowed = f"x, y and visibility are expected for each of: {', '.join(map(str, labels))}."
    if not labels:
        allowed = "x, y and visibility are expected for each keypoint."
    if not isinstance(value, list):
        yield Problem(place, f"the keypoints are {kind(value)}", allowed)
        return
    odd = [index for index, item in enumerate(value) if not is_number(item)]
    large = [index for index, item in enumerate(value) if isinstance(item, int) and not -_INT_MAX <= item < _INT_MAX]
    if odd:
        yield Problem((*place, odd[0]), f"a keypoint has {kind(value[odd[0]])}", "A finite number is expected.")
    elif large:
        yield Problem((*place, large[0]), "the server keeps whole numbers of 64 bits", allowed)
    elif len(value) % 3:
        yield Problem(place, f"there are {len(value)} numbers, no multiple of 3", allowed)
    elif id_of(annotation) is None and len(value) != 3 * len(labels):
        said = f"there are {len(value) // 3} keypoints, and the category has {len(labels)}"
        yield Problem(place, said, allowed if labels else "Leave the keypoints out.")


def _metadata(value: JsonValue, path: Path) -> Iterator[Problem]:
    """An object of what the server can store: what it cannot is an error 500 in the middle of a save.

    A key "_id" it would return as "id".
    """
    if value is None:
        return
    if not isinstance(value, Mapping):
        yield Problem(path, f"the metadata is {kind(value)}", "An object is expected.")
        return
    pending: list[tuple[Path, JsonValue]] = [(path, value)]
    while pending:
        place, item = pending.pop()
        if isinstance(item, Mapping | list) and len(place) - len(path) >= _LEVELS_MAX:
            yield Problem(path, "the metadata are nested too deeply", f"At most {_LEVELS_MAX} levels are expected.")
            return
        if isinstance(item, Mapping):
            if "_id" in item:
                yield Problem((*place, "_id"), 'the server returns the key "_id" as "id"', "Give it another name.")
            for key in item:
                if _UNSTORABLE_KEY.search(key):
                    yield Problem(
                        (*place, key), f"the server cannot store the key {shown(key)}", "Give it another name."
                    )
            pending += [((*place, key), inner) for key, inner in item.items()]
        elif isinstance(item, list):
            pending += [((*place, index), inner) for index, inner in enumerate(item)]
        elif isinstance(item, int) and not -_INT_MAX <= item < _INT_MAX:
            yield Problem(place, "the server keeps whole numbers of 64 bits", "Write it as a text.")
        elif isinstance(item, str) and _UNSTORABLE.search(item):
            yield Problem(place, "this text has a letter that cannot be stored", "Leave it out.")


def _crowd(path: Path) -> Problem:
    return Problem(
        (*path, "iscrowd"), "this server sets no crowd marks", "Leave iscrowd as it was, or out of an addition."
    )


def _items(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, list) else ()
