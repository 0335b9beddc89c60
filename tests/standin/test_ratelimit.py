"""Windows: never more than the limit, and their headers can be believed."""

import random

import pytest

from labelmirror.standin import WindowKind
from labelmirror.standin.ratelimit import RateWindow


@pytest.mark.parametrize("kind", list(WindowKind))
@pytest.mark.parametrize("seed", range(50))
def test_a_window_never_admits_more_than_its_limit(kind: WindowKind, seed: int) -> None:
    rng = random.Random(seed)
    limit, window_s = rng.randrange(1, 12), rng.choice([2.0, 10.0, 3_600.0])
    window = RateWindow(limit, window_s, kind)
    now_s, admitted = 1_000.0, []
    for _ in range(200):
        now_s += rng.expovariate(limit / window_s * 2)
        if window.admit(now_s).admitted:
            admitted.append(now_s)
    for first, beyond in zip(admitted, admitted[limit:], strict=False):
        if kind is WindowKind.SLIDING:
            assert beyond - first >= window_s, f"seed {seed}"
    # Fixed windows open with a request, so two neighbours hold at most two limits in twice the length.
    for first, beyond in zip(admitted, admitted[2 * limit :], strict=False):
        assert beyond - first >= window_s, f"seed {seed}"


@pytest.mark.parametrize("kind", list(WindowKind))
@pytest.mark.parametrize("seed", range(50))
def test_whoever_waits_as_long_as_told_is_admitted(kind: WindowKind, seed: int) -> None:
    rng = random.Random(seed)
    window = RateWindow(3, 7.5, kind)
    now_s = 1_000.0
    for _ in range(100):
        verdict = window.admit(now_s)
        if not verdict.admitted:
            wait_s = int(verdict.headers()["Retry-After"])
            assert window.admit(now_s + wait_s).admitted, f"seed {seed}"
            now_s += wait_s
        now_s += rng.random()


def test_a_fixed_window_gives_everything_back_at_its_reset() -> None:
    window = RateWindow(2, 10.0, WindowKind.FIXED)
    assert [window.admit(at_s).admitted for at_s in (0.0, 9.0, 9.9)] == [True, True, False]
    assert window.admit(10.0).remaining == 1


def test_a_sliding_window_gives_back_request_by_request() -> None:
    window = RateWindow(2, 10.0, WindowKind.SLIDING)
    assert [window.admit(at_s).admitted for at_s in (0.0, 9.0, 9.9)] == [True, True, False]
    assert window.admit(10.0).remaining == 0
    assert not window.admit(18.9).admitted
    assert window.admit(19.0).admitted


def test_the_headers_name_limit_remainder_and_reset() -> None:
    window = RateWindow(1, 10.0, WindowKind.SLIDING)
    assert window.admit(5.5).headers() == {
        "X-RateLimit-Limit": "1",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "16",
    }
    assert window.admit(6.0).headers()["Retry-After"] == "10"
