"""Guards: may this plan run as it is? Decided on the numbers of the whole plan, before its first step.

A tripped guard stops deletes, overwriting pulls and pushes of its mirror; what only adds goes on. Consent is a number,
never a switch, and never in the configuration: whoever gives it has read how much is at stake.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from labelmirror.model.actions import ImageAction, Refusal
from labelmirror.model.document import Counts
from labelmirror.model.policy import Consent
from labelmirror.model.rows import ImageCondition
from labelmirror.planning.classify import Outcome
from labelmirror.planning.plan import DocumentPlan, ImagePlan, local_side

REMOVALS_MIN, REMOVALS_PERCENT = 20, 10
VANISHING_MIN, VANISHING_PERCENT = 50, 5
CATEGORY_MIN = 20
CHANGED_MIN, CHANGED_PERCENT = 50, 90
EXAMPLES = 5


@dataclass(slots=True)
class Tally:
    """The numbers of a plan, gathered row by row. Its size does not depend on the dataset's."""

    base_images: int = 0
    base_documents: int = 0
    listed_images: int = 0
    selected_images: int = 0
    #: Files that were placed by some run, and those of them that are here now.
    placed_files: int = 0
    present_files: int = 0
    removals: int = 0
    vanishing: int = 0
    changed_here: int = 0
    changed_there: int = 0
    changing: int = 0
    base_annotations: int = 0
    base_categories: Counter[str] = field(default_factory=Counter)
    lost_categories: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    #: Documents that were read, whatever came of it: their readings are to be recorded.
    read: int = 0
    image_actions: Counter[ImageAction] = field(default_factory=Counter)
    #: Of the images to fetch; None once the size of one is not known.
    image_bytes: int | None = 0
    removed_examples: list[str] = field(default_factory=list)
    losing_examples: list[str] = field(default_factory=list)
    changed_examples: list[str] = field(default_factory=list)
    missing_examples: list[str] = field(default_factory=list)

    def add_image(self, plan: ImagePlan) -> None:
        """Count one image."""
        record, listed = plan.row.record, plan.row.listed
        self.image_actions[plan.action] += 1
        self.listed_images += listed is not None
        self.selected_images += plan.selected
        if record is not None:
            self.base_images += 1
            self.placed_files += record.sha256 is not None
            self._add_file(record.path, is_here=record.condition is not ImageCondition.MISSING)
        if plan.action in {ImageAction.RETIRE, ImageAction.KEEP}:
            self.removals += plan.action is ImageAction.RETIRE
            if record is not None and plan.action is ImageAction.RETIRE:
                _example(self.removed_examples, record.path)
        if plan.action in {ImageAction.PULL, ImageAction.REPLACE} and listed is not None:
            total, size_bytes = self.image_bytes, listed.size_bytes
            self.image_bytes = None if total is None or size_bytes is None else total + size_bytes

    def add_document(self, plan: DocumentPlan) -> None:
        """Count one document."""
        row = plan.row
        self.outcomes[plan.outcome] += 1
        self.read += plan.remote.read
        self.placed_files += row.base is not None
        self._add_file(row.path, is_here=row.local is not None)
        if row.base is None:
            return
        self.base_documents += 1
        self.base_annotations += sum(row.base.counts.values())
        self.base_categories.update(row.base.counts)
        if plan.outcome is Outcome.UNKNOWN:
            return
        local = local_side(row)
        here = isinstance(local, str) and local != row.base.digest
        there = isinstance(plan.remote.side, str) and plan.remote.side != row.base.digest
        self.changed_here += here
        self.changed_there += there
        if here or there:
            _example(self.changed_examples, row.path)
        if (left_over := plan.left_over) is not None:
            self._add_loss(row.path, row.base.counts, left_over)

    @property
    def concerns_documents(self) -> bool:
        """Whether there is anything to do or to report about documents; else they need not be gone over again."""
        idle = self.outcomes[Outcome.IN_STEP] + self.outcomes[Outcome.UNKNOWN]
        return self.read > 0 or self.outcomes.total() > idle

    @property
    def concerns_edits(self) -> bool:
        """Whether anything is to be carried to the server."""
        return self.outcomes[Outcome.PUSH] + self.outcomes[Outcome.MERGE] > 0

    @property
    def concerns_absent(self) -> bool:
        """Whether anything is gone on the server."""
        gone_images = self.image_actions[ImageAction.RETIRE] + self.image_actions[ImageAction.KEEP]
        return gone_images + self.outcomes[Outcome.RETIRE] > 0

    def _add_file(self, path: str, *, is_here: bool) -> None:
        self.present_files += is_here
        if not is_here:
            _example(self.missing_examples, path)

    def _add_loss(self, path: str, before: Counts, after: Counts) -> None:
        self.changing += 1
        lost = _losses(before, after)
        if lost:
            self.vanishing += sum(lost.values())
            self.lost_categories.update(lost)
            _example(self.losing_examples, path)


