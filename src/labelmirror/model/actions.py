"""What a plan says of single documents and images, and of a whole mirror."""

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
class PlanItem:
    """One line of a plan, as people and `plan --json` see it. `action` is an outcome's or image action's name."""

    key: DocumentKey
    path: str
    action: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What carrying out a plan will cost. `requests` counts the API only; `eta_s` is None where nothing is known.

    `window_remaining` is what the server's window still allows, None where it announces no limit.
    """

    requests: int
    size_bytes: int
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
