"""One pass over a dataset's images: its folders level by level, with what each image has in every annotation set."""

from collections import deque
from collections.abc import Mapping

from labelmirror.errors import ProtocolError
from labelmirror.model.remote import Dataset, ListedImage, ListingEnd
from labelmirror.ports.provider import PageSink
from labelmirror.providers import answers
from labelmirror.providers.remo import convert, routes, wire
from labelmirror.providers.remo.session import Session, page_of
from labelmirror.transport.parallel import in_parallel


async def list_images(session: Session, dataset: Dataset, sink: PageSink, connections: int) -> ListingEnd:
    """Hand all rows to `sink`. Raises ProtocolError for a page without its list.

    Only the contents show folders, and they show each image as it was noted in one step; but pages of them may overlap or
    miss (contract, 3), so the total is asked for by itself, after the last page.
    """
    statuses = await _statuses(session, dataset, connections)
    folders: deque[tuple[int | None, str]] = deque([(None, "")])
    seen: set[int] = set()
    pages, steady = 0, True
    while folders:
        folder, directory = folders.popleft()
        path = routes.contents(dataset.id, folder)
        count: int | None = None
        async for page in session.pages(path):
            pages += 1
            steady = steady and count in {None, page.count}
            count = page.count
            images: list[ListedImage] = []
            for value in page.rows:
                entry = answers.read(wire.Entry, value, where=f"GET {path}")
                if entry.image is not None:
                    images.append(convert.image_of(entry.image, directory, dataset, statuses))
                elif entry.folder is None:
                    raise ProtocolError(f"GET {path}: an item is neither an image nor a folder")
                elif entry.folder.id not in seen:
                    seen.add(entry.folder.id)
                    folders.append((entry.folder.id, f"{directory}/{entry.folder.name}".lstrip("/")))
            if images:
                await sink(images)
    return ListingEnd(await _announced(session, dataset), steady, pages)


async def _announced(session: Session, dataset: Dataset) -> int:
    """How many images the dataset has now, in whatever folder."""
    path = routes.images(dataset.id)
    return page_of(await session.get(path, {"limit": "1"}), where=f"GET {path}").count


async def _statuses(session: Session, dataset: Dataset, connections: int) -> Mapping[str, Mapping[int, str]]:
    """The status of each image in each set in which not all of them are untouched."""

    async def of(annotation_set: str) -> Mapping[int, str]:
        path = routes.set_images(annotation_set)
        found: dict[int, str] = {}
        async for page in session.pages(path):
            rows = [answers.read(wire.StatusRow, value, where=f"GET {path}") for value in page.rows]
            found |= {row.id: row.status for row in rows}
        return found

    touched = [entry.id for entry in dataset.sets if not convert.is_untouched(dataset, entry.id)]
    return dict(zip(touched, await in_parallel(of, touched, connections), strict=True))
