"""Pictograph's JSON in Pictograph's words. Unknown fields are ignored here; what is demanded must have its type.

Hints are not demanded: one row with an odd number must not hide all others, so an unreadable hint is none. Names that
changed between the generations of the server are aliases of one field, the newest name first.
"""

from typing import Annotated

from pydantic import AliasChoices, Field, PlainValidator

from labelmirror.providers.answers import Count, Hint, Text, Wire


def _directory(value: object) -> str | None:
    """A directory decides where files lie, so it is no hint; it may be absent."""
    if value is not None and not isinstance(value, str):
        raise ValueError("a text is expected")
    return value


CountHint = Annotated[Count | None, Hint]
TextHint = Annotated[str | None, Hint]


class DatasetRow(Wire):
    """A dataset, as lists and single answers show it."""

    id: Text
    name: Text
    image_count: Count | None = None
    annotation_count: Count | None = None
    storage_class: str | None = None


class ImageRow(Wire):
    """An image in a listing."""

    id: Text
    filename: Text
    status: TextHint = None
    file_size: CountHint = None
    annotation_count: CountHint = None
    width: CountHint = Field(None, validation_alias=AliasChoices("width", "image_width"))
    height: CountHint = Field(None, validation_alias=AliasChoices("height", "image_height"))
    directory: Annotated[str | None, PlainValidator(_directory)] = Field(
        None, validation_alias=AliasChoices("directory_path", "virtual_folder_path", "folder_path", "image_path")
    )


class ImageFacts(Wire):
    """An image asked for by its id."""

    id: Text
    dataset_id: str | None = None
    is_archived: bool = False


class Pagination(Wire):
    """What a page of a list says about the list."""

    total: Count | None = None
    has_more: bool | None = None


class LinkItem(Wire):
    """One image of a batch download."""

    id: str | None = None
    filename: str | None = None
    image_url: str | None = None
    annotation_url: str | None = None


class FileItem(Wire):
    """One document of the oldest generation's list of annotation files."""

    image_id: Text
    url: Text


class ExportRow(Wire):
    """An export: "pending", "processing", "completed" or "failed"."""

    status: Text
    error_message: str | None = None
    file_size: Count | None = None


class ExportLink(Wire):
    """Where a finished export lies."""

    download_url: Text


class SavedRow(Wire):
    """What the server says about one save that it did."""

    image_id: Text
    previous_count: Count | None = None


class FailedRow(Wire):
    """What it says about one save of many that it did not do."""

    image_id: Text
    error: str = ""


class BulkAnswer(Wire):
    """The answer to a bulk save."""

    saved: tuple[SavedRow, ...]
    failed: tuple[FailedRow, ...]
