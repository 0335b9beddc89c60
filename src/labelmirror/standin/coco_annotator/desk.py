"""What all operations of the stand-in COCO Annotator need: who asks, what may be seen, and how it refuses."""

import base64
import hmac
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from labelmirror.standin.clock import ServerClock
from labelmirror.standin.coco_annotator.world import Category, CocoWorld, Dataset, Image, User
from labelmirror.standin.exchange import Call, Refusal, Reply, Route
from labelmirror.standin.options import StandinOptions

#: What an operation is given besides the call: who asks.
Operation = Callable[[Call, User], Awaitable[Reply]]
DONE = {"success": True}
#: Whoever asks a server that was started with LOGIN_DISABLED.
ANYBODY = User("anonymous", "", is_admin=True)
COOKIE = "session"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the operations meet. `secret` signs sessions."""

    options: StandinOptions
    clock: ServerClock
    world: CocoWorld
    secret: bytes

    def route(self, name: str, method: str, pattern: str, operation: Operation) -> Route:
        """A route for people who prove who they are. The gateway's own keys have no part in it."""

        async def handler(call: Call) -> Reply:
            user = self.caller(call.headers)
            if user is None:
                raise refusal(401, {"success": False, "message": "Authorization required"})
            return await operation(call, user)

        return Route(name, method, f"/api{pattern}", handler, None, open=True)

    def login(self, name: str, password: str) -> User | None:
        """The user with this name, whatever its case, and this password."""
        user = self.world.users.get(name.casefold())
        return user if user is not None and hmac.compare_digest(user.password.encode(), password.encode()) else None

    def session(self, user: User) -> str:
        """The content of a session cookie, which stays good for ever."""
        name = base64.urlsafe_b64encode(user.name.encode()).decode()
        return f"{name}.{hmac.digest(self.secret, name.encode(), 'sha256').hex()}"

    def caller(self, headers: Mapping[str, str]) -> User | None:
        """Who asks, by HTTP Basic or by the cookie of a session; whoever asks where nobody needs to log in."""
        if self.world.open_to_all:
            return ANYBODY
        scheme, _, proof = headers.get("Authorization", "").partition(" ")
        try:
            if scheme.lower() == "basic":
                name, _, password = base64.b64decode(proof).decode().partition(":")
                return self.login(name, password)
            morsel = SimpleCookie(headers.get("Cookie", "")).get(COOKIE)
            if morsel is None:
                return None
            name = base64.urlsafe_b64decode(morsel.value.partition(".")[0]).decode()
        except (ValueError, CookieError):
            return None
        user = self.world.users.get(name.casefold())
        return user if user is not None and hmac.compare_digest(self.session(user), morsel.value) else None

    def sees(self, user: User, dataset: Dataset) -> bool:
        """Whether a dataset, deleted or not, is the user's or shared with them."""
        return self.owns(user, dataset) or user.name in dataset.users

    @staticmethod
    def owns(user: User, dataset: Dataset) -> bool:
        """Whether a dataset is the user's."""
        return user.is_admin or user.name == dataset.owner

    @staticmethod
    def edits(user: User, category: Category) -> bool:
        """Whether a category is the user's."""
        return user.is_admin or user.name == category.creator

    def dataset(self, call: Call, user: User) -> Dataset | None:
        """The dataset of the path, deleted or not, if the user sees it."""
        dataset = self.world.datasets.get(int(call.params["id"]))
        return dataset if dataset is not None and self.sees(user, dataset) else None

    def image(self, number: Any, user: User) -> Image | None:
        """An image, deleted or not, if the user sees its dataset."""
        image = self.world.images.get(number)
        return image if image is not None and self.sees(user, self.world.datasets[image.dataset_id]) else None

    def permissions(self, user: User, dataset: Dataset) -> dict[str, bool]:
        """What the user may do with a dataset that they see."""
        owner = self.owns(user, dataset)
        rights = dict.fromkeys(("share", "generate", "delete", "download"), owner)
        return {"owner": owner, "edit": True, **rights}

    def categories(self, dataset: Dataset) -> list[Category]:
        """The categories of a dataset that exist and are not deleted, in its order."""
        known = [self.world.categories[number] for number in dataset.categories if number in self.world.categories]
        return [category for category in known if not category.deleted]


def time_ms() -> int:
    """How long an answer took, which the server adds to some and which is never the same."""
    return random.randrange(5, 50)


def refusal(status: int, body: Mapping[str, Any]) -> Refusal:
    """A refusal with exactly this body."""
    return Refusal(status, "json", str(body.get("message", "")), body)


def broken() -> Refusal:
    """A mistake of the server or, as often, of the client."""
    return refusal(500, {"message": "Internal Server Error"})


def forbidden(what: str) -> Refusal:
    """Something that the caller may see but not do."""
    return refusal(403, {"message": f"You do not have permission to {what}"})


def invalid(arguments: Mapping[str, str]) -> Refusal:
    """Arguments that are missing or of the wrong type, each with its complaint."""
    return refusal(400, {"errors": dict(arguments), "message": "Input payload validation failed"})


def body_of(call: Call) -> Any:
    """The body as JSON. Raises Refusal (400) for anything else."""
    try:
        return json.loads(call.body)
    except ValueError as error:
        message = "The browser (or proxy) sent a request that this server could not understand."
        raise refusal(400, {"message": message}) from error


def whole(call: Call, name: str, default: int) -> int:
    """A whole number of the query. Raises Refusal (400) for anything else."""
    text = call.query.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError as error:
        raise invalid({name: f"invalid literal for int() with base 10: {text!r}"}) from error


def flag(call: Call, name: str) -> bool:
    """A switch of the query: any text at all, `false` and `0` included, is true."""
    return bool(call.query.get(name))
