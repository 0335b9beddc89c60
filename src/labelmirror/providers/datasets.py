"""The dataset that a configuration names, among those that the server has. Pure."""

import difflib
from collections.abc import Iterable

from labelmirror.errors import UnknownDataset
from labelmirror.model.keys import DatasetRef

#: So many of a server's names are told where none is near the one that was meant.
NAMES_TOLD = 10


def is_meant(ref: DatasetRef, dataset: str, name: str) -> bool:
    """Whether a reference means the dataset with this id and this name."""
    return name == ref.name if ref.name is not None else dataset == ref.id


def unknown_dataset(ref: DatasetRef, held: Iterable[str]) -> UnknownDataset:
    """The error that tells the nearest of the names that are there, or some of them all, and what lists the others."""
    names = sorted(held)
    near = difflib.get_close_matches(ref.name or "", names, n=3, cutoff=0.5)
    said = "The nearest names are" if near else f"It has {len(names)}, such as"
    hint = f"{said}: {', '.join(near or names[:NAMES_TOLD])}. `labelmirror datasets` lists all."
    return UnknownDataset(
        f"the server has no dataset {ref}", hint=hint if names else "This login sees no dataset at all."
    )
