"""The stand-in COCO Annotator.

It follows the wire contract that the provider is written from, bugs included: what the server wipes, this wipes.
"""

from labelmirror.standin.coco_annotator.dialect import build
from labelmirror.standin.coco_annotator.world import Annotation, Category, CocoWorld, Dataset, Image, User

__all__ = ["Annotation", "Category", "CocoWorld", "Dataset", "Image", "User", "build"]
