"""The sample world holds one of everything that a mirror has to cope with."""

from collections import Counter
from urllib.parse import urlsplit

import pytest

from labelmirror.standin import Image, StandinOptions, serve
from labelmirror.standin.sample import Annotation
from support.standin_client import standin_client


def kinds(image: Image) -> set[str]:
    """The types of an image's annotations, and what is special about some of them."""

    def special(annotation: Annotation) -> set[str]:
        found = {str(annotation["type"])} | ({"oriented_box", "instance_id"} & annotation.keys())
        return found | ({"hole"} if len(annotation.get("polygon", {}).get("paths", ())) > 1 else set())

    return {kind for annotation in image.annotations for kind in special(annotation)}


@pytest.mark.parametrize(
    ("generation", "beyond_the_plain"),
    [("g0", set()), ("g1", {"hole"}), ("g1b", {"hole"}), ("g2", {"hole", "oriented_box", "instance_id"})],
)
async def test_all_annotation_types_of_the_generation_occur_and_no_others(
    generation: str, beyond_the_plain: set[str]
) -> None:
    async with serve(StandinOptions(generation=generation)) as standin:
        found = {kind for image in standin.world.dataset("harbour") for kind in kinds(image)}
        assert found == {"bbox", "polygon", "polyline", "keypoint"} | beyond_the_plain


async def test_folders_twin_names_unicode_statuses_and_empty_images_occur() -> None:
    async with serve(StandinOptions()) as standin:
        images = list(standin.world.dataset("harbour"))
        assert {image.directory for image in images} == {"/", "/day", "/night", "/night/rain"}
        assert max(Counter(image.filename for image in images).values()) > 1
        assert any(not image.filename.isascii() for image in images)
        assert {image.status for image in images} == {"new", "annotate", "review", "complete"}
        assert any(not image.annotations for image in images)
        assert {image.mime for image in images} == {"image/png", "image/jpeg"}


async def test_counts_and_confidences_in_rows_are_those_of_the_annotations() -> None:
    async with serve(StandinOptions(images=60)) as standin:
        for image in standin.world.dataset("harbour"):
            assert image.annotation_count == len(image.annotations)
            assert image.min_confidence == min((entry["confidence"] for entry in image.annotations), default=None)


async def test_every_image_is_annotated_on_request() -> None:
    async with serve(StandinOptions(images=60, unannotated_every=0)) as standin:
        assert all(image.annotations for image in standin.world.dataset("harbour"))


async def test_a_renamed_class_changes_its_annotations_and_nothing_else() -> None:
    async with serve(StandinOptions(images=30)) as standin:
        harbour = standin.world.dataset("harbour")
        before = {image.id: [entry["id"] for entry in image.annotations] for image in harbour}
        images, annotations = standin.world.rename_class(harbour, "boat", "vessel")
        assert images <= annotations
        assert {"vessel"} <= harbour.class_names
        assert "boat" not in {entry["name"] for image in harbour for entry in image.annotations}
        assert {image.id: [entry["id"] for entry in image.annotations] for image in harbour} == before


async def test_the_storage_host_gets_another_port_where_its_address_cannot_be_bound() -> None:
    async with standin_client(storage_host="203.0.113.1") as client:
        api, storage = urlsplit(client.standin.url), urlsplit(client.standin.storage_url)
        assert api.hostname == storage.hostname
        assert api.port != storage.port
        item = (await client.get("/datasets/harbour/download")).json["data"]["items"][0]
        assert (await client.fetch(item["image_url"])).status == 200
