"""The published JSON shapes of what runs, plans and looks found: values in, JSON out. Names once published stay.

Pure. Times are written as UTC in ISO 8601, sizes in bytes, spans in seconds.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from labelmirror.cli.endings import speaking
from labelmirror.daemon.control import Ending, Standing
from labelmirror.engine.backup import BackupReport
from labelmirror.engine.compare import DocumentDiff, HeldDocument
from labelmirror.engine.export import Exported
from labelmirror.engine.mirror import image_path
from labelmirror.engine.snapshots import Judged
from labelmirror.engine.status import ImageStanding, MirrorStanding
from labelmirror.engine.verify import VerifyReport
from labelmirror.errors import ExitCode
from labelmirror.model.actions import Forecast, PlanItem, Refusal
from labelmirror.model.document import JsonObject
from labelmirror.model.remote import Dataset
from labelmirror.model.report import MirrorReport, PlanReport, RunError
from labelmirror.model.saving import SaveRecord
from labelmirror.model.snapshot import Snapshot, Swept
from labelmirror.model.trouble import Failed, Held, Trouble


def error_shape(error: RunError) -> JsonObject:
    """An error, as it stands in every answer."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def speaking_shape(errors: Iterable[RunError | None], code: ExitCode) -> JsonObject:
    """The answer's own `error`: of the first mirror whose error decided the exit code; nothing if none did."""
    error = speaking(errors, code)
    return {} if error is None else {"error": error_shape(error)}


def run_shape(report: MirrorReport) -> JsonObject:
    """One mirror in the answer of `sync` and `repair`."""
    images, documents, traffic = report.images, report.documents, report.traffic
    return {
        "name": report.name,
        "run": report.run or None,
        "outcome": report.outcome.value,
        "images": {
            "total": images.total,
            "pulled": images.pulled,
            "bytes": images.size_bytes,
            "retired": images.retired,
        },
        "documents": {
            "pulled": documents.pulled,
            "pushed": documents.pushed,
            "merged": documents.merged,
            "adopted": documents.adopted,
            "held": documents.held,
            "retired": documents.retired,
            "ahead": documents.ahead,
        },
        "failed": failed_shapes(report.troubles),
        "held": [
            {**_where(trouble), "reason": trouble.reason.value}
            for trouble in report.troubles
            if isinstance(trouble, Held)
        ],
        "requests": {"api": traffic.api, "storage": traffic.storage, "limited": traffic.limited},
        "waited_s": round(traffic.waited_s, 3),
        "duration_s": round(report.duration_s, 3),
        "refused": _refusal_shape(report.refused),
        "error": None if report.error is None else error_shape(report.error),
    }


def failed_shapes(troubles: Iterable[Trouble]) -> Sequence[JsonObject]:
    """The failed ones of these items."""
    return [
        {**_where(trouble), "stage": trouble.stage.value, "code": trouble.code, "message": trouble.message}
        for trouble in troubles
        if isinstance(trouble, Failed)
    ]


def export_shape(path: Path, exported: Exported) -> JsonObject:
    """The answer of `export`. What was not carried are whole annotations by type, and fields of others."""
    return {
        "path": str(path),
        "images": exported.images,
        "annotations": exported.annotations,
        "not_carried": {
            "annotations": dict(sorted(exported.left_out.items())),
            "fields": dict(sorted(exported.lost.items())),
            "image_sizes": exported.sizeless,
        },
        "failed": failed_shapes(exported.troubles),
    }


def plan_shape(report: PlanReport) -> JsonObject:
    """One mirror in the answer of `plan`."""
    return {
        "name": report.name,
        "actions": {
            "pull_images": report.pull_images,
            "pull_documents": report.pull_documents,
            "push": report.push,
            "merge": report.merge,
            "hold": report.hold,
            "retire": report.retire,
            "ahead": report.ahead,
        },
        "forecast": None if report.forecast is None else _forecast_shape(report.forecast),
        "strategy": report.strategy,
        "items": [_item_shape(item) for item in report.items],
        "requests_spent": report.requests_spent,
        "failed": failed_shapes(report.troubles),
        "refused": _refusal_shape(report.refused),
        "error": None if report.error is None else error_shape(report.error),
    }


