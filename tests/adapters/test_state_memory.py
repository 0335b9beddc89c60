"""The twin of the simulator keeps the laws of the state."""

import pytest

from contracts.state import StateContract
from labelmirror.ports.state import MirrorState
from support.memory_state import MemoryState


class TestMemoryState(StateContract):
    @pytest.fixture
    def state(self) -> MirrorState:
        return MemoryState("s")
