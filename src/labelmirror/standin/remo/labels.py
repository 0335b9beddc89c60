"""Annotation sets with their classes and tags (contract, section 5.4)."""

import csv
import io

from labelmirror.standin.exchange import Call, Memory, Refusal, Reply, Route
from labelmirror.standin.remo import wire
from labelmirror.standin.remo.annotations import NOTHING
from labelmirror.standin.remo.desk import Desk, lacking, members, number
from labelmirror.standin.remo.door import Access, broken
from labelmirror.standin.remo.model import AnnotationSet, Task
from labelmirror.standin.remo.world import spelt

_SETS = "/api/v1/ui/annotation-sets"
_SET = f"{_SETS}/{{set}}"


class SetRoutes:
    """What can be asked about annotation sets, and done with their classes and tags."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """The routes."""
        route = self._desk.route
        return (
            route("sets.list", "GET", "/api/v1/ui/datasets/{dataset}/annotation-sets/", self._list),
            route("sets.create", "POST", f"{_SETS}/", self._create, Access.STATED),
            route("sets.get", "GET", f"{_SET}/", self._get, Access.STATED),
            route("sets.rename", "PUT", f"{_SET}/", self._rename, Access.STATED),
            route("sets.delete", "DELETE", f"{_SET}/", self._delete, Access.STATED),
            route("sets.images", "GET", f"{_SET}/images/", self._images),
            route("classes.add", "POST", f"{_SET}/classes/", self._add_class),
            route("classes.rename", "PUT", _SET + "/classes/{class}/", self._rename_class),
            route("classes.delete", "DELETE", _SET + "/classes/{class}/", self._delete_class),
            route("tags.list", "GET", f"{_SET}/tags/", self._tags),
            route("tags.rename", "PUT", _SET + "/tags/{tag}/", self._rename_tag),
            route("tags.delete", "DELETE", _SET + "/tags/{tag}/", self._delete_tag),
            route("tags.export", "GET", f"{_SET}/export-tags/", self._export_tags, Access.STATED),
            route("tags.get", "GET", _SET + "/images/{image}/tags/", self._image_tags),
            route("tags.add", "POST", _SET + "/images/{image}/tags/", self._add_tag),
            route("tags.remove", "DELETE", _SET + "/images/{image}/tags/{tag}/", self._remove_tag),
        )

    async def _list(self, call: Call) -> Reply:
        sets = list(self._desk.active_dataset(call).sets.values())
        return Reply(wire.page(call, sets, wire.listed_set))

    async def _create(self, call: Call) -> Reply:
        wanted = members(call)
        task, name = wanted.get("annotation_task"), str(wanted.get("name"))
        if task not in list(Task):
            known = ", ".join(Task)
            raise Refusal(400, "error", f"Annotation task '{task}' not recognized. Try one of this: {known}.")
        dataset = self._desk.world.datasets.get(wanted.get("dataset_id", -1))
        if dataset is None:
            raise lacking("Dataset", wanted.get("dataset_id"))
        classes = [spelt(str(each)) for each in wanted.get("classes", [])]
        try:
            chosen = self._desk.world.add_set(dataset, name, Task(task), classes)
        except ValueError as error:
            raise _name_taken(name) from error
        told = {"id": chosen.id, "name": name, "task": chosen.task.value, "dataset_id": dataset.id}
        return Reply({**told, "classes": wire.classes(chosen)}, 201)

    async def _get(self, call: Call) -> Reply:
        return Reply(wire.single_set(self._desk.set(call)))

    async def _rename(self, call: Call) -> Reply:
        chosen, name = self._desk.set(call), members(call).get("name")
        if not name:
            raise Refusal(400, "error", "Name is required field, was missing.")
        try:
            self._desk.world.rename_set(chosen, str(name))
        except ValueError as error:
            raise _name_taken(str(name)) from error
        return Reply({"id": chosen.id, "name": chosen.name})

    async def _delete(self, call: Call) -> Reply:
        self._desk.world.remove_set(self._desk.set(call))
        return NOTHING

    async def _images(self, call: Call) -> Reply:
        chosen = self._desk.set(call)
        return Reply(wire.page(call, list(chosen.dataset), lambda image: wire.set_image(chosen, image)))

    async def _add_class(self, call: Call) -> Reply:
        chosen, name = self._desk.set(call), _named(call, "Class")
        class_id, new = self._desk.world.add_class(chosen, spelt(name))
        return Reply({"id": class_id, "name": spelt(name)}, 201 if new else 200)

    async def _rename_class(self, call: Call) -> Reply:
        chosen, class_id = self._desk.set(call), number(call, "class")
        if class_id not in chosen.classes:
            raise _not_in(chosen, "Class", call.params["class"])
        name = spelt(_named(call, "Class"))
        return Reply({"id": self._desk.world.rename_class(chosen, class_id, name), "name": name})

    async def _delete_class(self, call: Call) -> Reply:
        chosen = self._desk.set(call)
        if not call.params["class"].isdecimal():
            raise Refusal(400, "error", f"Class id - {call.params['class']}, not a valid id")
        try:
            self._desk.world.drop_class(chosen, number(call, "class"))
        except KeyError as error:
            raise broken() from error
        return NOTHING

    async def _tags(self, call: Call) -> Reply:
        tags = sorted(self._desk.set(call).tags.items())
        return Reply(wire.page(call, tags, lambda item: {"id": item[0], "name": item[1]}))

    async def _rename_tag(self, call: Call) -> Reply:
        chosen, tag_id = self._desk.set(call), number(call, "tag")
        if tag_id not in chosen.tags:
            raise _not_in(chosen, "Tag", call.params["tag"])
        name = _named(call, "Tag")
        return Reply({"id": self._desk.world.rename_tag(chosen, tag_id, name), "name": name})

    async def _delete_tag(self, call: Call) -> Reply:
        chosen = self._desk.set(call)
        try:
            self._desk.world.drop_tag(chosen, number(call, "tag"))
        except KeyError as error:
            raise _not_in(chosen, "Tag", call.params["tag"]) from error
        return NOTHING

    async def _export_tags(self, call: Call) -> Reply:
        chosen = self._desk.world.find_set(number(call, "set"))
        if chosen is None:
            raise lacking("Annotation set", call.params["set"])
        headers = {"Content-Disposition": 'filename="tags.csv"'}
        return Reply(content=Memory(tags_csv(chosen)), mime="text/csv", headers=headers)

    async def _image_tags(self, call: Call) -> Reply:
        chosen, image = self._desk.set_and_image(call)
        common = {"annotation_set": chosen.id, "image": image.id}
        return Reply(wire.page(call, chosen.tagged(image), lambda tag: {"id": tag[0], "name": tag[1], **common}))

    async def _add_tag(self, call: Call) -> Reply:
        chosen, image = self._desk.set_and_image(call)
        name = _named(call, "Tag").strip().lower()
        tag_id, new = self._desk.world.tag(chosen, image, name)
        told = {"id": tag_id, "name": name, "annotation_set": chosen.id, "image": image.id}
        return Reply(told, 201 if new else 200)

    async def _remove_tag(self, call: Call) -> Reply:
        chosen, image = self._desk.set_and_image(call)
        self._desk.world.untag(chosen, image, number(call, "tag"))
        return NOTHING


def tags_csv(chosen: AnnotationSet) -> bytes:
    """The tags of a set's images, one row for each."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(("file_name", "tag"))
    rows.writerows((image.name, name) for image in chosen.dataset for _, name in chosen.tagged(image))
    return table.getvalue().encode()


def _named(call: Call, thing: str) -> str:
    """The name that a body gives. Raises Refusal (400 or 500)."""
    name = members(call).get("name", "")
    if not isinstance(name, str):
        raise broken()
    if not (name.strip() if thing == "Tag" else name):
        raise Refusal(400, "error", f"{thing} name should not be empty")
    return name


def _name_taken(name: str) -> Refusal:
    return Refusal(400, "error", f"Annotation set with giving name '{name}', exists in current dataset.")


def _not_in(chosen: AnnotationSet, thing: str, asked: str) -> Refusal:
    return Refusal(404, "error", f"{thing} id: {asked}, not found in annotation set: '{chosen.name}'")
