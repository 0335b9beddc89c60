"""What a server says: datasets, listing rows, readings of documents, and what it can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from labelmirror.model.document import Counts, Digest, JsonObject
from labelmirror.model.keys import DocumentKey


@dataclass(frozen=True, slots=True)
class AnnotationSet:
    """One of several annotation sets of a dataset: each image has a document in each of them. `name` is the server's own.

    `categories` are the names of those that its annotations may have.
    """

    id: str
    name: str
    task: str
    categories: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as the server describes it. `images` and `annotations` are None where the server gives no count.

    `categories` are the server's own objects, kept for dataset.json and for validation before a push. `sets` is empty on
    servers where an image has one document. `details` is the provider's own: what it must remember between calls to
    address the dataset.
    """

    id: str
    name: str
    images: int | None
    annotations: int | None
    categories: Sequence[JsonObject] = ()
    sets: Sequence[AnnotationSet] = ()
    details: JsonObject = field(default_factory=dict)

    def category_names(self) -> Mapping[str, frozenset[str]]:
        """The names of the categories in each set, under "" on servers without sets; missing where they are not known."""
        if self.sets:
            return {entry.id: frozenset(entry.categories) for entry in self.sets if entry.categories}
        names = frozenset(str(row["name"]) for row in self.categories if "name" in row)
        return {"": names} if names else {}


@dataclass(frozen=True, slots=True)
class Token:
    """A server's sign that something may have changed, as opaque text.

    A strong token moves whenever the content does. A weak one may stand still while content changes (a moved box
    keeps the count): equal weak tokens may skip a read, and never justify a push or a delete.
    """

    text: str
    strong: bool


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """One document of a listed image. `token` is None where the listing shows nothing; `empty` when it shows no annotation."""

    set: str
    token: Token | None
    empty: bool = False


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One row of a listing. Names are the server's own and hostile until mapped to a path.

    `directory` uses "/" between parts and is "" for the root. `size_bytes`, `width_px` and `height_px` are None where
    the server does not say. `md5` is the server's content hash in hex, where it has one. `annotations` is the number of
    annotations that the listing claims.
    """

    id: str
    directory: str
    name: str
    status: str | None
    size_bytes: int | None
    width_px: int | None
    height_px: int | None
    md5: str | None
    annotations: int | None
    documents: tuple[ListedDocument, ...]


@dataclass(frozen=True, slots=True)
class WantedDocument:
    """A document that is to be read, with the listing's row of its image."""

    key: DocumentKey
    image: ListedImage


@dataclass(frozen=True, slots=True)
class ListingEnd:
    """What a pass over a listing showed beside its rows: the material of a proof of completeness.

    `announced` is the total that the server stated, None where it stated none; `steady` is False when that total or the
    chain of pages moved or broke during the pass.
    """

    announced: int | None
    steady: bool
    pages: int


@dataclass(frozen=True, slots=True)
class ReadProblem:
    """Why one document could not be read: the code of an error and its message."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A document as the server held it when it was read: `data` is the document as it would lie in the mirror.

    Where it could not be read, `problem` says why and `data` and `digest` are None. `not_found` among the problems is a
    hint and not yet a deletion. `being_annotated` says that somebody has the image open in an editor that will save over it.
    """

    key: DocumentKey
    data: bytes | None
    digest: Digest | None
    counts: Counts
    problem: ReadProblem | None = None
    being_annotated: bool = False


@dataclass(frozen=True, slots=True)
class ReadWay:
    """One way to learn the documents' contents, with its price in requests.

    Reading n documents costs `fixed_requests` + ceil(n / `documents_per_request`); a way that `covers_all` brings every
    document of the dataset for the fixed price, wanted or not. `fidelity` breaks ties: higher is closer to the server's
    own file.
    """

    name: str
    fixed_requests: int
    documents_per_request: int
    covers_all: bool = False
    fidelity: int = 0

    def requests(self, documents: int) -> int:
        """The price of reading this many documents."""
        if documents == 0:
            return 0
        if self.covers_all:
            return self.fixed_requests
        return self.fixed_requests + -(-documents // self.documents_per_request)


class ChangeSignal(Enum):
    """How much a listing says about changes of documents."""

    STRONG = "strong"
    WEAK = "weak"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do, as values that planning asks instead of asking which server it is.

    `safety_level`: 2 per-annotation writes, 1 re-read and read-back, 0 neither. `listing_page` is the number of
    rows that the cheapest listing returns in one answer. `image_batch` is how many images one request for links serves
    (0: no links, one request each); `reread_requests` how many requests it takes to read one document again, `save_batch`
    how many documents one request saves. `atomic_saves` says that a save of
    one document is done in one step or not at all.
    """

    generation: str
    signal: ChangeSignal
    listing_page: int
    image_batch: int
    safety_level: int
    reread_requests: int = 1
    save_batch: int = 1
    atomic_saves: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was sent to a server since the program started. `limited` counts 429 answers; `waited_s` is for the quota."""

    api: int = 0
    storage: int = 0
    limited: int = 0
    waited_s: float = 0.0

    def since(self, earlier: "Traffic") -> "Traffic":
        """The difference to an earlier count."""
        return Traffic(
            self.api - earlier.api,
            self.storage - earlier.storage,
            self.limited - earlier.limited,
            self.waited_s - earlier.waited_s,
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """What the server still allows, as far as it is known.

    `usable` is what bulk work may spend now (None: no limit is known), `remaining` the same without the reserve that is
    left to others. `limit` per `window_s` seconds; `resets_in_s` is the time until more is allowed.
    """

    usable: int | None = None
    remaining: int | None = None
    limit: int | None = None
    window_s: float | None = None
    resets_in_s: float | None = None
