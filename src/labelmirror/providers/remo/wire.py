"""Remo's JSON in Remo's words. Times are opaque texts: they are compared, and only the newest is ever read as a time.

The server lets datasets, sets, folders and classes have empty names.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from labelmirror.providers.answers import Count, Hint, Text, Wire

Id = Annotated[int, Field(ge=0, strict=True)]
TextHint = Annotated[str | None, Hint]


class Version(Wire):
    """What kind of server this is."""

    app: Text
    version: Text


class Login(Wire):
    """A permanent token, the same at every login."""

    key: Text


class PageHead(Wire):
    """What a page says beside its rows. `next` is built from the Host header, so it says only whether there is more."""

    count: Count
    next: str | None = None


class Row(Wire):
    """Whatever a list lists."""

    id: Id


class DatasetRow(Row):
    """A dataset in the list of datasets; `quantity` counts its images."""

    name: str
    quantity: Count
    updated_at: TextHint = None


class TaskRow(Wire):
    """What is annotated in a set; `type` is "object_detection", "instance_segmentation" or "image_classification"."""

    name: Text
    type: Text


class ClassCount(Wire):
    """How often a class is used in a set."""

    name: str
    count: Count


class Statistics(Wire):
    """What a set's images and classes count to. They are renewed at the end of each save."""

    done_count: Count = 0
    skipped_count: Count = 0
    all_classes: Sequence[ClassCount] = ()


class SetRow(Row):
    """An annotation set in the list of a dataset's sets."""

    name: str
    task: TaskRow
    updated_at: TextHint = None
    last_annotated_date: TextHint = None
    statistics: Statistics


class ClassRow(Wire):
    """A class of an annotation set."""

    name: str


class FolderRow(Wire):
    """A folder in a dataset's contents."""

    id: Id
    name: str


class Point(Wire):
    """A point in pixels, whole ones unless a file was taken in."""

    x: int | float
    y: int | float


class SetContents(Wire):
    """What an image has in one set, as it was noted in one step at the end of the last save.

    `coordinates` and `object_classes` go together; of an image classification only `classes` counts.
    """

    annotation_set_id: Id
    coordinates: Sequence[Sequence[Point]] = ()
    object_classes: Sequence[Sequence[str]] = ()
    classes: Sequence[str] = ()
    tags: Sequence[str] = ()


class ImageContents(Wire):
    """An image in a dataset's contents. The last part of `preview` is the MD5 of the original, also of linked files."""

    id: Id
    name: Text
    preview: TextHint = None
    dimensions: Annotated[tuple[Count, Count] | None, Hint] = None
    size_in_bytes: Annotated[Count | None, Hint] = None
    annotations: Sequence[SetContents]


class Entry(Wire):
    """One record of a dataset's contents: a folder or an image."""

    folder: FolderRow | None = None
    image: ImageContents | None = None


class StatusRow(Wire):
    """An image in the list of a set's images."""

    id: Id
    status: Text


class ImageFacts(Wire):
    """An image asked for by its id. The original is `original`, or `image` where that is null."""

    id: Id
    original: str | None = None
    image: Text


class FileRow(Wire):
    """An image in the list of all images. `url` leads to the original, or to a smaller one of another length."""

    id: Id
    url: Text


class DocumentHead(Wire):
    """What is said of an image in a set beside its `annotation_info`."""

    status: Text


class TagRow(Wire):
    """A tag of an image in a set."""

    id: Id
    name: str
