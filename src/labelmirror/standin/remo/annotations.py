"""What the sets say about one image: reading, saving, clearing, status (contract, sections 5.1, 5.2 and 5.4)."""

import asyncio

from labelmirror.standin.exchange import Call, Memory, Refusal, Reply, Route
from labelmirror.standin.remo import wire
from labelmirror.standin.remo.desk import Desk, members, payload
from labelmirror.standin.remo.door import Malformed, broken
from labelmirror.standin.remo.model import AnnotationSet, Image, Status, Task
from labelmirror.standin.remo.saves import Wanted, wanted
from labelmirror.standin.remo.world import HalfSaved

_ONE = "/api/dataset/{dataset}/annotation-set/{set}/image/{image}"
_UI = "/api/v1/ui/annotation-sets/{set}/images/{image}"

#: A 204 has no body.
NOTHING = Reply(status=204, content=Memory(b""), mime="text/html")


class AnnotationRoutes:
    """What can be done with one image in one set."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes."""
        route = self._desk.route
        return (
            route("annotations.read", "GET", f"{_ONE}/annotation/", self._read),
            route("annotations.save", "POST", f"{_ONE}/save-annotation/", self._save),
            route("annotations.clear", "DELETE", f"{_UI}/annotations/", self._clear),
            route("annotations.clear", "GET", f"{_UI}/annotations/", self._break),
            route("status.set", "POST", f"{_UI}/status/", self._set_status),
            route("status.set", "GET", f"{_UI}/status/", self._break),
        )

    async def _read(self, call: Call) -> Reply:
        chosen, image = self._desk.set_and_image(call)
        info = wire.annotation_info(chosen, chosen.row(image))
        return Reply({"error": False, "annotation_info": info, "status": chosen.status(image).word})

    async def _save(self, call: Call) -> Reply:
        chosen, image = self._desk.set_and_image(call)
        body = payload(call)
        try:
            asked = wanted(body, chosen.task)
        except Malformed:
            # Serializers are asked after the dataset's stamp has moved.
            chosen.dataset.updated_s = self._desk.world.clock.now_s()
            raise
        await self._carry_out(chosen, image, asked)
        row = chosen.row(image)
        if row is None:
            raise broken()
        number = row.status.number
        return Reply(
            {
                "id": row.id,
                "image": image.id,
                "annotation_set": chosen.id,
                "created_at": wire.iso(row.created_s),
                "updated_at": wire.iso(row.updated_s),
                "status": number if chosen.task is Task.CLASSIFICATION else str(number),
                "annotation_info": wire.annotation_info(chosen, row),
            }
        )

    async def _carry_out(self, chosen: AnnotationSet, image: Image, asked: Wanted) -> None:
        world = self._desk.world
        steps = world.saving(
            chosen,
            image,
            asked.objects,
            asked.marks,
            status=asked.status or chosen.status(image),
            new_classes=asked.new_classes,
        )
        try:
            for _ in steps:
                await asyncio.sleep(world.step_s)
        except HalfSaved as error:
            raise broken() from error

    async def _clear(self, call: Call) -> Reply:
        chosen, image = self._desk.set_and_image(call)
        try:
            self._desk.world.clear(chosen, image)
        except KeyError as error:
            raise Refusal(404, "error", "Annotation was not found.") from error
        return NOTHING

    async def _set_status(self, call: Call) -> Reply:
        chosen, image = self._desk.set_and_image(call)
        try:
            status = Status.of(members(call).get("status", Status.NOT_ANNOTATED.word))
        except ValueError as error:
            raise broken() from error
        self._desk.world.set_status(chosen, image, status)
        return Reply({"status": status.word})

    async def _break(self, call: Call) -> Reply:
        self._desk.set_and_image(call)
        raise broken()
