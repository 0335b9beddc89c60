"""The twin of the simulator keeps the laws of the tree."""

import pytest

from contracts.tree import Person, TreeContract
from labelmirror.ports.tree import WorkingTree
from support.memory_tree import MemoryTree


class TestMemoryTree(TreeContract):
    @pytest.fixture
    def tree(self) -> WorkingTree:
        return MemoryTree()

    @pytest.fixture
    def person(self, tree: WorkingTree) -> Person:
        assert isinstance(tree, MemoryTree)
        return tree
