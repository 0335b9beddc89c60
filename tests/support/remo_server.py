"""A person at a real Remo: makes datasets, uploads images, annotates. Plain blocking HTTP, for tests and the seed."""

import io
import json
import time
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw

CLASSES = ("Circle", "Square")
DETECTION, SEGMENTATION, CLASSIFICATION = "Object detection", "Instance segmentation", "Image classification"

_PATIENCE_S = 120.0


class RemoServer:
    """Asks a server as its user, with the cookie that keeps it from opening sessions."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self.user = user
        self.password = password
        self._headers = {"Cookie": "sessionid=none"}
        token = self.ask("POST", "/api/rest-auth/login/", {"email": user, "password": password})["key"]
        self._headers["Authorization"] = f"Token {token}"

    def ask(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Any:
        """The answer's JSON, None for one without a body. Raises HTTPError."""
        data = json.dumps(body).encode() if kind == "application/json" and body is not None else body
        headers = {**self._headers, "Content-Type": kind}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = response.read()
        return json.loads(answer) if answer else None

    def add_dataset(self, name: str) -> int:
        return int(self.ask("POST", "/api/dataset/", {"name": name})["id"])

    def remove_dataset(self, dataset: int) -> None:
        self.ask("DELETE", f"/api/user-dataset/{dataset}/")

    def add_folder(self, dataset: int, name: str, parent: int | None = None) -> int:
        body = {"name": name, **({} if parent is None else {"parent_folder_id": parent})}
        return int(self.ask("POST", f"/api/user-dataset/{dataset}/folders/", body)["id"])

    def upload(self, dataset: int, files: Mapping[str, bytes]) -> None:
        """Take in images, all in one session, and wait until they are there."""
        boundary = uuid.uuid4().hex
        body = io.BytesIO()
        body.write(f'--{boundary}\r\nContent-Disposition: form-data; name="complete"\r\n\r\ntrue\r\n'.encode())
        for name, data in files.items():
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
            body.write(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + data + b"\r\n")
        body.write(f"--{boundary}--\r\n".encode())
        kind = f"multipart/form-data; boundary={boundary}"
        self._wait(self.ask("POST", f"/api/dataset/{dataset}/upload/", body.getvalue(), kind=kind))

    def link(self, dataset: int, paths: Sequence[str], folder: int) -> None:
        """Point the server to files on its own disk."""
        body = {"local_files": list(paths), "folder_id": folder, "complete": True}
        self._wait(self.ask("POST", f"/api/dataset/{dataset}/upload/", body))

    def _wait(self, session: Mapping[str, str]) -> None:
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            status = self.ask("GET", f"/api/v1/ui/uploads/{session['session_id']}/status/")
            if status["status"] in {"done", "failed"}:
                assert status["status"] == "done", status
                return
            time.sleep(0.1)
        raise TimeoutError("the server does not take in the images")

    def images(self, dataset: int) -> dict[str, dict[str, Any]]:
        """The images by their names."""
        rows = self.ask("GET", f"/api/v1/sdk/datasets/{dataset}/images/")["results"]
        return {row["name"]: row for row in rows}

    def remove_image(self, dataset: int, image: int) -> None:
        self.ask("DELETE", f"/api/user-dataset/{dataset}/images/{image}/")

    def add_set(self, dataset: int, task: str, name: str, classes: Sequence[str] = CLASSES) -> int:
        body = {"annotation_task": task, "dataset_id": dataset, "name": name, "classes": list(classes)}
        return int(self.ask("POST", "/api/v1/ui/annotation-sets/", body)["id"])

    def read(self, dataset: int, chosen: int, image: int) -> Any:
        return self.ask("GET", f"/api/dataset/{dataset}/annotation-set/{chosen}/image/{image}/annotation/")

    def objects(self, dataset: int, chosen: int, image: int) -> list[Any]:
        """The objects in the order of their positions."""
        found: list[Any] = self.read(dataset, chosen, image)["annotation_info"]
        return sorted(found, key=lambda item: item["position_number"])

    def save(self, dataset: int, chosen: int, image: int, objects: Sequence[Any]) -> Any:
        path = f"/api/dataset/{dataset}/annotation-set/{chosen}/image/{image}/save-annotation/"
        return self.ask("POST", path, {"objects": list(objects)})

    def classify(self, dataset: int, chosen: int, image: int, classes: Sequence[Any], status: str) -> Any:
        path = f"/api/dataset/{dataset}/annotation-set/{chosen}/image/{image}/save-annotation/"
        return self.ask("POST", path, {"classes": list(classes), "status": status})

    def set_status(self, chosen: int, image: int, status: str) -> None:
        self.ask("POST", f"/api/v1/ui/annotation-sets/{chosen}/images/{image}/status/", {"status": status})

    def tag(self, chosen: int, image: int, name: str) -> None:
        self.ask("POST", f"/api/v1/ui/annotation-sets/{chosen}/images/{image}/tags/", {"name": name})

    def tags(self, chosen: int, image: int) -> list[str]:
        rows = self.ask("GET", f"/api/v1/ui/annotation-sets/{chosen}/images/{image}/tags/")["results"]
        return sorted(row["name"] for row in rows)


def box(number: int, **more: Any) -> dict[str, Any]:
    """An object of a detection set, each number elsewhere."""
    corners = [{"x": 3 * number, "y": 2 * number}, {"x": 3 * number + 20, "y": 2 * number + 30}]
    marks = [{"name": CLASSES[number % 2], "questionable": number == 3}]
    return {"name": f"OBJ {number}", "coordinates": corners, "auto_created": False, "classes": marks, **more}


def outline(number: int) -> dict[str, Any]:
    """An object of a segmentation set."""
    corners = [{"x": number, "y": 5}, {"x": 30 + number, "y": 9}, {"x": 20, "y": 40 + number}]
    return {"name": f"OBJ {number}", "coordinates": corners, "classes": [{"name": CLASSES[number % 2]}]}


def picture(number: int, size: tuple[int, int] = (96, 72), kind: str = "JPEG") -> bytes:
    """A small drawing, different for every number."""
    drawn = Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 160))
    ImageDraw.Draw(drawn).rectangle((number % 40, number % 30, number % 40 + 20, number % 30 + 20), fill=(20, 30, 40))
    out = io.BytesIO()
    drawn.save(out, kind)
    return out.getvalue()
