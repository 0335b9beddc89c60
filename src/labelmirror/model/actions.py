"""What a plan says of single documents and images, and of a whole mirror."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from labelmirror.model.keys import DocumentKey


class ImageAction(Enum):
    """What is to be done with the bytes of one image."""

    NOTHING = "nothing"
    #: No file of it is here.
    PULL = "pull"
    #: The file here is damaged, or the server's is another one: the old file goes to history.
    REPLACE = "replace"
    RETIRE = "retire"
    #: Gone on the server and kept here by choice.
    KEEP = "keep"
    #: Not known this time.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sides:
    """What a plan saw on the three sides of one item, each as a digest; None: absent there."""

    base: str | None = None
    local: str | None = None
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One line of a plan. `action` is an outcome's or image action's name, `path` tells a document from its image.

    What `waits` is for a person: a run only tells of it.
    """

    key: DocumentKey
    path: str
    action: str
    sides: Sides = Sides()
    waits: bool = False

    @property
    def of_image(self) -> bool:
        """Whether this is about the bytes of an image; else about a document."""
        return self.path.startswith("images/")


@dataclass(frozen=True, slots=True)
class Agreed:
    """Items of a plan that was made before. They alone are carried out, and only while all that they name stands still."""

    documents: Mapping[DocumentKey, PlanItem]
    images: Mapping[str, PlanItem]

    @classmethod
    def on(cls, items: Iterable[PlanItem]) -> "Agreed":
        """Agreement on these items."""
        documents, images = dict[DocumentKey, PlanItem](), dict[str, PlanItem]()
        for item in items:
            if item.of_image:
                images[item.key.image] = item
            else:
                documents[item.key] = item
        return cls(documents, images)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What carrying out a plan will cost, beside looking again. `requests` counts the API only.

    `size_bytes` is None where the server does not tell the size of every image, `eta_s` where nothing is known.
    `window_remaining` is what the server's window still allows, None where it announces no limit.
    """

    requests: int
    size_bytes: int | None
    window_remaining: int | None
    fits: bool
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A guard's refusal: the numbers, five examples, and the option that consents."""

    rule: str
    count: int
    limit: int
    base: int
    examples: tuple[str, ...]
    override: str

    @property
    def message(self) -> str:
        """One sentence with the numbers and the consent."""
        shown = f" (such as {', '.join(self.examples)})" if self.examples else ""
        consent = f"; if that is meant: {self.override}" if self.override else ""
        return f"{self.rule}: {self.count} of {self.base}, {self.limit} go without consent{shown}{consent}"