def _losses(before: Counts, after: Counts) -> Mapping[str, int]:
    return {name: had - after.get(name, 0) for name, had in before.items() if had > after.get(name, 0)}


def _example(examples: list[str], path: str) -> None:
    if len(examples) < EXAMPLES:
        examples.append(path)


def check(tally: Tally, consent: Consent) -> Refusal | None:
    """The first guard that the plan trips, None if it may run. `consent` lifts a guard if it covers the planned count."""
    return _check_deletes(tally, consent.deletes) or _check_changes(tally, consent.changes)


def _check_deletes(tally: Tally, consented: int | None) -> Refusal | None:
    if consented is not None and tally.removals <= consented:
        return None
    limit = consented if consented is not None else _threshold(tally.base_images, REMOVALS_MIN, REMOVALS_PERCENT)
    emptied = tally.base_images > 0 and tally.listed_images == 0
    if tally.removals > limit or (emptied and tally.removals):
        rule = "the server lists no image any more" if emptied else "images gone on the server"
        return Refusal(
            rule,
            tally.removals,
            0 if emptied and consented is None else limit,
            tally.base_images,
            tuple(tally.removed_examples),
            f"--allow-deletes {tally.removals}",
        )
    return None


def _check_changes(tally: Tally, consented: int | None) -> Refusal | None:
    override = f"--allow-changes {tally.changing}"
    changed, losing = tuple(tally.changed_examples), tuple(tally.losing_examples)
    if consented is not None:
        if tally.changing <= consented:
            return None
        return Refusal("documents to change", tally.changing, consented, tally.base_documents, changed, override)
    limit = _threshold(tally.base_annotations, VANISHING_MIN, VANISHING_PERCENT)
    if tally.vanishing > limit:
        return Refusal("annotations to vanish", tally.vanishing, limit, tally.base_annotations, losing, override)
    for name, lost in sorted(tally.lost_categories.items()):
        had = tally.base_categories[name]
        if had >= CATEGORY_MIN and lost >= had:
            return Refusal(f"the last annotations of category {name!r} to vanish", lost, 0, had, losing, override)
    most = max(tally.changed_here, tally.changed_there)
    if tally.base_documents >= CHANGED_MIN and 100 * most >= CHANGED_PERCENT * tally.base_documents:
        limit = tally.base_documents * CHANGED_PERCENT // 100
        return Refusal("documents changed on one side", most, limit, tally.base_documents, changed, override)
    if tally.placed_files > 0 and tally.present_files == 0:
        missing = tuple(tally.missing_examples)
        return Refusal("files missing here", tally.placed_files, 0, tally.placed_files, missing, "")
    return None


def _threshold(base: int, least: int, percent: int) -> int:
    return max(least, base * percent // 100)


@dataclass(slots=True)
class RestoreTally:
    """The numbers of a restore to the server: of the documents saved, and of the annotations that are there now."""

    documents: int = 0
    annotations: int = 0
    changing: int = 0
    removing: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, path: str, removes: int) -> None:
        """Count one document that will change and the annotations that will go."""
        self.changing += 1
        self.removing += removes
        _example(self.examples, path)


def check_restore(tally: RestoreTally, consent: Consent) -> Refusal | None:
    """The first guard that a restore trips, None if it may run: for annotations that it removes, then for documents.

    `consent.deletes` is a number of annotations here, since a restore removes no image.
    """
    examples = tuple(tally.examples)
    limit = _threshold(tally.annotations, VANISHING_MIN, VANISHING_PERCENT)
    allowed = limit if consent.deletes is None else consent.deletes
    if tally.removing > allowed:
        override = f"--allow-deletes {tally.removing}"
        return Refusal("annotations to remove", tally.removing, allowed, tally.annotations, examples, override)
    most = tally.documents >= CHANGED_MIN and 100 * tally.changing >= CHANGED_PERCENT * tally.documents
    if most if consent.changes is None else tally.changing > consent.changes:
        allowed = tally.documents * CHANGED_PERCENT // 100 if consent.changes is None else consent.changes
        override = f"--allow-changes {tally.changing}"
        return Refusal("documents to change", tally.changing, allowed, tally.documents, examples, override)
    return None
