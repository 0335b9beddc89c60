"""The sample world: one dataset with everything that is odd about Remo, and a small plain one."""

from labelmirror.standin import hostile, pictures, sample
from labelmirror.standin.clock import ServerClock
from labelmirror.standin.remo import rendering
from labelmirror.standin.remo.model import AnnotationSet, Dataset, Folder, Image, Mark, Points, Sketch, Status, Task
from labelmirror.standin.remo.world import RemoWorld

CLASSES = ("Boat", "Ship", "Buoy")
_SPACED = "Möwe über dem Hafen 日本.jpg"
_LINKED = "/srv/scans/pier 100% (new) #1/überblick.png"
_AGE_S = 86_400.0
#: Which images of `harbour` are odd: by their numbers, from 0.
NAMED_TWICE = (8, 9)
LARGE, LINKED, SPACED, MANY = 10, 11, 4, 3


def sample_world(
    clock: ServerClock, *, clock_offset_s: float, images: int, unannotated_every: int, hostile_names: bool, seed: int
) -> RemoWorld:
    """A world made a day ago: `harbour` with this many images, and `meadow & shore` with four and a single set.

    `harbour` has three sets, one for each task: `boxes`, `outlines` and `scene`. Images lie in folders; one name is
    not ASCII, one is there twice, one file is large, another only linked, and with hostile names the first images bear
    those. The first image without annotations was never touched.
    """
    world = RemoWorld(ServerClock(clock_offset_s - _AGE_S), seed)
    harbour = world.add_dataset("harbour")
    _furnish(world, harbour, images, hostile.HOSTILE_PLACES[:images] if hostile_names else ())
    _annotate(world, harbour, unannotated_every)
    meadow = world.add_dataset("meadow & shore")
    for number in range(4):
        world.add_image(meadow, f"reed-{number}.jpg")
    boxes = world.add_set(meadow, "boxes", Task.DETECTION, CLASSES)
    for image in meadow.images_in(None)[:3]:
        world.save(boxes, image, _boxes(image, 1))
    world.clock = clock
    return world


def _furnish(world: RemoWorld, dataset: Dataset, images: int, places: tuple[tuple[str, str], ...]) -> None:
    folders: dict[str, Folder | None] = {"": None}
    for number in range(images):
        directory, name = places[number] if number < len(places) else _place(number)
        folder = _folder(world, dataset, folders, directory.strip("/"))
        match number:
            case _ if number == LARGE:
                world.add_image(
                    dataset,
                    name,
                    folder,
                    payload=rendering.large(),
                    size=rendering.LARGE_SIZE,
                    reduced=(rendering.reduced(), rendering.REDUCED_SIZE),
                )
            case _ if number == LINKED:
                world.add_image(dataset, name, folder, mime="image/png", linked=_LINKED)
            case _:
                mime = "image/png" if name.endswith(".png") else "image/jpeg"
                world.add_image(dataset, name, folder, mime=mime)


def _place(number: int) -> tuple[str, str]:
    directory = sample.DIRECTORIES[number % len(sample.DIRECTORIES)]
    odd = {SPACED: _SPACED, LARGE: "panorama.jpg", LINKED: _LINKED.rpartition("/")[2]}
    if number in odd:
        return directory, odd[number]
    shared = NAMED_TWICE[0] if number in NAMED_TWICE else number
    return directory, f"pier-{shared:05d}{'.png' if shared % 3 == 1 else '.jpg'}"


def _folder(world: RemoWorld, dataset: Dataset, folders: dict[str, Folder | None], directory: str) -> Folder | None:
    if directory not in folders:
        above, _, name = directory.rpartition("/")
        folders[directory] = world.add_folder(dataset, name, _folder(world, dataset, folders, above))
    return folders[directory]


def _annotate(world: RemoWorld, dataset: Dataset, unannotated_every: int) -> None:
    boxes = world.add_set(dataset, "boxes", Task.DETECTION, CLASSES)
    outlines = world.add_set(dataset, "outlines", Task.SEGMENTATION, CLASSES)
    scene = world.add_set(dataset, "scene", Task.CLASSIFICATION, ("Busy", "Calm"))
    untouched = True
    for number, image in enumerate(dataset):
        if unannotated_every and number % unannotated_every == unannotated_every - 1:
            if not untouched:
                world.set_status(boxes, image, Status.SKIPPED)
            untouched = False
            continue
        world.save(boxes, image, _boxes(image, 12 if number == MANY else 1 + number % 3))
        if number % 3 == 0:
            world.set_status(boxes, image, Status.DONE)
        if number % 2 == 0:
            world.save(outlines, image, _outlines(image, 1 + number % 2))
        if number % 3 != 2:
            _classify(world, scene, image, number)
        if number % 6 == 0:
            world.tag(boxes, image, "night")
        if number % 9 == 0:
            world.tag(boxes, image, "blurry")


def _boxes(image: Image, count: int) -> list[Sketch]:
    return [
        Sketch(
            name=f"OBJ {number}",
            points=((number, 2 * number), (number + 11, 2 * number + 7 + image.id % 5)),
            marks=_marks(number),
            auto_created=number == 4,
        )
        for number in range(1, count + 1)
    ]


def _marks(number: int) -> tuple[Mark, ...]:
    """The classes of the object with this number: the second has two, the third is in doubt."""
    marks = (Mark(CLASSES[number % len(CLASSES)], questionable=number == 3),)
    return (*marks, Mark(CLASSES[(number + 1) % len(CLASSES)])) if number == 2 else marks


def _outlines(image: Image, count: int) -> list[Sketch]:
    height = pictures.drawing(image.id % pictures.DRAWINGS, "image/png").height
    shapes: list[Points] = [((n, n), (n + 13, n + 1), (n + 9, height - n), (n, n + 8)) for n in range(1, count + 1)]
    return [
        Sketch(name=f"OBJ {number}", points=points, marks=(Mark(CLASSES[number % len(CLASSES)]),))
        for number, points in enumerate(shapes, 1)
    ]


def _classify(world: RemoWorld, scene: AnnotationSet, image: Image, number: int) -> None:
    busy = Mark("Busy", score=round(number % 14 / 14, 3))
    world.save(scene, image, marks=[busy, Mark("Calm", questionable=True)] if number % 2 else [busy])
    world.set_status(scene, image, Status.DONE)
