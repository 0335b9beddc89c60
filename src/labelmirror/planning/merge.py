"""Three-way merge of one document, annotation by annotation: clean, or not at all.

Annotations are matched by key: the server's id where it has stable ones. Laws, property-tested: merge(B,B,X)=X,
merge(B,X,B)=X, merge(B,X,X)=X, symmetric up to order, nothing invented, nothing dropped that both sides kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from labelmirror.model.document import JsonObject, JsonValue
from labelmirror.model.keyed import Keyed


@dataclass(frozen=True, slots=True)
class Field:
    """A value within an annotation, such as "box.x" or "points[2]", by side; a side that has no such field is left out."""

    name: str
    values: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Sides:
    """One annotation as each side has it; None where a side deleted or never had it, or is not known."""

    key: str
    base: JsonObject | None
    local: JsonObject | None
    remote: JsonObject | None

    @property
    def fields(self) -> Sequence[Field]:
        """The innermost fields in which the sides that have it differ, in their order."""
        sides = {"base": self.base, "local": self.local, "remote": self.remote}
        values = {side: value for side, value in sides.items() if value is not None}
        return list(_fields("", values, len(values)))


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged parts in remote order, local additions last; with clashes they are not to be used."""

    parts: Sequence[Keyed]
    clashes: Sequence[Sides]

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
    clashes: list[Sides] = []
    for key in dict.fromkeys((*remotes, *locals_, *bases)):
        old, here, there = bases.get(key), locals_.get(key), remotes.get(key)
        if _same(here, old) or _same(here, there):
            result = there
        elif _same(there, old):
            result = here
        else:
            clashes.append(Sides(key, _value(old), _value(here), _value(there)))
            continue
        if result is not None:
            kept.append(result)
    if not stable_ids and _added(locals_, remotes, bases) and _added(remotes, locals_, bases):
        clashes += [
            Sides(key, bases[key].value, None, None) for key in bases if key not in locals_ and key not in remotes
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


def differing(
    base: Sequence[Keyed] | None, local: Sequence[Keyed] | None, remote: Sequence[Keyed] | None
) -> Sequence[Sides]:
    """The annotations that are not the same on all sides; a side that is None is not known, and not compared.

    What is the same as in base by digest is shown as base has it, so that its fields do not differ in spelling.
    """
    known = [_by_key(side) for side in (base, local, remote) if side is not None]
    bases, locals_, remotes = (_by_key(side or ()) for side in (base, local, remote))
    found: list[Sides] = []
    for key in dict.fromkeys((*remotes, *locals_, *bases)):
        if all(_same(side.get(key), known[0].get(key)) for side in known):
            continue
        old, here, there = bases.get(key), locals_.get(key), remotes.get(key)
        here, there = (old if _same(side, old) else side for side in (here, there))
        found.append(Sides(key, _value(old), _value(here), _value(there)))
    return found


def _fields(name: str, values: Mapping[str, JsonValue], sides: int) -> Iterator[Field]:
    """What differs below this field among so many sides."""
    held = list(values.values())
    if len(held) < sides:
        yield Field(name, values)
    elif all(value == held[0] for value in held):
        return
    elif all(isinstance(value, Mapping) for value in held):
        maps = {side: value for side, value in values.items() if isinstance(value, Mapping)}
        for part in dict.fromkeys(part for value in maps.values() for part in value):
            below = {side: value[part] for side, value in maps.items() if part in value}
            yield from _fields(f"{name}.{part}" if name else part, below, sides)
    elif all(isinstance(value, list) for value in held):
        lists = {side: value for side, value in values.items() if isinstance(value, list)}
        if len({len(value) for value in lists.values()}) > 1:
            yield Field(name, values)
            return
        for index in range(len(next(iter(lists.values())))):
            yield from _fields(f"{name}[{index}]", {side: value[index] for side, value in lists.items()}, sides)
    else:
        yield Field(name, values)


def _added(here: Mapping[str, Keyed], there: Mapping[str, Keyed], bases: Mapping[str, Keyed]) -> bool:
    """Whether one side has an addition that the other has not."""
    return any(key not in bases and key not in there for key in here)


def _by_key(items: Sequence[Keyed]) -> Mapping[str, Keyed]:
    return {item.key: item for item in items}


def _same(first: Keyed | None, second: Keyed | None) -> bool:
    return (first.digest if first else None) == (second.digest if second else None)


def _value(item: Keyed | None) -> JsonObject | None:
    return item.value if item is not None else None
