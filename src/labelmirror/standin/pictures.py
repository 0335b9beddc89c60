"""Small pictures, different for every image and known by size before they are made.

A handful of drawings are rendered once. Each image's file is one of them with a comment of fixed length inside that
names the image, so that a hundred thousand files all differ and cost nothing until they are asked for.
"""

import functools
import io
import random
import struct
import zlib
from dataclasses import dataclass

from PIL import Image, ImageDraw

DRAWINGS = 8
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Drawing:
    """A rendered picture and where a comment goes into its file."""

    mime: str
    width: int
    height: int
    head: bytes
    tail: bytes


@functools.cache
def drawing(number: int, mime: str) -> Drawing:
    """The picture with this number (0 to DRAWINGS - 1) as PNG or JPEG."""
    rng = random.Random(number)
    width, height = 48 + 8 * rng.randrange(4), 32 + 8 * rng.randrange(4)
    picture = Image.new("RGB", (width, height), (rng.randrange(256), rng.randrange(256), rng.randrange(256)))
    pen = ImageDraw.Draw(picture)
    for _ in range(4):
        left, top = rng.randrange(width - 8), rng.randrange(height - 8)
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        pen.rectangle((left, top, left + 7, top + 7), fill=colour)
    file = io.BytesIO()
    picture.save(file, format="PNG" if mime == "image/png" else "JPEG")
    content = file.getvalue()
    # PNG: signature (8) and IHDR chunk (25) come first. JPEG: a comment may follow the start marker (2).
    cut = 33 if mime == "image/png" else 2
    return Drawing(mime=mime, width=width, height=height, head=content[:cut], tail=content[cut:])


def size_bytes(base: Drawing) -> int:
    """The length of every file made from this drawing."""
    return len(base.head) + len(_comment(base.mime, "")) + len(base.tail)


def render(base: Drawing, tag: str) -> bytes:
    """The file of one image: the drawing with the first sixteen ASCII characters of `tag` inside."""
    return base.head + _comment(base.mime, tag) + base.tail


def _comment(mime: str, tag: str) -> bytes:
    text = tag.encode("ascii")[:_TAG_BYTES].ljust(_TAG_BYTES, b".")
    if mime == "image/png":
        body = b"tEXt" + b"Comment\0" + text
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
