"""The stand-in Remo and a real one answer the same requests alike, but for ids, times and orders that nobody promises."""

import asyncio
import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from labelmirror.standin import StandinOptions, serve
from support.remo_server import CLASSIFICATION, DETECTION, SEGMENTATION, RemoServer, box, outline, picture

pytestmark = pytest.mark.remo

UI = "/api/v1/ui"
SET, SCENE = f"{UI}/annotation-sets/{{boxes}}", f"{UI}/annotation-sets/{{scene}}"
FILES = {"one.jpg": picture(1), "two ü.jpg": picture(2), "three.png": picture(3, kind="PNG")}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
IDS = {"id", "image", "dataset_id", "annotation_set", "annotation_set_id", "image_id", "category_id"}
#: What the real server counts and orders in ways of its own.
WHIMS = {"top3_classes", "all_classes", "total_classes", "number_in_dataset", "supercategory", "object_classes"}

Step = tuple[str, str, Any]


def one(chosen: str, image: str) -> str:
    return f"/api/dataset/{{dataset}}/annotation-set/{{{chosen}}}/image/{{{image}}}"


def save(chosen: str, image: str, body: Any) -> Step:
    return "POST", f"{one(chosen, image)}/save-annotation/", body


def wrong(**change: Any) -> Step:
    return save("boxes", "one", {"objects": [{**box(1), **change}]})


LOOK: list[Step] = [
    *(
        ("GET", f"{one(chosen, image)}/annotation/", None)
        for chosen in ("boxes", "outlines", "scene")
        for image in ("one", "two")
    ),
    *(("GET", f"{SET}/{path}", None) for path in ("", "images/", "tags/", "export-tags/", "images/{one}/tags/")),
    *(("GET", f"{SET}/export/?annotation_format={name}", None) for name in ("json", "coco", "csv", "xml")),
    ("GET", f"{SET}/export/?export_without_annotations=true", None),
    ("GET", f"{SCENE}/export/", None),
    ("GET", f"{SCENE}/export/?annotation_format=coco", None),
    *(
        ("GET", f"{UI}/datasets/{{dataset}}/{path}", None)
        for path in ("", "images/", "contents/", "images/{one}/", "annotation-sets/")
    ),
    ("GET", f"{UI}/datasets/{{dataset}}/images/?limit=1&offset=1&x=y%20z", None),
    ("GET", "/api/v1/sdk/datasets/{dataset}/images/", None),
    ("GET", "/api/v1/sdk/datasets/{dataset}/images/?limit=2&offset=9", None),
]

SAVES: list[Step] = [
    save("boxes", "one", {"objects": [box(1), box(10), {**box(2), "auto_created": True}]}),
    save("boxes", "one", {"objects": [box(1), {**box(1), "name": "same points"}, {**box(2), "name": "OBJ 1"}, box(3)]}),
    save("boxes", "two", {"objects": [{**box(1), "coordinates": [{"x": 10.7, "y": -5.9}, {"x": 3, "y": 4}]}]}),
    save("outlines", "one", {"objects": [outline(1), outline(2)]}),
    save("scene", "one", {"classes": [{"name": "Busy", "score": 0.5}, {"name": "Calm"}], "status": "done"}),
    save("scene", "one", {"classes": [{"name": "Calm", "questionable": True}]}),
    save("boxes", "two", {"objects": [{**box(1), "classes": [{"name": "Newt"}]}], "skip_new_classes": True}),
]

REFUSALS: list[Step] = [
    wrong(name=""),
    wrong(name="x" * 256),
    wrong(classes=["Circle"]),
    wrong(classes=None),
    wrong(coordinates=[{"x": None, "y": 1}]),
    wrong(coordinates=[{"x": "7.5", "y": 1}]),
    wrong(auto_created="x"),
    save("boxes", "one", {"objects": "x"}),
    save("boxes", "one", []),
    save("boxes", "one", {"objects": [], "status": "x"}),
    save("scene", "two", {"classes": ["Busy"]}),
    save("scene", "two", {"classes": {}}),
    wrong(classes=[{"name": "c" * 256}]),
    ("GET", f"{SET}/images/{{one}}/status/", None),
    ("GET", f"{UI}/datasets/999999/", None),
    ("GET", f"{UI}/annotation-sets/999999/export/", None),
    ("GET", f"{UI}/datasets/{{dataset}}/images/999999/annotations/", None),
    ("GET", "/api/nothing/", None),
    ("GET", "/media/dataset_images/none", None),
    ("GET", f"{SET}/classes/", None),
    ("GET", f"{UI}/datasets", None),
]

