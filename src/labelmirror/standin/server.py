"""Starting and stopping a stand-in on loopback: one address for the API, another for its storage host."""

import random
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from labelmirror.standin.clock import ServerClock
from labelmirror.standin.distortion import Pages
from labelmirror.standin.exchange import Key, Origin
from labelmirror.standin.faults import FaultPlan
from labelmirror.standin.gateway import Backstage, Quota, application
from labelmirror.standin.links import LinkSigner
from labelmirror.standin.options import Role, StandinOptions
from labelmirror.standin.record import RequestLog
from labelmirror.standin.registry import builder
from labelmirror.standin.service import Blank, Colleague, Filling, Ground, Login, Service
from labelmirror.standin.world import World

_SHUTDOWN_S = 0.2
_World = TypeVar("_World")


class Standin:
    """A running stand-in server, for a test or a demonstration to look into and to steer.

    `url` is the API's address and `storage_url` that of the host that signed links lead to. `key` works, with the
    role of the options; so do the keys that `add_key` gives. `login` is for servers that people log in to; `colleague` is
    somebody else who edits the sample dataset. What the
    server holds may be looked at and changed: `world` is a Pictograph's, `world_as` gives that of any kind. `requests`
    is the log; `faults`, `quota` and `clock` may be changed at any time, and `pages`, what listings answered, cleared.
    """

    def __init__(self, backstage: Backstage, service: Service, signer: LinkSigner) -> None:
        self.url = backstage.origins[Origin.API]
        self.storage_url = backstage.origins[Origin.STORAGE]
        self.kind = backstage.options.kind
        self.login: Login | None = service.login
        self.colleague: Colleague = service.colleague
        self.requests: RequestLog = backstage.log
        self.faults: FaultPlan = backstage.faults
        self.quota: Quota = backstage.quota
        self.clock: ServerClock = backstage.clock
        self.pages: Pages = backstage.pages
        self._keys = backstage.keys
        self._service = service
        self._signer = signer
        self._seed = backstage.options.seed

    @property
    def world(self) -> World:
        """The world of a Pictograph. Raises TypeError for any other kind."""
        return self.world_as(World)

    def world_as(self, kind: type[_World]) -> _World:
        """What the server holds, which is of this class. Raises TypeError if it is not."""
        world = self._service.world
        if not isinstance(world, kind):
            raise TypeError(f"a {self.kind} stand-in holds a {type(world).__name__}, not a {kind.__name__}")
        return world

    @property
    def key(self) -> str:
        """The secret of the first key."""
        return self._keys[0].secret

    @property
    def role(self) -> Role:
        """The role of the first key."""
        return self._keys[0].role

    @role.setter
    def role(self, role: Role) -> None:
        self._keys[0].role = role

    def add_key(self, role: Role) -> str:
        """One more working key, with a quota of its own; its secret."""
        key = _key(self._service, self._seed, len(self._keys), role)
        self._keys.append(key)
        return key.secret

    def revoke_key(self) -> None:
        """Let the first key be refused from now on."""
        self._keys[0].active = False

    def begin(self, blank: Blank) -> Filling:
        """Make a dataset, and give what fills it."""
        return self._service.begin(blank)

    def expire_links(self) -> None:
        """Let every signed link that was handed out be refused from now on."""
        self._signer.expire()

    def spend(self, count: int) -> None:
        """Use the first key's quota as another program that shares it would. More than is left changes nothing."""
        window = self.quota.window(self.key)
        if window is not None:
            window.admit(self.clock.now_s(), count)


@asynccontextmanager
async def serve(options: StandinOptions) -> AsyncIterator[Standin]:
    """Run a stand-in until the block ends.

    Raises StandinError for an unknown kind, generation or fault route, OSError when the port is taken. Where the
    address of the storage host cannot be bound, it gets another port of `host`.
    """
    build = builder(options.kind)
    async with AsyncExitStack() as stack:
        api = _listen(options.host, options.port)
        stack.callback(api.close)
        try:
            files = _listen(options.storage_host, 0)
        except OSError:
            files = _listen(options.host, 0)
        stack.callback(files.close)
        origins = {Origin.API: _url(api), Origin.STORAGE: _url(files)}
        clock = ServerClock(options.clock_offset_s)
        signer = LinkSigner(origins[Origin.STORAGE], options.link_lifetime_s, f"{options.seed} links".encode())
        keys: list[Key] = []
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labelmirror-standin-")))
        service = build(Ground(options, clock, origins[Origin.API], signer, keys, folder))
        stack.callback(service.close)
        keys.append(_key(service, options.seed, 0, options.role))
        routes = {Origin.API: service.dialect.routes(), Origin.STORAGE: service.files}
        faults = FaultPlan(options.faults)
        faults.check(tuple(sorted({route.name for several in routes.values() for route in several})))
        backstage = Backstage(
            options=options,
            clock=clock,
            dialect=service.dialect,
            keys=keys,
            quota=Quota(options),
            faults=faults,
            log=RequestLog(),
            origins=origins,
        )
        for origin, listener in ((Origin.API, api), (Origin.STORAGE, files)):
            app = application(backstage, origin, routes[origin])
            runner = web.AppRunner(
                app, access_log=None, shutdown_timeout=_SHUTDOWN_S, keepalive_timeout=service.keep_alive_s
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listener).start()
        yield Standin(backstage, service, signer)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"http://{host}:{port}"


def _key(service: Service, seed: int, number: int, role: Role) -> Key:
    return Key(service.dialect.mint(random.Random(f"{seed} {number}")), role)
