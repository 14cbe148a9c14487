"""The objects, their revisions, their history for watches, and their copy on disk.

Memory is the working copy; every transaction is written to SQLite (write-ahead log) before anyone can see it, so a
killed server comes back with exactly what it had acknowledged. One lock guards everything; nothing slow happens under
it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import errors
from localcluster.clock import Clock
from localcluster.objects import (
    Obj,
    evolve,
    finalizers_of,
    format_time,
    is_deleting,
    meta,
    name_of,
    namespace_of,
    new_uid,
)
from localcluster.resources import STORED, ResourceType

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
HISTORY = 1024
SUBSCRIPTION_BACKLOG = 20_000

Key = tuple[str, str]
Objects = list[Obj]


@dataclass(frozen=True)
class Change:
    """One committed change: the object after it (before it, for a deletion) and the object it replaced."""

    kind: ResourceType
    event: str
    revision: int
    obj: Obj
    previous: Obj | None


class Subscription:
    """The changes of one resource type from a revision on; ``fileno`` becomes readable when there are some."""

    def __init__(self, kind: ResourceType, namespace: str | None) -> None:
        self.kind = kind
        self.namespace = namespace
        self.overflowed = False
        self.closed = False
        self._pending: deque[Change] = deque()
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """For poll(); valid until ``release``."""
        return self._event_fd

    def push(self, change: Change) -> None:
        """Called by the store, under its lock."""
        if self.namespace is not None and namespace_of(change.obj) != self.namespace:
            return
        if len(self._pending) >= SUBSCRIPTION_BACKLOG:
            self.overflowed = True
            self._pending.clear()
        if not self.overflowed:
            self._pending.append(change)
        self._wake()

    def close(self) -> None:
        """Tell the reader that nothing more will come; called under the store's lock."""
        self.closed = True
        self._wake()

    def take(self) -> list[Change]:
        """Everything that has arrived since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event_fd)
        taken: list[Change] = []
        while True:
            try:
                taken.append(self._pending.popleft())
            except IndexError:
                return taken

    def release(self) -> None:
        """Give the descriptor back; only after the store forgot this subscription."""
        os.close(self._event_fd)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._event_fd, 1)


class _Rollback(Exception):
    """Raised to undo a dry run."""


class Store:
    """All objects. Every public method may be called from any thread.

    Objects handed out and taken in are shared: never change one, make another. ``on_change`` is called for
    each committed change, in order, under the store's lock, so it must only take a note.
    """

    def __init__(self, path: Path, clock: Clock, on_change: Callable[[Change], None] | None = None) -> None:
        """Open or create the database at ``path``; raises ConfigError when it cannot be used."""
        self._clock = clock
        self._on_change = on_change
        self._lock = threading.RLock()
        self._objects: dict[str, dict[Key, Obj]] = {kind.key: {} for kind in STORED}
        self._history: dict[str, deque[Change]] = {kind.key: deque() for kind in STORED}
        self._subscriptions: dict[str, list[Subscription]] = {kind.key: [] for kind in STORED}
        self._depth = 0
        self._undo: list[tuple[str, Key, Obj | None]] = []
        self._changes: list[Change] = []
        self._closed = False
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A crash of this process loses nothing; only a crash of the machine may lose the last moments.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-1024")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS objects (resource TEXT, namespace TEXT, name TEXT, body TEXT,"
                " PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID"
            )
            self._db.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
            self._revision = self._load()
        except sqlite3.Error as error:
            raise errors.ConfigError(f"the state database {path} cannot be used: {error}") from error
        # Nothing before this start can be replayed to a watcher.
        self._floor: dict[str, int] = {kind.key: self._revision for kind in STORED}

    @property
    def revision(self) -> int:
        """The revision of the latest change."""
        return self._revision

    def get(self, kind: ResourceType, namespace: str, name: str) -> Obj:
        """The object; raises NotFound."""
        found = self.find(kind, namespace, name)
        if found is None:
            raise errors.not_found(kind.plural, kind.group, name)
        return found

    def find(self, kind: ResourceType, namespace: str, name: str) -> Obj | None:
        """The object, or None."""
        with self._lock:
            return self._objects[kind.key].get((namespace, name))

    def list(self, kind: ResourceType, namespace: str | None = None) -> tuple[Objects, int]:
        """All objects of a type (in a namespace), sorted by namespace and name, and the revision they show."""
        with self._lock:
            table = self._objects[kind.key]
            if namespace is None:
                items = sorted(table.items())
            else:
                items = sorted((key, obj) for key, obj in table.items() if key[0] == namespace)
            return [obj for _, obj in items], self._revision

    def create(self, kind: ResourceType, obj: Obj) -> Obj:
        """Store a new object; sets uid (if missing), resourceVersion, creationTimestamp. Raises AlreadyExists."""
        with self.transaction():
            key = (namespace_of(obj), name_of(obj))
            if key in self._objects[kind.key]:
                raise errors.already_exists(kind.plural, kind.group, key[1])
            metadata = dict(meta(obj))
            made = evolve(obj, metadata=metadata)
            metadata.setdefault("uid", new_uid())
            metadata["creationTimestamp"] = format_time(self._clock.now())
            for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
                metadata.pop(field, None)
            return self._put(kind, ADDED, made)

    def update(self, kind: ResourceType, obj: Obj) -> Obj:
        """Replace an object; a given resourceVersion must be current (Conflict), the object must exist (NotFound).

        An update that changes nothing keeps its revision. An object being deleted goes away with its last finalizer.
        """
        with self.transaction():
            current = self.get(kind, namespace_of(obj), name_of(obj))
            version = meta(obj).get("resourceVersion")
            if version and version != meta(current)["resourceVersion"]:
                why = "the object has been modified; please apply your changes to the latest version and try again"
                raise errors.conflict(kind.plural, kind.group, name_of(obj), why)
            uid = meta(obj).get("uid")
            if uid and uid != meta(current)["uid"]:
                why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta(current)['uid']}"
                raise errors.conflict(kind.plural, kind.group, name_of(obj), why)
            metadata = dict(meta(obj))
            made = evolve(obj, metadata=metadata)
            for field in (
                "uid",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "resourceVersion",
            ):
                if field in meta(current):
                    metadata[field] = meta(current)[field]
                else:
                    metadata.pop(field, None)
            if made == current:
                return current
            if is_deleting(made) and not finalizers_of(made) and not self._is_held(kind, made):
                return self._remove(kind, made)
            return self._put(kind, MODIFIED, made)

    def mark_deleted(self, kind: ResourceType, obj: Obj, grace_seconds: int, **parts: Obj) -> Obj:
        """Set (or bring forward) the deletion time; the object stays until its finalizers and its kubelet let go.

        ``parts`` (such as ``status``) are replaced in the same step.
        """
        with self.transaction():
            current = self.get(kind, namespace_of(obj), name_of(obj))
            known = meta(current).get("deletionGracePeriodSeconds")
            if is_deleting(current) and known is not None and known <= grace_seconds:
                return current
            metadata = dict(meta(current))
            metadata["deletionTimestamp"] = format_time(self._clock.now() + grace_seconds)
            metadata["deletionGracePeriodSeconds"] = grace_seconds
            return self._put(kind, MODIFIED, evolve(current, metadata=metadata, **parts))

    def remove(self, kind: ResourceType, obj: Obj) -> Obj:
        """Delete the object now, finalizers or not; raises NotFound."""
        with self.transaction():
            return self._remove(kind, self.get(kind, namespace_of(obj), name_of(obj)))

    @contextmanager
    def transaction(self, dry_run: bool = False) -> Iterator[None]:
        """Group changes: all become visible and durable together, or none. Transactions nest.

        A dry run undoes everything at its end. Raises InternalError when the disk refuses the write.
        """
        with self._lock:
            if self._closed:
                raise errors.ServiceUnavailable("the server is stopping")
            if self._depth == 0:
                self._undo, self._changes, start = [], [], self._revision
            self._depth += 1
            try:
                yield
                if dry_run:
                    raise _Rollback
            except _Rollback:
                self._depth -= 1
                self._roll_back(start if self._depth == 0 else self._revision)
                return
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._roll_back(start)
                raise
            self._depth -= 1
            if self._depth == 0 and self._changes:
                self._commit(start)

    def subscribe(self, kind: ResourceType, namespace: str | None, since: int | None) -> tuple[Subscription, Objects]:
        """Follow a type's changes after revision ``since``; raises Gone when that is no longer known.

        With ``since`` None the current objects are returned too and changes start from now.
        """
        with self._lock:
            subscription = Subscription(kind, namespace)
            initial: Objects = []
            if since is None:
                initial = self.list(kind, namespace)[0]
            elif since < self._floor[kind.key] or since > self._revision:
                subscription.release()
                raise errors.Gone(f"too old resource version: {since} ({self._floor[kind.key]})")
            else:
                for change in self._history[kind.key]:
                    if change.revision > since:
                        subscription.push(change)
            if self._closed:
                subscription.close()
            self._subscriptions[kind.key].append(subscription)
            return subscription, initial

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop following."""
        with self._lock:
            followers = self._subscriptions[subscription.kind.key]
            if subscription in followers:
                followers.remove(subscription)
        subscription.release()

    def fact(self, name: str, default: str) -> str:
        """A durable named fact, stored as ``default`` when first asked for."""
        with self._lock:
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            if row is not None:
                return str(row[0])
            self._db.execute("INSERT INTO facts VALUES (?, ?)", (name, default))
            return default

    def set_fact(self, name: str, value: str) -> None:
        """Change a named fact."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def end_watches(self) -> None:
        """Tell every watcher that this server is going away."""
        with self._lock:
            for followers in self._subscriptions.values():
                for subscription in followers:
                    subscription.close()

    def close(self) -> None:
        """End all watches and close the database; later changes raise ServiceUnavailable."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.end_watches()
            self._db.close()

    @staticmethod
    def _is_held(kind: ResourceType, obj: Obj) -> bool:
        """Whether someone else removes it: a pod's kubelet (which then asks for no grace), a namespace's collector."""
        if kind.plural == "namespaces":
            return True
        return kind.plural == "pods" and meta(obj).get("deletionGracePeriodSeconds") != 0

    def _put(self, kind: ResourceType, event: str, obj: Obj) -> Obj:
        key = (namespace_of(obj), name_of(obj))
        previous = self._objects[kind.key].get(key)
        self._undo.append((kind.key, key, previous))
        self._revision += 1
        obj["metadata"]["resourceVersion"] = str(self._revision)
        self._objects[kind.key][key] = obj
        self._changes.append(Change(kind, event, self._revision, obj, previous))
        return obj

    def _remove(self, kind: ResourceType, obj: Obj) -> Obj:
        key = (namespace_of(obj), name_of(obj))
        previous = self._objects[kind.key].pop(key)
        self._undo.append((kind.key, key, previous))
        self._revision += 1
        last = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._revision)}}
        self._changes.append(Change(kind, DELETED, self._revision, last, previous))
        return last

    def _roll_back(self, revision: int) -> None:
        for resource, key, previous in reversed(self._undo):
            if previous is None:
                self._objects[resource].pop(key, None)
            else:
                self._objects[resource][key] = previous
        self._undo, self._changes = [], []
        self._revision = revision

    def _commit(self, start: int) -> None:
        try:
            self._db.execute("BEGIN")
            for change in self._changes:
                namespace, name = namespace_of(change.obj), name_of(change.obj)
                if change.event == DELETED:
                    self._db.execute(
                        "DELETE FROM objects WHERE resource=? AND namespace=? AND name=?",
                        (change.kind.key, namespace, name),
                    )
                else:
                    body = json.dumps(change.obj, separators=(",", ":"))
                    self._db.execute(
                        "INSERT OR REPLACE INTO objects VALUES (?,?,?,?)", (change.kind.key, namespace, name, body)
                    )
            self._db.execute("INSERT OR REPLACE INTO facts VALUES ('revision', ?)", (str(self._revision),))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._roll_back(start)
            raise errors.InternalError(f"the state cannot be written: {error}") from error
        changes, self._changes, self._undo = self._changes, [], []
        for change in changes:
            self._publish(change)

    def _publish(self, change: Change) -> None:
        history = self._history[change.kind.key]
        if len(history) >= HISTORY:
            self._floor[change.kind.key] = history.popleft().revision
        history.append(change)
        for subscription in self._subscriptions[change.kind.key]:
            subscription.push(change)
        if self._on_change is not None:
            self._on_change(change)

    def _load(self) -> int:
        revision = 1
        row = self._db.execute("SELECT value FROM facts WHERE name = 'revision'").fetchone()
        if row is not None:
            revision = int(row[0])
        for resource, namespace, name, body in self._db.execute("SELECT resource, namespace, name, body FROM objects"):
            if resource in self._objects:
                self._objects[resource][(namespace, name)] = json.loads(body)
        return revision
