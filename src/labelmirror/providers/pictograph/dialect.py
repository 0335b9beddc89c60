"""What the four generations of the server call things: paths, queries and envelopes. Pure.

G0 is the oldest. The server is not versioned in its URL, and a call of the wrong generation answers nothing or something
else; so every envelope is demanded. Paths are percent-encoded; `API` is the common prefix.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from labelmirror.errors import ProtocolError
from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.remote import Dataset, ListedImage
from labelmirror.providers import answers

API = "/api/v1/developer"

#: The most rows of an embedded listing, of the image list, and of links in one answer.
EMBEDDED_PAGE, LIST_PAGE, LINK_PAGE = 10_000, 1_000, 10_000

#: The most documents of one bulk save.
BULK_SAVES = 200

#: The only stages that the server knows; any other in a filter matches nothing, without an error.
STATUSES = ("new", "annotate", "review", "complete")


class Generation(StrEnum):
    """A generation of the server's API."""

    G0 = "g0"
    G1 = "g1"
    G1B = "g1b"
    G2 = "g2"


@dataclass(frozen=True, slots=True)
class Request:
    """A path with its query."""

    path: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one generation is spoken to."""

    generation: Generation

    # --- envelopes -------------------------------------------------------------------------------------------------

    @property
    def _wrapped(self) -> bool:
        return self.generation in {Generation.G1B, Generation.G2}

    def rows(self, answer: JsonValue, key: str, *, where: str) -> Sequence[JsonValue]:
        """The rows of a list. Raises ProtocolError where the list is not where this generation has it."""
        if self.generation is Generation.G0 and isinstance(answer, list):
            return answer
        return answers.items(answer, "data" if self._wrapped else key, where=where)

    def single(self, answer: JsonValue, key: str, *, where: str) -> JsonObject:
        """The object of an answer about one thing."""
        if self._wrapped:
            key = "data"
        held = answers.table(answer, where=where)
        if key in held:
            return answers.table(held[key], where=where)
        if self.generation is Generation.G0 and "id" in held:
            return held
        raise ProtocolError(f'{where}: the object "{key}" is missing')

    def unwrapped(self, answer: JsonValue, *, where: str) -> JsonObject:
        """An answer whose fields stand in `data` in newer generations, and by themselves in older ones."""
        held = answers.table(answer, where=where)
        return self.single(held, "data", where=where) if self._wrapped else held

    # --- datasets --------------------------------------------------------------------------------------------------

    def datasets(self, limit: int, offset: int) -> Request:
        """A page of the datasets."""
        return Request(f"{API}/datasets/", {"limit": str(limit), "offset": str(offset)})

    def dataset(self, name_or_id: str) -> Request | None:
        """One dataset; None where it can only be found in the list."""
        segment = _segment(name_or_id)
        if segment is None or self.generation is Generation.G0:
            return None
        if self.generation is Generation.G2 or is_uuid(name_or_id):
            return Request(f"{API}/datasets/{segment}", {})
        return Request(f"{API}/datasets/by-name/{segment}", {})

    def embedded_images(self, dataset: Dataset, offset: int) -> Request | None:
        """A page of the images in the answer about their dataset: the largest page there is. None if that cannot be had."""
        query = {"images_limit": str(EMBEDDED_PAGE)}
        if offset or self.generation is not Generation.G0:
            query["images_offset"] = str(offset)
        if self.generation is Generation.G0:
            return Request(f"{API}/datasets/{dataset.id}", query)
        query = {"include_images": "true", **query}
        if self.generation is Generation.G2:
            return Request(f"{API}/datasets/{dataset.id}", query)
        # Only the route by name embeds images in every version of this generation.
        segment = _segment(dataset.name)
        return None if segment is None else Request(f"{API}/datasets/by-name/{segment}", query)

    @property
    def may_leave_images_out(self) -> bool:
        """Whether some versions answer about a dataset without its images; the oldest generation always has them."""
        return self.generation is not Generation.G0

    def listed_images(self, dataset: Dataset, offset: int) -> Request:
        """A page of the image list."""
        key = "dataset" if self.generation is Generation.G2 else "dataset_id"
        return Request(f"{API}/images/", {key: dataset.id, "limit": str(LIST_PAGE), "offset": str(offset)})

    def links(self, dataset: Dataset, status: str | None) -> Request | None:
        """Links to up to LINK_PAGE images, of one status or of any. None where the dataset cannot be addressed.

        Older generations tell an item's id only in the path of its annotations, so they are asked for both.
        """
        query = {"mode": "images_only" if self.generation is Generation.G2 else "full", "limit": str(LINK_PAGE)}
        if status is not None:
            query["status_filter"] = status
        if self.generation is Generation.G2:
            return Request(f"{API}/datasets/{dataset.id}/download", query)
        segment = _segment(dataset.name)
        return None if segment is None else Request(f"{API}/datasets/by-name/{segment}/download", query)

    # --- images ----------------------------------------------------------------------------------------------------

    def image_facts(self, image: str) -> Request:
        """One image by its id; in the newest generation of any dataset of the organisation."""
        return Request(f"{API}/images/{_identity(image)}/metadata", {})

    def image_bytes(self, image: str) -> str:
        """The path of an image's bytes."""
        return f"{API}/images/{_identity(image)}"

    def annotations(self, dataset: Dataset, image: ListedImage) -> str:
        """The path of an image's annotations.

        The newest generation addresses images by folder and name. Names that do not survive in a path are asked for by
        the id, in the form in which the server itself links to documents.
        """
        identity = _identity(image.id)
        if self.generation is not Generation.G2:
            return f"{API}/annotations/{identity}"
        return _by_name(dataset, image) or f"{API}/annotations/{identity}/file"

    def save(self, dataset: Dataset, image: ListedImage) -> str | None:
        """The path to which an image's annotations are saved; None where only a bulk save can address it."""
        if self.generation is Generation.G2:
            return _by_name(dataset, image)
        return f"{API}/annotations/{_identity(image.id)}"

    def save_body(self, image: str, annotations: Sequence[JsonObject]) -> JsonObject:
        """The body of a save; the newest generation refuses an id in it."""
        return {"annotations": annotations} if self.generation is Generation.G2 else _entry(image, annotations)

    @property
    def bulk_save(self) -> str | None:
        """The path of bulk saves, in the generations that have them."""
        return None if self.generation is Generation.G0 else f"{API}/annotations/bulk"

    def bulk_body(self, entries: Sequence[tuple[str, Sequence[JsonObject]]]) -> JsonObject:
        """The body of a bulk save of lists of annotations, each with its image's id."""
        return {"saves": [_entry(image, annotations) for image, annotations in entries]}

    def annotation_files(self, dataset: Dataset) -> Request | None:
        """The list of a dataset's documents, in the generation that has it."""
        if self.generation is not Generation.G0:
            return None
        return Request(f"{API}/annotations/dataset/{dataset.id}/download", {})

    # --- exports ---------------------------------------------------------------------------------------------------

    def create_export(self, dataset: Dataset, name: str, images_of: str | None = None) -> JsonObject:
        """The body that asks for an archive of all documents, or of those with one status and their images.

        Whether images are included has to be said: servers differ in what they do otherwise.
        """
        order: dict[str, JsonValue] = {"dataset_name": dataset.name, "name": name, "format": "pictograph"}
        if images_of is None:
            return {**order, "include_images": False}
        return {**order, "include_images": True, "status_filter": images_of}

    def export(self, dataset: str, name: str, *, download: bool = False) -> Request | None:
        """One export of a dataset, both by name; None where that dataset's name cannot be put in a path."""
        tail = "/download" if download else ""
        if self.generation is Generation.G2:
            return Request(f"{API}/exports/{quote(name, safe='')}{tail}", {"dataset": dataset})
        segment = _segment(dataset)
        if segment is None:
            return None
        prefix = f"{API}/exports/by-name" if self.generation is Generation.G1B else f"{API}/exports"
        return Request(f"{prefix}/{segment}/{quote(name, safe='')}{tail}", {})


def _entry(image: str, annotations: Sequence[JsonObject]) -> JsonObject:
    return {"image_id": image, "annotations": annotations}


def _by_name(dataset: Dataset, image: ListedImage) -> str | None:
    """The path of an image's annotations by folder and name; None for names that do not survive in a path."""
    parts = [*image.directory.split("/"), image.name] if image.directory else [image.name]
    segments = [_segment(part) for part in parts]
    # `{dataset}/file` is read as the document of an image whose id is the dataset's.
    if "/" in image.name or segments == ["file"] or None in segments:
        return None
    return "/".join([f"{API}/annotations/{dataset.id}", *(segment for segment in segments if segment)])


def is_uuid(text: str) -> bool:
    """Is it an id in the server's spelling?"""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _identity(image: str) -> str:
    """An image's id as a path segment. Ids are the server's own: one that is no plain segment breaks the contract."""
    segment = _segment(image)
    if segment is None or segment != image:
        raise ProtocolError("the server gave an image an id that cannot be part of a path")
    return segment


def _segment(name: str) -> str | None:
    """A name as one path segment; None for one that servers and proxies on the way would not leave as it is."""
    if name in {"", ".", ".."} or "\\" in name or not name.isprintable():
        return None
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        return None
