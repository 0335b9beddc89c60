"""When a file that is being edited has come to rest."""

import itertools

from labelmirror.daemon.settling import MOST, Settling

SETTLE_S = 2.0


def test_a_file_is_ready_once_it_was_quiet_for_long_enough() -> None:
    settling = Settling().noted(["a"], 100.0).noted(["a"], 101.5)
    assert settling.settled_s(SETTLE_S) == 103.5
    assert settling.taken(SETTLE_S, 103.0) == (frozenset(), settling)
    ready, left = settling.taken(SETTLE_S, 103.5)
    assert ready == {"a"}
    assert left == Settling()


def test_a_restless_file_does_not_keep_a_quiet_one() -> None:
    settling = Settling().noted(["a", "b"], 100.0).noted(["b"], 101.0)
    ready, left = settling.taken(SETTLE_S, 102.0)
    assert ready == {"a"}
    assert left.settled_s(SETTLE_S) == 103.0
    assert left.since_s == 100.0


def test_nothing_touched_is_nothing_to_wait_for() -> None:
    assert Settling().noted([], 1.0) == Settling()
    assert Settling().settled_s(SETTLE_S) is None


def test_a_clock_that_steps_back_keeps_no_file_waiting() -> None:
    ready, _ = Settling().noted(["a"], 1000.0).taken(SETTLE_S, 10.0)
    assert ready == {"a"}


def test_a_flood_of_files_is_remembered_as_a_flood() -> None:
    settling = Settling().noted((str(number) for number in range(MOST + 1)), 5.0)
    assert (settling.flooded, dict(settling.touched), settling.since_s) == (True, {}, 5.0)


def test_every_touched_file_is_taken_exactly_once_after_its_last_touch() -> None:
    """All orders in which two files can be touched in four steps, looked at after each."""
    for touches in itertools.product(["", "a", "b", "ab"], repeat=4):
        settling, taken = Settling(), list[tuple[float, str]]()
        for step in range(9):
            if step < len(touches):
                settling = settling.noted(touches[step], float(step))
            ready, settling = settling.taken(SETTLE_S, float(step))
            taken += [(float(step), path) for path in ready]
        for path in "ab":
            ends = [at for at, each in taken if each == path]
            touched = [float(step) for step, each in enumerate(touches) if path in each]
            quiet = [at for at, later in itertools.zip_longest(touched, touched[1:], fillvalue=99.0) if later - at > 2]
            due = [at + SETTLE_S for at in quiet]
            assert ends == due, touches
        assert settling == Settling()