LABELS: list[Step] = [
    ("POST", f"{SET}/images/{{one}}/status/", {"status": "skipped"}),
    ("POST", f"{SET}/images/{{one}}/tags/", {"name": "Night Shot"}),
    ("POST", f"{SET}/images/{{one}}/tags/", {"name": "night shot"}),
    ("POST", f"{SET}/images/{{three}}/tags/", {"name": "night shot"}),
    ("POST", f"{SET}/classes/", {"name": "big BIRD"}),
    ("DELETE", f"{SET}/images/{{one}}/annotations/", None),
    ("DELETE", f"{UI}/annotation-sets/{{outlines}}/images/{{three}}/annotations/", None),
    ("PUT", f"{SET}/", {"name": "squares"}),
    ("DELETE", "/api/user-dataset/{dataset}/images/{three}/", None),
]


@dataclass(frozen=True, slots=True)
class Peer:
    """One of the two, with the ids that the steps name."""

    server: RemoServer
    token: str
    ids: Mapping[str, int]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, str, Any]:
        """Status, content type and body, without what differs from server to server."""
        at = urlsplit(self.server.url)
        assert at.hostname is not None
        connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
        sent = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Token {self.token}", "Cookie": "sessionid=none"}
        if sent is not None:
            headers["Content-Type"] = "application/json"
        target = quote(path.format(**self.ids), safe="/?&=%")
        connection.request(method, target, sent, headers)
        response = connection.getresponse()
        data, mime = response.read(), (response.getheader("Content-Type") or "").partition(";")[0]
        connection.close()
        if mime == "application/json" and data:
            return response.status, mime, self._masked(json.loads(data))
        lines = sorted(data.decode().splitlines()) if mime == "text/csv" else data.decode()
        # What the page of the web application says is its own affair, and an answer without a body has no type.
        return response.status, mime if data else "", None if data.startswith(b"<!doctype") else lines

    def stamps(self) -> tuple[Any, ...]:
        """D, and U, L and S of each set (contract, section 7)."""
        dataset = self.server.ask("GET", f"{UI}/datasets/{self.ids['dataset']}/")
        sets = self.server.ask("GET", f"{UI}/datasets/{self.ids['dataset']}/annotation-sets/")["results"]
        each = ((row["updated_at"], row["last_annotated_date"], row["statistics"]) for row in sets)
        return dataset["updated_at"], *(stamp for row in each for stamp in row)

    def _masked(self, value: Any) -> Any:
        if isinstance(value, dict):
            kept = {name: part for name, part in value.items() if name not in WHIMS}
            return {
                name: "ID" if name in IDS and isinstance(part, int) else self._masked(part)
                for name, part in kept.items()
            }
        if isinstance(value, list):
            return sorted((self._masked(part) for part in value), key=lambda part: json.dumps(part, sort_keys=True))
        if isinstance(value, str):
            for name, number in self.ids.items():
                value = value.replace(f"s/{number}/", f"s/{name}/")
            return TIME.sub("TIME", value.replace(self.server.url, ""))
        return value


def peer(server: RemoServer) -> Peer:
    dataset = server.add_dataset("both alike")
    for name, data in FILES.items():
        # The images of one upload come in any order.
        server.upload(dataset, {name: data})
    images = server.images(dataset)
    sets = {
        "boxes": server.add_set(dataset, DETECTION, "boxes"),
        "outlines": server.add_set(dataset, SEGMENTATION, "outlines"),
        "scene": server.add_set(dataset, CLASSIFICATION, "scene", ("Busy", "Calm")),
    }
    named = {name.partition(".")[0].partition(" ")[0]: int(row["id"]) for name, row in images.items()}
    token = server.ask("POST", "/api/rest-auth/login/", {"email": server.user, "password": server.password})["key"]
    return Peer(server, token, {"dataset": dataset, **sets, **named})


def differences(real: Peer, standin: Peer) -> list[str]:
    found = []
    before = real.stamps(), standin.stamps()
    for method, path, body in [*LOOK, *SAVES, *LOOK, *REFUSALS, *LABELS, *LOOK]:
        asked = f"{method} {path} {json.dumps(body)[:200]}"
        answers = [each.answer(method, path, body) for each in (real, standin)]
        if answers[0] != answers[1]:
            found.append(f"{asked}\n  real:     {answers[0]}\n  stand-in: {answers[1]}")
        if method == "GET":
            continue
        after = real.stamps(), standin.stamps()
        moved = [
            [number for number, (old, new) in enumerate(zip(*pair, strict=True)) if old != new]
            for pair in zip(before, after, strict=True)
        ]
        if moved[0] != moved[1]:
            found.append(f"{asked} moves stamps {moved[0]}, of the stand-in {moved[1]}")
        before = after
    return found


async def test_the_same_requests_are_answered_alike(server: RemoServer) -> None:
    async with serve(StandinOptions(kind="remo", images=0)) as standin:
        login = standin.login
        assert login is not None

        def play() -> list[str]:
            real = peer(server)
            try:
                return differences(real, peer(RemoServer(standin.url, login.user, login.password)))
            finally:
                server.remove_dataset(real.ids["dataset"])

        assert await asyncio.to_thread(play) == []
