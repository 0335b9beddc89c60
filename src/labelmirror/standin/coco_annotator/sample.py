"""The sample of a COCO Annotator: something of everything that a mirror has to cope with."""

import random

from labelmirror.standin import hostile, sample
from labelmirror.standin.clock import ServerClock
from labelmirror.standin.coco_annotator.world import Category, CocoWorld, Image
from labelmirror.standin.options import StandinOptions

#: The first user, an admin who owns all samples.
ADMIN = "admin"
_MEADOW = (0, 5, 14, 11)


def bare_world(clock: ServerClock, options: StandinOptions) -> CocoWorld:
    """A world with its first user."""
    world = CocoWorld(clock, options.seed)
    world.add_user(ADMIN, f"{world.rng.getrandbits(64):016x}", is_admin=True)
    return world


def sample_world(clock: ServerClock, options: StandinOptions) -> CocoWorld:
    """A world with the datasets `harbour` of `options.images` images, `meadow & shore`, and a deleted one, `attic`.

    `harbour` has one more image that is deleted. Of the categories, `buoy` is used by no annotation and `wreck` is
    deleted. With hostile names, the first images of `harbour` bear them.
    """
    world = bare_world(clock, options)
    boat = world.add_category("boat", ADMIN, "#e6194b", supercategory="vessel")
    building = world.add_category("building", ADMIN, "#4363d8", metadata={"checked": "no"})
    person = world.add_category(
        "person",
        ADMIN,
        "#17ed7e",
        keypoint_labels=["head", "hand", "foot"],
        keypoint_edges=[[1, 2], [2, 3]],
        keypoint_colors=["#111111", "#222222", "#333333"],
    )
    world.next_id("category")  # one was refused: ids have gaps
    buoy = world.add_category("buoy", ADMIN, "#f58231")
    world.delete(world.add_category("wreck", ADMIN))
    categories = (boat, building, person, buoy)
    harbour = world.add_dataset("harbour", ADMIN, categories)
    bad = hostile.HOSTILE_PLACES[: options.images] if options.hostile_names else ()
    for number in range(options.images):
        place = _place(bad[number] if number < len(bad) else sample.place(number))
        count = sample.annotation_count(number, options.unannotated_every)
        image = world.add_image(harbour, place, modified_s=clock.now_s() - 86_400 + number / 10)
        _annotate(world, image, number, count, categories)
    gone = world.add_image(harbour, "gone.png")
    world.annotate(gone)
    world.delete(gone)
    meadow = world.add_dataset("meadow & shore", ADMIN, (boat, building))
    for number in _MEADOW:
        image = world.add_image(meadow, _place(sample.place(number)))
        _annotate(world, image, number, sample.annotation_count(number, 5), (boat, building))
    attic = world.add_dataset("attic", ADMIN, (boat,))
    world.annotate(world.add_image(attic, "old.png"))
    world.delete(attic)
    return world


def _place(place: tuple[str, str]) -> str:
    directory, filename = place
    return f"{directory.strip('/')}/{filename}".lstrip("/") if directory != "/" else filename


def _annotate(world: CocoWorld, image: Image, number: int, count: int, categories: tuple[Category, ...]) -> None:
    """The kinds of annotations take turns over the images; one in four images had one that was deleted."""
    rng = random.Random(number)
    if number % 3 == 1:
        image.metadata = {"weather": "rain"}
    for index in range(count):
        kind = (number + index) % 4
        left, top = rng.randrange(image.width // 2), rng.randrange(image.height // 2)
        right, bottom = left + 5 + rng.randrange(image.width // 3), top + 5 + rng.randrange(image.height // 3)
        box = [left, top, right, top, right, bottom, left, bottom]
        if kind == 0 or len(categories) == 2:
            world.draw(image, categories[0], [box], isbbox=True, metadata={"name": f"boat {number}-{index}"})
        elif kind == 1:
            apart = [left + 0.25, bottom + 2, right + 0.75, bottom + 2, right, bottom + 4.5]
            world.draw(image, categories[1], [box, apart])
        elif kind == 2:
            joints = [left, top, 2, right, top, 1, 0, 0, 0]
            world.draw(image, categories[2], [], keypoints=joints, color="#030303")
        else:
            triangle = [left + 0.5, top, right + 0.33, top + 1.25, left, bottom]
            world.draw(image, categories[1], [triangle], metadata={"floors": 3}, milliseconds=1_500)
        if index == 0 and number % 4 == 3:
            world.next_id("annotation")  # one was refused: ids have gaps
    if count and number % 4 == 0:
        world.delete(world.annotate(image))
        image.num_annotations = count
