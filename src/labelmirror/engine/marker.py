"""Whose directory is this? Asked before anything is done in it."""

from dataclasses import replace

from labelmirror.engine.mirror import LocalMirror
from labelmirror.errors import MarkerMismatch, StateDamaged
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
                f"{mirror.name}: the mirror's directory has no marker, though it was mirrored before",
                hint="Is its disk mounted? If the directory was removed on purpose, remove it whole "
                "and run: labelmirror repair " + mirror.name,
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
            f"{mirror.name}: the directory belongs to another store ({marker.mirror} {marker.store_id[:8]})",
            hint="Give each mirror a path of its own, or put the right directory back.",
        )
    raise StateDamaged(
        f"{mirror.name}: the directory was mirrored before, but the state knows nothing of it",
        hint=f"Put the state back, or rebuild it from the mirror and the server: labelmirror repair {mirror.name}",
    )
