"""A dataset that is not there is told with the names of those that are."""

from labelmirror.model.keys import DatasetRef
from labelmirror.providers.datasets import unknown_dataset

MEANT = DatasetRef(name="street")


def test_the_nearest_names_come_first() -> None:
    hint = unknown_dataset(MEANT, ["harbour", "streets"]).hint
    assert "nearest" in hint
    assert "streets" in hint
    assert "harbour" not in hint


def test_without_a_near_one_the_first_are_told_with_their_number_and_what_lists_them() -> None:
    hint = unknown_dataset(MEANT, (f"ds{number:02}" for number in range(40))).hint
    assert "40" in hint
    assert "ds09." in hint
    assert "ds10" not in hint
    assert "`labelmirror datasets`" in hint
    assert "harbour" in unknown_dataset(DatasetRef(id="7"), ["harbour"]).hint


def test_a_login_without_datasets_is_told_so() -> None:
    assert "no dataset at all" in unknown_dataset(MEANT, []).hint
