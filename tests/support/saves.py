"""Saves made from what was just read, as the engine makes them."""

import itertools
from collections.abc import Sequence
from contextlib import aclosing

from labelmirror.model.document import JsonObject
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset, ListedImage, Reading, WantedDocument
from labelmirror.model.saving import Save
from labelmirror.ports.provider import Provider

_KEYS = itertools.count()


def wanted_of(rows: Sequence[ListedImage]) -> Sequence[WantedDocument]:
    """All documents of these images."""
    return [WantedDocument(DocumentKey(row.id, document.set), row) for row in rows for document in row.documents]


async def read_one(provider: Provider, dataset: Dataset, row: ListedImage) -> Reading:
    async with aclosing(provider.reread(dataset, wanted_of([row]))) as readings:
        (reading,) = [reading async for reading in readings]
    assert reading.problem is None
    return reading


def annotations_of(provider: Provider, reading: Reading) -> Sequence[JsonObject]:
    assert reading.data is not None
    return provider.format.annotations(provider.format.parse(reading.data))


def save_of(provider: Provider, read: Reading, row: ListedImage, annotations: Sequence[JsonObject]) -> Save:
    """The document that was read, with other annotations."""
    assert read.data is not None
    held = provider.format.parse(read.data)
    wanted = provider.format.rebuilt(held, provider.format.keyed({**held, "annotations": list(annotations)}))
    return Save(read.key, row, wanted, read, f"key-{next(_KEYS)}")
