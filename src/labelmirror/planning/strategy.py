"""Which way of reading documents is the cheapest now, and what a plan will cost."""

from collections.abc import Mapping, Sequence

from labelmirror.model.actions import Forecast, ImageAction
from labelmirror.model.remote import Quota, ReadWay

#: A way whose documents are closer to the server's own file may cost this share more.
FIDELITY_SHARE = 0.05


def choose_way(ways: Sequence[ReadWay], documents: int) -> ReadWay | None:
    """The way in which to read so many documents: the cheapest, or among those within five percent of it the one of the
    highest fidelity. None where there is nothing to read or no way left. Ask again with the others where one is refused.
    """
    if not ways or documents == 0:
        return None
    near = min(way.requests(documents) for way in ways) * (1 + FIDELITY_SHARE)
    good = [way for way in ways if way.requests(documents) <= near]
    return min(good, key=lambda way: (-way.fidelity, way.requests(documents), way.name))


def fetches_ahead(actions: Mapping[ImageAction, int], images: int | None, image_batch: int) -> bool:
    """Whether missing images may be fetched before the documents are read: where one request, which is due anyway, has
    the links to all of the dataset's `images`. A request for each would take from the quota what documents come first for.
    """
    return actions.get(ImageAction.PULL, 0) > 1 and images is not None and images <= image_batch


def forecast(
    *,
    images: int,
    image_bytes: int | None,
    image_batch: int,
    quota: Quota,
    pushes: int = 0,
    reread_requests: int = 1,
    save_batch: int = 1,
) -> Forecast:
    """The price of carrying out a plan whose documents were read already, beside that of looking again.

    `image_batch` images share one request for their links; 0 means a request each. A pushed document is read again
    before its save and read back after it, by `reread_requests` each; `save_batch` documents share one request to save
    them. A server where a save takes several requests needs more.
    """
    requests = 2 * reread_requests * pushes + -(-pushes // save_batch)
    if images:
        requests += images if image_batch == 0 or images == 1 else -(-images // image_batch)
    usable = quota.usable
    fits = usable is None or requests <= usable
    return Forecast(requests, image_bytes, quota.remaining, fits, _eta_s(requests, quota))


def _eta_s(requests: int, quota: Quota) -> float | None:
    """Seconds until the last request may be sent, from the window alone; None where no limit is known."""
    if quota.usable is None or quota.limit is None or quota.window_s is None:
        return None
    if requests <= quota.usable:
        return 0.0
    windows = -(-(requests - quota.usable) // max(1, quota.limit))
    return (quota.resets_in_s or 0.0) + (windows - 1) * quota.window_s
