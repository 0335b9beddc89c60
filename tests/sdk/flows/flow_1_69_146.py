"""What SDK 1.69.146 does with datasets, images, annotations, exports and directories; prints what it returned."""

import json
import os
import zipfile
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
by_id = client.datasets.get(dataset_id=dataset.id)
download = client.datasets.download("meadow & shore", folder / "all")
insights = client.datasets.insights("harbour")
directories = client.directories.list("harbour")
tree = client.directories.tree("harbour")

images = list(client.images.iter("harbour", page_size=7))
first = images[0]
in_night = client.images.list("harbour", directory_path="/night")
metadata = client.images.get("harbour", first.id)
client.images.download("harbour", first.id, folder / "one")
client.images.download_bundle("harbour", first.id, folder / "one.zip")
with zipfile.ZipFile(folder / "one.zip") as bundle:
    bundled = sorted(bundle.namelist())

typed = {image.id: len(client.annotations.get("harbour", image.id)) for image in images}
ring = [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 5, "y": 7}]
hole = [{"x": 4, "y": 1}, {"x": 6, "y": 1}, {"x": 5, "y": 3}]
turned = {"cx": 4, "cy": 4, "w": 8, "h": 2, "angle": 30.0}
wanted = [
    BBoxAnnotation(id="b", name="boat", bounding_box={"x": 1, "y": 2, "w": 3, "h": 4}),
    BBoxAnnotation(id="s", name="ship", bounding_box={"x": 0, "y": 0, "w": 9, "h": 9}, oriented_box=turned),
    PolygonAnnotation(id="p", name="building", polygon={"paths": [ring, hole]}),
    PolylineAnnotation(id="l", name="lane", polyline={"path": ring[:2]}),
    KeypointAnnotation(id="k", name="eye", keypoint={"x": 5, "y": 6}, instance_id=1, attributes={"occluded": "true"}),
]
saved = client.annotations.save("harbour", first.id, wanted)
after = client.annotations.get("harbour", first.id)
deleted = client.annotations.delete("harbour", images[1].id)
unknown = "00000000-0000-4000-8000-000000000000"
bulk = client.annotations.bulk_save({images[2].id: wanted, images[3].id: [], unknown: wanted})
renamed = client.annotations.rename_class("harbour", "lane", "fairway")

content = (folder / "one").read_bytes()
for name in ("new", "second", "third"):
    (folder / f"{name}.png").write_bytes(content)
uploaded = client.images.upload("harbour", folder / "new.png", directory_path="/fresh")
several = client.images.bulk_upload("harbour", [folder / "second.png", folder / "third.png"], directory_path="/fresh")
client.images.delete("harbour", images[4].id)
client.images.delete("harbour", images[5].id, permanent=True)

export = client.exports.create("harbour", "nightly", include_images=True, poll_interval=0.05)
client.exports.download("harbour", "nightly", folder / "nightly.zip")
client.exports.download_by_id(export.id, folder / "nightly-by-id.zip")
exports = client.exports.list(dataset_name="harbour")
iterated = list(client.exports.iter(page_size=1))
client.exports.delete("harbour", "nightly")

print(
    json.dumps(
        {
            "datasets": [entry.name for entry in listed],
            "paged": [entry.name for entry in paged],
            "by_id": by_id.name,
            "images": [entry.id for entry in images],
            "embedded": [entry.id for entry in dataset.images],
            "in_night": [entry.id for entry in in_night],
            "download": {
                "images": download.images_downloaded,
                "annotations": download.annotations_downloaded,
                "success": download.success,
            },
            "insights": insights.model_dump(mode="json"),
            "directories": sorted(entry.full_path for entry in directories),
            "tree": sorted(entry.full_path for entry in tree),
            "metadata": metadata.model_dump(mode="json"),
            "bundled": bundled,
            "typed": typed,
            "saved": [saved.previous_count, saved.new_count],
            "after": [entry.model_dump(mode="json") for entry in after],
            "deleted": deleted.deleted_count,
            "bulk": {"saved": [entry.image_id for entry in bulk.saved], "failed": [e.image_id for e in bulk.failed]},
            "renamed": renamed.annotations_updated,
            "uploaded": uploaded.model_dump(mode="json"),
            "several": [entry.id for entry in several.succeeded],
            "export": export.model_dump(mode="json"),
            "exports": [[entry.name for entry in exports], [entry.name for entry in iterated]],
        }
    )
)
