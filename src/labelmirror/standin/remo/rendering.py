"""Pictures that a Remo makes of others: smaller ones of the large, and thumbnails."""

import functools
import io

from PIL import Image as Picture
from PIL import ImageDraw

from labelmirror.standin.remo.model import Image

#: Above this many pixels the browser gets a smaller picture (10.78 megapixels by the server's settings).
LARGE_SIZE = (3600, 3100)
REDUCED_SIZE = (3104, 2673)
_THUMBNAIL = (32, 32)


@functools.cache
def large() -> bytes:
    """A picture that is too large to be shown whole."""
    picture = Picture.new("RGB", LARGE_SIZE, (90, 140, 180))
    ImageDraw.Draw(picture).rectangle((1200, 900, 2200, 1700), fill=(30, 60, 90))
    return _jpeg(picture)


@functools.cache
def reduced() -> bytes:
    """The same picture as it is shown."""
    return _jpeg(Picture.open(io.BytesIO(large())).resize(REDUCED_SIZE, Picture.Resampling.NEAREST))


def thumbnail(image: Image) -> bytes:
    """A small picture of an image."""
    picture = Picture.open(io.BytesIO(image.content))
    picture.thumbnail(_THUMBNAIL)
    return _jpeg(picture)


def _jpeg(picture: Picture.Image) -> bytes:
    file = io.BytesIO()
    picture.convert("RGB").save(file, format="JPEG")
    return file.getvalue()
