"""Categories, which all datasets share (contract, section 4)."""

from typing import Any

from labelmirror.standin.coco_annotator import wire
from labelmirror.standin.coco_annotator.desk import DONE, Desk, body_of, broken, invalid, refusal, whole
from labelmirror.standin.coco_annotator.world import Category, User
from labelmirror.standin.exchange import Call, Reply, Route

_FIELDS = ("supercategory", "metadata", "keypoint_edges", "keypoint_labels", "keypoint_colors")
_EMPTY: dict[str, Any] = {"supercategory": "", "metadata": {}}


class CategoryRoutes:
    """What can be done with categories."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._world = desk.world

    def routes(self) -> tuple[Route, ...]:
        """The operations."""
        route = self._desk.route
        one = r"/category/{id:\d+}"
        return (
            route("categories.list", "GET", "/category/", self._list),
            route("categories.create", "POST", "/category/", self._create),
            route("categories.page", "GET", "/category/data", self._page),
            route("categories.get", "GET", one, self._get),
            route("categories.update", "PUT", one, self._update),
            route("categories.delete", "DELETE", one, self._delete),
        )

    async def _list(self, _call: Call, _user: User) -> Reply:
        return Reply([wire.category(category) for category in self._world.categories.values()])

    async def _page(self, call: Call, _user: User) -> Reply:
        page, limit = max(1, whole(call, "page", 1)), whole(call, "limit", 20)
        if limit < 1:
            raise broken()
        categories = [category for category in self._world.categories.values() if not category.deleted]
        shown = categories[(page - 1) * limit : page * limit]
        counts = dict.fromkeys(self._world.categories, 0)
        for annotation in self._world.annotations.values():
            if annotation.category_id in counts and not annotation.deleted:
                counts[annotation.category_id] += 1
        return Reply(
            {
                "pagination": {"page": page, "pages": -(-len(categories) // limit), "total": len(categories)},
                "page": page,
                "categories": [
                    {**wire.category(category), "numberAnnotations": counts[category.id]} for category in shown
                ],
            }
        )

    async def _create(self, call: Call, user: User) -> Reply:
        body = body_of(call)
        if not body.get("name"):
            raise invalid({"name": "Missing required parameter in the JSON body"})
        if any(category.name == body["name"] for category in self._world.categories.values()):
            raise refusal(400, {"message": "Category already exists. Check the undo tab to fully delete the category."})
        more = {name: body[name] for name in _FIELDS if body.get(name) is not None}
        category = self._world.add_category(body["name"], user.name, body.get("color"), **more)
        return Reply(wire.category(category))

    async def _get(self, call: Call, _user: User) -> Reply:
        return Reply(wire.category(self._asked(call)))

    async def _update(self, call: Call, _user: User) -> Reply:
        category = self._asked(call)
        body = body_of(call)
        if not body.get("name"):
            raise invalid({"name": "Missing required parameter in the JSON body"})
        category.name, category.color = body["name"], body.get("color")
        for name in _FIELDS:
            setattr(category, name, body.get(name) or _EMPTY.get(name, []))
        return Reply(DONE)

    async def _delete(self, call: Call, user: User) -> Reply:
        category = self._asked(call)
        if not self._desk.edits(user, category):
            raise refusal(403, {"message": "You do not have permission to delete this category"})
        self._world.delete(category)
        return Reply(DONE)

    def _asked(self, call: Call) -> Category:
        category = self._world.categories.get(int(call.params["id"]))
        if category is None:
            raise refusal(400, {"message": "Invalid category id"})
        return category
