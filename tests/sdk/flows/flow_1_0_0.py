"""Everything that SDK 1.0.0 can do with datasets, images, annotations and exports; prints what it returned."""

import json
import os
from pathlib import Path

from pictograph import Client  # type: ignore[import-not-found]
from pictograph.models.annotation import (  # type: ignore[import-not-found]
    BBoxAnnotation,
    KeypointAnnotation,
    PolygonAnnotation,
    PolylineAnnotation,
)

folder = Path(os.environ["STANDIN_FOLDER"])
client = Client(api_key=os.environ["STANDIN_KEY"], base_url=os.environ["STANDIN_URL"])

listed = client.datasets.list()
paged = list(client.datasets.iter(page_size=1))
dataset = client.datasets.get("harbour", include_images=True)
by_id = client.datasets.get_by_id(dataset.id)
download = client.datasets.download("meadow & shore", folder / "all")

first = dataset.images[0]
metadata = client.images.get(first.id)
client.images.download(first.id, folder / "one")

typed = {image.id: len(client.annotations.get(image.id)) for image in dataset.images}
before = client.annotations.get(first.id)
ring = [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 5, "y": 7}]
hole = [{"x": 4, "y": 1}, {"x": 6, "y": 1}, {"x": 5, "y": 3}]
wanted = [
    BBoxAnnotation(id="b", name="boat", bounding_box={"x": 1, "y": 2, "w": 3, "h": 4}),
    PolygonAnnotation(id="p", name="building", polygon={"paths": [ring, hole]}),
    PolylineAnnotation(id="l", name="lane", polyline={"path": ring[:2]}),
    KeypointAnnotation(id="k", name="eye", keypoint={"x": 5, "y": 6}),
]
saved = client.annotations.save(first.id, wanted)
after = client.annotations.get(first.id)
deleted = client.annotations.delete(dataset.images[1].id)

(folder / "new.png").write_bytes((folder / "one").read_bytes())
uploaded = client.images.upload(dataset.id, folder / "new.png", folder_path="/fresh")
client.images.delete(dataset.images[2].id)
client.images.delete(dataset.images[3].id, permanent=True)

export = client.exports.create("harbour", "nightly", include_images=True, poll_interval=0.05)
client.exports.download("harbour", "nightly", folder / "nightly.zip")
exports = client.exports.list(dataset_name="harbour")
iterated = list(client.exports.iter(page_size=1))
client.exports.delete("harbour", "nightly")

print(
    json.dumps(
        {
            "datasets": [entry.name for entry in listed],
            "paged": [entry.name for entry in paged],
            "by_id": by_id.name,
            "images": [entry.id for entry in dataset.images],
            "download": {
                "images": download.images_downloaded,
                "annotations": download.annotations_downloaded,
                "success": download.success,
            },
            "metadata": metadata.model_dump(mode="json"),
            "typed": typed,
            "before": len(before),
            "saved": [saved.previous_count, saved.new_count],
            "after": [entry.model_dump(mode="json") for entry in after],
            "deleted": deleted.deleted_count,
            "uploaded": uploaded.model_dump(mode="json"),
            "export": export.model_dump(mode="json"),
            "exports": [[entry.name for entry in exports], [entry.name for entry in iterated]],
        }
    )
)
