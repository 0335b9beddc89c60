"""Annotations with the keys by which they are told apart."""

from dataclasses import dataclass

from labelmirror.model.document import Digest, JsonObject


@dataclass(frozen=True, slots=True)
class Keyed:
    """One annotation of a document: its key there, the digest of its canonical form, and itself, carried verbatim."""

    key: str
    digest: Digest
    value: JsonObject
