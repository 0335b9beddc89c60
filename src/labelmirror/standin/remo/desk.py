"""What all operations of the stand-in Remo need: the world, the door, and finding what a path names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelmirror.standin.exchange import Call, Handler, Refusal, Route
from labelmirror.standin.remo.door import Access, Door, gone
from labelmirror.standin.remo.model import AnnotationSet, Dataset, Folder, Image
from labelmirror.standin.remo.world import RemoWorld

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the operations meet."""

    world: RemoWorld
    door: Door

    def route(self, name: str, method: str, pattern: str, handler: Handler, access: Access = Access.HIDDEN) -> Route:
        """An operation behind the door, which knows who may come in; the gateway's keys and quotas do not count."""
        return Route(name, method, pattern, self.door.guarded(handler, access), role=None, open=True)

    def dataset(self, call: Call) -> Dataset:
        """The dataset that the path names. Raises Refusal (404)."""
        dataset = self.world.datasets.get(number(call, "dataset"))
        if dataset is None:
            raise gone()
        return dataset

    def active_dataset(self, call: Call) -> Dataset:
        """The dataset that the path names, unless it is archived. Raises Refusal (404)."""
        dataset = self.dataset(call)
        if dataset.archived:
            raise gone()
        return dataset

    def image(self, call: Call, dataset: Dataset) -> Image:
        """The image of this dataset that the path names. Raises Refusal (404)."""
        image = dataset.images.get(number(call, "image"))
        if image is None:
            raise gone()
        return image

    def folder(self, call: Call, dataset: Dataset) -> Folder:
        """The folder of this dataset that the path names. Raises Refusal (404)."""
        folder = dataset.folders.get(number(call, "folder"))
        if folder is None:
            raise gone()
        return folder

    def set(self, call: Call) -> AnnotationSet:
        """The annotation set that the path names. Raises Refusal (404)."""
        chosen = self.world.find_set(number(call, "set"))
        if chosen is None:
            raise gone()
        return chosen

    def set_and_image(self, call: Call) -> tuple[AnnotationSet, Image]:
        """The set and the image that the path names, in the dataset if it names one. Raises Refusal (404)."""
        chosen = self.set(call)
        if "dataset" in call.params and chosen.dataset is not self.dataset(call):
            raise gone()
        return chosen, self.image(call, chosen.dataset)


def payload(call: Call) -> Any:
    """The JSON of a body, or its form; without a body an empty object. Raises Refusal (400 or 415)."""
    mime = call.headers.get("Content-Type", "").partition(";")[0]
    if not call.body or mime in _FORMS:
        return dict(call.form)
    if mime != "application/json":
        raise Refusal(415, "detail", f'Unsupported media type "{mime}" in request.')
    try:
        return json.loads(call.body)
    except ValueError as error:
        raise Refusal(400, "detail", f"JSON parse error - {error}") from error


def members(call: Call) -> Mapping[str, Any]:
    """The members of a JSON object; none where the body is anything else. Raises Refusal (400 or 415)."""
    body = payload(call)
    return body if isinstance(body, dict) else {}


def lacking(thing: str, number: object) -> Refusal:
    """There is no such thing, in the words of the calls that answer so."""
    return Refusal(404, "error", f"{thing} with id: {number}, was not found.")


def number(call: Call, name: str) -> int:
    """A number of the path; -1, which nothing has as its id, for anything else."""
    text = call.params[name]
    return int(text) if text.isdecimal() else -1
