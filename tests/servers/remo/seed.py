"""Fill a Remo with two datasets, all three tasks, odd names, a large image, linked files and folders.

seed.py URL USER PASSWORD [IMAGES]: prints the ids as JSON. Needs Pillow, and `tests` on the path.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from support.remo_server import (
    CLASSIFICATION,
    DETECTION,
    SEGMENTATION,
    RemoServer,
    box,
    outline,
    picture,
)


def seed_shapes(server: RemoServer, images: int) -> dict[str, Any]:
    """Every task, status and tag; one image with more than ten objects, one object with two classes."""
    dataset = server.add_dataset("shapes")
    server.upload(dataset, {f"shape {number:03}.jpg": picture(number) for number in range(images)})
    sets = [
        server.add_set(dataset, task, name)
        for task, name in ((DETECTION, "boxes"), (SEGMENTATION, "outlines"), (CLASSIFICATION, "scene"))
    ]
    boxes, outlines, scene = sets
    for number, row in enumerate(server.images(dataset).values()):
        image = row["id"]
        if number % 5 != 4:
            objects = [box(position) for position in range(1, 13 if number == 3 else 2 + number % 3)]
            if number == 1:
                objects[0]["classes"] = [{"name": "Circle"}, {"name": "Square"}]
            server.save(dataset, boxes, image, objects)
        if number % 3 == 0:
            server.set_status(boxes, image, "skipped" if number % 5 == 4 else "done")
        if number % 2 == 0:
            server.save(dataset, outlines, image, [outline(1), outline(2)])
        if number % 3 != 2:
            classes = [{"name": "Circle", "score": number / 100}, {"name": "Square", "questionable": True}]
            server.classify(dataset, scene, image, classes[: 1 + number % 2], "done")
        if number % 4 == 0:
            server.tag(boxes, image, "night")
    return {"dataset": dataset, "sets": sets}


def seed_odd(server: RemoServer, disk: Path) -> dict[str, Any]:
    """Names with spaces and letters beyond ASCII, one content twice, a large image, and linked files in folders."""
    dataset = server.add_dataset("odd")
    twin = picture(1)
    server.upload(
        dataset,
        {
            "large.jpg": picture(0, (3600, 3100)),
            "plain.png": picture(2, kind="PNG"),
            "wîth späce 日本.jpg": picture(3),
            "one.jpg": twin,
            "other name of one.jpg": twin,
        },
    )
    folder = server.add_folder(dataset, "linked")
    inner = server.add_folder(dataset, "deeper", folder)
    disk.mkdir(parents=True, exist_ok=True)
    for number, where in enumerate((folder, folder, inner)):
        path = disk / f"100% of pier #{number} ü.jpg"
        path.write_bytes(picture(50 + number))
        server.link(dataset, [str(path)], where)
    boxes = server.add_set(dataset, DETECTION, "boxes")
    for number, row in enumerate(server.images(dataset).values()):
        if number % 3:
            server.save(dataset, boxes, row["id"], [box(1), box(2)])
    return {"dataset": dataset, "sets": [boxes]}


def main() -> None:
    url, user, password, *images = sys.argv[1:]
    server = RemoServer(url, user, password)
    disk = Path(tempfile.mkdtemp(prefix="linked-"))
    seeded = {"shapes": seed_shapes(server, int(images[0]) if images else 30), "odd": seed_odd(server, disk)}
    print(json.dumps(seeded))


if __name__ == "__main__":
    main()
