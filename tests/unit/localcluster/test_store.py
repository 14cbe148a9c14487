from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster.clock import ManualClock
from localcluster.deletion import DeleteOptions, delete_object
from localcluster.errors import AlreadyExists, ConfigError, Conflict, Gone, InternalError, NotFound, ServiceUnavailable
from localcluster.objects import evolve, is_deleting, meta
from localcluster.resources import CONFIGMAPS, JOBS, PODS
from localcluster.store import HISTORY, Store


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, "data": data}


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def make() -> Store:
        store = Store(tmp_path / "state.db", ManualClock())
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


def test_revisions_rise_and_stale_updates_conflict(open_store: Callable[[], Store]) -> None:
    store = open_store()
    first = store.create(CONFIGMAPS, config_map("a"))
    second = store.update(CONFIGMAPS, {**first, "data": {"k": "1"}})
    assert int(meta(second)["resourceVersion"]) > int(meta(first)["resourceVersion"])
    with pytest.raises(Conflict):
        store.update(CONFIGMAPS, {**first, "data": {"k": "2"}})
    with pytest.raises(AlreadyExists):
        store.create(CONFIGMAPS, config_map("a"))
    with pytest.raises(NotFound):
        store.get(CONFIGMAPS, "n", "b")
    assert store.update(CONFIGMAPS, second) is second, "nothing changed, nothing written"


def test_everything_survives_reopening(open_store: Callable[[], Store]) -> None:
    store = open_store()
    kept = store.create(CONFIGMAPS, config_map("a", k="v"))
    gone = store.create(CONFIGMAPS, config_map("b"))
    store.remove(CONFIGMAPS, gone)
    fact = store.fact("id", "one")
    revision = store.revision
    store.close()
    again = open_store()
    assert again.list(CONFIGMAPS) == ([kept], revision)
    assert again.fact("id", "two") == fact
    with pytest.raises(Gone):
        again.subscribe(CONFIGMAPS, None, revision - 1)
    subscription, _ = again.subscribe(CONFIGMAPS, None, revision)
    again.unsubscribe(subscription)


def test_transactions_are_all_or_nothing(open_store: Callable[[], Store]) -> None:
    store = open_store()
    revision = store.revision
    with pytest.raises(NotFound), store.transaction():
        store.create(CONFIGMAPS, config_map("a"))
        store.get(CONFIGMAPS, "n", "missing")
    assert store.list(CONFIGMAPS) == ([], revision)


def test_dry_runs_leave_nothing_behind(open_store: Callable[[], Store]) -> None:
    store = open_store()
    subscription, _ = store.subscribe(CONFIGMAPS, None, None)
    with store.transaction(dry_run=True):
        store.create(CONFIGMAPS, config_map("a"))
    assert store.find(CONFIGMAPS, "n", "a") is None
    assert subscription.take() == []
    store.unsubscribe(subscription)


def test_a_full_disk_refuses_the_write_and_keeps_the_old_state(
    open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    kept = store.create(CONFIGMAPS, config_map("a"))

    class FullDisk:
        in_transaction = False

        def execute(self, *_args: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        def close(self) -> None:
            pass

    monkeypatch.setattr(store, "_db", FullDisk())
    with pytest.raises(InternalError, match="disk is full"):
        store.update(CONFIGMAPS, {**kept, "data": {"k": "v"}})
    assert store.get(CONFIGMAPS, "n", "a") == kept


def test_watches_replay_history_and_say_when_it_is_gone(open_store: Callable[[], Store]) -> None:
    store = open_store()
    start = store.revision
    made = store.create(CONFIGMAPS, config_map("a"))
    subscription, _ = store.subscribe(CONFIGMAPS, "n", start)
    elsewhere, _ = store.subscribe(CONFIGMAPS, "other", start)
    store.update(CONFIGMAPS, {**made, "data": {"k": "1"}})
    store.remove(CONFIGMAPS, made)
    assert [change.event for change in subscription.take()] == ["ADDED", "MODIFIED", "DELETED"]
    assert elsewhere.take() == []
    for number in range(HISTORY + 1):
        store.update(CONFIGMAPS, store.get(CONFIGMAPS, "n", "a") | {"data": {"k": str(number)}}) if number else (
            store.create(CONFIGMAPS, config_map("a"))
        )
    with pytest.raises(Gone):
        store.subscribe(CONFIGMAPS, None, start)
    for each in (subscription, elsewhere):
        store.unsubscribe(each)


def test_finalizers_hold_an_object_back(open_store: Callable[[], Store]) -> None:
    store = open_store()
    held = config_map("a")
    held["metadata"]["finalizers"] = ["x.io/y"]
    made = store.create(CONFIGMAPS, held)
    delete_object(store, CONFIGMAPS, made, DeleteOptions())
    waiting = store.get(CONFIGMAPS, "n", "a")
    assert is_deleting(waiting)
    metadata = {key: value for key, value in meta(waiting).items() if key != "finalizers"}
    store.update(CONFIGMAPS, evolve(waiting, metadata=metadata))
    assert store.find(CONFIGMAPS, "n", "a") is None


def pod(name: str, node: str | None, **metadata: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [], "terminationGracePeriodSeconds": 7}
    if node:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "n", **metadata},
        "spec": spec,
        "status": {"phase": "Running" if node else "Pending"},
    }


def test_pods_are_deleted_with_grace_only_when_they_run(open_store: Callable[[], Store]) -> None:
    store = open_store()
    running = store.create(PODS, pod("a", "local-1"))
    delete_object(store, PODS, running, DeleteOptions())
    marked = store.get(PODS, "n", "a")
    assert meta(marked)["deletionGracePeriodSeconds"] == 7
    delete_object(store, PODS, marked, DeleteOptions(grace_seconds=2))
    assert meta(store.get(PODS, "n", "a"))["deletionGracePeriodSeconds"] == 2
    delete_object(store, PODS, marked, DeleteOptions(grace_seconds=0))
    assert store.find(PODS, "n", "a") is None
    pending = store.create(PODS, pod("b", None))
    delete_object(store, PODS, pending, DeleteOptions())
    assert store.find(PODS, "n", "b") is None


def test_jobs_orphan_their_pods_unless_told_otherwise(open_store: Callable[[], Store]) -> None:
    store = open_store()
    job = store.create(JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "n"}})
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": meta(job)["uid"]}
    finalizers = ["batch.kubernetes.io/job-tracking"]
    store.create(PODS, pod("a", "local-1", ownerReferences=[owner], finalizers=finalizers))
    delete_object(store, JOBS, job, DeleteOptions())
    orphan = store.get(PODS, "n", "a")
    assert not meta(orphan).get("ownerReferences") and not meta(orphan).get("finalizers")
    assert not is_deleting(orphan)


def test_a_closed_store_refuses_changes_and_ends_watches(open_store: Callable[[], Store]) -> None:
    store = open_store()
    subscription, _ = store.subscribe(CONFIGMAPS, None, None)
    store.close()
    assert subscription.closed
    with pytest.raises(ServiceUnavailable):
        store.create(CONFIGMAPS, config_map("a"))
    store.unsubscribe(subscription)


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is not a database at all, not even nearly" * 100)
    with pytest.raises(ConfigError):
        Store(path, ManualClock())
