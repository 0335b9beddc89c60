"""Datasets with their annotation sets, and whether anything in them changed: a few requests, while nothing did."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from labelmirror.errors import ProtocolError, UnknownDataset
from labelmirror.model.document import JsonObject, digest_of
from labelmirror.model.keys import DatasetRef
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset
from labelmirror.ports.provider import ProviderMemory
from labelmirror.providers import answers
from labelmirror.providers.datasets import is_meant, unknown_dataset
from labelmirror.providers.remo import convert, routes, wire
from labelmirror.providers.remo.session import Session
from labelmirror.transport.parallel import in_parallel

#: A time moves at the start of a save and its data afterwards, so what changed within this time may still be changing.
SETTLE_S: Final = 4.0
#: Under this name the provider remembers the classes of the annotation sets, with the change that they belong to.
MEMORY: Final = "classes"

_TAGS_HEAD: Final = "file_name,tag"


class Datasets:
    """The datasets of one server. What was found of each is as old as the last asking for it."""

    def __init__(self, session: Session, memory: ProviderMemory, *, connections: int, size_max_bytes: int) -> None:
        self._session = session
        self._memory = memory
        self._connections = connections
        self._size_max_bytes = size_max_bytes
        #: For each dataset whether it had been left alone for a while when it was last asked for.
        self._settled: dict[str, bool] = {}

    async def all(self) -> Sequence[Dataset]:
        """All datasets that are not archived, with their annotation sets."""
        return await in_parallel(self._dataset, await self._rows(), self._connections)

    async def find(self, ref: DatasetRef) -> Dataset:
        """The dataset meant. Raises UnknownDataset, naming the nearest names, also where a name is that of several."""
        rows = await self._rows()
        meant = [row for row in rows if is_meant(ref, str(row["id"]), str(row["name"]))]
        if len(meant) != 1:
            raise _unknown(ref, meant, rows)
        return await self._dataset(meant[0])

    async def stamp(self, dataset: Dataset) -> str | None:
        """A digest of what moves with a change, and of all tags, which move nothing else (contract, 7)."""
        if not self._settled.get(dataset.id, False):
            return None
        tags = await in_parallel(self._tags_digest, [entry.id for entry in dataset.sets], self._connections)
        return digest_of([dataset.details["change"], list(tags)])

    async def _tags_digest(self, annotation_set: str) -> str:
        path = routes.set_tags(annotation_set)
        data = bytearray()
        async with self._session.stream(path, priority=Priority.PULL) as stream:
            async for chunk in stream.chunks:
                data += chunk
                if len(data) > self._size_max_bytes:
                    raise ProtocolError(f"GET {path} answered more than {self._size_max_bytes} bytes of tags")
        rows = data.decode("utf-8", "replace").splitlines()
        if rows[:1] != [_TAGS_HEAD]:
            raise ProtocolError(f"GET {path} answered something else than a list of tags")
        return digest_of(sorted(rows))

    async def _rows(self) -> Sequence[JsonObject]:
        return await self._session.listed(routes.DATASETS, wire.DatasetRow, {"is_archived": "false"})

    async def _dataset(self, value: JsonObject) -> Dataset:
        row = answers.read(wire.DatasetRow, value, where=f"GET {routes.DATASETS}")
        path = routes.sets(str(row.id))
        where = f"GET {path}"
        values = await self._session.listed(path, wire.SetRow)
        sets = [answers.read(wire.SetRow, item, where=where) for item in values]
        change = convert.change_of(value, values)
        times = [row.updated_at, *(entry.updated_at for entry in sets), *(entry.last_annotated_date for entry in sets)]
        self._settled[str(row.id)] = _is_settled(times, self._session.api.date_s)
        return convert.dataset_of(row, sets, await self._classes(str(row.id), change, sets), change)

    async def _classes(self, dataset: str, change: str, sets: Sequence[wire.SetRow]) -> convert.Classes:
        """The classes of each set, asked for only when something changed."""
        held = await self._memory.get(MEMORY)
        if isinstance(held, Mapping) and held.get("change") == f"{dataset} {change}":
            known = held["classes"]
            assert isinstance(known, Mapping)
            return {key: [str(name) for name in names] for key, names in known.items() if isinstance(names, Sequence)}

        async def of(entry: wire.SetRow) -> Sequence[str]:
            path = routes.annotation_set(str(entry.id))
            where = f"GET {path}"
            rows = answers.items(await self._session.get(path), "classes", where=where)
            return [answers.read(wire.ClassRow, item, where=where).name for item in rows]

        names = await in_parallel(of, sets, self._connections)
        found = {str(entry.id): classes for entry, classes in zip(sets, names, strict=True)}
        await self._memory.put(MEMORY, {"change": f"{dataset} {change}", "classes": found})
        return found


def _is_settled(times: Sequence[str | None], date_s: float | None) -> bool:
    """Whether nothing was written within the last while, by the server's own clock."""
    try:
        newest_s = max(datetime.fromisoformat(time).timestamp() for time in times if time is not None)
    except ValueError:
        return False
    return date_s is not None and date_s - newest_s >= SETTLE_S


def _unknown(ref: DatasetRef, meant: Sequence[JsonObject], rows: Sequence[JsonObject]) -> UnknownDataset:
    if meant:
        ids = ", ".join(sorted(str(row["id"]) for row in meant))
        return UnknownDataset(f"the server has {len(meant)} datasets {ref}", hint=f"Name one by its id: {ids}.")
    return unknown_dataset(ref, (str(row["name"]) for row in rows))
