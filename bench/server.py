"""A stand-in server in a process of its own, which counts what it is asked and can be told to change its world.

Run as a program it takes its options as JSON on the command line, prints its address and key as JSON, and answers each
line of standard input with one of JSON.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.storage import enlarge, serve_files

from labelmirror.providers.pictograph.format import PictographFormat
from labelmirror.standin import Standin, StandinOptions, serve

DATASET = "harbour"


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests that the server counted, and the bytes of files that its storage host sent."""

    api: int
    storage: int
    storage_bytes: int


class Server:
    """The other end."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, key: str) -> None:
        self._process = process
        self.url = url
        self.key = key

    def asked(self) -> Asked:
        """What was counted since this was last called."""
        return Asked(**self._order("asked"))

    def routes(self) -> dict[str, int]:
        """What was asked since `asked` was last called, by route."""
        found: dict[str, int] = self._order("routes")
        return found

    def change(self, images: int) -> None:
        """Change so many images: every other one gets an annotation more, the rest have one moved."""
        self._order(f"change {images}")

    def complete(self, images: int) -> None:
        """Give so many images the status `complete`, and all others `new`."""
        self._order(f"complete {images}")

    def hasten(self, delay_s: float) -> None:
        """Let files be as large as photographs, from a host that costs little and answers after this delay."""
        self._order(f"hasten {delay_s}")

    def links(self) -> dict[str, str]:
        """Signed links to all images, by id."""
        found: dict[str, str] = self._order("links")
        return found

    def digests(self) -> dict[str, str]:
        """The canonical digest of each image's annotations, by its id."""
        found: dict[str, str] = self._order("digests")
        return found

    def _order(self, order: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def server(**options: object) -> Iterator[Server]:
    """A running stand-in with these options, and no quota unless they name one."""
    given = {"limit": None, "link_lifetime_s": 86_400, "unannotated_every": 0, **options}
    command = [sys.executable, "-m", "bench.server", json.dumps(given)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(process, **json.loads(process.stdout.readline()))
        finally:
            process.stdin.close()


async def main() -> None:
    """Serve until standard input ends."""
    async with serve(StandinOptions(**json.loads(sys.argv[1]))) as standin:
        # The official SDK puts all directories into one folder: names that occur twice would get lost there.
        for image in standin.world.dataset(DATASET):
            standin.world.move_image(image, image.directory, f"{image.number:07d}-{image.filename}")
        print(json.dumps({"url": standin.url, "key": standin.key}), flush=True)
        while order := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await _obeyed(standin, order.split())), flush=True)


async def _obeyed(standin: Standin, order: list[str]) -> object:
    dataset = standin.world.dataset(DATASET)
    images = dataset.active
    match order:
        case ["asked"]:
            sent_bytes = sum(entry.sent_bytes for entry in standin.requests if entry.route.startswith("storage."))
            counted = {"api": standin.requests.api, "storage": standin.requests.storage, "storage_bytes": sent_bytes}
            standin.requests.clear()
            return counted
        case ["routes"]:
            return dict(standin.requests.by_route)
        case ["change", number]:
            for index, image in enumerate(images[: int(number)]):
                if index % 2:
                    standin.world.move_geometry(image)
                else:
                    standin.world.annotate(image)
            return None
        case ["complete", number]:
            for index, image in enumerate(images):
                image.status = "complete" if index < int(number) else "new"
            return None
        case ["hasten", delay_s]:
            enlarge(dataset)
            await serve_files(standin, dataset, float(delay_s))
            return None
        case ["links"]:
            signer, now_s = standin._signer, standin.clock.now_s()  # noqa: SLF001 - what its storage host would sign
            return {image.id: signer.link(f"/images/{image.id}", now_s) for image in images}
        case ["digests"]:
            documents = PictographFormat()
            return {image.id: documents.digest({"annotations": list(image.annotations)}) for image in images}
        case _:
            raise ValueError(f"no such order: {order}")


if __name__ == "__main__":
    asyncio.run(main())
