"""What all operations of the Pictograph stand-in need: the world, the words, and the reading of requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelmirror.standin.clock import ServerClock
from labelmirror.standin.exchange import Call, Refusal
from labelmirror.standin.options import StandinOptions
from labelmirror.standin.pictograph.exports import Exports
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.pictograph.wire import Wire
from labelmirror.standin.storage import Storage
from labelmirror.standin.world import Dataset, Image, World

#: A canonical UUID in a route's pattern.
UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the operations meet."""

    generation: Generation
    options: StandinOptions
    clock: ServerClock
    world: World
    wire: Wire
    storage: Storage
    exports: Exports

    def only(self, call: Call, *known: str) -> None:
        """Raise Refusal (400) for other query parameters, where the generation minds."""
        unknown = sorted(set(call.query) - set(known))
        if unknown and self.generation is Generation.G2:
            raise Refusal(400, "bad_request", f"Unknown query parameter(s): {', '.join(unknown)}")

    def dataset(self, name_or_id: str) -> Dataset:
        """The dataset. Raises Refusal (404)."""
        try:
            return self.world.dataset(name_or_id)
        except KeyError as error:
            raise Refusal(404, "not_found", "Dataset not found") from error

    def named_dataset(self, name: str) -> Dataset:
        """The dataset with this name, ids not taken. Raises Refusal (404)."""
        dataset = self.dataset(name)
        if dataset.name != name:
            raise Refusal(404, "not_found", "Dataset not found")
        return dataset

    def image(self, image_id: str) -> tuple[Dataset, Image]:
        """An image by its id, in whatever dataset. Raises Refusal (404)."""
        try:
            return self.world.dataset_of(image_id), self.world.image(image_id)
        except KeyError as error:
            raise Refusal(404, "not_found", "Image not found") from error

    def asked_image(self, call: Call) -> tuple[Dataset, Image]:
        """The image of a route that has `{image}` (an id) or `{dataset}` and `{path}`. Raises Refusal (404)."""
        if "image" in call.params:
            return self.image(call.params["image"])
        dataset = self.dataset(call.params["dataset"])
        directory, _, filename = call.params["path"].rpartition("/")
        image = dataset.at(f"/{directory}" if directory else "/", filename)
        if image is None:
            raise Refusal(404, "not_found", "Image not found")
        return dataset, image


def number(call: Call, name: str, default: int, *, at_least: int, at_most: int | None = None) -> int:
    """A whole number of the query. Raises Refusal (422) for anything else or out of range."""
    text = call.query.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError as error:
        raise Refusal(422, "validation_error", f"{name} must be a whole number") from error
    if value < at_least or (at_most is not None and value > at_most):
        raise Refusal(422, "validation_error", f"{name} must be from {at_least} to {at_most or 'any number'}")
    return value


def flag(call: Call, name: str) -> bool:
    """A switch of the query, which clients spell in several ways."""
    return call.query.get(name, "").lower() in {"true", "1", "yes"}


def members(body: Any, required: Mapping[str, type], optional: Mapping[str, type] | None = None) -> dict[str, Any]:
    """A JSON object with these members of these types and no others; null counts as absent for optional ones.

    Raises Refusal (422) naming the first member that is wrong.
    """
    optional = optional or {}
    if not isinstance(body, dict):
        raise Refusal(422, "validation_error", "The body must be an object")
    for name in body:
        if name not in required and name not in optional:
            problems = [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]
            raise Refusal(422, "validation_error", f"{name}: not permitted", {"errors": problems})
    for name, kind in {**required, **optional}.items():
        value = body.get(name)
        if not (isinstance(value, kind) or (name in optional and value is None)):
            problems = [{"loc": ["body", name], "msg": f"A {kind.__name__} is needed"}]
            raise Refusal(422, "validation_error", f"{name}: a {kind.__name__} is needed", {"errors": problems})
    return {name: value for name, value in body.items() if value is not None}
