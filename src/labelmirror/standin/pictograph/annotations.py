"""What each generation of Pictograph accepts and returns as annotations (contract, section 6).

Worlds keep annotations in the newest form. Reading turns that into an older form where one is spoken; saving checks
what came in, strictly where the server is strict, and keeps the spelling of numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from labelmirror.standin.exchange import Refusal
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.sample import Annotation, with_enclosure


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _rings_long_enough(paths: "list[list[Point]]") -> "list[list[Point]]":
    for number, ring in enumerate(paths):
        if len(ring) < 3:
            raise ValueError(f"ring {number} has {len(ring)} points; at least 3 are needed")
    return paths


Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonBlank = Annotated[str, AfterValidator(_not_blank)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Point(_Strict):
    """A position in pixels."""

    x: Number
    y: Number


class Box(_Strict):
    """A rectangle in pixels."""

    x: Number
    y: Number
    w: Positive
    h: Positive


class _OrientedBox(_Strict):
    cx: Number
    cy: Number
    w: Positive
    h: Positive
    angle: Annotated[float, Field(ge=0, lt=360)] = 0.0


class _Polygon(_Strict):
    paths: Annotated[list[list[Point]], Field(min_length=1), AfterValidator(_rings_long_enough)]


class _Polyline(_Strict):
    path: Annotated[list[Point], Field(min_length=2)]


class _Common(_Strict):
    id: NonBlank
    name: NonBlank
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0
    created_by: str | None = None
    attributes: list[Any] = []


class _BoxAnnotation(_Common):
    type: Literal["bbox"]
    bounding_box: Box


class _PolygonAnnotation(_Common):
    type: Literal["polygon"]
    polygon: _Polygon
    bounding_box: Box | None = None


class _PolylineAnnotation(_Common):
    type: Literal["polyline"]
    polyline: _Polyline
    bounding_box: Box | None = None


class _KeypointAnnotation(_Common):
    type: Literal["keypoint"]
    keypoint: Point


class _BoxAnnotation2(_BoxAnnotation):
    attributes: dict[str, Any] | list[Any] = []  # type: ignore[assignment]  # wider than the generation before
    oriented_box: _OrientedBox | None = None


class _PolygonAnnotation2(_PolygonAnnotation):
    attributes: dict[str, Any] | list[Any] = []  # type: ignore[assignment]


class _PolylineAnnotation2(_PolylineAnnotation):
    attributes: dict[str, Any] | list[Any] = []  # type: ignore[assignment]


class _KeypointAnnotation2(_KeypointAnnotation):
    attributes: dict[str, Any] | list[Any] = []  # type: ignore[assignment]
    instance_id: Annotated[int, Field(ge=1)] | None = None


_FIRST: TypeAdapter[Any] = TypeAdapter(
    list[
        Annotated[
            _BoxAnnotation | _PolygonAnnotation | _PolylineAnnotation | _KeypointAnnotation,
            Field(discriminator="type"),
        ]
    ]
)
_SECOND: TypeAdapter[Any] = TypeAdapter(
    list[
        Annotated[
            _BoxAnnotation2 | _PolygonAnnotation2 | _PolylineAnnotation2 | _KeypointAnnotation2,
            Field(discriminator="type"),
        ]
    ]
)


def accepted(
    generation: Generation, raw: Any, class_names: frozenset[str], previous: Iterable[Annotation], author: str
) -> list[Annotation]:
    """What the server would keep of a saved list; `author` goes on annotations whose id is new.

    Raises Refusal (422) for anything that the generation does not take, an unknown class, or an id used twice.
    """
    if generation is Generation.G0:
        raw = _from_oldest(raw)
    schema = _SECOND if generation is Generation.G2 else _FIRST
    try:
        schema.validate_python(raw)
    except ValidationError as error:
        problems = [{"loc": ["body", "annotations", *entry["loc"]], "msg": entry["msg"]} for entry in error.errors()]
        raise Refusal(422, "validation_error", "Invalid annotations", {"errors": problems}) from error
    authors = {annotation["id"]: annotation.get("created_by") for annotation in previous}
    kept: dict[str, Annotation] = {}
    for annotation in raw:
        if annotation["name"] not in class_names:
            raise Refusal(422, "validation_error", f"Unknown class {annotation['name']!r}")
        if annotation["id"] in kept:
            raise Refusal(422, "validation_error", f"Annotation id {annotation['id']!r} occurs twice")
        defaults = {"confidence": 1.0, "attributes": []}
        filled = {name: value for name, value in annotation.items() if value is not None or name == "metadata"}
        filled = {**defaults, **filled, "created_by": authors.get(annotation["id"], author)}
        kept[annotation["id"]] = with_enclosure(filled)
    return list(kept.values())


def written(generation: Generation, annotations: Iterable[Annotation]) -> list[dict[str, Any]]:
    """The annotations as this generation returns them."""
    if generation is Generation.G0:
        return [_oldest(annotation) for annotation in annotations]
    return [dict(annotation) for annotation in annotations]


def _oldest(annotation: Annotation) -> dict[str, Any]:
    """The documented form of the oldest generation: one open path, no computed or server-owned fields."""
    form = {name: annotation[name] for name in ("id", "name", "type")}
    match annotation["type"]:
        case "bbox":
            form["bounding_box"] = annotation["bounding_box"]
        case "polygon":
            form["polygon"] = {"path": annotation["polygon"]["paths"][0]}
        case "polyline":
            form["polyline"] = annotation["polyline"]
        case _:
            form["keypoint"] = annotation["keypoint"]
    form["confidence"] = annotation["confidence"]
    return form


def _from_oldest(raw: Any) -> Any:
    """Both forms of the oldest generation, documented and as its SDK sends them, in the newest form.

    What cannot be read is left as it is, for the validation to name.
    """
    if not isinstance(raw, list):
        return raw
    return [_upgraded(annotation) if isinstance(annotation, Mapping) else annotation for annotation in raw]


def _upgraded(annotation: Mapping[str, Any]) -> dict[str, Any]:
    form = {name: annotation[name] for name in ("id", "name", "type") if name in annotation}
    form["confidence"] = annotation.get("confidence", 1.0)
    box, polygon = annotation.get("bbox", annotation.get("bounding_box")), annotation.get("polygon")
    polyline, keypoint = annotation.get("polyline"), annotation.get("keypoint")
    match annotation.get("type"):
        case "bbox":
            form["bounding_box"] = _named(box, "xywh")
        case "polygon":
            path = polygon.get("path") if isinstance(polygon, Mapping) else polygon
            form["polygon"] = {"paths": [_points(path)]}
        case "polyline":
            path = polyline.get("path") if isinstance(polyline, Mapping) else polyline
            form["polyline"] = {"path": _points(path)}
        case "keypoint":
            form["keypoint"] = _named(keypoint, "xy")
        case _:
            pass
    return form


def _points(path: Any) -> Any:
    return [_named(point, "xy") for point in path] if isinstance(path, Sequence) else path


def _named(value: Any, names: str) -> Any:
    if isinstance(value, list) and len(value) == len(names):
        return dict(zip(names, value, strict=True))
    return value
