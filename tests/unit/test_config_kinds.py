"""The table of servers: each kind can be configured and built."""

import pytest

from labelmirror.providers.registry import KINDS


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_settings_of_its_own_name_and_a_builder(kind: str) -> None:
    settings = KINDS[kind].settings.model_fields
    assert settings["kind"].annotation is not str
    assert callable(KINDS[kind].builder())
