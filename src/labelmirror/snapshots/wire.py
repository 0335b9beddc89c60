"""What the store's own files say. Pages and manifests are read back only after their digest proved that they are ours.

ASCII throughout: a name from a server may hold what UTF-8 cannot.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from labelmirror.model.document import ContentId, Digest
from labelmirror.model.keys import DocumentKey
from labelmirror.model.snapshot import SavedDocument, SavedImage, SavedStray, SnapshotHead, SnapshotPage
from labelmirror.tree.names import TOPS

VERSION: Final = 1


def page_out(page: SnapshotPage) -> bytes:
    """A page as it is stored: the same page always gives the same bytes."""
    wire = {
        "images": [
            {
                "id": image.id,
                "directory": image.directory,
                "name": image.name,
                "path": image.path,
                "size": image.size_bytes,
                "sha256": image.content,
                "included": image.included,
                "documents": [
                    {"set": saved.key.set, "path": saved.path, "content": saved.content, "digest": saved.digest}
                    for saved in image.documents
                ],
            }
            for image in page.images
        ],
        "strays": [{"path": stray.path, "content": stray.content} for stray in page.strays],
    }
    return json.dumps(wire, separators=(",", ":")).encode()


def page_in(data: bytes) -> SnapshotPage:
    """Read a page. Raises ValueError."""
    wire = json.loads(data)
    try:
        return SnapshotPage(
            tuple(_image_in(image) for image in wire["images"]),
            tuple(SavedStray(_path_in(stray["path"]), ContentId(stray["content"])) for stray in wire["strays"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def _image_in(wire: dict[str, Any]) -> SavedImage:
    return SavedImage(
        id=wire["id"],
        directory=wire["directory"],
        name=wire["name"],
        path=_path_in(wire["path"]),
        size_bytes=wire["size"],
        content=wire["sha256"],
        included=wire["included"],
        documents=tuple(
            SavedDocument(
                DocumentKey(wire["id"], saved["set"]),
                _path_in(saved["path"]),
                ContentId(saved["content"]),
                Digest(saved["digest"]) if saved["digest"] is not None else None,
            )
            for saved in wire["documents"]
        ),
    )


def _path_in(path: str) -> str:
    """A path that stays within a mirror: a store may come from anybody. Raises ValueError."""
    parts = path.split("/")
    if parts[0] not in TOPS or len(parts) < 2 or not {"", ".", ".."}.isdisjoint(parts) or "\0" in path:
        msg = f"{path!r} is no path of a mirror"
        raise ValueError(msg)
    return path


def manifest_out(head: SnapshotHead) -> bytes:
    """A manifest as it is stored, for people to read as well."""
    wire = {
        "version": VERSION,
        "store": head.store,
        "mirror": head.mirror,
        "server": head.server,
        "dataset_id": head.dataset_id,
        "dataset_name": head.dataset_name,
        "at": datetime.fromtimestamp(head.at_s, UTC).isoformat(),
        "images": head.images,
        "documents": head.documents,
        "images_included": head.images_included,
        "bytes_new": head.bytes_new,
        "summary": head.summary,
        "pages": head.pages,
    }
    return (json.dumps(wire, indent=2) + "\n").encode()


def manifest_in(data: bytes) -> SnapshotHead:
    """Read a manifest. Raises ValueError."""
    wire = json.loads(data)
    try:
        if wire["version"] != VERSION:
            msg = f"version {wire['version']}"
            raise ValueError(msg)
        return SnapshotHead(
            store=wire["store"],
            mirror=wire["mirror"],
            server=wire["server"],
            dataset_id=wire["dataset_id"],
            dataset_name=wire["dataset_name"],
            at_s=datetime.fromisoformat(wire["at"]).timestamp(),
            images=wire["images"],
            documents=wire["documents"],
            images_included=wire["images_included"],
            bytes_new=wire["bytes_new"],
            summary=wire["summary"],
            pages=tuple(wire["pages"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def store_out(store_id: str) -> bytes:
    """store.json, which says whose folder this is."""
    return (json.dumps({"version": VERSION, "id": store_id}, indent=2) + "\n").encode()


def store_in(data: bytes) -> str:
    """The store's id. Raises ValueError."""
    match json.loads(data):
        case {"version": 1, "id": str(store_id)}:
            return store_id
        case _:
            msg = "no store of this version"
            raise ValueError(msg)
