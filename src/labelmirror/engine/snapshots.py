"""Work on stored snapshots: find one, check one, and let go of those that no rule keeps."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from labelmirror.engine.verify import Damage, Depth, Subset, VerifyReport
from labelmirror.errors import SnapshotDamaged, UnknownSnapshot
from labelmirror.model.keys import DocumentKey
from labelmirror.model.retention import Rules
from labelmirror.model.snapshot import SavedImage, Snapshot, SnapshotList, Swept
from labelmirror.planning.retention import retained
from labelmirror.ports.snapshots import References, SnapshotStore

#: The word for the newest snapshot; with a mirror's name behind it, of that one.
LATEST = "latest"


async def find(store: SnapshotStore, wanted: str) -> Snapshot:
    """The snapshot that a person means: by its id or the beginning of it, by `latest`, or by `latest:NAME`.

    Raises UnknownSnapshot, or SnapshotDamaged where its manifest cannot be used.
    """
    listed = await store.snapshots()
    word, _, mirror = wanted.partition(":")
    if word == LATEST:
        return _latest(listed, mirror)
    found = [each for each in listed.snapshots if each.id.startswith(wanted)]
    unusable = [(each, why) for each, why in listed.unusable if each.startswith(wanted)]
    if not wanted or not (found or unusable):
        raise UnknownSnapshot(f"there is no snapshot {wanted!r}", hint="labelmirror snapshots lists them")
    if len(found) + len(unusable) > 1:
        raise UnknownSnapshot(
            f"{len(found) + len(unusable)} snapshots begin with {wanted!r}",
            hint="name more of its id; snapshots --json has all of it",
        )
    if unusable:
        raise unusable_snapshot(*unusable[0])
    return found[0]


def _latest(listed: SnapshotList, mirror: str) -> Snapshot:
    candidates = [each for each in listed.snapshots if mirror in {"", each.head.mirror}]
    mirrors = sorted({each.head.mirror for each in candidates})
    if not candidates:
        raise UnknownSnapshot(f"there is no snapshot{f' of {mirror}' if mirror else ''}", hint="labelmirror backup")
    if len(mirrors) > 1:
        raise UnknownSnapshot(
            "latest of which mirror?", hint="one of: " + ", ".join(f"{LATEST}:{each}" for each in mirrors)
        )
    return candidates[-1]


def unusable_snapshot(snapshot: str, why: str) -> SnapshotDamaged:
    """The error for a manifest that cannot be used."""
    return SnapshotDamaged(
        f"snapshot {snapshot[:8]} {why}",
        hint=f"Put snapshots/{snapshot}.json back from a copy of the store, or remove it to give that snapshot up. One that was "
        "copied here alone is read where it came from: let [backup] path name that store.",
    )


async def images_of(
    store: SnapshotStore, snapshot: Snapshot
) -> AsyncIterator[tuple[SavedImage, Mapping[DocumentKey, bytes]]]:
    """The images of a snapshot, each with its documents. What is damaged is left out."""
    for name in snapshot.head.pages:
        try:
            images = (await store.page(name)).images
        except SnapshotDamaged:
            continue
        saved = await store.documents([one.content for image in images for one in image.documents])
        for image in images:
            yield image, {one.key: saved[one.content] for one in image.documents if one.content in saved}


# --- checking ----------------------------------------------------------------------------------------------------


async def verify_snapshot(store: SnapshotStore, snapshot: Snapshot, depth: Depth, subset: Subset) -> VerifyReport:
    """Check everything that the store holds of a snapshot; images that are only named are not its to check.

    With QUICK depth stored images are there in the right size, else every byte is read.
    """
    report = VerifyReport(snapshot.head.mirror)
    for name in snapshot.head.pages:
        try:
            page = await store.page(name)
        except SnapshotDamaged:
            report.damaged.append(Damage(f"pages/{name}", "digest", repaired=False))
            continue
        images = [image for image in page.images if subset.has(image.id)]
        saved = [(one.path, one.content) for image in images for one in image.documents]
        saved += [(stray.path, stray.content) for stray in page.strays if subset.has(stray.path)]
        whole = await store.documents([content for _, content in saved])
        report.damaged += [Damage(path, "digest", repaired=False) for path, content in saved if content not in whole]
        included = [image for image in images if image.included]
        report.damaged += [
            Damage(image.path, "digest", repaired=False)
            for image in included
            if not await _is_whole(store, image, depth)
        ]
        report.checked += len(saved) + len(included) + 1
    return report


async def _is_whole(store: SnapshotStore, image: SavedImage, depth: Depth) -> bool:
    assert image.content is not None
    assert image.size_bytes is not None
    if depth is Depth.QUICK:
        return await store.has_image(image.content, image.size_bytes)
    try:
        async for _ in store.image(image.content):
            pass
    except SnapshotDamaged:
        return False
    return True


# --- letting go --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """A snapshot and why it stays; without a reason it goes."""

    snapshot: Snapshot
    reasons: Sequence[str]


async def judge(
    store: SnapshotStore, mirrors: frozenset[str] | None, rules: Rules, *, now_s: float, zone: tzinfo | None = None
) -> Sequence[Judged]:
    """What the rules say of each snapshot of these mirrors (None: of all), each mirror by itself."""
    listed = (await store.snapshots()).snapshots
    judged: list[Judged] = []
    for mirror in sorted({each.head.mirror for each in listed if mirrors is None or each.head.mirror in mirrors}):
        of_mirror = {each.id: each for each in listed if each.head.mirror == mirror}
        times_s = {each.id: each.head.at_s for each in of_mirror.values()}
        reasons = retained(times_s, rules, now_s=now_s, zone=zone)
        judged += [Judged(of_mirror[each], why) for each, why in reasons.items()]
    return judged


async def prune(store: SnapshotStore, judged: Sequence[Judged]) -> Swept:
    """Remove the snapshots that no rule keeps, and every content that no other snapshot names; what the contents were.

    What the others need is known before the first file is removed, and snapshots go before their contents: cut off
    anywhere, each snapshot that is listed is whole, and the next prune finishes. Raises SnapshotDamaged, with nothing
    done, while it cannot be known what a snapshot needs.
    """
    listed = await store.snapshots()
    if listed.unusable:
        raise unusable_snapshot(*listed.unusable[0])
    doomed = {each.snapshot.id for each in judged if not each.reasons}
    references = References()
    for snapshot in listed.snapshots:
        if snapshot.id not in doomed:
            await _refer(store, snapshot, references)
    await store.remove_snapshots(doomed)
    return await store.sweep(references)


async def _refer(store: SnapshotStore, snapshot: Snapshot, references: References) -> None:
    for name in snapshot.head.pages:
        if name in references.pages:
            continue
        page = await store.page(name)
        references.pages.add(name)
        references.documents.update(one.content for image in page.images for one in image.documents)
        references.documents.update(stray.content for stray in page.strays)
        references.images.update(image.content for image in page.images if image.included and image.content)
