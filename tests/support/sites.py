"""The kinds of servers, as the story that all of them go through needs them: how people edit on either side.

A fourth kind of server is one more class here and one line in SITES.
"""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from labelmirror.standin import Standin
from labelmirror.standin.coco_annotator.world import CocoWorld
from labelmirror.standin.remo.model import AnnotationSet, Image, Task
from labelmirror.standin.remo.world import RemoWorld

#: A working document, and an entry of `status --images --json`.
Document = dict[str, Any]
Entry = Mapping[str, Any]

_numbers = itertools.count(1)


class Site(Protocol):
    """One server and the people who work on it. A mark tells an annotation from all others of its image, on both sides."""

    def __init__(self, standin: Standin) -> None: ...

    def is_fit(self, document: Document) -> bool:
        """Whether the story can be told of such a document: it has outlines that can be moved."""
        ...

    def marks(self, document: Document) -> set[str]:
        """What is in a document here."""
        ...

    def add(self, document: Document) -> None:
        """Somebody adds an annotation here."""
        ...

    def move(self, document: Document, by: int) -> None:
        """Somebody moves the first annotation here."""
        ...

    def marks_there(self, entry: Entry) -> set[str]:
        """What the server holds of a document."""
        ...

    def add_there(self, entry: Entry) -> None:
        """Somebody adds an annotation on the server."""
        ...

    def move_there(self, entry: Entry, by: int) -> None:
        """Somebody moves an annotation on the server: the one that is the first here."""
        ...

    def delete_there(self, entry: Entry) -> None:
        """Somebody deletes an image on the server."""
        ...


@dataclass(frozen=True, slots=True)
class PictographSite:
    """Annotations have ids, given by whoever makes them."""

    standin: Standin

    def is_fit(self, document: Document) -> bool:
        return any(item["type"] == "bbox" for item in document["annotations"][:1])

    def marks(self, document: Document) -> set[str]:
        return {_pictograph_mark(item) for item in document["annotations"]}

    def add(self, document: Document) -> None:
        added = {"id": f"mine-{next(_numbers)}", "name": "boat", "type": "bbox"}
        document["annotations"].append({**added, "bounding_box": {"x": 2, "y": 3, "w": 10, "h": 12}})

    def move(self, document: Document, by: int) -> None:
        document["annotations"][0]["bounding_box"]["x"] += by

    def marks_there(self, entry: Entry) -> set[str]:
        return {_pictograph_mark(item) for item in self.standin.world.image(entry["id"]).annotations}

    def add_there(self, entry: Entry) -> None:
        self.standin.world.annotate(entry["id"])

    def move_there(self, entry: Entry, by: int) -> None:
        self.standin.world.move_geometry(entry["id"], by=by)

    def delete_there(self, entry: Entry) -> None:
        self.standin.world.remove_image(entry["id"])


def _pictograph_mark(item: Mapping[str, Any]) -> str:
    return json.dumps([item["id"], item.get("bounding_box") if item.get("type") == "bbox" else None], sort_keys=True)


@dataclass(frozen=True, slots=True)
class CocoAnnotatorSite:
    """Annotations have ids, given by the server; an addition has none."""

    standin: Standin

    @property
    def world(self) -> CocoWorld:
        return self.standin.world_as(CocoWorld)

    def is_fit(self, document: Document) -> bool:
        return any(item["segmentation"] for item in document["annotations"][:1])

    def marks(self, document: Document) -> set[str]:
        return {_outline_mark(item["segmentation"]) for item in document["annotations"]}

    def add(self, document: Document) -> None:
        right = 20 + next(_numbers) % 40
        ring = [4, 4, right, 4, right, 20, 4, 20]
        category = document["annotations"][0]["category_id"]
        document["annotations"].append({"category_id": category, "segmentation": [ring], "isbbox": True})

    def move(self, document: Document, by: int) -> None:
        _shift(document["annotations"][0]["segmentation"], by)

    def marks_there(self, entry: Entry) -> set[str]:
        world = self.world
        return {_outline_mark(item.segmentation) for item in world.annotations_of(world.images[int(entry["id"])])}

    def add_there(self, entry: Entry) -> None:
        self.world.annotate(self.world.images[int(entry["id"])])

    def move_there(self, entry: Entry, by: int) -> None:
        self.world.move_geometry(self.world.images[int(entry["id"])], by=by)

    def delete_there(self, entry: Entry) -> None:
        self.world.delete(self.world.images[int(entry["id"])])


def _outline_mark(rings: list[list[float]]) -> str:
    return json.dumps([[round(float(number), 2) for number in ring] for ring in rings])


def _shift(rings: list[list[float]], by: int) -> None:
    for ring in rings:
        ring[::2] = [number + by for number in ring[::2]]


@dataclass(frozen=True, slots=True)
class RemoSite:
    """Annotations have no ids; an image has a document in each annotation set."""

    standin: Standin

    @property
    def world(self) -> RemoWorld:
        return self.standin.world_as(RemoWorld)

    def is_fit(self, document: Document) -> bool:
        return document["annotation_set"]["task"] == Task.DETECTION.value and bool(document["annotations"])

    def marks(self, document: Document) -> set[str]:
        return {
            json.dumps([[point["x"], point["y"]] for point in item["coordinates"]]) for item in document["annotations"]
        }

    def add(self, document: Document) -> None:
        number = next(_numbers)
        corners = [{"x": 3, "y": 3}, {"x": 20 + number % 40, "y": 15 + number // 40}]
        classes = [{"name": "Boat"}]
        document["annotations"].append({"name": f"mine {number}", "coordinates": corners, "classes": classes})

    def move(self, document: Document, by: int) -> None:
        for point in document["annotations"][0]["coordinates"]:
            point["x"] += by

    def marks_there(self, entry: Entry) -> set[str]:
        chosen, image = self._meant(entry)
        row = chosen.row(image)
        objects = row.content.objects if row is not None else ()
        return {json.dumps([[x, y] for x, y in item.points]) for item in objects}

    def add_there(self, entry: Entry) -> None:
        self.world.annotate(*self._meant(entry))

    def move_there(self, entry: Entry, by: int) -> None:
        chosen, image = self._meant(entry)
        self.world.move_geometry(chosen, image, by=by)

    def delete_there(self, entry: Entry) -> None:
        self.world.remove_image(self.world.image(entry["id"]))

    def _meant(self, entry: Entry) -> tuple[AnnotationSet, Image]:
        chosen = self.world.find_set(int(entry["set"]))
        assert chosen is not None
        return chosen, self.world.image(entry["id"])


SITES: Final[Mapping[str, Callable[[Standin], Site]]] = {
    "pictograph": PictographSite,
    "remo": RemoSite,
    "coco-annotator": CocoAnnotatorSite,
}
