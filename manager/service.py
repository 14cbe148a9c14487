"""The manager's application service: takes submissions, records what users ask for, answers how things stand.

It never waits for work and never touches the cluster on a listing: what a request asks for is written into the
submission's record, and the loop carries it out.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from asperathos_worker.queue.api import QueueClosed, QueueError, QueueMissing, ServiceQueue
from asperathos_worker.queue.records import ItemState, NewItem
from pydantic import ValidationError

from common.domain.accounts import ANONYMOUS, Principal
from common.domain.errors import Conflict, Fault, InvalidSubmission, KeyReused, NotFound, TooLarge, Unavailable
from common.domain.events import DECISIONS, EVENTS, Event
from common.domain.parsing import listed, parse_native
from common.domain.progress import Decision, Observation
from common.domain.states import Intent, State
from common.domain.submission import Submission, SubmissionSpec, Workload
from common.logging import get_logger
from common.ports import Claims, Clock, Clusters, Journal, Queues, Records, Texts, Versioned, Wakeups
from manager.admission import Admission
from manager.changing import Difference, changed
from manager.clusters import ClusterRegistry
from manager.forecasting import forecast, planned
from manager.inline import InlineItems, parted
from manager.line import Line
from manager.outlook import Outlook, dangers
from manager.quotas import Quotas, whose_quota
from manager.status import full_status, is_stream, shown_spec, status
from manager.translate import in_old_words, is_compatible, translate

log = get_logger(__name__)
MANAGER = "manager"
_ID = re.compile(r"kj-[0-9a-f]{7}")
_MOST_TRIES = 20
_PAUSE = 0.02
_DEAD_PAGE = 1000


@dataclass(frozen=True)
class Stores:
    """The world as the manager's door sees it."""

    records: Records[Submission]
    observations: Records[Observation]
    journal: Journal
    texts: Texts
    queues: Queues
    clusters: Clusters
    wakeups: Wakeups
    claims: Claims
    clock: Clock


@dataclass(frozen=True)
class Accepted:
    """A submission was taken in, now or by the same request before."""

    id: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Changed:
    """What a change came to: nothing when there are no differences."""

    id: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Request:
    """A POSTed document. ``key`` is the Idempotency-Key ('' for none), ``digest`` a fingerprint of the body."""

    document: object
    key: str = ""
    digest: str = ""
    by: Principal = ANONYMOUS


@dataclass(frozen=True)
class Selection:
    """Which submissions a listing shows; None asks for nothing. ``limit`` keeps the youngest."""

    states: frozenset[State] | None = None
    name: str | None = None
    limit: int | None = None
    viewer: Principal = ANONYMOUS

    def takes(self, submission: Submission) -> bool:
        """Whether the submission is shown, apart from the limit."""
        is_wanted = self.states is None or submission.state in self.states
        return is_wanted and self.name in (None, submission.spec.name) and self.viewer.sees(submission.owner)


def new_id() -> str:
    """A random id of the original's form."""
    return f"kj-{secrets.token_hex(4)[:7]}"


