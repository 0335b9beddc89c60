"""Is this a picture at all? Told from its first bytes, so that an error page is never stored as an image."""

HEAD_BYTES = 32

_SIGNATURES: tuple[tuple[int, bytes], ...] = (
    (0, b"\xff\xd8\xff"),  # JPEG
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"GIF87a"),
    (0, b"GIF89a"),
    (0, b"BM"),
    (0, b"II*\x00"),  # TIFF, little endian
    (0, b"MM\x00*"),
    (0, b"II+\x00"),  # BigTIFF
    (0, b"MM\x00+"),
    (8, b"WEBP"),
    (4, b"ftyp"),  # HEIC, AVIF
    (0, b"\x00\x00\x00\x0cjP  "),  # JPEG 2000
    (0, b"\xff\x4f\xff\x51"),
    (0, b"qoif"),
)

_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".avif", ".jp2")


def problem_with(head: bytes, name: str) -> str | None:
    """Why these first bytes (HEAD_BYTES or more, fewer only if there are no more) are no picture; None if they may be.

    A name that is not a picture's passes with whatever it has, unless that is an error page.
    """
    if not head:
        return "it is empty"
    if any(head[at : at + len(mark)] == mark for at, mark in _SIGNATURES):
        return None
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<error")):
        return "it is a web or error page"
    if name.lower().endswith(_PICTURE_SUFFIXES):
        return "it has no picture's signature"
    return None
