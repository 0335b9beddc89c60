"""Documents of COCO Annotator for tests, and a pure server that saves them step by step, as the contract says."""

import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from labelmirror.model.remote import Dataset
from labelmirror.providers.coco_annotator.composing import Target, compose, in_order

CATEGORIES: list[dict[str, Any]] = [
    {"id": 1, "name": "cat", "color": "#ff0000", "keypoint_labels": [], "keypoint_edges": [], "keypoint_colors": []},
    {"id": 2, "name": "person", "color": "#00ff00", "keypoint_labels": ["head", "hand"], "keypoint_edges": [[1, 2]]},
    {"id": 4, "name": "dog", "color": "#0000ff", "keypoint_labels": []},
]
DATASET = Dataset("1", "ds", None, None, categories=CATEGORIES, details={"folder": "/datasets/ds/"})
SQUARE = [10.0, 10.0, 50.0, 10.0, 50.0, 40.0, 10.0, 40.0]


def annotation(number: int | None = 1, category: int = 1, **more: Any) -> dict[str, Any]:
    """An annotation as the server sends one; an addition without a number."""
    named = {} if number is None else {"id": number}
    return {
        **named,
        "image_id": 3,
        "category_id": category,
        "segmentation": [list(SQUARE)],
        "area": 1200,
        "bbox": [10.0, 10.0, 40.0, 30.0],
        "iscrowd": False,
        "isbbox": False,
        "keypoints": [],
        "color": "#123456",
        "metadata": {},
        "width": 100,
        "height": 80,
        **more,
    }


def document(*annotations: dict[str, Any], metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    """The document of image 3."""
    image = {"id": 3, "file_name": "a.jpg", "path": "/datasets/ds/a.jpg", "width": 100, "height": 80}
    return {
        "image": {**image, "metadata": metadata or {}},
        "categories": deepcopy(CATEGORIES),
        "annotations": list(annotations),
    }


def some_annotation(rng: random.Random, number: int | None) -> dict[str, Any]:
    """One of few, so that equal ones are met often."""
    ring = [value + rng.choice([0, 0.5]) for value in SQUARE]
    more: dict[str, Any] = {"metadata": rng.choice([{}, {"name": "n"}]), "color": rng.choice(["#123456", None])}
    if rng.random() < 0.3:
        more |= {"segmentation": [], "keypoints": [1, 2, 2, 3, 4, rng.randrange(2)]}
    else:
        more |= {"segmentation": [ring], "isbbox": rng.random() < 0.5}
    return annotation(number, rng.choice([1, 2]), **more)


def edited(rng: random.Random, before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a person makes of these annotations: some go, change or stay, some are added."""
    kept = [item for item in before if rng.random() < 0.7]
    body = [some_annotation(rng, item["id"]) if rng.random() < 0.4 else deepcopy(item) for item in kept]
    body += [some_annotation(rng, None) for _ in range(rng.choice([0, 0, 1, 2]))]
    rng.shuffle(body)
    return body


class SteppingServer:
    """The annotations of one image on a server that is seen after every single write."""

    def __init__(self, before: dict[str, Any], first_id: int, rng: random.Random) -> None:
        self.held: dict[str, Any] = deepcopy(before)
        self._next = first_id
        self._rng = rng

    def save(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Carry out a composed save; after each write, what the server holds."""
        steps = compose(body["annotations"], self.held["annotations"])
        rows: dict[int, dict[str, Any]] = {}
        for target in steps.targets:
            if target.held is None:
                rows[id(target)] = self._create(target)
                yield deepcopy(self.held)
        for target in steps.targets:
            if target.held is not None:
                row = rows[id(target)] = self._row(target.held["id"])
                if target.moves:
                    row["category_id"] = target.wanted["category_id"]
                    yield deepcopy(self.held)
        for target in in_order(steps.targets):
            row, wanted = rows[id(target)], target.stored
            row |= {key: wanted[key] for key in ("isbbox", "keypoints", "color")}
            row["metadata"] = wanted["metadata"] or {}
            yield deepcopy(self.held)
            row["segmentation"] = wanted["segmentation"]
            row["area"] = 7 if wanted["segmentation"] else 0
            row["bbox"] = [1, 1, 2, 2] if wanted["segmentation"] else [0, 0, 0, 0]
            yield deepcopy(self.held)
        self.held["image"]["metadata"] = body["image"]["metadata"]
        yield deepcopy(self.held)
        for number in steps.surplus:
            self.held["annotations"] = [row for row in self.held["annotations"] if row["id"] != number]
            yield deepcopy(self.held)

    def _create(self, target: Target) -> dict[str, Any]:
        wanted: dict[str, Any] = dict(target.wanted)
        row = annotation(
            self._next,
            wanted["category_id"],
            segmentation=wanted["segmentation"],
            keypoints=wanted["keypoints"],
            isbbox=wanted["isbbox"],
            area=0,
            bbox=[0, 0, 0, 0],
            color=f"#{self._rng.randrange(2**24):06x}",
            metadata={"default": ""},
        )
        self._next += 1
        self.held["annotations"].append(row)
        return row

    def _row(self, number: object) -> dict[str, Any]:
        found: dict[str, Any] = next(row for row in self.held["annotations"] if row["id"] == number)
        return found
