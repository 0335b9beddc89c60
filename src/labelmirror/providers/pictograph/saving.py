"""Saves: one by one or many in a request, and what is known about each of them afterwards.

Every request carries an idempotency key of its own, made from the keys of the saves in it: a batch that is divided gets
new ones, and nothing is derived from content, because a server that remembers keys would take a content that comes back
for the save that it has already done.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from labelmirror.errors import NotFound, ProtocolError, Rejected
from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset
from labelmirror.model.saving import Save, SaveAnswer, SaveResult
from labelmirror.providers import answers
from labelmirror.providers.pictograph import schema, wire
from labelmirror.providers.pictograph.dialect import BULK_SAVES, Dialect
from labelmirror.providers.saving import STOPPING, UNANSWERED, SaveResults
from labelmirror.transport.answers import repeatable
from labelmirror.transport.api import Api
from labelmirror.transport.parallel import in_parallel

#: Refusals that concern no document in particular: dividing a batch would only repeat them.
_NOT_ABOUT_DOCUMENTS = frozenset({402, 405})


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A save with the list that is sent for it, and the path that takes it alone, None if there is none."""

    save: Save
    annotations: Sequence[JsonObject]
    path: str | None


class Saves:
    """One batch of saves to one dataset, of different documents; `run` is called once."""

    def __init__(self, api: Api, dialect: Dialect, dataset: Dataset, connections: int) -> None:
        self._api = api
        self._dialect = dialect
        self._dataset = dataset
        self._connections = connections
        self._results = SaveResults()

    async def run(self, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """A result for each save, in their order. Raises what stops all saves as long as the server got none of them."""
        outgoing = [item for item in map(self._prepared, saves) if item is not None]
        path = self._dialect.bulk_save
        if path is not None and len(outgoing) > 1:
            for start in range(0, len(outgoing), BULK_SAVES):
                await self._together(path, outgoing[start : start + BULK_SAVES])
        else:
            await self._singly(outgoing)
        return self._results.of(saves)

    def _prepared(self, save: Save) -> _Outgoing | None:
        """What to send; None where the server would refuse it, or could not keep all of it."""
        generation = self._dialect.generation
        found = schema.problems(save.wanted, self._dataset, save.key.image, generation)
        if not found:
            path = self._dialect.save(self._dataset, save.image)
            return _Outgoing(save, schema.sendable(save.wanted, generation), path)
        said = f"{found[0].message}. {found[0].allowed}".strip()
        self._results.note(save.key, SaveAnswer.REFUSED, said)
        return None

    # --- one by one ------------------------------------------------------------------------------------------------

    async def _singly(self, items: Sequence[_Outgoing]) -> None:
        await in_parallel(self._alone, items, self._connections)

    async def _alone(self, item: _Outgoing) -> None:
        if item.path is None:
            bulk = self._dialect.bulk_save
            assert bulk is not None, "a generation that addresses images by name has bulk saves"
            await self._together(bulk, [item])
            return
        try:
            body = self._dialect.save_body(item.save.key.image, item.annotations)
            answer = await self._sent(item.path, body, [item])
        except Rejected as error:
            self._results.note(item.save.key, SaveAnswer.REFUSED, error.message)
        except NotFound as error:
            self._results.note(item.save.key, SaveAnswer.GONE, error.message)
        except _NoAnswer as error:
            self._results.note(item.save.key, SaveAnswer.UNKNOWN, str(error))
        except _Stopped:
            return
        else:
            self._note_saved(item, answer, f"POST {item.path}")

    def _note_saved(self, item: _Outgoing, answer: JsonValue, where: str) -> None:
        try:
            row = answers.read(wire.SavedRow, answer, where=where)
        except ProtocolError as error:
            self._results.note(item.save.key, SaveAnswer.UNKNOWN, error.message)
            return
        if row.image_id == item.save.key.image:
            self._results.note(item.save.key, SaveAnswer.CLAIMED, previous_count=row.previous_count)
        else:
            # Addressed by name: somebody may have put another image in its place.
            said = f"{where}: the server saved to another image, {repeatable(row.image_id)}"
            self._results.note(item.save.key, SaveAnswer.UNKNOWN, said)

    # --- many in a request -----------------------------------------------------------------------------------------

    async def _together(self, path: str, items: Sequence[_Outgoing]) -> None:
        """One bulk save. A document that the server refuses fails the whole call, so it is halved until that one is alone."""
        entries = [(item.save.key.image, item.annotations) for item in items]
        try:
            answer = await self._sent(path, self._dialect.bulk_body(entries), items)
        except Rejected as error:
            if error.status == 405:
                await self._without_bulk(items, error)
            elif len(items) == 1 or error.status in _NOT_ABOUT_DOCUMENTS:
                self._note_all(items, SaveAnswer.REFUSED, error.message)
            else:
                await self._halved(path, items)
        except NotFound as error:
            await self._without_bulk(items, error)
        except _NoAnswer as error:
            self._note_all(items, SaveAnswer.UNKNOWN, str(error))
        except _Stopped:
            return
        else:
            self._note_bulk(items, answer, f"POST {path}")

    async def _halved(self, path: str, items: Sequence[_Outgoing]) -> None:
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            if len(half) == 1:
                await self._alone(half[0])
            else:
                await self._together(path, half)

    async def _without_bulk(self, items: Sequence[_Outgoing], error: NotFound | Rejected) -> None:
        """Early servers of the second generation have no bulk save; they keep the saves of single images."""
        await self._singly([item for item in items if item.path is not None])
        left = [item for item in items if item.save.key not in self._results]
        if self._results.stop is None:
            self._note_all(left, SaveAnswer.REFUSED, error.message)

    def _note_bulk(self, items: Sequence[_Outgoing], answer: JsonValue, where: str) -> None:
        try:
            held = answers.read(wire.BulkAnswer, answer, where=where)
        except ProtocolError as error:
            self._note_all(items, SaveAnswer.UNKNOWN, error.message)
            return
        saved = {row.image_id: row for row in held.saved}
        failed = {row.image_id: row for row in held.failed}
        for item in items:
            image = item.save.key.image
            if (image in saved) == (image in failed):
                self._results.note(
                    item.save.key, SaveAnswer.UNKNOWN, f"{where} does not say what became of the image {image}"
                )
            elif image in saved:
                self._results.note(item.save.key, SaveAnswer.CLAIMED, previous_count=saved[image].previous_count)
            else:
                said = repeatable(failed[image].error) or "the image was not saved"
                self._results.note(item.save.key, SaveAnswer.GONE, f"{where}: {said}")

    # --- sending ---------------------------------------------------------------------------------------------------

    async def _sent(self, path: str, body: JsonObject, items: Sequence[_Outgoing]) -> JsonValue:
        """The answer to one request. Raises Rejected, NotFound, _NoAnswer, or _Stopped for all that come after it too."""
        if self._results.stop is not None:
            raise _Stopped
        headers = {"Idempotency-Key": _call_key([item.save.idempotency_key for item in items])}
        try:
            answer = await self._api.send("POST", path, body=body, headers=headers, priority=Priority.PUSH)
        except STOPPING as error:
            self._results.stop = error
            raise _Stopped from error
        except UNANSWERED as error:
            self._results.reached = True
            raise _NoAnswer(error.message) from error
        except (NotFound, Rejected):
            self._results.reached = True
            raise
        self._results.reached = True
        return answer

    def _note_all(self, items: Sequence[_Outgoing], answer: SaveAnswer, message: str) -> None:
        for item in items:
            self._results.note(item.save.key, answer, message)


class _NoAnswer(Exception):
    """The request was sent, and nothing that came back says what became of it."""


class _Stopped(Exception):
    """This request had no effect, and no other may be sent."""


def _call_key(keys: Sequence[str]) -> str:
    """The idempotency key of a request: a single save's own, or one for exactly these saves together."""
    return keys[0] if len(keys) == 1 else hashlib.sha256("\n".join(keys).encode()).hexdigest()