class ManagerService:
    """Everything but the reports (see reports.py)."""

    def __init__(
        self,
        stores: Stores,
        admission: Admission,
        clusters: ClusterRegistry,
        outlook: Outlook,
        quotas: Quotas,
        line: Line,
        key_ttl: float = 86400.0,
        make_id: Callable[[], str] = new_id,
    ) -> None:
        self._stores = stores
        self._admission = admission
        self._clusters = clusters
        self._outlook = outlook
        self._quotas = quotas
        self._line = line
        self._inline = InlineItems(stores.records)
        self._key_ttl = key_ttl
        self._make_id = make_id

    def submit(self, request: Request) -> Accepted:
        """Take a document in: validated wholly before anything is created. Raises InvalidSubmission, TooManyRequests
        beyond its user's quota or when too many wait for their turn, and KeyReused when the key came with another
        document before."""
        known = self._known(request)
        if known is not None:
            return known
        draft = self._drafted(request)
        self._quotas.check_items(draft)
        judged = self._outlook.judge(draft.spec, draft.cluster)
        joined = self._line.join(draft.model_copy(update={"warnings": (*draft.warnings, *judged)}))
        return self._created(joined, request)

    def plan(self, request: Request) -> dict[str, Any]:
        """What would become of the document's submission if it were accepted now; nothing is created. Raises
        InvalidSubmission, WorkloadError, and Unavailable when the controller does not answer."""
        draft = self._drafted(request)
        spec, warnings = draft.spec, list(draft.warnings)
        count = None if is_stream(draft) else self._outlook.count(spec.workload)
        if count is not None and not count.exact:
            warnings.append(f"workload: has more than {count.items} items, which are all that were counted")
        items = None if count is None else count.items
        answer = self._outlook.ask(spec, draft.cluster, items)
        return {
            "dry_run": True,
            "name": spec.name,
            "kind": spec.kind.value,
            "cluster": draft.cluster,
            "items": items,
            "deadline": spec.deadline,
            "warnings": [*warnings, *dangers(answer)],
            "forecast": planned(spec, items, answer, draft.created_at),
        }

    def listing(self, selection: Selection, with_forecast: bool = False) -> dict[str, dict[str, Any]]:
        """Status objects by id, oldest first; ``with_forecast``: as complete as each by itself."""
        shown = [
            submission
            for submission in self._stores.records.all().values()
            if not submission.delete_requested and selection.takes(submission)
        ]
        if selection.limit is not None:
            shown = shown[max(0, len(shown) - selection.limit) :]
        observations = self._stores.observations.all([submission.id for submission in shown])
        now = self._stores.clock.now()
        places = self._line.places(shown)
        if not with_forecast:
            return {each.id: status(each, observations.get(each.id), now, place=places.get(each.id)) for each in shown}
        return {
            each.id: full_status(
                each, observations.get(each.id), self._decision(each.id), now, place=places.get(each.id)
            )
            for each in shown
        }

    def status(self, id: str, with_spec: bool = False) -> dict[str, Any]:
        """One status object. Raises NotFound."""
        submission = self.find(id).value
        place = self._line.places([submission]).get(id)
        now = self._stores.clock.now()
        answer = full_status(submission, self._observation(id), self._decision(id), now, place)
        return {**answer, "spec": self.shown_spec(submission)} if with_spec else answer

    def shown_spec(self, submission: Submission) -> dict[str, Any]:
        """The specification as it was handed in, as anybody may read it."""
        return shown_spec(self._inline.spec(submission))

    def forecast(self, id: str) -> dict[str, Any]:
        """When it is expected to end. Raises NotFound."""
        submission = self.find(id).value
        return forecast(submission, self._observation(id), self._decision(id), self._stores.clock.now())

    def decisions(self, id: str, count: int) -> list[Decision]:
        """The last ``count`` decisions about its replicas, oldest first. Raises NotFound."""
        self.find(id)
        return self._stores.journal.read(DECISIONS, id, Decision, count=count)

    def find(self, id: str) -> Versioned[Submission]:
        """The record. Raises NotFound for one that never was or has been deleted."""
        found = self._stores.records.get(id) if _ID.fullmatch(id) else None
        if found is None or found.value.delete_requested:
            raise NotFound(f"there is no submission {id[:40]!r}")
        return found

    def end(self, id: str, intent: Intent) -> None:
        """Ask for its end. What has ended already, or is ending as asked, stays as it is. Raises NotFound."""

        def raised(submission: Submission) -> Submission | None:
            if submission.state.terminal or intent.rank <= submission.intent.rank:
                return None
            return submission.model_copy(update={"intent": intent})

        if self._change(id, raised):
            self._tell(id, f"{intent} was asked for")
        self._stores.wakeups.notify(MANAGER, id)

    def change(self, id: str, patch: object) -> Changed:
        """Change what may change while it runs. The same again changes nothing. Raises NotFound, Conflict for one that
        has ended or is ending, InvalidSubmission with every fault, and Unavailable when a law cannot be checked."""
        submission = self.find(id).value
        _check_alive(submission)
        wanted, differences = changed(submission.spec, patch)
        if wanted.control != submission.spec.control:
            self._admission.check_law(wanted)

        def revised(present: Submission) -> Submission | None:
            nonlocal differences
            _check_alive(present)
            spec, differences = changed(present.spec, patch)
            if not differences:
                return None
            return present.model_copy(update={"spec": spec, "revision": present.revision + 1})

        if self._change(id, revised):
            told = "; ".join(map(str, differences))
            log.info("submission_changed", id=id, changes=told)
            self._tell(id, f"changed: {told}")
            self._stores.wakeups.notify(MANAGER, id)
        return Changed(id, differences)

    def delete(self, id: str) -> None:
        """Forget an ended submission. Raises NotFound, and Conflict for one that has not ended."""

        def deleted(submission: Submission) -> Submission | None:
            if not submission.state.terminal:
                raise Conflict(f"{id} is {submission.state}: stop or terminate it first")
            return submission.model_copy(update={"delete_requested": True})

        self._change(id, deleted)
        self._stores.wakeups.notify(MANAGER, id)

    def delete_ended(self, by: Principal = ANONYMOUS) -> int:
        """Forget all that have ended and that they see; returns how many."""
        ended = [
            submission.id
            for submission in self._stores.records.all().values()
            if submission.state.terminal and not submission.delete_requested and by.sees(submission.owner)
        ]
        for id in ended:
            with suppress(NotFound):  # somebody else was faster
                self.delete(id)
        return len(ended)

    def add_items(self, id: str, items: Sequence[NewItem]) -> int:
        """Put items into a stream; returns how many were new. Raises Conflict when it takes none (any more)."""
        submission = self.find(id).value
        if not is_stream(submission):
            raise Conflict(f"{id} is a batch: its workload was given when it was submitted")
        if submission.state.terminal or submission.intent is not Intent.NONE:
            raise Conflict(f"{id} takes no more items: it is {'ended' if submission.state.terminal else 'ending'}")
        try:
            with reachable():
                queue = self._queue(submission)
                # Two requests at once may go beyond it together, by what one request holds.
                if submission.item_quota and queue.stats().put + len(items) > submission.item_quota:
                    raise Conflict(f"{id} takes no more items than {submission.item_quota}, {whose_quota(submission)}")
                added = queue.put(items)
        except QueueMissing as error:
            raise Unavailable(f"{id} is being prepared: its queue is not open yet") from error
        except QueueClosed as error:
            raise Conflict(f"{id} takes no more items") from error
        self._stores.wakeups.notify("controller", id)
        return added

    def retry(self, id: str, by: Principal = ANONYMOUS) -> Accepted:
        """A new submission of the dead items, of the same owner. Raises Conflict when it still runs or nothing is dead,
        and TooManyRequests beyond the quota of who asks."""
        submission = self.find(id).value
        if not submission.state.terminal:
            raise Conflict(f"{id} is {submission.state}: its dead items can be tried again after its end")
        payloads = self._dead_payloads(submission)
        if not payloads:
            raise Conflict(f"{id} has no dead items")
        try:
            workload = Workload(items=tuple(payloads))
        except ValidationError as error:
            raise TooLarge(f"{id} has too many dead items for one new submission: {len(payloads)}") from error
        draft = Submission(
            id="",
            spec=submission.spec.model_copy(update={"workload": workload}),
            cluster=self._clusters.chosen(submission.cluster or None),
            form=submission.form,
            owner=submission.owner,
            item_quota=submission.item_quota,
            warnings=(f"a retry of the {len(payloads)} dead items of {id}",),
            created_at=self._stores.clock.now(),
            request=uuid.uuid4().hex,
        )
        return self._created(self._line.join(draft), Request(document=None, by=by))

    def _drafted(self, request: Request) -> Submission:
        """The record it would make. Raises InvalidSubmission."""
        spec, form, warnings = self._understood(request.document)
        found = self._admission.examine(spec)
        cluster, cluster_faults = self._cluster_for(spec.cluster)
        faults = (*found.faults, *cluster_faults)
        if faults:
            raise InvalidSubmission(listed(faults if form == "native" else in_old_words(faults)))
        return Submission(
            id="",
            spec=spec,
            cluster=cluster,
            form="compatible" if form == "compatible" else "native",
            owner=request.by.owner,
            item_quota=self._quotas.items(request.by),
            warnings=(*warnings, *found.warnings),
            created_at=self._stores.clock.now(),
            request=_fingerprint(request),
        )

    def _understood(self, document: object) -> tuple[SubmissionSpec, str, tuple[str, ...]]:
        if isinstance(document, Mapping) and is_compatible(document):
            translation = translate(document)
            return translation.spec, "compatible", translation.warnings
        return parse_native(document), "native", ()

    def _known(self, request: Request) -> Accepted | None:
        """What the same request made before."""
        if not request.key:
            return None
        held = self._stores.claims.held(_claim_name(request))
        if held is None:
            return None
        found = self._stores.records.get(_claimed_id(held, request))
        if found is None or found.value.request != _fingerprint(request):
            return None
        return Accepted(found.value.id, found.value.warnings)

    def _created(self, draft: Submission, request: Request) -> Accepted:
        draft, items = parted(draft)
        for _ in range(_MOST_TRIES):
            id = self._make_id()
            if request.key:
                value = f"{id} {request.digest}"
                id = _claimed_id(self._stores.claims.claim(_claim_name(request), value, self._key_ttl), request)
            submission = draft.model_copy(update={"id": id})
            try:
                self._quotas.take(request.by, id, draft.created_at)
                self._stores.records.create(id, submission, items)
            except Conflict:
                # Ours if a twin of this request was faster, or if our own write was repeated after a lost answer.
                present = self._stores.records.get(id)
                if present is not None and present.value.request == submission.request:
                    return Accepted(id, present.value.warnings)
                if request.key:
                    self._stores.claims.drop(_claim_name(request))
                continue
            self._still_there(id, submission.cluster)
            log.info("submission_accepted", id=id, name=submission.spec.name, kind=submission.spec.kind)
            self._tell(id, State.CREATED.value)
            if submission.waits:
                self._line.nudge()
            else:
                self._stores.wakeups.notify(MANAGER, id)
            return Accepted(id, submission.warnings)
        raise Unavailable("no free id was found")

    def _cluster_for(self, wanted: str | None) -> tuple[str, Sequence[Fault]]:
        try:
            return self._clusters.chosen(wanted), ()
        except InvalidSubmission as error:
            return "", error.faults

    def _still_there(self, id: str, cluster: str) -> None:
        """The cluster may have been removed before the record that needs it was there to be seen."""
        try:
            self._clusters.chosen(cluster)
        except InvalidSubmission:
            self._stores.records.delete(id)
            raise

    def _change(self, id: str, change: Callable[[Submission], Submission | None]) -> bool:
        """Write what ``change`` makes of the record (None: nothing), whoever else writes; whether it was written."""
        for _ in range(_MOST_TRIES):
            present = self.find(id)
            changed = change(present.value)
            if changed is None:
                return False
            try:
                self._stores.records.update(id, changed, present.version)
            except Conflict:
                self._stores.clock.sleep(_PAUSE)
                continue
            return True
        raise Unavailable(f"the record of {id} changes too fast to be written")

    def _tell(self, id: str, message: str) -> None:
        """A line of the story. The deed is done and recorded: that it could not be told must not undo it."""
        try:
            self._stores.journal.append(EVENTS, id, Event(at=self._stores.clock.now(), kind="state", message=message))
        except Unavailable as error:
            log.warning("event_lost", id=id, event_message=message, error=error.message)

    def _observation(self, id: str) -> Observation | None:
        return self._stores.observations.all([id]).get(id)

    def _decision(self, id: str) -> Decision | None:
        decisions = self._stores.journal.read(DECISIONS, id, Decision, count=1)
        return decisions[-1] if decisions else None

    def _queue(self, submission: Submission) -> ServiceQueue:
        return self._stores.queues.at(submission.queue)

    def _dead_payloads(self, submission: Submission) -> list[str]:
        if submission.spec.queue == "dedicated":
            # The original's lists keep errors, but not the items they are of.
            raise Conflict(f"{submission.id} has a dedicated queue, which does not tell dead items")
        payloads: list[str] = []
        cursor = 0
        try:
            with reachable():
                queue = self._queue(submission)
                while True:
                    dead, following = queue.dead(cursor, _DEAD_PAGE)
                    payloads.extend(_in_order([item.id for item in dead], queue.items([item.id for item in dead])))
                    if len(dead) < _DEAD_PAGE or following == cursor:
                        return payloads
                    cursor = following
        except QueueMissing as error:
            raise Conflict(f"the items of {submission.id} are not kept any more") from error


