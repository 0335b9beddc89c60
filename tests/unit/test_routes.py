"""Requests are counted by few names."""

import pytest

from labelmirror.transport.routes import route_of


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v1/datasets/", "/api/v1/datasets/"),
        ("/api/datasets/42/images/7", "/api/datasets/:id/images/:id"),
        ("/api/datasets/3f0c1c9e-6f5e-4a39-9a55-1f7a2d3f0b11/download", "/api/datasets/:id/download"),
        ("/v1/annotations/3f0c1c9e-6f5e-4a39-9a55-1f7a2d3f0b11/night/rain/a.png", "/v1/annotations/:id/:id"),
        ("/v1/annotations/17/Street%20Scenes", "/v1/annotations/:id/:id"),
    ],
)
def test_what_names_one_thing_is_left_out(path: str, route: str) -> None:
    assert route_of("GET", path) == f"GET {route}"
