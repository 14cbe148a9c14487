"""Recording Events about objects; repeated ones are counted on one object, as the real recorder does."""

from __future__ import annotations

from localcluster.clock import Clock
from localcluster.errors import ApiError
from localcluster.log import Log
from localcluster.objects import Obj, format_time, name_of, namespace_of, random_suffix, time_field, uid_of
from localcluster.resources import EVENTS
from localcluster.store import Store

TTL_SECONDS = 3600.0
MAX_EVENTS = 2000
_PRUNE_EVERY = 500
_NAME_LIMIT = 230


class Recorder:
    """Writes Events. One that cannot be written is logged and forgotten: events are best effort."""

    def __init__(self, store: Store, clock: Clock, log: Log) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._known: dict[tuple[str, str, str], tuple[str, str]] = {}
        self._made = 0

    def record(self, about: Obj, kind: str, reason: str, message: str, component: str) -> None:
        """``kind`` is Normal or Warning; ``component`` is who says it."""
        try:
            self._record(about, kind, reason, message, component)
        except ApiError as error:
            self._log.warning("event_not_recorded", reason=reason, error=error.message)

    def prune(self) -> None:
        """Forget events older than an hour, and the oldest ones beyond the cap."""
        events, _ = self._store.list(EVENTS)
        if not events:
            self._known.clear()
            return
        dated = sorted(
            ((time_field(event, "lastTimestamp") or 0.0, event) for event in events), key=lambda item: item[0]
        )
        limit = self._clock.now() - TTL_SECONDS
        excess = len(dated) - MAX_EVENTS
        with self._store.transaction():
            for position, (when, event) in enumerate(dated):
                if when < limit or position < excess:
                    self._store.remove(EVENTS, event)
        live = {(namespace_of(event), name_of(event)) for event in self._store.list(EVENTS)[0]}
        self._known = {key: value for key, value in self._known.items() if value in live}

    def _record(self, about: Obj, kind: str, reason: str, message: str, component: str) -> None:
        stamp = format_time(self._clock.now())
        key = (uid_of(about), reason, message)
        place = self._known.get(key)
        if place is not None:
            known = self._store.find(EVENTS, *place)
            if known is not None:
                count = int(known.get("count", 1)) + 1
                self._store.update(EVENTS, {**known, "count": count, "lastTimestamp": stamp})
                return
        # Cluster-scoped objects' events live in the default namespace.
        namespace = namespace_of(about) or "default"
        event: Obj = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name_of(about)[:_NAME_LIMIT]}.{random_suffix(12)}", "namespace": namespace},
            "involvedObject": {
                "kind": about.get("kind"),
                "namespace": namespace_of(about),
                "name": name_of(about),
                "uid": uid_of(about),
                "apiVersion": about.get("apiVersion"),
                "resourceVersion": (about.get("metadata") or {}).get("resourceVersion"),
            },
            "reason": reason,
            "message": message,
            "source": {"component": component},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": "",
        }
        made = self._store.create(EVENTS, event)
        self._known[key] = (namespace, name_of(made))
        self._made += 1
        if self._made % _PRUNE_EVERY == 0:
            self.prune()