def _check_alive(submission: Submission) -> None:
    """Raises Conflict for one that has ended or was asked to."""
    if submission.state.terminal:
        raise Conflict(f"{submission.id} is {submission.state}: nothing of it changes any more")
    if submission.intent is not Intent.NONE:
        raise Conflict(f"{submission.id} is ending: {submission.intent} was asked for")


@contextmanager
def reachable() -> Iterator[None]:
    """Raises Unavailable when a queue does not answer; QueueMissing and QueueClosed pass."""
    try:
        yield
    except (QueueMissing, QueueClosed):
        raise
    except QueueError as error:
        raise Unavailable(f"the queue does not answer: {error}") from error


def _in_order(ids: Collection[str], states: Sequence[ItemState]) -> list[str]:
    payloads = {state.id: state.payload for state in states}
    return [payloads[id] for id in ids if id in payloads]


def _claim_name(request: Request) -> str:
    # A key is its user's own: another's request with the same one is another request.
    named = f"{request.by.owner}\n{request.key}"
    return f"submit:{hashlib.sha256(named.encode()).hexdigest()}"


def _claimed_id(held: str, request: Request) -> str:
    id, _, digest = held.partition(" ")
    if digest != request.digest:
        problem = "was used with another document: take a new key for a new submission"
        raise KeyReused(f"this Idempotency-Key {problem}", [Fault("Idempotency-Key", problem)])
    return id


def _fingerprint(request: Request) -> str:
    if not request.key:
        return uuid.uuid4().hex
    return hashlib.sha256(f"{request.by.owner}\n{request.key}\n{request.digest}".encode()).hexdigest()
