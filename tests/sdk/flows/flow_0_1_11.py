"""Everything that SDK 0.1.11 can do with datasets, images, annotations and exports; prints what it returned."""

import json
import os
from pathlib import Path

from pictograph import Client  # type: ignore[import-not-found]

folder = Path(os.environ["STANDIN_FOLDER"])
client = Client(api_key=os.environ["STANDIN_KEY"], base_url=os.environ["STANDIN_URL"])

listed = client.datasets.list()
dataset = client.datasets.get(listed[0]["id"])
download = client.datasets.download(listed[1]["name"], output_dir=str(folder / "all"), show_progress=False)

first = dataset["images"][0]
metadata = client.images.get(first["id"])
with_annotations = client.images.get(first["id"], include_annotations=True)
client.images.download(first["id"], str(folder / "one"))

annotations = client.annotations
before = annotations.get(first["id"])
wanted = [
    annotations.create_bbox("b", "boat", [1, 2, 3, 4]),
    annotations.create_polygon("p", "building", [[0, 0], [9, 0], [5, 7]]),
    annotations.create_polyline("l", "lane", [[0, 0], [9, 9]]),
    annotations.create_keypoint("k", "eye", [5, 6]),
]
saved = annotations.save(first["id"], wanted)
after = annotations.get(first["id"])
deleted = annotations.delete(dataset["images"][1]["id"])

(folder / "new.png").write_bytes((folder / "one").read_bytes())
uploaded = client.images.upload(dataset["id"], str(folder / "new.png"), folder_path="/fresh")
client.images.delete(dataset["images"][2]["id"])

export = client.exports.create(dataset["name"], "nightly", include_images=True, poll_interval=0.05)
client.exports.download(dataset["name"], "nightly", str(folder / "nightly.zip"), show_progress=False)
exports = client.exports.list(dataset_name=dataset["name"])
client.exports.delete(dataset["name"], "nightly")

print(
    json.dumps(
        {
            "datasets": [entry["name"] for entry in listed],
            "images": [entry["id"] for entry in dataset["images"]],
            "download": download,
            "metadata": metadata,
            "with_annotations": with_annotations["annotations"],
            "before": before,
            "saved": saved,
            "after": after,
            "deleted": deleted,
            "uploaded": uploaded["image_id"],
            "export": export,
            "exports": [entry["name"] for entry in exports],
        }
    )
)