def status_shape(
    standing: MirrorStanding,
    *,
    server: str,
    full_check_every_s: float,
    with_images: bool,
    error: RunError | None,
    daemon: Standing | None = None,
) -> JsonObject:
    """One mirror in the answer of `status`. With an error the mirror cannot be worked on, and its state is failed.

    `daemon` is how a running daemon has it; None: there is none.
    """
    facts, counts = standing.facts, standing.counts
    shape: dict[str, JsonObject | str | int | Sequence[JsonObject] | None] = {
        "name": standing.name,
        "server": server,
        "dataset_id": facts.dataset_id,
        "state": "failed" if error is not None else standing.standing.value,
        "counts": {
            name: counts[name] for name in ("images", "documents", "ahead", "behind", "held", "failed", "local_only")
        },
        "last_sync": time_text(facts.last_sync_s),
        # Why the newest run was refused, if it was: it is not counted as a sync.
        "refused": _refusal_shape(facts.refused),
        "last_full_check": time_text(facts.last_full_check_s),
        # Only a daemon knows when it will look again; null without one.
        "next_due": None if daemon is None else time_text(daemon.next_due_s),
        "paused": None if daemon is None else daemon.paused,
        "working": None if daemon is None else daemon.working,
        "last_cycle": None if daemon is None else ending_shape(daemon.last),
        "blind_until": time_text(blind_until_s(facts.last_full_check_s, full_check_every_s)),
        "safety_level": facts.safety_level,
        # The window of a save; none before something was pushed.
        "window_s": {"last": _rounded(facts.window_last_s), "max": _rounded(facts.window_max_s)},
        "error": None if error is None else error_shape(error),
    }
    if with_images:
        shape["images"] = [_image_shape(image) for image in standing.images]
    return shape


def daemon_shape(standing: Standing) -> JsonObject:
    """One mirror in the answer of `pause`, `resume` and `sync-now`."""
    return {
        "name": standing.name,
        "working": standing.working,
        "paused": standing.paused,
        "next_due": time_text(standing.next_due_s),
    }


def ending_shape(ending: Ending | None) -> JsonObject | None:
    """How a mirror's last cycle ended; None before there was one."""
    if ending is None:
        return None
    error = None if ending.error is None else error_shape(ending.error)
    return {"ended": time_text(ending.at_s), "outcome": ending.outcome.value, "error": error}


def blind_until_s(last_full_check_s: float | None, full_check_every_s: float) -> float | None:
    """Until when an edit that listings cannot show may be unseen, None before the first full check."""
    return None if last_full_check_s is None else last_full_check_s + full_check_every_s


def diff_shape(entry: DocumentDiff) -> JsonObject:
    """One document in the answer of `diff`. A side that is not known, or is no document, is null."""
    return {"id": entry.key.image, **_set(entry.key.set), "document_path": entry.path, **sides_shape(entry)}


def sides_shape(entry: DocumentDiff | None) -> JsonObject:
    """What became of base on either side, as the keys of annotations; None: neither side is known to differ."""
    sides = {"local": entry.local, "remote": entry.remote} if entry is not None else {"local": None, "remote": None}
    return {
        side: None if found is None else {"added": found.added, "removed": found.removed, "changed": found.changed}
        for side, found in sides.items()
    }


def held_shape(mirror: str, folder: Path, entry: HeldDocument) -> JsonObject:
    """One document in the answer of `conflicts`. The three versions are absolute paths of files, null where there is none."""
    versions = {"base": entry.base, "local": entry.local, "remote": entry.remote}
    return {
        "mirror": mirror,
        "id": entry.held.id,
        **_set(entry.held.set),
        "document_path": entry.path,
        "reason": entry.held.reason.value,
        **{version: None if path is None else str(folder / path) for version, path in versions.items()},
    }


def save_shape(mirror: str, save: SaveRecord) -> JsonObject:
    """One save in the answer of `history`. `read_count` annotations were read just before it; `previous_count` is how many
    the server says that it overwrote, or `read_count` again where it does not say.
    """
    return {
        "id": save.id,
        "run": save.run,
        "mirror": mirror,
        "image": image_path(save.image),
        "image_id": save.key.image,
        **_set(save.key.set),
        "at": time_text(save.at_s),
        "read_count": save.read_count,
        "previous_count": save.previous_count if save.previous_count is not None else save.read_count,
        "new_count": save.new_count,
        "outcome": save.outcome.value,
    }


