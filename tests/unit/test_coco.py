"""Documents in COCO's words: what is carried, what is not, and the geometry that comes with it."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from labelmirror.model.coco import CocoCategory, CocoDocument, depths, enclosure, points_of, ring_area
from labelmirror.model.document import JsonValue
from labelmirror.providers.coco_annotator.coco import coco as coco_of_annotator
from labelmirror.providers.pictograph.coco import coco as coco_of_pictograph
from labelmirror.providers.remo.coco import coco as coco_of_remo

SQUARE = [0, 0, 10, 0, 10, 10, 0, 10]
INNER = [2, 2, 6, 2, 6, 6, 2, 6]
CORE = [3, 3, 4, 3, 4, 4, 3, 4]
BESIDE = [20, 0, 24, 0, 24, 5, 20, 5]


class TestGeometry:
    def test_a_box_encloses_all_points(self) -> None:
        assert enclosure([(3, 4), (-1, 9), (5, 5)]) == (-1, 4, 6, 5)

    @pytest.mark.parametrize("seed", range(20))
    def test_the_area_of_a_turned_or_reversed_rectangle_is_width_times_height(self, seed: int) -> None:
        rng = random.Random(seed)
        left, top, width, height = (rng.uniform(0.5, 900) for _ in range(4))
        corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
        turn = rng.randrange(4)
        corners = [*corners[turn:], *corners[:turn]]
        for order in (corners, corners[::-1]):
            ring = [number for corner in order for number in corner]
            assert ring_area(ring) == pytest.approx(width * height), f"seed {seed}"

    def test_rings_know_in_how_many_others_they_lie(self) -> None:
        assert depths([SQUARE]) == [0]
        assert depths([CORE, SQUARE, BESIDE, INNER]) == [2, 0, 0, 1]

    def test_an_odd_number_of_coordinates_is_no_ring(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            points_of([1, 2, 3])


def paths(*rings: Sequence[float]) -> dict[str, Any]:
    return {"paths": [[{"x": x, "y": y} for x, y in points_of(ring)] for ring in rings]}


def of_pictograph(*annotations: dict[str, Any]) -> CocoDocument:
    return coco_of_pictograph({"annotations": [{"id": "a", "name": "boat", **entry} for entry in annotations]})


class TestPictograph:
    def test_a_box_stays_as_it_is(self) -> None:
        (box,) = of_pictograph({"type": "bbox", "bounding_box": {"x": 1, "y": 2.5, "w": 3, "h": 4}}).annotations
        assert (box.category, box.bbox, box.area, box.segmentation) == ("boat", (1, 2.5, 3, 4), 12, ())
        assert box.source_id == "a"

    def test_older_spellings_of_a_shape_count_as_well(self) -> None:
        made = of_pictograph(
            {"type": "bbox", "bbox": [1, 2, 3, 4]},
            {"type": "polygon", "polygon": {"path": [[0, 0], [4, 0], [4, 4]]}},
            {"type": "keypoint", "keypoint": [5, 6]},
        )
        assert [entry.bbox for entry in made.annotations] == [(1, 2, 3, 4), (0, 0, 4, 4), (5, 6, 0, 0)]

    def test_a_polygon_has_its_rings_and_the_area_without_its_holes(self) -> None:
        made = of_pictograph({"type": "polygon", "polygon": paths(SQUARE, INNER, CORE, BESIDE)})
        (polygon,) = made.annotations
        assert list(polygon.segmentation) == [SQUARE, INNER, CORE, BESIDE]
        assert (polygon.bbox, polygon.area) == ((0, 0, 24, 10), 100 - 16 + 1 + 20)
        assert made.lost == {"holes": 1}

    def test_a_point_is_a_keypoint_of_a_category_that_has_one(self) -> None:
        made = of_pictograph({"type": "keypoint", "keypoint": {"x": 5, "y": 6}, "instance_id": 2})
        (point,) = made.annotations
        assert (point.keypoints, point.bbox, point.area) == ([5, 6, 2], (5, 6, 0, 0), 0)
        assert made.categories == [CocoCategory("boat", keypoints=["boat"])]
        assert made.lost == {"instance_id": 1}

    def test_lines_are_left_out_and_fields_that_say_something_are_counted(self) -> None:
        line = {"type": "polyline", "polyline": {"path": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]}}
        box = {"type": "bbox", "bounding_box": {"x": 1, "y": 2, "w": 3, "h": 4}}
        plain = {"confidence": 1.0, "attributes": [], "created_by": None, "oriented_box": None}
        rich = {"confidence": 0.5, "attributes": ["wet"], "created_by": "me", "oriented_box": {"angle": 1}}
        made = of_pictograph(line, line, {**box, **plain}, {**box, **rich})
        assert made.left_out == {"polyline": 2}
        assert made.lost == {"confidence": 1, "attributes": 1, "created_by": 1, "oriented_box": 1}
        assert made.size is None

    @pytest.mark.parametrize(
        "annotation",
        [
            {"type": "bbox"},
            {"type": "bbox", "bounding_box": {"x": 1, "y": 2, "w": "3", "h": 4}},
            {"type": "polygon", "polygon": {"paths": []}},
            {"type": "polygon", "polygon": {"paths": [[{"x": 1, "y": 1}]]}},
            {"type": "keypoint", "keypoint": [1]},
            {"type": "cuboid"},
            {"type": "bbox", "bounding_box": {"x": 1, "y": 2, "w": 3, "h": 4}, "name": None},
        ],
    )
    def test_what_has_no_proper_shape_or_class_is_left_out(self, annotation: dict[str, Any]) -> None:
        made = of_pictograph(annotation)
        assert (made.annotations, made.left_out) == ([], {"invalid": 1})


def of_annotator(*annotations: dict[str, Any], **image: Any) -> CocoDocument:
    categories: list[JsonValue] = [
        {"id": 1, "name": "boat", "supercategory": "vessel", "keypoint_labels": [], "keypoint_edges": []},
        {"id": 3, "name": "person", "keypoint_labels": ["head", "foot"], "keypoint_edges": [[1, 2]]},
    ]
    found = [{"id": 7, "category_id": 1, **entry} for entry in annotations]
    return coco_of_annotator({"image": {"id": 5, **image}, "categories": categories, "annotations": found})


class TestCocoAnnotator:
    def test_polygons_stay_as_they_are_and_area_and_box_are_computed_anew(self) -> None:
        made = of_annotator({"segmentation": [SQUARE, INNER, BESIDE], "area": 1, "bbox": [9, 9, 9, 9], "iscrowd": True})
        (entry,) = made.annotations
        assert entry.segmentation == [SQUARE, INNER, BESIDE]
        # A ring inside another one is filled by the other one already.
        assert (entry.area, entry.bbox) == (120, (0, 0, 24, 10))
        assert (entry.category, entry.iscrowd, entry.source_id) == ("boat", True, 7)

    def test_keypoints_alone_are_enclosed_by_those_that_are_labelled(self) -> None:
        made = of_annotator({"category_id": 3, "keypoints": [1, 2, 2, 5, 4, 1, 0, 0, 0]})
        (entry,) = made.annotations
        assert (entry.bbox, entry.area, entry.segmentation) == ((1, 2, 4, 2), 0, [])
        assert entry.keypoints == [1, 2, 2, 5, 4, 1, 0, 0, 0]

    def test_categories_and_size_come_from_the_document(self) -> None:
        made = of_annotator(width=64, height=48)
        assert made.size == (64, 48)
        assert made.categories == [
            CocoCategory("boat", "vessel", [], []),
            CocoCategory("person", "", ["head", "foot"], [[1, 2]]),
        ]

    def test_colours_box_marks_and_metadata_are_counted(self) -> None:
        rich = {"segmentation": [SQUARE], "color": "#ff0000", "isbbox": True, "metadata": {"name": "n"}}
        made = of_annotator(rich, {"segmentation": [SQUARE], "metadata": {}, "isbbox": False}, metadata={"a": 1})
        assert made.lost == {"color": 1, "isbbox": 1, "metadata": 1, "image_metadata": 1}

    @pytest.mark.parametrize(
        ("annotation", "kind"),
        [
            ({}, "empty"),
            ({"keypoints": [0, 0, 0]}, "empty"),
            ({"segmentation": [[1, 2, 3, 4]]}, "invalid"),
            ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "invalid"),
            ({"segmentation": ["a", "b"]}, "invalid"),
            ({"segmentation": {"counts": "x"}}, "invalid"),
            ({"segmentation": [SQUARE], "keypoints": [1, 2]}, "invalid"),
            ({"segmentation": [SQUARE], "keypoints": "broken"}, "invalid"),
            ({"segmentation": [SQUARE], "category_id": 99}, "invalid"),
        ],
    )
    def test_what_shows_nothing_or_is_misshapen_is_left_out(self, annotation: dict[str, Any], kind: str) -> None:
        made = of_annotator(annotation)
        assert (made.annotations, made.left_out) == ([], {kind: 1})


def of_remo(*annotations: dict[str, Any], **document: Any) -> CocoDocument:
    dog = {"name": "OBJ 1", "classes": [{"name": "Dog", "lower": "dog", "questionable": False}]}
    found = [{**dog, **entry} if "coordinates" in entry else entry for entry in annotations]
    return coco_of_remo({"image_id": 1, **document, "annotations": found})


def xy(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in points]


class TestRemo:
    def test_two_points_are_a_box_whatever_corners_they_are(self) -> None:
        made = of_remo({"coordinates": xy((10, 20), (4, 50))})
        (box,) = made.annotations
        assert (box.category, box.bbox, box.area, box.segmentation) == ("Dog", (4, 20, 6, 30), 180, ())
        assert box.source_id == "OBJ 1"
        assert made.lost == {}

    def test_more_points_are_a_polygon(self) -> None:
        (polygon,) = of_remo({"coordinates": xy((0, 0), (10, 0), (10, 10))}).annotations
        assert list(polygon.segmentation) == [[0, 0, 10, 0, 10, 10]]
        assert (polygon.bbox, polygon.area) == ((0, 0, 10, 10), 50)

    def test_classes_of_the_image_and_objects_without_one_are_left_out(self) -> None:
        made = of_remo({"name": "Cat"}, {"coordinates": xy((0, 0), (1, 1)), "classes": []})
        assert (made.annotations, made.left_out) == ([], {"image_class": 1, "unclassified": 1})

    def test_further_classes_doubts_tags_and_status_are_counted(self) -> None:
        classes = [{"name": "Dog", "questionable": True}, {"name": "Cat"}]
        two = {"coordinates": xy((0, 0), (1, 1)), "classes": classes, "auto_created": True}
        made = of_remo(two, status="done", tags=["night"])
        assert [entry.category for entry in made.annotations] == ["Dog"]
        assert made.lost == {"classes": 1, "questionable": 1, "auto_created": 1, "status": 1, "tags": 1}

    @pytest.mark.parametrize("coordinates", [[], xy((1, 1)), "x", [{"x": 1}, {"x": 2}], [[1, 2], [3, 4]]])
    def test_what_has_no_two_points_is_left_out(self, coordinates: Any) -> None:
        assert of_remo({"coordinates": coordinates}).left_out == {"invalid": 1}
