"""The kinds of servers that can be stood in for."""

from collections.abc import Callable

from labelmirror.standin import coco_annotator, pictograph, remo
from labelmirror.standin.errors import StandinError
from labelmirror.standin.faults import nearest
from labelmirror.standin.service import Ground, Service

BUILDERS: dict[str, Callable[[Ground], Service]] = {
    "pictograph": pictograph.build,
    "coco-annotator": coco_annotator.build,
    "remo": remo.build,
}


def builder(kind: str) -> Callable[[Ground], Service]:
    """What builds this kind. Raises StandinError for an unknown one."""
    if kind not in BUILDERS:
        raise StandinError(f"unknown kind {kind!r}{nearest(kind, tuple(BUILDERS))}")
    return BUILDERS[kind]
