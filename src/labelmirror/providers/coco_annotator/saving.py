"""Saves, composed of several requests (contract, 8.4): one image after the other, each from what is there at that moment.

Nothing is kept between attempts. A save that was cut off is composed anew from the document that is wanted and what the
server holds by then; so nothing is ever sent again blindly, and a creation whose answer was lost is found or removed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from labelmirror.errors import NotFound, ProtocolError, Rejected, TooLarge
from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.pacing import Priority
from labelmirror.model.remote import Dataset
from labelmirror.model.saving import Save, SaveAnswer, SaveResult
from labelmirror.providers.answers import read
from labelmirror.providers.coco_annotator import schema, wire
from labelmirror.providers.coco_annotator.annotation import id_of
from labelmirror.providers.coco_annotator.composing import (
    Stored,
    Surroundings,
    Target,
    category_of,
    compose,
    creation,
    data_save,
)
from labelmirror.providers.coco_annotator.format import CocoAnnotatorFormat, annotations_of, metadata_of
from labelmirror.providers.coco_annotator.reading import Opened, open_image
from labelmirror.providers.documents import sentence
from labelmirror.providers.saving import STOPPING, UNANSWERED, SaveResults
from labelmirror.transport.api import Api

_BUSY = "it was not sent: somebody works on this image just now"
_FORMAT = CocoAnnotatorFormat()


class _Overtaken(Exception):
    """Somebody else saved the image while the additions of a save were created."""


class Saves:
    """One batch of saves to one dataset, of different images; `run` is called once.

    `opened` gives the image of a save as it was opened for the reading that the save expects, None if that is not at hand.
    """

    def __init__(self, api: Api, dataset: Dataset, opened: Callable[[Save], Opened | None]) -> None:
        self._api = api
        self._dataset = dataset
        self._opened = opened
        self._results = SaveResults()

    async def run(self, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """A result for each save, in their order. Raises what stops all saves as long as the server got none of them."""
        for save in saves:
            try:
                answer, message = await self._one(save)
            except STOPPING as error:
                self._results.stop = error
                self._results.note(save.key, SaveAnswer.UNKNOWN, error.message)
                break
            self._results.note(save.key, answer, message)
        return self._results.of(saves)

    async def _one(self, save: Save) -> tuple[SaveAnswer, str]:
        """What became of one save, and what is to be said of it."""
        found = schema.problems(save.wanted, self._dataset, save.key.image)
        if found:
            return SaveAnswer.REFUSED, sentence(found[0])
        try:
            held = self._opened(save) or await open_image(self._api, self._dataset, save.key.image, Priority.PUSH)
        except NotFound as error:
            return SaveAnswer.GONE, error.message
        except (ProtocolError, Rejected, TooLarge) as error:
            return SaveAnswer.UNKNOWN, f"it was not sent: {error.message}"
        if held.reading.digest != save.expected.digest or held.reading.being_annotated:
            return SaveAnswer.OVERTAKEN, _BUSY
        found = schema.unsavable(save.wanted, held.document)
        if found:
            return SaveAnswer.REFUSED, sentence(found[0])
        return await self._carried_out(save, held)

    async def _carried_out(self, save: Save, held: Opened) -> tuple[SaveAnswer, str]:
        sending = _Sending(self._api, self._dataset)
        try:
            await sending.save(save, held)
        except _Overtaken:
            return SaveAnswer.OVERTAKEN, _BUSY
        except (NotFound, Rejected) as error:
            if sending.changed:
                return SaveAnswer.UNKNOWN, error.message
            gone = isinstance(error, NotFound)
            return SaveAnswer.GONE if gone else SaveAnswer.REFUSED, error.message
        except UNANSWERED as error:
            return SaveAnswer.UNKNOWN, error.message
        finally:
            self._results.reached = self._results.reached or sending.changed
        return SaveAnswer.CLAIMED, ""


@dataclass(slots=True)
class _Sending:
    """The requests of one save. `changed`: the server may hold something else than before."""

    api: Api
    dataset: Dataset
    changed: bool = False

    async def save(self, save: Save, held: Opened) -> None:
        """Create, move, store, delete; a deletion is last, so that what is cut off leaves too much rather than too little.

        What is stored replaces all that is there by then. So after creations, which take a request each, the image is opened
        again. Raises _Overtaken where it is not as it was: then nothing is left of the save.
        """
        steps = compose(cast("Sequence[JsonObject]", save.wanted["annotations"]), held.annotations)
        made = [await self._created(held.around.image, target) for target in steps.targets if target.held is None]
        around = await self._looked_again(save, held, made) if made else held.around
        for target in steps.targets:
            if target.held is not None and target.moves:
                await self._send("PUT", f"/annotation/{id_of(target.held)}", {"category_id": category_of(target)})
        created = iter(made)
        stored = [
            _stored(target, target.held) if target.held is not None else next(created) for target in steps.targets
        ]
        answer = await self._send("POST", "/annotator/data", data_save(around, metadata_of(save.wanted), stored))
        _expect_success(answer, "POST /annotator/data")
        for number in steps.surplus:
            _expect_success(await self._send("DELETE", f"/annotation/{number}"), "DELETE /annotation")

    async def _looked_again(self, save: Save, held: Opened, made: Sequence[Stored]) -> Surroundings:
        now = await open_image(self.api, self.dataset, save.key.image, Priority.PUSH)
        ours = {item.id for item in made}
        others = [item for item in annotations_of(now.document) if id_of(item) not in ours]
        is_same = _FORMAT.digest({**now.document, "annotations": others}) == held.reading.digest
        if is_same and not now.reading.being_annotated:
            return now.around
        for number in sorted(ours):
            _expect_success(await self._send("DELETE", f"/annotation/{number}"), "DELETE /annotation")
        raise _Overtaken

    async def _created(self, image: int, target: Target) -> Stored:
        answer = await self._send("POST", "/annotation/", creation(image, target.wanted))
        return _stored(target, answer)

    async def _send(self, method: str, path: str, body: JsonValue = None) -> JsonValue:
        try:
            answer = await self.api.send(method, f"{wire.API}{path}", body=body, priority=Priority.PUSH)
        except UNANSWERED:
            self.changed = True
            raise
        except Rejected as error:
            if error.status == 400:  # what is not there, or hidden
                raise NotFound(error.message, status=400) from None
            raise
        self.changed = True
        return answer


def _stored(target: Target, row: JsonValue) -> Stored:
    held = read(wire.StoredRow, row, where=f"{wire.API}/annotation/")
    return Stored(target, held.id, held.width, held.height)


def _expect_success(answer: JsonValue, where: str) -> None:
    """The server refuses some things with 200."""
    read(wire.Done, answer, where=where)