def verify_shape(reports: Sequence[VerifyReport]) -> JsonObject:
    """The answer of `verify`; paths are relative to their mirror."""
    return {
        "checked": sum(report.checked for report in reports),
        "damaged": [
            {"mirror": report.name, "path": damage.path, "problem": damage.problem, "repaired": damage.repaired}
            for report in reports
            for damage in report.damaged
        ],
        "errors": [{"mirror": report.name, **error_shape(report.error)} for report in reports if report.error],
    }


def snapshot_shape(snapshot: Snapshot) -> JsonObject:
    """One snapshot in the answers of `snapshots` and `backup`. `bytes_new` is what it took that no earlier one had."""
    head = snapshot.head
    return {
        "id": snapshot.id,
        "mirror": head.mirror,
        "at": time_text(head.at_s),
        "images": head.images,
        "documents": head.documents,
        "images_included": head.images_included,
        "bytes_new": head.bytes_new,
    }


def backup_shape(reports: Sequence[BackupReport]) -> JsonObject:
    """The answer of `backup`; `mirrors` are the syncs before it, if they were asked for."""
    synced = [report.synced for report in reports if report.synced is not None]
    return {
        "snapshots": [snapshot_shape(report.snapshot) for report in reports if report.snapshot is not None],
        "failed": [{"mirror": report.name, **failed} for report in reports for failed in failed_shapes(report.failed)],
        "errors": [{"mirror": report.name, **error_shape(report.error)} for report in reports if report.error],
        **({"mirrors": [run_shape(report) for report in synced]} if synced else {}),
    }


def prune_shape(judged: Sequence[Judged], swept: Swept | None) -> JsonObject:
    """The answer of `prune`; without `removed` nothing was."""
    return {
        "snapshots": [
            {
                "id": each.snapshot.id,
                "mirror": each.snapshot.head.mirror,
                "at": time_text(each.snapshot.head.at_s),
                "keep": bool(each.reasons),
                "reasons": list(each.reasons),
            }
            for each in judged
        ],
        "removed": None if swept is None else {"files": swept.files, "bytes": swept.size_bytes},
    }


def dataset_shape(dataset: Dataset) -> JsonObject:
    """One dataset in the answer of `datasets`."""
    return {"id": dataset.id, "name": dataset.name, "images": dataset.images, "annotations": dataset.annotations}


def time_text(at_s: float | None) -> str | None:
    """Wall-clock seconds as people and programs read them."""
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _where(trouble: Trouble) -> JsonObject:
    return {"id": trouble.id, "image": trouble.image, **_set(trouble.set)}


def _set(annotation_set: str) -> JsonObject:
    """The annotation set, on servers that have them."""
    return {"set": annotation_set} if annotation_set else {}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _refusal_shape(refusal: Refusal | None) -> JsonObject | None:
    if refusal is None:
        return None
    return {
        "rule": refusal.rule,
        "count": refusal.count,
        "limit": refusal.limit,
        "base": refusal.base,
        "examples": refusal.examples,
        "override": refusal.override,
        "message": refusal.message,
    }


def _forecast_shape(forecast: Forecast) -> JsonObject:
    return {
        "requests": forecast.requests,
        "bytes": forecast.size_bytes,
        "window_remaining": forecast.window_remaining,
        "fits": forecast.fits,
        "eta_s": forecast.eta_s,
    }


def _item_shape(item: PlanItem) -> JsonObject:
    """A document's line names the document, an image's line the image; the other path is null."""
    return {
        "id": item.key.image,
        "set": item.key.set or None,
        "document_path": None if item.of_image else item.path,
        "image_path": item.path if item.of_image else None,
        "action": item.action,
    }


def _image_shape(image: ImageStanding) -> JsonObject:
    return {
        "id": image.id or None,
        **_set(image.set),
        "directory": image.directory,
        "name": image.name,
        "image_path": image.image_path or None,
        "document_path": image.document_path or None,
        "state": image.standing.value,
        "reason": image.reason,
    }
