"""Servers that speak like the real ones, on loopback, with a world that can be looked into and faults on demand.

    async with serve(StandinOptions(kind="pictograph", generation="g2", images=24)) as standin:
        ...  # standin.url, standin.key, standin.world, standin.requests, standin.faults, standin.quota

For the demo, `serve-standin` and tests. May import aiohttp, pydantic and Pillow; nothing else of labelmirror. What
all kinds share (world, quotas, faults, signed links, the log) lies here, each kind in a folder of its own.
"""

from labelmirror.standin.errors import FaultPlanError, StandinError
from labelmirror.standin.faults import Fault, FaultKind, load_faults
from labelmirror.standin.options import Role, StandinOptions, WindowKind
from labelmirror.standin.record import RequestRecord
from labelmirror.standin.registry import BUILDERS
from labelmirror.standin.server import Standin, serve
from labelmirror.standin.service import Blank, BlankSet, Colleague, Filling, Login
from labelmirror.standin.world import Dataset, Image, World

KINDS = tuple(BUILDERS)

__all__ = [
    "KINDS",
    "Blank",
    "BlankSet",
    "Colleague",
    "Dataset",
    "Fault",
    "FaultKind",
    "FaultPlanError",
    "Filling",
    "Image",
    "Login",
    "RequestRecord",
    "Role",
    "Standin",
    "StandinError",
    "StandinOptions",
    "WindowKind",
    "World",
    "load_faults",
    "serve",
]
