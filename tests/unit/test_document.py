"""How documents are spelled."""

import json
import math
import random
from typing import Any

import pytest

from labelmirror.model.document import render


def drawn(rng: random.Random, depth: int = 4) -> Any:
    texts = ["", "car", 'q"\\/', "\n\t\x00\x7f", "é", "\U0001f600", "\ud800", "\u2028"]
    numbers = [0, -1, 2**70, 0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, rng.random(), rng.randrange(10**6)]
    leaves = [None, True, False, *texts, *numbers]
    match rng.randrange(4) if depth else 0:
        case 0 | 1:
            return rng.choice(leaves)
        case 2:
            return {rng.choice(texts) + str(n): drawn(rng, depth - 1) for n in range(rng.randrange(4))}
        case _:
            return [drawn(rng, depth - 1) for _ in range(rng.randrange(4))]


def test_documents_are_spelled_as_the_standard_library_indents_them(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(2000):
        document = {"annotations": drawn(rng), "more": drawn(rng)}
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        assert render(document) == text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_json_number_is_never_written(number: float) -> None:
    with pytest.raises(ValueError, match="no JSON numbers"):
        render({"annotations": [number]})
