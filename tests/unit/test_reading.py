"""Documents read one by one: what was read before trouble that concerns all is not lost."""

from collections.abc import AsyncIterator

import anyio.lowlevel
import pytest

from labelmirror.errors import BudgetSpent
from labelmirror.model.keys import DocumentKey
from labelmirror.model.remote import ListedImage, Reading, WantedDocument
from labelmirror.providers.reading import read_singly


@pytest.mark.parametrize("connections", [1, 8])
async def test_what_was_asked_for_before_a_budget_ended_is_given_before_the_end_is_told(connections: int) -> None:
    async def wanted() -> AsyncIterator[WantedDocument]:
        for number in range(30):
            image = ListedImage(str(number), "", f"{number}.jpg", None, None, None, None, None, None, ())
            yield WantedDocument(DocumentKey(str(number)), image)

    async def read(document: WantedDocument) -> Reading:
        if document.key.image == "20":
            raise BudgetSpent("spent")
        await anyio.lowlevel.checkpoint()
        return Reading(document.key, b"{}", None, {})

    found: list[str] = []

    async def read_all() -> None:
        async for reading in read_singly(read, wanted(), connections):
            assert reading.problem is None
            found.append(reading.key.image)

    with pytest.raises(BudgetSpent):
        await read_all()
    assert found == [str(number) for number in range(20)]
