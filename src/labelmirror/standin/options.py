"""What a stand-in can be asked to be."""

from dataclasses import dataclass
from enum import StrEnum

from labelmirror.standin.faults import Fault


class WindowKind(StrEnum):
    """How a spent quota comes back: request by request, or all at once."""

    SLIDING = "sliding"
    FIXED = "fixed"


class Role(StrEnum):
    """What a key may do; each role may do everything that the ones before it may."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether a key of this role may do what `needed` may."""
        order = tuple(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandinOptions:
    """One stand-in server and its sample world.

    Without `sample` the server holds nothing at first. `port` 0 takes any free port. `limit` is requests per `window_s` and
    key; None: the server announces no limit. A link to the storage host works for `link_lifetime_s`. An export is ready
    `export_build_s` after its creation and after `export_polls` questions about it; with `export_empty`, images without
    annotations have a member in it. `page_cap` and `batch_cap` bound what one listing page and one batch answer hold.
    Every `unannotated_every`-th image has no annotations (0: all have some). `latency_s` passes before every answer. A fault that hangs or drips lasts `hang_s` at most; an oversized answer has `oversized_bytes`.
    The clock of the server is `clock_offset_s` ahead of this machine's.
    """

    kind: str = "pictograph"
    generation: str = "g2"
    host: str = "127.0.0.1"
    port: int = 0
    storage_host: str = "127.0.0.2"
    sample: bool = True
    images: int = 24
    unannotated_every: int = 5
    hostile_names: bool = False
    seed: int = 1
    role: Role = Role.ADMIN
    limit: int | None = 5_000
    window_s: float = 3_600.0
    window_kind: WindowKind = WindowKind.SLIDING
    link_lifetime_s: int = 900
    page_cap: int = 1_000
    batch_cap: int = 10_000
    export_build_s: float = 0.0
    export_polls: int = 1
    export_empty: bool = True
    latency_s: float = 0.0
    hang_s: float = 30.0
    oversized_bytes: int = 64 * 1024 * 1024
    clock_offset_s: float = 0.0
    faults: tuple[Fault, ...] = ()
