"""Answers in words: a short table, then a line for each item that needs a person, then what to do next.

Pure: values in, something that rich prints out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from labelmirror.cli.output import printable, table
from labelmirror.cli.shapes import blind_until_s, time_text
from labelmirror.daemon.control import Standing as DaemonStanding
from labelmirror.engine.backup import BackupReport
from labelmirror.engine.export import Exported
from labelmirror.engine.snapshots import Judged
from labelmirror.engine.status import MirrorStanding, Standing
from labelmirror.engine.verify import VerifyReport
from labelmirror.errors import InvalidDocument, command_line
from labelmirror.model.report import MirrorOutcome, MirrorReport, PlanReport, RunError
from labelmirror.model.snapshot import Snapshot, Swept
from labelmirror.model.trouble import Failed, Held, HoldReason, Trouble

#: Of each kind of item, so many are shown; the JSON answer has all.
SHOWN = 20
#: So much of a snapshot's id tells it from others.
SHORT_ID = 8

#: Why a document waits, in a few words.
HELD_BECAUSE: Mapping[HoldReason, str] = {
    HoldReason.BOTH_EDITED: "edited here and changed on the server",
    HoldReason.EDITED_AND_DELETED: "edited here and deleted on the server",
    HoldReason.BOTH_ADDED: "here and on the server, and different",
    HoldReason.SHRUNK: "lost half of its annotations, or more",
    HoldReason.CATEGORY_GONE: "uses a category that the server no longer has",
    HoldReason.FOREIGN_SAVE_OVERWRITTEN: "somebody's save on the server was overwritten",
    HoldReason.BEING_ANNOTATED: "somebody is annotating it now",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A mirror's standing with what its configuration adds. With an error the mirror cannot be worked on."""

    standing: MirrorStanding
    server: str
    full_check_every_s: float
    error: RunError | None
    daemon: DaemonStanding | None = None


#: What goes on where a run ended.
NEXT_SYNC = "labelmirror sync; it does only what is left"


def runs(reports: Sequence[MirrorReport], following: str = NEXT_SYNC) -> RenderableType:
    """What runs did; `following` is what does what they left undone, "" where nothing does."""
    if not reports:
        return Text("nothing to repair: the state knows every mirror")
    columns = (
        "mirror",
        "outcome",
        "images",
        "fetched",
        "size",
        "documents",
        "pushed",
        "trash",
        "held",
        "failed",
        "requests",
    )
    rows = [
        (
            report.name,
            report.outcome.value,
            report.images.total,
            report.images.pulled,
            size(report.images.size_bytes),
            report.documents.pulled + report.documents.adopted,
            _pushed(report.documents.pushed, report.documents.merged),
            report.images.retired,
            sum(isinstance(trouble, Held) for trouble in report.troubles),
            sum(isinstance(trouble, Failed) for trouble in report.troubles),
            f"{report.traffic.api} + {report.traffic.storage} for files",
        )
        for report in reports
    ]
    lines = [line for report in reports for line in (*_problems(report), *_ahead(report.name, report.documents.ahead))]
    return answer(table(columns, rows), lines, _next_of_runs(reports, following))


