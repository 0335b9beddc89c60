"""Three-way merge of one document, annotation by annotation: clean, or not at all.

Annotations are matched by key: the server's id where it has stable ones. Laws, property-tested: merge(B,B,X)=X,
merge(B,X,B)=X, merge(B,X,X)=X, symmetric up to order, nothing invented, nothing dropped that both sides kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelmirror.model.document import JsonObject
from labelmirror.model.keyed import Keyed


@dataclass(frozen=True, slots=True)
class Clash:
    """One annotation that both sides changed differently; None where a side deleted or never had it."""

    key: str
    base: JsonObject | None
    local: JsonObject | None
    remote: JsonObject | None

    @property
    def fields(self) -> tuple[str, ...]:
        """The top-level fields in which the two sides differ; empty where one of them deleted it."""
        if self.local is None or self.remote is None:
            return ()
        names = dict.fromkeys((*self.remote, *self.local))
        return tuple(name for name in names if self.local.get(name) != self.remote.get(name))


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged parts in remote order, local additions last; with clashes they are not to be used."""

    parts: Sequence[Keyed]
    clashes: Sequence[Clash]

    @property
    def clean(self) -> bool:
        """Whether both sides' changes fit together."""
        return not self.clashes


def merge(base: Sequence[Keyed], local: Sequence[Keyed], remote: Sequence[Keyed], *, stable_ids: bool = True) -> Merged:
    """Merge two descendants of `base`. Keys are unique within each list (the caller refuses lists where they are not).

    Without `stable_ids` keys are matches and not the server's: what is gone on both sides while each has an addition that
    the other has not may be one annotation that both changed beyond recognition, and clashes.
    """
    bases, locals_, remotes = _by_key(base), _by_key(local), _by_key(remote)
    kept: list[Keyed] = []
    clashes: list[Clash] = []
    for key in dict.fromkeys((*remotes, *locals_, *bases)):
        old, here, there = bases.get(key), locals_.get(key), remotes.get(key)
        if _same(here, old) or _same(here, there):
            result = there
        elif _same(there, old):
            result = here
        else:
            clashes.append(Clash(key, _value(old), _value(here), _value(there)))
            continue
        if result is not None:
            kept.append(result)
    if not stable_ids and _added(locals_, remotes, bases) and _added(remotes, locals_, bases):
        clashes += [
            Clash(key, bases[key].value, None, None) for key in bases if key not in locals_ and key not in remotes
        ]
    return Merged(kept, clashes)


@dataclass(frozen=True, slots=True)
class Difference:
    """How one list differs from another, as keys in the order in which they appear."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def difference(before: Sequence[Keyed], after: Sequence[Keyed]) -> Difference:
    """What became of `before` in `after`."""
    old, new = _by_key(before), _by_key(after)
    return Difference(
        added=tuple(key for key in new if key not in old),
        removed=tuple(key for key in old if key not in new),
        changed=tuple(key for key in new if key in old and new[key].digest != old[key].digest),
    )


def _added(here: Mapping[str, Keyed], there: Mapping[str, Keyed], bases: Mapping[str, Keyed]) -> bool:
    """Whether one side has an addition that the other has not."""
    return any(key not in bases and key not in there for key in here)


def _by_key(items: Sequence[Keyed]) -> Mapping[str, Keyed]:
    return {item.key: item for item in items}


def _same(first: Keyed | None, second: Keyed | None) -> bool:
    return (first.digest if first else None) == (second.digest if second else None)


def _value(item: Keyed | None) -> JsonObject | None:
    return item.value if item is not None else None
