"""Documents read one by one, and never half of one.

The one read that has every field of an object gathers them row by row, so that a save under way shows in part; and such a
part, taken for the whole, would look like somebody's deletions. What the server notes of an image is written in one step
at the end of a save. So a reading counts when it shows what is noted; where it does not, both are read again.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from labelmirror.errors import Unavailable
from labelmirror.model.document import JsonObject
from labelmirror.model.keys import DocumentKey
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset, Reading, WantedDocument
from labelmirror.ports.clock import Clock
from labelmirror.providers import answers
from labelmirror.providers.reading import OF_ONE_DOCUMENT, read_singly, unread
from labelmirror.providers.remo import convert, routes, wire
from labelmirror.providers.remo.session import Session, page_of

#: A document is read this often, with a rest in between, until it shows what is noted.
TRIES: Final = 6
#: A save inserts hundreds of objects a second: one that looks the same after this time is not under way.
REST_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads documents of one dataset, `connections` at a time."""

    session: Session
    dataset: Dataset
    clock: Clock
    connections: int

    async def by_document(self, wanted: AsyncIterator[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """Each document with one request, as long as it shows what the listing showed."""

        async def read(document: WantedDocument) -> Reading:
            return await self._one(document, Priority.PULL)

        async with aclosing(read_singly(read, wanted, self.connections)) as found:
            async for reading in found:
                yield reading

    async def again(self, wanted: Sequence[WantedDocument]) -> AsyncGenerator[Reading, None]:
        """Each document as it is now, one after the other and before all else that waits for the server."""
        for document in wanted:
            yield await self._one(document, Priority.PUSH)

    async def _one(self, wanted: WantedDocument, priority: Priority) -> Reading:
        """One document, or what is wrong with it; trouble that concerns all is raised."""
        try:
            quickly = await self._as_listed(wanted) if priority is Priority.PULL else None
            return quickly or await self._as_noted(wanted, priority)
        except OF_ONE_DOCUMENT as error:
            return unread(wanted.key, error)

    async def _as_listed(self, wanted: WantedDocument) -> Reading | None:
        """The document, with the tags of the listing, if it has the annotations that the listing showed."""
        listed = next((entry for entry in wanted.image.documents if entry.set == wanted.key.set), None)
        sign = convert.sign_in(listed) if listed is not None else None
        if sign is None:
            return None
        rules = convert.rules_of(self.dataset, wanted.key.set)
        held = await self._held(wanted.key, Priority.PULL)
        shown = convert.sign_of(convert.shows(held.annotations, rules), held.status)
        return self._reading(wanted, held, sign.tags) if shown.annotations == sign.annotations else None

    async def _as_noted(self, wanted: WantedDocument, priority: Priority) -> Reading:
        """The document as it is now: in accord with what is noted, or at least the same for a while."""
        rules = convert.rules_of(self.dataset, wanted.key.set)
        previous: _Held | None = None
        for tried in range(TRIES):
            if tried > 0:
                await self.clock.sleep(REST_S)
            noted = await self._noted(wanted, priority)
            held = await self._held(wanted.key, priority)
            if noted is None:
                continue
            held = _Held(held.status, noted.completed(held.annotations))
            if held == previous or convert.shows(held.annotations, rules).classes == noted.classes:
                return self._reading(wanted, held, noted.tags)
            previous = held
        raise Unavailable(f"the image {wanted.key.image} looked different each time: somebody is saving it")

    async def _held(self, key: DocumentKey, priority: Priority) -> "_Held":
        path = routes.annotations(self.dataset.id, key.set, key.image)
        where = f"GET {path}"
        answer = await self.session.get(path, priority=priority)
        annotations = answers.items(answer, "annotation_info", where=where)
        head = answers.read(wire.DocumentHead, answer, where=where)
        return _Held(head.status, [answers.table(item, where=where) for item in annotations])

    async def _noted(self, wanted: WantedDocument, priority: Priority) -> convert.Noted | None:
        """What is noted of a document; None where the image does not show.

        Contents that are filtered go by ids, whatever the folder; around an id, one image is the one that has it.
        """
        key = wanted.key
        letter = next((letter for letter in wanted.image.name if letter.isascii() and letter.isalnum()), ".")
        path = routes.contents(self.dataset.id)
        query = {"image_name": letter, "image_id": key.image, "limit": "1"}
        where = f"GET {path}"
        page = page_of(await self.session.get(path, query, priority=priority), where=where)
        image = next((answers.read(wire.Entry, row, where=where).image for row in page.rows), None)
        if image is None or str(image.id) != key.image:
            return None
        entry = next((entry for entry in image.annotations if str(entry.annotation_set_id) == key.set), None)
        return convert.noted_of(entry, convert.rules_of(self.dataset, key.set))

    def _reading(self, wanted: WantedDocument, held: "_Held", tags: Sequence[str]) -> Reading:
        return convert.reading_of(
            self.dataset, wanted.image, wanted.key.set, status=held.status, tags=tags, annotations=held.annotations
        )


@dataclass(frozen=True, slots=True)
class _Held:
    """What one read showed."""

    status: str
    annotations: Sequence[JsonObject]
