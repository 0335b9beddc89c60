"""Whose directory is this? Asked before anything is done in it."""

from dataclasses import replace

from labelmirror.engine.mirror import LocalMirror
from labelmirror.errors import MarkerMismatch, StateDamaged, command_line
from labelmirror.ports.tree import Marker


async def check_marker(mirror: LocalMirror, *, claim: bool = True) -> None:
    """Make sure that the directory is the one that the state knows. Raises MarkerMismatch or StateDamaged.

    With neither base nor marker this is a first run, and the directory is claimed.
    """
    facts = await mirror.state.facts()
    marker = await mirror.tree.marker()
    known = facts.last_sync_s is not None or facts.claimed
    if marker is None:
        if known:
            raise MarkerMismatch(
                f"{mirror.name}: {mirror.tree.root} has no marker, though the mirror was there before",
                hint=f"Is its disk mounted? If the directory was moved or renamed, let `path` of [datasets.{mirror.name}] "
                "say where it is now. If it was removed on purpose, remove it whole and run: labelmirror repair "
                + mirror.name,
            )
        if claim:
            await mirror.tree.write_marker(Marker(facts.store_id, mirror.name))
            await mirror.state.set_facts(replace(facts, claimed=True))
        return
    if marker.store_id == facts.store_id:
        if claim and not facts.claimed:
            # The run that wrote the marker died before it could note that.
            await mirror.state.set_facts(replace(facts, claimed=True))
        return
    if known:
        raise MarkerMismatch(
            f"{mirror.name}: {mirror.tree.root} belongs to another store ({marker.mirror} {marker.store_id[:8]})",
            hint=f"Let `path` of [datasets.{mirror.name}] name a directory of its own, or put the right one back.",
        )
    raise StateDamaged(
        f"{mirror.name}: the directory was mirrored before, but the state knows nothing of it",
        hint="Put the state back, or rebuild it from the mirror and the server: " + command_line("repair", mirror.name),
    )
