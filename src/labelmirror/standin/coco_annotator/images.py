"""Images: the listing of all, their bytes, uploads and removal (contract, sections 5, 6, 11 and 12)."""

import io
import posixpath
import zlib
from email.utils import formatdate
from typing import Any

from PIL import Image as Picture
from PIL import UnidentifiedImageError

from labelmirror.standin.coco_annotator import wire
from labelmirror.standin.coco_annotator.desk import DONE, Desk, broken, flag, forbidden, invalid, refusal, whole
from labelmirror.standin.coco_annotator.world import Dataset, Image, User
from labelmirror.standin.exchange import Call, Memory, Refusal, Reply, Route

_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_QUALITY = 90


class ImageRoutes:
    """What can be done with images."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._world = desk.world

    def routes(self) -> tuple[Route, ...]:
        """The operations."""
        route = self._desk.route
        one = r"/image/{id:\d+}"
        return (
            route("images.list", "GET", "/image/", self._list),
            route("images.create", "POST", "/image/", self._upload),
            route("images.bytes", "GET", one, self._bytes),
            route("images.head", "HEAD", one, self._bytes),
            route("images.delete", "DELETE", one, self._delete),
        )

    async def _list(self, call: Call, user: User) -> Reply:
        page, size = whole(call, "page", 1), whole(call, "per_page", 50)
        if page < 1 or size < 1:
            raise broken()
        seen = {number for number, dataset in self._world.datasets.items() if self._desk.sees(user, dataset)}
        images = [image for image in self._world.images.values() if image.dataset_id in seen and not image.deleted]
        fields = call.query.get("fields", "")
        rows = [wire.image(image) for image in images[(page - 1) * size : page * size]]
        if fields:
            kept = ("id", *fields.split(","))
            try:
                rows = [{name: row[name] for name in kept} for row in rows]
            except KeyError as error:
                raise broken() from error
        return Reply(
            {
                "total": len(images),
                "pages": len(images) // size + 1,
                "page": page - 1,
                "fields": fields,
                "per_page": size,
                "images": rows,
            }
        )

    async def _bytes(self, call: Call, user: User) -> Reply:
        image = self._asked(call, user)
        if not image.on_disk:
            raise broken()
        headers = {"Cache-Control": "public, max-age=43200"}
        if flag(call, "asAttachment"):
            headers["Content-Disposition"] = _attached(image)
        if flag(call, "original") and self._world.knows_original:
            content = image.content
            checksum = zlib.adler32(image.path.encode("utf-8", "surrogatepass"))
            headers["ETag"] = f'"{image.modified_s:.6f}-{len(content)}-{checksum}"'
            headers["Last-Modified"] = formatdate(image.modified_s, usegmt=True)
            return Reply(content=Memory(content), mime=image.mime, headers=headers)
        width, height = whole(call, "width", image.width), whole(call, "height", image.height)
        if width < 1 or height < 1:
            raise broken()
        return Reply(
            content=Memory(_encoded_again(image, width, height)), mime=image.mime, headers=headers, chunked=True
        )

    async def _upload(self, call: Call, user: User) -> Reply:
        file, given = dict(call.files).get("image"), call.form.get("dataset_id", call.query.get("dataset_id"))
        if file is None:
            raise invalid({"image": "Missing required parameter in an uploaded file"})
        if given is None:
            raise invalid({"dataset_id": "Missing required parameter"})
        dataset = self._world.datasets.get(int(given))
        if dataset is None or not self._desk.sees(user, dataset):
            raise refusal(400, {"message": "dataset does not exist"})
        if any(image.path == f"{dataset.directory}{file.filename}" for image in self._world.images.values()):
            raise refusal(400, {"message": "file already exists"})
        if not self._folder_exists(dataset, file.filename):
            raise broken()
        payload, width, height = _stored(file.filename, file.data)
        return Reply(self._world.add_image(dataset, file.filename, payload, width=width, height=height).id)

    def _folder_exists(self, dataset: Dataset, name: str) -> bool:
        """Whether there is a folder to put a file into, in whatever dataset it lies."""
        folder = posixpath.dirname(posixpath.normpath(f"{dataset.directory}{name}")) + "/"
        if any(known.directory == folder for known in self._world.datasets.values()):
            return True
        return any(posixpath.normpath(image.path).startswith(folder) for image in self._world.images.values())

    async def _delete(self, call: Call, user: User) -> Reply:
        image = self._asked(call, user)
        if not self._desk.owns(user, self._world.datasets[image.dataset_id]):
            raise forbidden("delete the image")
        self._world.delete(image)
        return Reply(DONE)

    def _asked(self, call: Call, user: User) -> Image:
        image = self._desk.image(int(call.params["id"]), user)
        if image is None or image.deleted:
            raise refusal(400, {"success": False})
        return image


def _attached(image: Image) -> str:
    """The header that names a file. Raises Refusal where the server sends one that cannot be encoded."""
    if image.file_name.isascii():
        return f'attachment; filename="{image.file_name}"'
    try:
        image.file_name.encode("latin-1")
    except UnicodeEncodeError:
        return f"attachment; filename*=UTF-8''{image.id}"
    raise Refusal(500, "html", "Internal Server Error")


def _encoded_again(image: Image, width: int, height: int) -> bytes:
    """The picture as JPEG, made to fit and never enlarged. Raises Refusal for a file that is no picture."""
    try:
        with Picture.open(io.BytesIO(image.content)) as picture:
            plain = picture.convert("RGB")
    except UnidentifiedImageError as error:
        raise broken() from error
    plain.thumbnail((width, height))
    return _saved(plain, "JPEG", quality=_QUALITY)


def _stored(name: str, data: bytes) -> tuple[bytes, int, int]:
    """What the server keeps of an uploaded picture: it is encoded again, as the extension says. Its width and height.

    Raises Refusal where the server breaks.
    """
    try:
        with Picture.open(io.BytesIO(data)) as picture:
            return _saved(picture, _FORMATS[f".{name.rpartition('.')[2].lower()}"]), picture.width, picture.height
    except (UnidentifiedImageError, KeyError, OSError) as error:
        raise broken() from error


def _saved(picture: Picture.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=form, **options)
    return file.getvalue()
