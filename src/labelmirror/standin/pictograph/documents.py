"""Annotations of images: reading, the full overwrite, bulk saves and class operations (contract, section 5)."""

from typing import Any

from labelmirror.standin.exchange import Call, Key, Refusal, Reply, Route
from labelmirror.standin.options import Role
from labelmirror.standin.pictograph import annotations as schema
from labelmirror.standin.pictograph.desk import UUID, Desk, members
from labelmirror.standin.pictograph.generation import Generation
from labelmirror.standin.pictograph.wire import DEV, annotation_path
from labelmirror.standin.sample import Annotation
from labelmirror.standin.world import Dataset, Image

_BULK_MAX = 200
_PREFIX_CHARACTERS = 12


class DocumentRoutes:
    """What can be done with annotations."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes of the generation."""
        at = f"{DEV}/annotations"
        by_id = f"{at}/{{image:{UUID}}}"
        file = Route("annotations.file", "GET", f"{by_id}/file", self._file)
        bulk = Route("annotations.bulk-save", "POST", f"{at}/bulk", self._save_all, Role.MEMBER)
        match self._desk.generation:
            case Generation.G0:
                listing = f"{at}/dataset/{{dataset:{UUID}}}/download"
                return (Route("annotations.files", "GET", listing, self._files), file, *self._at(by_id))
            case Generation.G1 | Generation.G1B:
                return (bulk, file, *self._at(by_id))
            case Generation.G2:
                return (
                    bulk,
                    Route("annotations.rename-class", "POST", f"{at}/rename-class", self._rename, Role.ADMIN),
                    Route("annotations.merge-class", "POST", f"{at}/merge-class", self._merge, Role.ADMIN),
                    Route("annotations.delete-class", "POST", f"{at}/delete-class", self._drop, Role.ADMIN),
                    file,
                    *self._at(at + "/{dataset}/{path:.+}"),
                )

    def _at(self, pattern: str) -> tuple[Route, ...]:
        return (
            Route("annotations.read", "GET", pattern, self._read),
            Route("annotations.save", "POST", pattern, self._save, Role.MEMBER),
            Route("annotations.delete", "DELETE", pattern, self._delete, Role.ADMIN),
        )

    async def _read(self, call: Call) -> Reply:
        self._desk.only(call)
        _, image = self._desk.asked_image(call)
        written = schema.written(self._desk.generation, image.annotations)
        return Reply(
            {
                "success": True,
                "image_id": image.id,
                "filename": image.filename,
                "annotations": written,
                "annotation_count": len(written),
            }
        )

    async def _file(self, call: Call) -> Reply:
        self._desk.only(call)
        dataset, image = self._desk.asked_image(call)
        return Reply(self._desk.wire.document(dataset, image, image.annotations))

    async def _files(self, call: Call) -> Reply:
        dataset = self._desk.dataset(call.params["dataset"])
        rows = [
            {"image_id": image.id, "filename": image.filename, "url": annotation_path(image)}
            for image in dataset.active
            if image.annotation_count
        ]
        return Reply({"annotations": rows})

    async def _save(self, call: Call) -> Reply:
        self._desk.only(call)
        dataset, image = self._desk.asked_image(call)
        optional = {} if self._desk.generation is Generation.G2 else {"image_id": str}
        body = members(call.json(), {"annotations": list}, optional)
        kept = self._accepted(dataset, image, body["annotations"], call.key)
        return Reply(self._overwrite(image, kept))

    async def _save_all(self, call: Call) -> Reply:
        saves = members(call.json(), {"saves": list})["saves"]
        if len(saves) > _BULK_MAX:
            raise Refusal(422, "validation_error", f"At most {_BULK_MAX} saves at a time")
        accepted: list[tuple[Image, list[Annotation]]] = []
        failed = []
        for entry in saves:
            wanted = members(entry, {"image_id": str, "annotations": list})
            try:
                dataset, image = self._desk.image(wanted["image_id"])
            except Refusal as refusal:
                failed.append({"image_id": wanted["image_id"], "error": refusal.message})
                continue
            accepted.append((image, self._accepted(dataset, image, wanted["annotations"], call.key)))
        # Nothing is written before everything is checked: one malformed annotation fails the whole call.
        return Reply({"saved": [self._overwrite(image, kept) for image, kept in accepted], "failed": failed})

    async def _delete(self, call: Call) -> Reply:
        self._desk.only(call)
        _, image = self._desk.asked_image(call)
        count = image.annotation_count
        self._desk.world.save(image, [])
        return Reply({"success": True, "image_id": image.id, "deleted_count": count})

    async def _rename(self, call: Call) -> Reply:
        body = members(call.json(), {"dataset": str, "old_name": str, "new_name": str})
        dataset = self._with_class(body["dataset"], body["old_name"])
        if body["new_name"] in dataset.class_names:
            raise Refusal(409, "conflict", f"A class {body['new_name']!r} already exists")
        images, annotations = self._desk.world.rename_class(dataset, body["old_name"], body["new_name"])
        return self._rewritten(dataset, body, images, annotations_updated=annotations)

    async def _merge(self, call: Call) -> Reply:
        body = members(call.json(), {"dataset": str, "source_name": str, "target_name": str})
        dataset = self._with_class(body["dataset"], body["source_name"])
        self._with_class(body["dataset"], body["target_name"])
        images, annotations = self._desk.world.rename_class(dataset, body["source_name"], body["target_name"])
        names = [entry["name"] for entry in dataset.classes]
        del dataset.classes[max(at for at, name in enumerate(names) if name == body["target_name"])]
        return self._rewritten(dataset, body, images, annotations_updated=annotations)

    async def _drop(self, call: Call) -> Reply:
        body = members(call.json(), {"dataset": str, "name": str}, {"class_type": str, "delete_annotations": bool})
        dataset = self._with_class(body["dataset"], body["name"])
        images, annotations = self._desk.world.delete_class(
            dataset, body["name"], annotations_too=body.get("delete_annotations", False)
        )
        return self._rewritten(dataset, {"name": body["name"]}, images, annotations_removed=annotations)

    def _with_class(self, dataset_name: str, name: str) -> Dataset:
        dataset = self._desk.dataset(dataset_name)
        if name not in dataset.class_names:
            raise Refusal(404, "not_found", f"No class {name!r}")
        return dataset

    def _rewritten(self, dataset: Dataset, body: dict[str, Any], images: int, **counts: int) -> Reply:
        names = {name: value for name, value in body.items() if name != "dataset"}
        done = {"dataset_id": dataset.id, **names, "images_updated": images, **counts, "config_updated": True}
        return Reply({"data": done})

    def _accepted(self, dataset: Dataset, image: Image, raw: list[Any], key: Key | None) -> list[Annotation]:
        author = f"api-key:{key.secret[:_PREFIX_CHARACTERS]}" if key is not None else "unknown"
        return schema.accepted(self._desk.generation, raw, dataset.class_names, image.annotations, author)

    def _overwrite(self, image: Image, kept: list[Annotation]) -> dict[str, Any]:
        before = image.annotation_count
        self._desk.world.save(image, kept)
        from_count = "in_progress" if kept else "new"
        status = image.status if self._desk.generation is Generation.G2 else from_count
        return {"image_id": image.id, "previous_count": before, "new_count": len(kept), "status": status}
