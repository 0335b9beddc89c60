"""Saves: the annotations in one request that replaces all, then the status, then each tag by itself.

Nothing here is done in one step: a save that is cut off leaves some of it done, which `half_saved` recognises. Each request
is sent only where what was just read differs from what is wanted, so sending a save again does what is left of it.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from labelmirror.errors import NotFound, ProtocolError, Rejected
from labelmirror.model.document import Document, digest_of
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import Dataset
from labelmirror.model.saving import Save, SaveAnswer, SaveResult
from labelmirror.providers import answers
from labelmirror.providers.documents import sentence
from labelmirror.providers.remo import convert, routes, schema, wire
from labelmirror.providers.remo.format import RemoFormat, tags_of
from labelmirror.providers.remo.matching import comparable
from labelmirror.providers.remo.session import Session
from labelmirror.providers.saving import STOPPING, UNANSWERED, SaveResults
from labelmirror.transport.parallel import in_parallel

_FORMAT = RemoFormat()


@dataclass(frozen=True, slots=True)
class _Steps:
    """The requests of one save that are needed, in their order."""

    key: DocumentKey
    todo: Sequence[Callable[[], Awaitable[None]]]


class Saves:
    """One batch of saves to one dataset, of different documents; `run` is called once."""

    def __init__(self, session: Session, dataset: Dataset, connections: int) -> None:
        self._session = session
        self._dataset = dataset
        self._connections = connections
        self._results = SaveResults()

    async def run(self, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """A result for each save, in their order; of one image, one save after the other.

        Raises what stops all saves as long as the server got nothing.
        """
        by_image: dict[str, list[_Steps]] = defaultdict(list)
        for save in saves:
            if (steps := self._prepared(save)) is not None:
                by_image[save.key.image].append(steps)
        await in_parallel(self._in_turn, list(by_image.values()), self._connections)
        return self._results.of(saves)

    def _prepared(self, save: Save) -> _Steps | None:
        """What to send; None where the server could not keep all of it."""
        rules = convert.rules_of(self._dataset, save.key.set)
        assert save.expected.data is not None, "a document is read before it is saved"
        before, wanted = _FORMAT.parse(save.expected.data), save.wanted
        found = schema.problems(wanted, save.key, rules) or schema.unsavable(wanted, before)
        if found:
            self._results.note(save.key, SaveAnswer.REFUSED, sentence(found[0]))
            return None
        new_status = before.get("status") != wanted.get("status")
        todo: list[Callable[[], Awaitable[None]]] = []
        if _content(before) != _content(wanted):
            todo.append(lambda: self._annotations(save.key, wanted, rules))
            new_status = new_status and not rules.is_classification
        if new_status:
            todo.append(lambda: self._status(save.key, str(wanted["status"])))
        if tags_of(before).keys() != tags_of(wanted).keys():
            todo.append(lambda: self._tags(save.key, tags_of(before), tags_of(wanted)))
        return _Steps(save.key, todo)

    async def _in_turn(self, saves: Sequence[_Steps]) -> None:
        for steps in saves:
            await self._one(steps)

    async def _one(self, steps: _Steps) -> None:
        """All requests of one save. Once one had its effect, a refusal of the next leaves the save half done."""
        started = False
        try:
            for step in steps.todo:
                if self._results.stop is not None:
                    raise self._results.stop
                await step()
                started = self._results.reached = True
        except (NotFound, Rejected) as error:
            self._results.reached = True
            refused = SaveAnswer.GONE if isinstance(error, NotFound) else SaveAnswer.REFUSED
            self._results.note(steps.key, SaveAnswer.UNKNOWN if started else refused, error.message)
        except UNANSWERED as error:
            self._results.reached = True
            self._results.note(steps.key, SaveAnswer.UNKNOWN, error.message)
        except STOPPING as error:
            self._results.stop = error
        else:
            self._results.note(steps.key, SaveAnswer.CLAIMED)

    # --- the requests ------------------------------------------------------------------------------------------------

    async def _annotations(self, key: DocumentKey, wanted: Document, rules: schema.SetRules) -> None:
        """Replace the annotations. Raises ProtocolError where the answer shows that others are stored now."""
        path = routes.save(self._dataset.id, key.set, key.image)
        where = f"POST {path}"
        answer = await self._session.send("POST", path, schema.save_body(wanted, rules))
        self._results.reached = True
        stored = answers.items(answer, "annotation_info", where=where)
        held = [digest_of(comparable(answers.table(item, where=where))) for item in stored]
        sent = [digest_of(comparable(item)) for item in _FORMAT.annotations(wanted)]
        if sorted(held) != sorted(sent):
            raise ProtocolError(f"{where}: {len(sent)} annotations were sent, and others are stored: {len(held)}")

    async def _status(self, key: DocumentKey, status: str) -> None:
        await self._session.send("POST", routes.status(key.set, key.image), {"status": status})

    async def _tags(self, key: DocumentKey, before: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Add and remove what differs. A tag is removed by its id, which only the list of an image's tags shows."""
        path = routes.tags(key.set, key.image)
        for tag in sorted(wanted.keys() - before.keys()):
            await self._session.send("POST", path, {"name": tag})
            self._results.reached = True
        gone = before.keys() - wanted.keys()
        if gone:
            rows = [row async for row in self._tag_rows(path) if row.name.strip().lower() in gone]
            for row in rows:
                await self._session.send("DELETE", f"{path}{row.id}/")
                self._results.reached = True

    async def _tag_rows(self, path: str) -> AsyncIterator[wire.TagRow]:
        async for page in self._session.pages(path):
            for value in page.rows:
                yield answers.read(wire.TagRow, value, where=f"GET {path}")


def _content(document: Document) -> Sequence[str]:
    """The annotations as they are compared, in no order."""
    return sorted(digest_of(comparable(item)) for item in _FORMAT.annotations(document))
