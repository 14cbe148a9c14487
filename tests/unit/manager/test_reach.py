"""The look from a pod: what is made, what is told of each outcome, and that nothing stays."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from kubernetes import client

from common.domain.access import Finding
from common.domain.errors import Conflict
from manager.clustercheck import ClusterCheck
from manager.reach import ProbeSettings, ReachProbe, probe_job, targets, without_credentials
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster, FakePod
from tests.support.kubernetes_models import check_object, restricted_faults

TARGETS = targets("redis://:hush@redis:6379/0", "http://manager:1500")
SETTINGS = ProbeSettings("default", "python:3", "print()", timeout=30.0)


class Playing(FakeClock):
    """Each time somebody waits, the pods of ``cluster`` do what ``play`` says."""

    def __init__(self, play: Callable[[FakePod], None]) -> None:
        super().__init__()
        self.cluster = FakeCluster(self)
        self._play = play

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        for pod in list(self.cluster.pods.values()):
            self._play(pod)


def look(play: Callable[[Playing, FakePod], None], settings: ProbeSettings = SETTINGS) -> dict[str, Finding]:
    clock: Playing = Playing(lambda pod: play(clock, pod))
    found = ReachProbe(clock.cluster, TARGETS, settings, clock).look()
    assert (clock.cluster.jobs, clock.cluster.pods) == ({}, {}), "nothing of it stays"
    return {finding.name: finding for finding in found}


def said(url: str, ok: bool, message: str = "") -> str:
    return json.dumps({"url": url, "ok": ok, "message": message}) + "\n"


def test_what_answers_is_well_and_what_does_not_names_the_setting() -> None:
    log = "a banner of the image\n" + said("redis://redis:6379", True) + said("http://manager:1500", False, "refused")
    found = look(lambda clock, pod: clock.cluster.finish(pod, 0, log=log))
    assert found["redis"] == Finding(service="pods", name="redis", ok=True, message="redis://redis:6379")
    assert not found["manager"].ok
    assert found["manager"].message == (
        "http://manager:1500 from a pod: refused; ASPERATHOS_WORKER_MANAGER_URL says where pods reach it"
    )


def test_an_image_without_python_is_told() -> None:
    found = look(lambda clock, pod: clock.cluster.finish(pod, 128, reason="StartError"))
    assert not any(finding.ok for finding in found.values())
    assert "with code 128" in found["redis"].message
    assert "ASPERATHOS_CHECK_IMAGE" in found["redis"].message


def test_an_image_that_cannot_be_pulled_is_told_at_once() -> None:
    began: list[float] = []

    def play(clock: Playing, pod: FakePod) -> None:
        clock.cluster.hold(pod, "ImagePullBackOff", "no such image")
        began.append(clock.monotonic())

    found = look(play)
    assert found["redis"].message == "the pod that was to look cannot start: ImagePullBackOff: no such image"
    assert began[-1] - began[0] < 1.0


def test_a_pod_that_cannot_be_placed_is_waited_for_as_long_as_allowed() -> None:
    found = look(lambda clock, pod: clock.cluster.hold(pod, "Unschedulable", "0/1 nodes"))
    assert found["redis"].message == "the pod that was to look did not end within 30 s: Unschedulable: 0/1 nodes"


def test_a_job_that_gets_no_pod_says_why() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    cluster._create_index = lambda job, index: None  # type: ignore[method-assign]
    asked: list[str] = []

    def events(namespace: str, submission: str) -> list[object]:
        asked.append(submission)
        cluster.tell(namespace, submission, "FailedCreate", "exceeded quota")
        return [event for _, id, event in cluster.told if id == submission]

    cluster.events = events  # type: ignore[method-assign, assignment]
    found = ReachProbe(cluster, TARGETS, SETTINGS, clock).look()
    assert {finding.message for finding in found} == {"no pod could be made to look: FailedCreate: exceeded quota"}
    assert asked[0].startswith("check-")
    assert not cluster.jobs


@pytest.mark.parametrize("trouble", ["refusal", "down"])
def test_a_cluster_that_refuses_or_is_away_is_a_finding(trouble: str) -> None:
    cluster = FakeCluster()
    setattr(cluster, trouble, "quota" if trouble == "refusal" else True)
    found = ReachProbe(cluster, TARGETS, SETTINGS, FakeClock()).look()
    assert [finding.ok for finding in found] == [False, False]
    assert found[0].message.startswith("no pod could be made to look: ")


def test_the_job_is_a_kubernetes_object_that_ends_and_goes_by_itself_and_knows_no_password() -> None:
    job = probe_job("check-1", TARGETS, SETTINGS)
    check_object(client.V1Job, job)
    assert restricted_faults(job["spec"]["template"]["spec"]) == []
    assert job["spec"]["activeDeadlineSeconds"] == 30
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    assert "hush" not in json.dumps(job)
    assert without_credentials("rediss://u:p%40@h:6380/2?ssl_ca_certs=x") == "rediss://h:6380"


def test_one_look_at_a_time_and_none_at_a_cluster_that_is_away() -> None:
    looks: list[str] = []

    def probe() -> list[Finding]:
        with pytest.raises(Conflict, match="under way"):
            check.probed()
        looks.append("looked")
        return [Finding(service="pods", name="redis", ok=False, message="refused")]

    cluster = FakeCluster()
    check = ClusterCheck(cluster, "default", {}, probe)
    assert not check.probed().ok
    assert check.report().ok, "without a look from a pod"
    cluster.down = True
    assert [finding.name for finding in check.probed().findings] == ["reachable"]
    assert looks == ["looked"]