def plans(reports: Sequence[PlanReport], *, following: str) -> RenderableType:
    """What runs would do, and what they would cost; `following` is what carries it out."""
    columns = (
        "mirror",
        "images",
        "size",
        "documents",
        "push",
        "trash",
        "hold",
        "requests",
        "allowed now",
        "spent looking",
    )
    rows = [
        (
            report.name,
            report.pull_images,
            None if (cost := report.forecast) is None or cost.size_bytes is None else size(cost.size_bytes),
            report.pull_documents,
            report.push + report.merge,
            report.retire,
            report.hold,
            None if report.forecast is None else report.forecast.requests,
            None if report.forecast is None else report.forecast.window_remaining,
            report.requests_spent,
        )
        for report in reports
    ]
    items = [
        (report.name, item.action, item.path) for report in reports for item in report.items[: SHOWN // len(reports)]
    ]
    lines: list[str] = []
    for report in reports:
        lines += _problems(report)
        if report.forecast is not None and not report.forecast.fits:
            eta = "" if report.forecast.eta_s is None else f", done in about {_span(report.forecast.eta_s)}"
            lines.append(f"{report.name}: more requests than the server allows now{eta}")
    hidden = sum(len(report.items) for report in reports) - len(items)
    parts: list[RenderableType] = [table(columns, rows)]
    if items:
        parts += [Text(""), table(("mirror", "action", "path"), items)]
    if hidden:
        parts.append(Text(f"and {hidden} more; --json has all"))
    next_line = _next_of_plans(reports, following) if items or lines else "nothing to do"
    lines += [line for report in reports for line in _ahead(report.name, report.ahead)]
    return answer(Group(*parts), lines, "" if any(report.error for report in reports) else next_line)


def exported(path: Path, found: Exported) -> RenderableType:
    """What an export wrote, and what it could not carry."""
    lines = [f"not carried: {count} annotations of type {kind}" for kind, count in sorted(found.left_out.items())]
    lines += [f"not carried: {name}, {count} times" for name, count in sorted(found.lost.items())]
    if found.sizeless:
        lines.append(f"not known: width and height of {found.sizeless} images")
    lines += [f"failed: {trouble.message}" for trouble in found.troubles[:SHOWN]]
    if len(found.troubles) > SHOWN:
        lines.append(f"and {len(found.troubles) - SHOWN} more; --json has all")
    return answer(Text(f"{found.annotations} annotations of {found.images} images in {path}"), lines, "")


def standings(told: Sequence[Told], *, with_images: bool) -> RenderableType:
    """How mirrors stand."""
    columns = ("mirror", "state", "images", "documents", "ahead", "behind", "held", "failed", "last sync", "full check")
    rows = [
        (
            each.standing.name,
            _state(each),
            *(each.standing.counts[name] for name in ("images", "documents", "ahead", "behind", "held", "failed")),
            time_text(each.standing.facts.last_sync_s),
            time_text(each.standing.facts.last_full_check_s),
        )
        for each in told
    ]
    parts: list[RenderableType] = [table(columns, rows)]
    lines: list[str] = []
    for each in told:
        name, standing = each.standing.name, each.standing
        if each.error is None and standing.standing is Standing.NEVER:
            lines.append(f"{name}: was never synced; next: {command_line('sync', name)}")
        if (only_here := standing.counts["local_only"]) > 0:
            files = "file is" if only_here == 1 else "files are"
            lines.append(f"{name}: {only_here} {files} not on the server, and left alone; --images names them")
        if (refused := standing.facts.refused) is not None:
            lines.append(f"{name}: the sync at {time_text(standing.facts.refused_s)} was refused: {refused.message}")
        if (daemon := each.daemon) is not None:
            if daemon.working:
                lines.append(f"{name}: the daemon is working on it")
            elif daemon.paused:
                lines.append(f"{name}: paused; go on with: {command_line('resume', name)}")
            else:
                lines.append(f"{name}: the daemon syncs it next at {time_text(daemon.next_due_s) or 'no time'}")
            if daemon.last is not None and daemon.last.error is not None and each.error is None:
                error = daemon.last.error
                lines.append(
                    f"{name}: the daemon's last cycle ended at {time_text(daemon.last.at_s)} with: {error.message}"
                )
                lines += [f"{name}: {error.hint}"] if error.hint else []
        if standing.facts.window_max_s is not None:
            last_s, max_s = standing.facts.window_last_s or 0.0, standing.facts.window_max_s
            lines.append(
                f"{name}: somebody else's save of the same image could have been overwritten for {last_s:.2f} s in the last "
                f"push, {max_s:.2f} s at most so far"
            )
        blind = time_text(blind_until_s(standing.facts.last_full_check_s, each.full_check_every_s))
        if blind is not None:
            lines.append(f"{name}: edits that listings cannot show may be unseen until the next full check at {blind}")
    if with_images:
        shown = (
            (each.standing.name, image.standing.value, image.reason, image.document_path or image.image_path)
            for each in told
            for image in each.standing.images
        )
        parts += [Text(""), table(("mirror", "state", "reason", "path"), shown)]
    return answer(Group(*parts), lines, "")


def _state(told: Told) -> str:
    if told.error is not None:
        return "failed"
    return "refused" if told.standing.facts.refused is not None else told.standing.standing.value


def checked(reports: Sequence[VerifyReport], following: str) -> RenderableType:
    """What a check of files found; `following` is what mends what it could not."""
    rows = [
        (
            report.name,
            report.checked,
            len(report.damaged),
            sum(damage.repaired for damage in report.damaged),
        )
        for report in reports
    ]
    lines: list[str] = []
    for report in reports:
        lines += [
            f"{report.name}: {damage.path}: {damage.problem}, {'repaired' if damage.repaired else 'not repaired'}"
            for damage in report.damaged[:SHOWN]
        ]
        lines += _more(len(report.damaged))
    unrepaired = any(not damage.repaired for report in reports for damage in report.damaged)
    head = table(("mirror", "files checked", "damaged", "repaired"), rows)
    return answer(head, lines, f"next: {following}, then verify again" if unrepaired else "")


def backups(reports: Sequence[BackupReport]) -> RenderableType:
    """What was saved."""
    made = [report.snapshot for report in reports if report.snapshot is not None]
    lines: list[str] = []
    for report in reports:
        if report.synced is not None:
            lines.append(f"{report.name}: synced before: {report.synced.outcome.value}")
            lines += _problems(report.synced)
            if report.synced.error is not None:
                lines.append(f"{report.name}: {report.synced.error.message}")
        lines += _troubles(report.name, report.failed)
    return answer(_snapshot_table(made) if made else Text("no snapshot was made"), lines, "")


def snapshots(found: Sequence[Snapshot], unusable: Sequence[tuple[str, str]]) -> RenderableType:
    """What snapshots there are."""
    if not found and not unusable:
        return Text("no snapshots; make one with: labelmirror backup")
    return answer(_snapshot_table(found), [f"{each[:SHORT_ID]} {why}" for each, why in unusable], "")


def _snapshot_table(found: Sequence[Snapshot]) -> RenderableType:
    columns = ("snapshot", "mirror", "at", "images", "documents", "image files", "new")
    rows = [
        (
            each.id[:SHORT_ID],
            each.head.mirror,
            time_text(each.head.at_s),
            each.head.images,
            each.head.documents,
            "included" if each.head.images_included else "named",
            size(each.head.bytes_new),
        )
        for each in found
    ]
    return table(columns, rows)


def pruned(judged: Sequence[Judged], swept: Swept | None) -> RenderableType:
    """What stays and why, and what goes."""
    rows = [
        (
            each.snapshot.id[:SHORT_ID],
            each.snapshot.head.mirror,
            time_text(each.snapshot.head.at_s),
            "keep" if each.reasons else "remove",
            ", ".join(each.reasons) or None,
        )
        for each in judged
    ]
    gone = sum(not each.reasons for each in judged)
    if swept is None:
        line = f"{gone} of {len(judged)} snapshots would be removed; nothing was"
    else:
        line = f"{gone} of {len(judged)} snapshots removed, with {swept.files} contents of {size(swept.size_bytes)}"
    return answer(table(("snapshot", "mirror", "at", "", "because"), rows), [line], "")


def answer(head: RenderableType, lines: Sequence[str], following: str) -> RenderableType:
    """An answer: its table, a line for each thing worth a word, and what to do next."""
    parts: list[RenderableType] = [head]
    if lines:
        parts += [Text(""), *(Text(printable(line)) for line in lines)]
    if following:
        parts += [Text(""), Text(following)]
    return Group(*parts)


def _problems(report: MirrorReport | PlanReport) -> Iterable[str]:
    """A line for each item that needs a person, and for a guard's refusal."""
    yield from _troubles(report.name, report.troubles)
    if report.refused is not None:
        yield f"{report.name}: refused: {report.refused.message}"


def _troubles(mirror: str, troubles: Sequence[Trouble]) -> Iterable[str]:
    held = [trouble for trouble in troubles if isinstance(trouble, Held)]
    failed = [trouble for trouble in troubles if isinstance(trouble, Failed)]
    yield from (
        f"{mirror}: held: {item.image}{f' (set {item.set})' if item.set else ''}: {HELD_BECAUSE[item.reason]} "
        f"({item.reason.value})"
        for item in held[:SHOWN]
    )
    yield from _more(len(held))
    yield from (
        f"{mirror}: failed: {f'{item.image}: ' if item.image else ''}{item.message} ({item.code})"
        for item in failed[:SHOWN]
    )
    yield from _more(len(failed))


def _ahead(mirror: str, count: int) -> Sequence[str]:
    """That edits stay here, and what would send them."""
    if not count:
        return []
    counted, them = ("1 document", "it") if count == 1 else (f"{count} documents", "them")
    return [f"{mirror}: {counted} edited here, kept and not sent; push = true in [datasets.{mirror}] sends {them}"]


def _more(count: int) -> Sequence[str]:
    return [f"and {count - SHOWN} more; --json has all"] if count > SHOWN else []


def _next_of_runs(reports: Sequence[MirrorReport], following: str) -> str:
    """What a person should do, for the weightiest thing that is left."""
    outcomes = {report.outcome for report in reports}
    if MirrorOutcome.REFUSED in outcomes and any(report.refused for report in reports):
        return "next: look at the server; if that is meant, run it again with the option above. Nothing was removed or overwritten."
    if MirrorOutcome.HELD in outcomes:
        return "next: labelmirror conflicts list. What is held stays as it is on both sides until you decide."
    if outcomes & {MirrorOutcome.PARTIAL, MirrorOutcome.STOPPED}:
        mending = following == NEXT_SYNC and any(_invalid(report.troubles) for report in reports)
        return following and f"next: {'mend the documents named above, then ' if mending else ''}{following}"
    return ""


def _next_of_plans(reports: Sequence[PlanReport], following: str) -> str:
    """What carries plans out, unless nothing but bad documents is left in them."""
    if not any(_invalid(report.troubles) for report in reports):
        return f"next: {following}"
    if all(item.waits for report in reports for item in report.items):
        return "next: mend the documents named above, and plan again"
    return f"next: {following}; the documents named above stay as they are until they are mended"


def _invalid(troubles: Sequence[Trouble]) -> bool:
    """Whether a person has to mend a document."""
    return any(isinstance(trouble, Failed) and trouble.code == InvalidDocument.code for trouble in troubles)


def _pushed(pushed: int, merged: int) -> str:
    return f"{pushed} ({merged} merged)" if merged else str(pushed)


def size(size_bytes: int) -> str:
    """A size for people, such as "1.5 MiB"."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    size, unit = size_bytes / 1024, "KiB"
    for bigger in ("MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, bigger
    return f"{size:.1f} {unit}"


def _span(seconds: float) -> str:
    minutes = -(-int(seconds) // 60)
    return f"{int(seconds)} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
