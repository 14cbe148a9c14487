"""What the domain sees of Kubernetes objects, in the shapes that real clusters give them."""

from __future__ import annotations

from typing import Any

import pytest

from common.adapters.kubernetes_views import (
    event_view,
    is_ending,
    job_view,
    node_view,
    pod_view,
    seconds,
    submission_view,
)

LABELS = {"asperathos.io/submission": "kj-1", "asperathos.io/generation": "2", "asperathos.io/role": "worker"}


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "kj-1-g2-0-abc",
            "namespace": "work",
            "labels": LABELS,
            "annotations": {"batch.kubernetes.io/job-completion-index": "4"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **metadata,
        },
        "spec": {"nodeName": "n1"},
        "status": status,
    }


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "worker", "state": state}]}


def job(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "kj-1-g2", "namespace": "work", "labels": LABELS},
        "spec": {"parallelism": 3, "completions": 3, **spec},
        "status": status,
    }


def test_a_running_pod() -> None:
    seen = pod_view(
        pod({"phase": "Running", "podIP": "10.0.0.7", **container(running={"startedAt": "2026-01-01T00:00:05Z"})})
    )
    assert (seen.submission, seen.generation, seen.index, seen.role) == ("kj-1", 2, 4, "worker")
    assert seen.running
    assert seen.started_at == seen.created_at + 5
    assert (seen.ip, seen.node, seen.reason, seen.exit_code) == ("10.0.0.7", "n1", "", None)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (container(waiting={"reason": "ImagePullBackOff", "message": "no such image"}), "ImagePullBackOff"),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]},
            "Unschedulable",
        ),
        (
            {"initContainerStatuses": [{"state": {"waiting": {"reason": "CreateContainerConfigError"}}}]},
            "CreateContainerConfigError",
        ),
        ({}, ""),
    ],
)
def test_why_a_pod_waits(status: dict[str, Any], reason: str) -> None:
    seen = pod_view(pod({"phase": "Pending", **status}))
    assert seen.pending
    assert seen.reason == reason


def test_how_a_pod_ended() -> None:
    ended = {
        "exitCode": 137,
        "reason": "OOMKilled",
        "startedAt": "2026-01-01T00:00:01Z",
        "finishedAt": "2026-01-01T00:01:00Z",
    }
    seen = pod_view(pod({"phase": "Failed", **container(terminated=ended)}))
    assert seen.ended
    assert (seen.exit_code, seen.reason, seen.disrupted) == (137, "OOMKilled", False)
    assert seen.finished_at == seen.created_at + 60


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
        {
            "phase": "Failed",
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
        },
    ],
)
def test_disruptions_are_seen(status: dict[str, Any]) -> None:
    assert pod_view(pod(status)).disrupted


@pytest.mark.parametrize(
    "status", [{"phase": "Running"}, {"phase": "Failed", **container(terminated={"exitCode": 143})}]
)
def test_a_pod_is_lost_as_long_as_its_job_reckons_with_it(status: dict[str, Any]) -> None:
    going = {"deletionTimestamp": "2026-01-01T00:00:09Z"}
    assert pod_view(pod(status, **going, finalizers=["batch.kubernetes.io/job-tracking"])).lost
    assert not pod_view(pod(status, **going, finalizers=["example.org/other"])).lost
    assert not pod_view(pod(status, **going)).lost


def test_a_pod_on_its_way_out_neither_runs_nor_waits() -> None:
    for phase in ("Running", "Pending"):
        seen = pod_view(pod({"phase": phase}, deletionTimestamp="2026-01-01T00:00:09Z"))
        assert seen.deleting
        assert not seen.running
        assert not seen.pending


def test_a_strangers_pod_has_no_index() -> None:
    seen = pod_view({"metadata": {"name": "x", "annotations": None, "labels": None}, "status": None})
    assert (seen.index, seen.generation, seen.submission, seen.phase) == (-1, 0, "", "Pending")


def test_a_job_and_its_end() -> None:
    seen = job_view(job({"active": 2, "ready": 1, "succeeded": 1, "failed": 4}))
    assert (seen.generation, seen.parallelism, seen.requested, seen.active, seen.ready) == (2, 3, 3, 2, 1)
    assert (seen.succeeded, seen.failed, seen.ended) == (1, 4, "")
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too many"}
    seen = job_view(job({"conditions": [{"type": "Suspended", "status": "False"}, failed]}))
    assert (seen.ended, seen.reason, seen.message) == ("Failed", "BackoffLimitExceeded", "too many")
    assert job_view(job({}, suspend=True)).requested == 0


@pytest.mark.parametrize("kind", ["Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"])
def test_a_job_bound_to_end_is_ending(kind: str) -> None:
    assert is_ending(job({"conditions": [{"type": kind, "status": "True"}]}))
    assert not is_ending(job({"conditions": [{"type": kind, "status": "False"}]}))


def test_a_submissions_objects_are_in_order() -> None:
    def named(name: str, index: str) -> dict[str, Any]:
        return pod({}, name=name, annotations={"batch.kubernetes.io/job-completion-index": index})

    view = submission_view([job_view(job({}))], [pod_view(named("b", "10")), pod_view(named("a", "2"))])
    assert [seen.index for seen in view.pods] == [2, 10]
    assert view.job(2) is not None


def test_a_node_and_its_gpus() -> None:
    node = {
        "metadata": {"name": "n1", "labels": {"zone": "a"}},
        "status": {
            "allocatable": {"cpu": "3920m", "memory": "8009992Ki", "pods": "110", "nvidia.com/gpu": "2"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    seen = node_view(node)
    assert (seen.ready, seen.cpu, seen.memory, seen.pods, seen.gpus) == (True, 3.92, 8009992 * 1024, 110, 2)
    assert not node_view({**node, "spec": {"unschedulable": True}}).ready


@pytest.mark.parametrize(
    "times",
    [
        {"lastTimestamp": "2026-01-01T00:00:00Z"},
        {"eventTime": "2026-01-01T00:00:00.000000Z", "lastTimestamp": None},
        {"series": {"lastObservedTime": "2026-01-01T00:00:00Z"}, "eventTime": "2025-01-01T00:00:00Z"},
    ],
)
def test_an_event_has_one_time_however_it_is_told(times: dict[str, Any]) -> None:
    seen = event_view(
        {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Job", "name": "kj-1-g1"},
            "type": "Warning",
            "reason": "FailedCreate",
            "message": "quota",
            **times,
        }
    )
    assert seen.at == seconds("2026-01-01T00:00:00Z")
    assert (seen.kind, seen.object, seen.reason, seen.warning) == ("Job", "kj-1-g1", "FailedCreate", True)


@pytest.mark.parametrize("text", ["", None, "yesterday", 3])
def test_what_is_no_time_is_none(text: object) -> None:
    assert seconds(text) is None
