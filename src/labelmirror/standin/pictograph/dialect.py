"""Puts the stand-in Pictograph together."""

import random
import string
from collections.abc import Mapping
from functools import partial
from typing import Any

from labelmirror.standin.clock import iso
from labelmirror.standin.errors import StandinError
from labelmirror.standin.exchange import Call, Key, Refusal, Reply, Route
from labelmirror.standin.faults import nearest
from labelmirror.standin.options import Role
from labelmirror.standin.pictograph.archives import ArchiveRoutes
from labelmirror.standin.pictograph.colleague import PictographColleague
from labelmirror.standin.pictograph.datasets import DatasetRoutes
from labelmirror.standin.pictograph.desk import Desk
from labelmirror.standin.pictograph.documents import DocumentRoutes
from labelmirror.standin.pictograph.exports import Exports
from labelmirror.standin.pictograph.filling import begin
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.pictograph.images import ImageRoutes
from labelmirror.standin.pictograph.wire import Wire
from labelmirror.standin.service import Ground, Service
from labelmirror.standin.storage import Storage
from labelmirror.standin.world import World, sample_world

_PREFIX_CHARACTERS = 12


def build(ground: Ground) -> Service:
    """A Pictograph of the asked generation, with its sample world if that is asked for. Raises StandinError for an unknown generation."""
    options = ground.options
    known = tuple(generation.value for generation in Generation)
    if options.generation not in known:
        raise StandinError(f"unknown generation {options.generation!r}{nearest(options.generation, known)}")
    generation = Generation(options.generation)
    world = World(ground.clock, options.seed)
    if options.sample:
        world = sample_world(
            ground.clock,
            images=options.images,
            unannotated_every=options.unannotated_every,
            hostile_names=options.hostile_names,
            richness=generation.richness,
            seed=options.seed,
        )
    wire = Wire(generation, ground.api_url)
    exports = Exports(options, ground.clock, wire, ground.folder)
    storage = Storage(ground.clock, ground.signer, world, exports.stored)
    desk = Desk(generation, options, ground.clock, world, wire, storage, exports)
    return Service(
        world=world,
        dialect=Pictograph(desk, ground.keys),
        colleague=PictographColleague(world),
        begin=partial(begin, world),
        files=storage.routes(),
        close=exports.close,
    )


class Pictograph:
    """How Pictograph speaks."""

    def __init__(self, desk: Desk, keys: list[Key]) -> None:
        self._desk = desk
        self._keys = keys

    def routes(self) -> tuple[Route, ...]:
        """The operations of the generation."""
        return (
            *DatasetRoutes(self._desk).routes(),
            *ImageRoutes(self._desk).routes(),
            *DocumentRoutes(self._desk).routes(),
            *ArchiveRoutes(self._desk).routes(),
            Route("keys.list", "GET", "/api/v1/api-keys/", self._list_keys, Role.ADMIN),
        )

    def secret(self, headers: Mapping[str, str]) -> str | None:
        """The X-API-Key header; bearer tokens are not looked at."""
        return headers.get("X-API-Key")

    def mint(self, rng: random.Random) -> str:
        """A fresh secret that looks like those of live keys."""
        return "pk_live_" + "".join(rng.choices(string.ascii_letters + string.digits, k=32))

    def refused(self, refusal: Refusal) -> Reply:
        """A refusal in the words of the generation."""
        return Reply(self._desk.wire.error(refusal), refusal.status)

    def rows(self, payload: Any) -> list[Any] | None:
        """The list inside a listing."""
        return self._desk.wire.rows(payload)

    def end_listing(self, payload: Any) -> None:
        """Make a listing say that no page follows."""
        self._desk.wire.end_listing(payload)

    def foreign_envelope(self, payload: Any) -> Any:
        """The listing as another generation would wrap it."""
        return self._desk.wire.foreign_envelope(payload)

    async def _list_keys(self, call: Call) -> Reply:
        self._desk.only(call)
        rows = [
            {
                "id": f"key-{number}",
                "name": f"{key.role.value} key",
                "key_prefix": key.secret[:_PREFIX_CHARACTERS],
                "role": key.role.value,
                "rate_limit": self._desk.options.limit,
                "is_active": key.active,
                "last_used_at": None,
                "expires_at": None,
                "created_at": iso(self._desk.clock.now_s()),
            }
            for number, key in enumerate(self._keys, 1)
        ]
        return Reply({"api_keys": rows})
