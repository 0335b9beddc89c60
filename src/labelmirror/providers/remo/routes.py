"""Remo's paths (contract, 1). Every one ends in a slash: without it the server redirects, and a body is lost."""

VERSION = "/api/version"
LOGIN = "/api/rest-auth/login/"
DATASETS = "/api/v1/ui/datasets/"


def sets(dataset: str) -> str:
    """The annotation sets of a dataset."""
    return f"{DATASETS}{dataset}/annotation-sets/"


def contents(dataset: str, folder: int | None = None) -> str:
    """What is in a folder of a dataset; None: at its root."""
    return f"{DATASETS}{dataset}/contents/" + ("" if folder is None else f"{folder}/")


def images(dataset: str) -> str:
    """The images of a dataset, in pages."""
    return f"{DATASETS}{dataset}/images/"


def image(dataset: str, image: str) -> str:
    """One image."""
    return f"{images(dataset)}{image}/"


def files(dataset: str) -> str:
    """Where the files of all images lie, in one answer."""
    return f"/api/v1/sdk/datasets/{dataset}/images/"


def annotation_set(annotation_set: str) -> str:
    """One annotation set, with its classes."""
    return f"/api/v1/ui/annotation-sets/{annotation_set}/"


def set_images(annotation_set: str) -> str:
    """The images of a set with their statuses, in pages."""
    return f"/api/v1/ui/annotation-sets/{annotation_set}/images/"


def set_tags(annotation_set: str) -> str:
    """All tags of all images of a set, as CSV."""
    return f"/api/v1/ui/annotation-sets/{annotation_set}/export-tags/"


def status(annotation_set: str, image: str) -> str:
    """The status of an image in a set."""
    return f"{set_images(annotation_set)}{image}/status/"


def tags(annotation_set: str, image: str) -> str:
    """The tags of an image in a set."""
    return f"{set_images(annotation_set)}{image}/tags/"


def annotations(dataset: str, annotation_set: str, image: str) -> str:
    """What an image has in a set, with every field."""
    return f"/api/dataset/{dataset}/annotation-set/{annotation_set}/image/{image}/annotation/"


def save(dataset: str, annotation_set: str, image: str) -> str:
    """Replaces what an image has in a set."""
    return f"/api/dataset/{dataset}/annotation-set/{annotation_set}/image/{image}/save-annotation/"
