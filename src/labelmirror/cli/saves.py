"""Finding saves in the journals of mirrors, by whatever a person knows of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelmirror.app import Workshop, open_local_mirror
from labelmirror.engine.mirror import image_path
from labelmirror.model.saving import SaveRecord


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which saves are meant; None: whatever it is. `id` is the beginning of one, `image` an id or a path in the mirror."""

    id: str = ""
    image: str | None = None
    run: str | None = None
    since_s: float = 0.0

    def means(self, save: SaveRecord, folders: Mapping[str, str]) -> bool:
        """Whether a save is one of them; `folders` are those of annotation sets, by id. Saves of images that are gone can
        be named too.
        """
        named = self.image is None or self.image.removeprefix("./") in _names(save, folders.get(save.key.set))
        return save.id.startswith(self.id) and named


def _names(save: SaveRecord, folder: str | None) -> frozenset[str]:
    """The image's id and path, and the path of its document, in the folder of an annotation set if it has one."""
    document = f"{save.image}.json" if folder is None else f"{folder}/{save.image}.json"
    return frozenset({save.key.image, image_path(save.image), f"annotations/{document}"})


async def find(shop: Workshop, names: Sequence[str], wanted: Wanted) -> Sequence[tuple[str, SaveRecord]]:
    """The wanted saves of these mirrors, newest first, each with its mirror's name."""
    found: list[tuple[str, SaveRecord]] = []
    for name in names:
        async with open_local_mirror(shop, name) as mirror:
            saves = await mirror.state.journal.saves(run=wanted.run, since_s=wanted.since_s)
            folders = {entry.id: entry.folder for entry in await mirror.state.sets()}
        found += [(name, save) for save in saves if wanted.means(save, folders)]
    return sorted(found, key=lambda each: each[1].at_s, reverse=True)
