"""The stand-in Remo 0.6.1.

It follows the wire contract that the provider is written from; what it answers was compared with the real server.
Not stood in for: search, uploads of anything but image files, duplicates of datasets, the deprecated calls.
"""

from labelmirror.standin.remo.dialect import build
from labelmirror.standin.remo.model import (
    AnnotationSet,
    Dataset,
    Folder,
    Image,
    Mark,
    Object,
    Row,
    Sketch,
    Status,
    Task,
)
from labelmirror.standin.remo.world import RemoWorld

__all__ = [
    "AnnotationSet",
    "Dataset",
    "Folder",
    "Image",
    "Mark",
    "Object",
    "RemoWorld",
    "Row",
    "Sketch",
    "Status",
    "Task",
    "build",
]
