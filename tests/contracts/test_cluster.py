"""What every Cluster does: the fake, the embedded cluster, and the one TEST_KUBECONFIG names (``make test-cluster``).

Pods run shell commands, which the fake only plays; so each behaviour is asked for by a script it knows. On servers
everything happens in a namespace of its own, which is removed at the end; one that a killed run left behind is removed
by the next run, by its label.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from common.adapters.kubernetes_api import ApiSettings, KubernetesApi
from common.adapters.kubernetes_cluster import KubernetesCluster
from common.adapters.kubernetes_views import seconds
from common.clock import SystemClock
from common.domain.cluster import JobView, PodView, SubmissionView
from common.domain.errors import ClusterError, Unavailable
from common.domain.submission import Submission, SubmissionSpec
from common.ports import Cluster
from manager import manifests
from manager.manifests import ManifestSettings
from manager.runner_archive import RunnerArchive
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster, FakePod
from tests.support.docker_engine import BASE, EngineProcess
from tests.support.local_cluster import LocalClusterProcess

WAITS = "trap 'exit 143' TERM; while true; do sleep 0.05; done"
ENDS = "echo hello; exit 0"
FAILS = "echo no >&2; exit 3"
QUITS = "trap 'exit 0' TERM; while true; do sleep 0.05; done"
SECOND_ENDS = f'if [ "$JOB_COMPLETION_INDEX" = 1 ]; then exit 0; fi; {WAITS}'
STUBBORN = "trap '' TERM; while true; do sleep 0.05; done"


class Backend:
    """A cluster, and how to let time pass on it."""

    within = 20.0
    backoff = 0.3
    """The first back-off of an index, in seconds."""
    pulls_images = False
    measures = False
    """Whether it certainly tells what pods use; elsewhere it may."""

    def __init__(self, cluster: Cluster, namespace: str = "default") -> None:
        self.cluster = cluster
        self.namespace = namespace

    def tick(self) -> None:
        time.sleep(0.03)

    def delete_pod(self, pod: PodView) -> None:
        """As a user does."""
        raise NotImplementedError

    def evict_pod(self, pod: PodView) -> None:
        """As a node's drain does."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove everything."""


class Served(Backend):
    """An API server, in a namespace of its own."""

    LABEL = "asperathos.io/test"

    def __init__(self, kubeconfig: str) -> None:
        super().__init__(KubernetesCluster(kubeconfig, usage_age=0.5), f"asperathos-test-{uuid.uuid4().hex[:6]}")
        self.api = KubernetesApi(ApiSettings(kubeconfig=kubeconfig, budget=20.0, attempts=5), SystemClock())
        self._remove_leftovers()
        metadata = {"name": self.namespace, "labels": {self.LABEL: "contract"}}
        self.api.call(
            "POST", "/api/v1/namespaces", body={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        )

    def delete_pod(self, pod: PodView) -> None:
        self.api.call("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{pod.name}")

    def evict_pod(self, pod: PodView) -> None:
        metadata = {"name": pod.name, "namespace": self.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        self.api.call("POST", f"/api/v1/namespaces/{self.namespace}/pods/{pod.name}/eviction", body=eviction)

    def close(self) -> None:
        self.cluster.close()  # type: ignore[attr-defined]
        self._remove(self.namespace)
        self.api.close()

    def _remove(self, namespace: str) -> None:
        try:
            self.api.call("DELETE", f"/api/v1/namespaces/{namespace}")
        except ClusterError as error:
            # Somebody else's run may be removing it, too.
            if error.reason not in ("NotFound", "Conflict"):
                raise

    def _remove_leftovers(self) -> None:
        query = [("labelSelector", f"{self.LABEL}=contract")]
        for namespace in self.api.call("GET", "/api/v1/namespaces", query).json()["items"]:
            made_at = seconds(namespace["metadata"]["creationTimestamp"]) or 0.0
            if time.time() - made_at > 3600.0:
                self._remove(namespace["metadata"]["name"])


class Played(Backend):
    """The fake: its pods do what their script says."""

    backoff = 10.0

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fake = FakeCluster(self.clock)
        super().__init__(self.fake)

    def tick(self) -> None:
        self.clock.advance(0.5)
        for pod in self.fake.running():
            script = self._script(pod)
            if script == ENDS or (script == SECOND_ENDS and pod.index == 1):
                self.fake.finish(pod, 0, log="hello\n")
            elif script == FAILS:
                self.fake.finish(pod, 3, log="no\n")

    def delete_pod(self, pod: PodView) -> None:
        there = self.fake.pods[pod.namespace, pod.name]
        self.fake.delete_pod(there, 0 if self._script(there) == QUITS else 143)

    def evict_pod(self, pod: PodView) -> None:
        self.fake.evict(self.fake.pods[pod.namespace, pod.name])

    @staticmethod
    def _script(pod: FakePod) -> str:
        return str(pod.manifest["spec"]["containers"][0]["command"][-1])


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClusterProcess]:
    flags = ("--backoff-base", "0.3", "--shutdown-grace", "1")
    process = LocalClusterProcess(tmp_path_factory.mktemp("localcluster") / "state", flags)
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def docker_backend(docker_engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The embedded cluster whose pods are containers."""
    docker_engine.docker("tag", BASE, "busybox:1.36")
    flags = (
        "--backoff-base",
        "0.3",
        "--shutdown-grace",
        "1",
        "--runtime",
        "docker",
        "--docker-host",
        docker_engine.host,
    )
    process = LocalClusterProcess(tmp_path_factory.mktemp("localcluster") / "state", flags)
    process.start()
    backend = Served(str(process.kubeconfig))
    backend.pulls_images = backend.measures = True
    yield backend
    backend.close()
    assert process.stop() == 0
    assert docker_engine.docker("ps", "-a", "-q").stdout == ""
    assert docker_engine.docker("volume", "ls", "-q").stdout == ""


@pytest.fixture(scope="module")
def embedded_backend(embedded: LocalClusterProcess) -> Iterator[Served]:
    backend = Served(str(embedded.kubeconfig))
    backend.measures = True
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def named_backend() -> Iterator[Served]:
    kubeconfig = os.environ.get("TEST_KUBECONFIG", "")
    if not kubeconfig:
        pytest.skip("TEST_KUBECONFIG names no cluster")
    backend = Served(kubeconfig)
    backend.within, backend.backoff, backend.pulls_images = 180.0, 10.0, True
    yield backend
    backend.close()


SERVERS = {"localcluster": "embedded_backend", "localcluster-docker": "docker_backend", "kubernetes": "named_backend"}


@pytest.fixture(params=["fake", *SERVERS])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "fake":
        return Played()
    served: Served = request.getfixturevalue(SERVERS[request.param])
    return served


class Case:
    """One submission on a backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.cluster = backend.cluster
        self.id = f"kj-{uuid.uuid4().hex[:7]}"
        self.settings = ManifestSettings(namespace=backend.namespace, default_image="busybox:1.36")

    def submission(self, script: str, **document: Any) -> Submission:
        spec = SubmissionSpec.model_validate(
            {"command": ["sh", "-c", script], "workload": ["a"], "grace_period": 2, **document}
        )
        return Submission(id=self.id, spec=spec, created_at=0.0)

    def start(self, script: str, replicas: int, **document: Any) -> str:
        submission = self.submission(script, **document)
        assert self.cluster.create_secret(manifests.redis_secret(submission, self.settings))
        assert self.cluster.create_job(manifests.worker_job(submission, 1, replicas, self.settings))
        return f"{self.id}-g1"

    def view(self) -> SubmissionView:
        return self.cluster.view(self.backend.namespace, self.id)

    def job(self) -> JobView:
        job = self.view().job(1)
        assert job is not None
        return job

    def running(self) -> list[PodView]:
        return sorted((pod for pod in self.view().workers() if pod.running), key=lambda pod: pod.index)

    def indexes(self) -> list[int]:
        return [pod.index for pod in self.running()]

    def lost(self) -> set[str]:
        return {pod.name for pod in self.view().workers() if pod.lost}

    def until(self, check: Callable[[], object]) -> None:
        end = time.monotonic() + self.backend.within
        while not check():
            assert time.monotonic() < end, f"not in time; the view is {self.view()}"
            self.backend.tick()


@pytest.fixture
def case(backend: Backend) -> Iterator[Case]:
    case = Case(backend)
    yield case
    case.cluster.delete_submission(backend.namespace, case.id, grace=0)


def test_a_new_job_runs_its_indexes_and_is_made_once(case: Case) -> None:
    name = case.start(WAITS, 2)
    case.until(lambda: case.indexes() == [0, 1])
    job = case.job()
    assert (job.name, job.submission, job.generation, job.requested, job.ended) == (name, case.id, 1, 2, "")
    for pod in case.running():
        assert (pod.submission, pod.generation, pod.role) == (case.id, 1, "worker")
        assert pod.started_at is not None
        assert pod.started_at >= pod.created_at > 0
        assert not pod.ended
    submission = case.submission(WAITS)
    assert not case.cluster.create_job(manifests.worker_job(submission, 1, 2, case.settings))
    assert not case.cluster.create_secret(manifests.redis_secret(submission, case.settings))


def test_scaling_up_adds_indexes_and_scaling_down_takes_the_highest(case: Case) -> None:
    name = case.start(WAITS, 2)
    case.until(lambda: case.indexes() == [0, 1])
    kept = [pod.name for pod in case.running()]
    scaled = case.cluster.scale_job(case.backend.namespace, name, 4)
    assert scaled is not None
    assert scaled.requested == 4
    case.until(lambda: case.indexes() == [0, 1, 2, 3])
    assert [pod.name for pod in case.running()][:2] == kept
    assert case.cluster.scale_job(case.backend.namespace, name, 1) is not None
    case.until(lambda: case.indexes() == [0] and len(case.view().workers()) == 1)
    assert [pod.name for pod in case.running()] == kept[:1]
    assert (case.job().failed, case.job().ended) == (0, "")


def test_what_pods_use_is_told_or_known_not_to_be(case: Case) -> None:
    case.start(WAITS, 2)
    case.until(lambda: case.indexes() == [0, 1])
    names = {pod.name for pod in case.running()}

    def told() -> bool:
        try:
            usage = case.cluster.usage(case.backend.namespace)
        except Unavailable:
            return False
        return usage is None or usage.keys() >= names

    case.until(told)
    usage = case.cluster.usage(case.backend.namespace)
    if case.backend.measures:
        assert usage is not None
        assert all(usage[name].memory > 0 and usage[name].cpu >= 0 and usage[name].pods == 1 for name in names)


def test_zero_replicas_suspend_and_any_other_number_resumes(case: Case) -> None:
    name = case.start(WAITS, 2)
    case.until(lambda: case.indexes() == [0, 1])
    assert case.cluster.scale_job(case.backend.namespace, name, 0) is not None
    case.until(lambda: not case.view().workers())
    job = case.job()
    assert (job.suspended, job.requested, job.ended) == (True, 0, "")
    assert case.cluster.scale_job(case.backend.namespace, name, 3) is not None
    case.until(lambda: case.indexes() == [0, 1, 2])
    assert case.job().requested == 3


def test_a_job_made_for_zero_replicas_waits(case: Case) -> None:
    name = case.start(WAITS, 0)
    assert case.job().suspended
    assert not case.view().workers()
    assert case.cluster.scale_job(case.backend.namespace, name, 1) is not None
    case.until(lambda: case.indexes() == [0])


def test_all_indexes_done_end_the_job_and_it_is_scaled_no_more(case: Case) -> None:
    name = case.start(ENDS, 2)
    case.until(lambda: case.job().ended == "Complete")
    pods = case.view().workers()
    assert [(pod.phase, pod.exit_code, pod.ended) for pod in pods] == [("Succeeded", 0, True)] * 2
    assert case.cluster.pod_log(case.backend.namespace, pods[0].name) == "hello\n"
    assert case.cluster.scale_job(case.backend.namespace, name, 5) is None
    assert case.job().parallelism == 2


def test_a_failed_index_comes_back_and_the_failure_is_seen(case: Case) -> None:
    case.start(FAILS, 1)
    case.until(lambda: case.job().failed >= 1)
    failed = next(pod for pod in case.view().workers() if pod.phase == "Failed")
    assert (failed.exit_code, failed.disrupted, failed.index) == (3, False, 0)
    assert case.cluster.pod_log(case.backend.namespace, failed.name) == "no\n"
    case.until(lambda: case.job().failed >= 2)
    assert case.job().ended == ""


def test_an_index_that_was_done_and_cut_off_runs_again_when_raised(case: Case) -> None:
    name = case.start(SECOND_ENDS, 3)
    case.until(lambda: case.indexes() == [0, 2] and case.job().succeeded == 1)
    first_end = next(pod.name for pod in case.view().workers() if pod.index == 1)
    assert case.cluster.scale_job(case.backend.namespace, name, 1) is not None
    case.until(lambda: case.indexes() == [0] and case.job().succeeded == 0)
    assert case.cluster.scale_job(case.backend.namespace, name, 2) is not None
    case.until(lambda: case.job().succeeded == 1)
    ended = {pod.name for pod in case.view().workers() if pod.phase == "Succeeded"}
    assert ended - {first_end}, "index 1 ran a second time"
    assert (case.indexes(), case.job().ended) == ([0], "")


def test_a_deleted_pod_comes_back_after_its_back_off_and_others_do_not_wait(case: Case) -> None:
    name = case.start(WAITS, 3)
    case.until(lambda: case.indexes() == [0, 1, 2])
    pods = case.running()
    case.backend.delete_pod(pods[1])
    case.until(lambda: case.indexes() == [0, 2])
    assert case.cluster.scale_job(case.backend.namespace, name, 5) is not None
    case.until(lambda: {0, 2, 3, 4} <= set(case.indexes()))
    case.until(lambda: case.indexes() == [0, 1, 2, 3, 4])
    assert {pods[0].name, pods[2].name} <= {pod.name for pod in case.running()}
    assert pods[1].name not in {pod.name for pod in case.running()}
    assert (case.job().failed, case.job().ended) == (0, ""), "a worker that was told to go has not failed"


def test_a_deleted_pod_that_ends_well_is_not_replaced(case: Case) -> None:
    case.start(QUITS, 2)
    case.until(lambda: case.indexes() == [0, 1])
    case.backend.delete_pod(case.running()[1])
    case.until(lambda: case.job().succeeded == 1)
    assert (case.indexes(), case.job().ended) == ([0], "")


def test_an_evicted_pod_is_replaced_and_has_not_failed(case: Case) -> None:
    case.start(WAITS, 2)
    case.until(lambda: case.indexes() == [0, 1])
    evicted = case.running()[0]
    case.backend.evict_pod(evicted)
    case.until(lambda: evicted.name not in {pod.name for pod in case.running()})
    case.until(lambda: case.indexes() == [0, 1])
    assert (case.job().failed, case.job().ended) == (0, "")


def test_a_pod_that_was_taken_away_is_seen_until_its_index_runs_again(case: Case) -> None:
    case.start(WAITS, 2)
    case.until(lambda: case.indexes() == [0, 1])
    taken = case.running()[0]
    assert all(pod.tracked and not pod.lost for pod in case.running())
    case.backend.delete_pod(taken)
    case.until(lambda: case.lost() == {taken.name})
    case.until(lambda: case.indexes() == [0, 1])
    case.until(lambda: not case.lost())


def test_what_the_job_removes_itself_is_not_lost(case: Case) -> None:
    name = case.start(WAITS, 3)
    case.until(lambda: case.indexes() == [0, 1, 2])
    for size in (2, 0):
        assert case.cluster.scale_job(case.backend.namespace, name, size) is not None
        case.until(lambda size=size: len(case.running()) == size or case.lost())
        assert not case.lost()


def test_an_index_that_waits_goes_on_waiting_when_the_job_is_resumed(case: Case) -> None:
    name = case.start(WAITS, 2)
    case.until(lambda: case.indexes() == [0, 1])
    case.backend.delete_pod(case.running()[0])
    case.until(lambda: case.indexes() == [1])
    assert case.cluster.scale_job(case.backend.namespace, name, 0) is not None
    case.until(lambda: not case.running())
    assert case.cluster.scale_job(case.backend.namespace, name, 2) is not None
    case.until(lambda: 1 in case.indexes())
    if case.backend.backoff >= 10.0:
        assert case.indexes() == [1]
    case.until(lambda: case.indexes() == [0, 1])
    assert (case.job().failed, case.job().ended) == (0, "")


def test_the_next_generation_stands_beside_the_one_that_ended(case: Case) -> None:
    case.start(ENDS, 1)
    case.until(lambda: case.job().ended == "Complete")
    second = manifests.worker_job(case.submission(WAITS), 2, 1, case.settings)
    assert case.cluster.create_job(second)
    case.until(lambda: case.running())
    view = case.view()
    assert [job.generation for job in view.jobs] == [1, 2]
    assert [pod.generation for pod in case.running()] == [2]


def test_a_missing_job_is_not_scaled_nor_deleted(case: Case) -> None:
    assert case.cluster.scale_job(case.backend.namespace, f"{case.id}-g1", 2) is None
    assert not case.cluster.delete_job(case.backend.namespace, f"{case.id}-g1")
    assert case.cluster.delete_submission(case.backend.namespace, case.id) == 0
    assert case.cluster.pod_log(case.backend.namespace, f"{case.id}-g1-0-none") == ""
    assert case.view() == SubmissionView()


def test_deleting_a_job_removes_its_pods(case: Case) -> None:
    name = case.start(WAITS, 2)
    case.until(lambda: len(case.running()) == 2)
    assert case.cluster.delete_job(case.backend.namespace, name)
    case.until(lambda: case.view() == SubmissionView())
    assert not case.cluster.delete_job(case.backend.namespace, name)


def test_no_grace_removes_pods_that_do_not_listen(case: Case) -> None:
    name = case.start(STUBBORN, 1, grace_period=600)
    case.until(lambda: len(case.running()) == 1)
    assert case.cluster.delete_job(case.backend.namespace, name, grace=0)
    case.until(lambda: case.view() == SubmissionView())


def test_a_container_that_does_not_listen_yet_ends_at_once(server: Case) -> None:
    """As process 1 of a namespace of its own it would be deaf to SIGTERM."""
    server.start("exec sleep 600", 1, grace_period=600)
    server.until(lambda: server.running())
    server.backend.delete_pod(server.running()[0])
    server.until(lambda: any(pod.exit_code == 143 and pod.lost for pod in server.view().workers()))


def test_deleting_a_submission_removes_all_of_it_and_nothing_else(case: Case) -> None:
    case.start(WAITS, 1)
    other = Case(case.backend)
    other.start(WAITS, 1)
    try:
        case.until(lambda: case.running() and other.running())
        assert case.cluster.delete_submission(case.backend.namespace, case.id) >= 3
        case.until(lambda: case.view() == SubmissionView())
        assert other.running()
        views = case.cluster.views(case.backend.namespace)
        assert case.id not in views
        assert views[other.id].job(1) is not None
        assert case.cluster.create_secret(manifests.redis_secret(case.submission(WAITS), case.settings))
    finally:
        case.cluster.delete_submission(case.backend.namespace, other.id, grace=0)


def test_a_secret_is_adopted_by_its_job_and_goes_with_it(case: Case) -> None:
    name = case.start(WAITS, 1)
    secret, namespace = manifests.secret_name(case.id), case.backend.namespace
    assert not case.cluster.adopt_secret(namespace, f"{secret}-none", name)
    assert not case.cluster.adopt_secret(namespace, secret, f"{name}-none")
    assert case.cluster.adopt_secret(namespace, secret, name)
    assert case.cluster.adopt_secret(namespace, secret, name)
    assert not case.cluster.create_secret(manifests.redis_secret(case.submission(WAITS), case.settings))
    assert case.cluster.delete_job(namespace, name, grace=0)
    case.until(lambda: case.view() == SubmissionView())
    # It is gone when one can be made again.
    case.until(lambda: case.cluster.create_secret(manifests.redis_secret(case.submission(WAITS), case.settings)))


def test_a_config_map_is_adopted_by_its_job_and_goes_with_it(case: Case) -> None:
    name, namespace = case.start(WAITS, 1), case.backend.namespace
    settings = dataclasses.replace(case.settings, runner=RunnerArchive(b"PK"))
    manifest = manifests.runner_config_map(case.submission(WAITS, command=None, run="work {item}"), settings)
    assert manifest is not None
    config_map = manifest["metadata"]["name"]
    assert not case.cluster.adopt_config_map(namespace, config_map, name), "there is none yet"
    assert case.cluster.create_config_map(manifest)
    assert not case.cluster.adopt_config_map(namespace, config_map, f"{name}-none")
    assert case.cluster.adopt_config_map(namespace, config_map, name)
    assert case.cluster.delete_job(namespace, name, grace=0)
    # It is gone when one can be made again.
    case.until(lambda: case.cluster.create_config_map(manifest))


def test_a_job_of_the_next_generation_takes_the_secret_over(case: Case) -> None:
    first = case.start(WAITS, 1)
    secret, namespace = manifests.secret_name(case.id), case.backend.namespace
    assert case.cluster.adopt_secret(namespace, secret, first)
    assert case.cluster.create_job(manifests.worker_job(case.submission(WAITS), 2, 1, case.settings))
    assert case.cluster.adopt_secret(namespace, secret, f"{case.id}-g2")
    assert case.cluster.delete_job(namespace, first, grace=0)
    case.until(lambda: [job.generation for job in case.view().jobs] == [2])
    assert case.cluster.adopt_secret(namespace, secret, f"{case.id}-g2")


def test_the_cluster_tells_its_nodes_and_version(case: Case) -> None:
    nodes = case.cluster.nodes()
    assert any(node.ready for node in nodes)
    assert all(node.cpu > 0 and node.memory > 0 and node.pods > 0 for node in nodes)


def test_the_cluster_tells_what_it_offers(case: Case) -> None:
    nodes = [node for node in case.cluster.nodes() if node.ready]
    offer = case.cluster.offer()
    assert offer.replicas is not None and 0 < offer.replicas <= sum(node.pods for node in nodes)
    assert offer.cpu is not None and 0 <= offer.cpu <= sum(node.cpu for node in nodes)
    assert offer.memory is not None and 0 <= offer.memory <= sum(node.memory for node in nodes)
    assert offer.gpus is not None and offer.gpus >= 0
    assert case.cluster.version().startswith("v1.")


def queue_of(case: Case, script: str) -> tuple[str, str]:
    """A dedicated queue whose server is a script: the Deployment's uid, and the Service's address."""
    settings = ManifestSettings(
        namespace=case.backend.namespace,
        queue_image="busybox:1.36",
        queue_command=("sh", "-c", script),
    )
    submission = case.submission(WAITS, queue="dedicated").model_copy(update={"queue_password": "hush"})
    owner = case.cluster.create_deployment(manifests.queue_deployment(submission, settings))
    case.cluster.create_secret(manifests.queue_secret(submission, settings, owner))
    return owner, case.cluster.create_service(manifests.queue_service(submission, settings, owner))


def test_a_dedicated_queue_is_made_once_and_its_pod_is_no_worker(case: Case) -> None:
    owner, address = queue_of(case, WAITS)
    assert owner and address
    assert queue_of(case, WAITS) == (owner, address)
    case.until(lambda: any(pod.running and pod.ip for pod in case.view().pods))
    (pod,) = case.view().pods
    assert (pod.role, pod.index) == ("queue", -1)
    assert case.view().workers() == ()


def test_a_dedicated_queues_pod_is_replaced_and_its_address_stays(case: Case) -> None:
    owner, address = queue_of(case, WAITS)
    case.until(lambda: any(pod.running for pod in case.view().pods))
    (first,) = case.view().pods
    case.backend.delete_pod(first)
    case.until(lambda: [pod for pod in case.view().pods if pod.running and pod.name != first.name])
    assert queue_of(case, WAITS) == (owner, address)


def test_a_dedicated_queue_goes_with_its_submission(case: Case) -> None:
    owner, _ = queue_of(case, WAITS)
    case.until(lambda: any(pod.running for pod in case.view().pods))
    assert case.cluster.delete_submission(case.backend.namespace, case.id) >= 1
    case.until(lambda: case.view() == SubmissionView())
    # Nothing of it was left to be found.
    again, _ = queue_of(case, WAITS)
    assert again != owner


def test_a_config_map_is_made_once_and_goes_with_its_submission(case: Case) -> None:
    settings = dataclasses.replace(case.settings, runner=RunnerArchive(b"PK\0not UTF-8: \xff"))
    manifest = manifests.runner_config_map(case.submission(WAITS, command=None, run="work {item}"), settings)
    assert manifest is not None
    assert case.cluster.create_config_map(manifest)
    assert not case.cluster.create_config_map(manifest)
    assert case.cluster.delete_submission(case.backend.namespace, case.id) == 1
    assert case.cluster.create_config_map(manifest)


# What only servers can show.


@pytest.fixture
def server(case: Case) -> Case:
    if isinstance(case.backend, Played):
        pytest.skip("the fake has no API server")
    return case


def test_a_secret_reaches_the_pod_and_a_run_template_arrives_as_written(server: Case) -> None:
    spec = SubmissionSpec.model_validate({"run": "work $(date) $$ {item} $(POD_NAME)", "workload": ["a"]})
    submission = Submission(id=server.id, spec=spec, created_at=0.0)
    settings = ManifestSettings(
        namespace=server.backend.namespace,
        default_image="busybox:1.36",
        worker_redis_url="redis://:secret@redis:6379/0",
        runner_command=("sh", "-c", 'printf "%s\\n" "$ASPERATHOS_REDIS_URL" "$ASPERATHOS_RUN" "$POD_NAME"'),
    )
    server.cluster.create_secret(manifests.redis_secret(submission, settings))
    server.cluster.create_job(manifests.worker_job(submission, 1, 1, settings))
    server.until(lambda: server.job().ended == "Complete")
    (pod,) = server.view().workers()
    log = server.cluster.pod_log(server.backend.namespace, pod.name)
    assert log.splitlines() == [
        "redis://:secret@redis:6379/0",
        "work $(date) $$ {item} $(POD_NAME)",
        pod.name,
    ]


def test_the_runners_archive_is_mounted(server: Case) -> None:
    content = b"PK\0not UTF-8: \xff"
    settings = dataclasses.replace(server.settings, runner=RunnerArchive(content))
    submission = server.submission(WAITS, command=None, run="work {item}")
    config_map = manifests.runner_config_map(submission, settings)
    assert config_map is not None
    job = manifests.worker_job(submission, 1, 1, settings)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python3", "/asperathos/runner.pyz"]
    # Seen by a shell, which every test image has.
    container["command"] = ["base64", container["command"][1]]
    server.cluster.create_config_map(config_map)
    server.cluster.create_secret(manifests.redis_secret(submission, settings))
    server.cluster.create_job(job)
    server.until(lambda: server.job().ended == "Complete")
    (pod,) = server.view().workers()
    assert base64.b64decode(server.cluster.pod_log(server.backend.namespace, pod.name)) == content


def test_a_pod_has_its_values_files_and_arguments(server: Case) -> None:
    name = manifests.secret_name(server.id)
    script = (
        'printf "%s\\n" "$URL" "$NOTHING" "$0" "$1"; cat "$FILE/url"; echo; echo x > "$SCRATCH/x"; cat "$SCRATCH/x"'
    )
    document = {
        "command": ["sh", "-c"],
        "args": [script, "first", "second"],
        "env": {
            "URL": {"secret": name, "key": "url"},
            "NOTHING": {"config_map": f"{server.id}-none", "key": "x", "optional": True},
            "FILE": "/mnt/secret",
            "SCRATCH": "/mnt/scratch",
        },
        "volumes": [
            {"path": "/mnt/secret", "secret": name, "read_only": True},
            {"path": "/mnt/scratch", "empty_dir": {"size": "1Mi"}},
        ],
        "tolerations": [{"operator": "Exists", "effect": "NoExecute", "seconds": 60}],
        "annotations": {"example.org/owner": "team vision"},
        "image_pull_policy": "IfNotPresent",
    }
    server.start(script, 1, **document)
    server.until(lambda: server.job().ended == "Complete")
    (pod,) = server.view().workers()
    url = server.settings.worker_redis_url
    log = server.cluster.pod_log(server.backend.namespace, pod.name)
    assert log.splitlines() == [url, "", "first", "second", url, "x"]


def test_a_long_log_is_cut_at_its_beginning(server: Case) -> None:
    server.start("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done", 1)
    server.until(lambda: server.job().ended == "Complete")
    (pod,) = server.view().workers()
    log = server.cluster.pod_log(server.backend.namespace, pod.name, limit=100)
    assert len(log) == 100
    assert log.endswith("line 2999\n")


def test_a_log_is_read_on_from_a_time(case: Case) -> None:
    case.start(ENDS, 1)
    case.until(lambda: case.job().ended == "Complete")
    (pod,) = case.view().workers()
    read = case.cluster.pod_log_since
    (line,) = read(case.backend.namespace, pod.name)
    assert (line.text, line.complete) == ("hello", True)
    assert read(case.backend.namespace, pod.name, line.at // 10**9) == [line]
    assert read(case.backend.namespace, pod.name, line.at // 10**9 + 1) == []
    assert read(case.backend.namespace, pod.name, tail=0) == []
    assert read(case.backend.namespace, "no-such-pod") == []


def test_what_the_server_refuses_keeps_its_reason(server: Case) -> None:
    manifest = manifests.worker_job(server.submission(WAITS), 1, 1, server.settings)
    manifest["spec"]["parallelism"] = -1
    with pytest.raises(ClusterError) as refused:
        server.cluster.create_job(manifest)
    assert refused.value.reason == "Invalid"
    assert "parallelism" in refused.value.message
    manifest = manifests.worker_job(server.submission(WAITS), 1, 1, ManifestSettings(namespace=f"{server.id}-none"))
    with pytest.raises(ClusterError) as refused:
        server.cluster.create_job(manifest)
    assert refused.value.reason == "NotFound"


def test_events_tell_of_the_submissions_objects(server: Case) -> None:
    server.start(WAITS, 1)
    server.until(lambda: server.running())
    server.until(lambda: server.cluster.events(server.backend.namespace, server.id))
    events = server.cluster.events(server.backend.namespace, server.id)
    assert all(event.object.startswith(server.id) and event.at > 0 and event.reason for event in events)


def test_a_command_that_is_not_there_says_so(server: Case) -> None:
    submission = server.submission(WAITS, command=["/no/such/program"])
    server.cluster.create_job(manifests.worker_job(submission, 1, 1, server.settings))
    server.cluster.create_secret(manifests.redis_secret(submission, server.settings))
    server.until(lambda: any(pod.exit_code not in (None, 0) for pod in server.view().workers()))
    pod = next(pod for pod in server.view().workers() if pod.exit_code is not None)
    assert "/no/such/program" in pod.message


def test_unschedulable_pods_say_so(server: Case) -> None:
    server.start(WAITS, 1, node_selector={"asperathos.io/no-such": "node"})
    server.until(lambda: any(pod.reason == "Unschedulable" for pod in server.view().workers()))
    (pod,) = server.view().workers()
    assert pod.pending
    assert pod.message


def test_scaling_at_the_same_time_loses_to_nobody(server: Case) -> None:
    name = server.start(WAITS, 1)
    sizes = (2, 3, 4, 2)
    seen: list[int] = []

    def scale(size: int) -> None:
        scaled = server.cluster.scale_job(server.backend.namespace, name, size)
        assert scaled is not None
        seen.append(scaled.requested)

    threads = [threading.Thread(target=scale, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(sizes)
    server.until(lambda: server.job().requested in sizes)


def test_what_was_just_written_is_seen(server: Case) -> None:
    name = server.start(WAITS, 0)
    for size in (1, 2, 1, 3):
        assert server.cluster.scale_job(server.backend.namespace, name, size) is not None
        assert server.job().requested == size
    assert server.cluster.delete_job(server.backend.namespace, name, grace=0)
    left = server.view().job(1)
    assert left is None or left.deleting


def test_an_image_that_cannot_be_had_says_so_soon(server: Case) -> None:
    if not server.backend.pulls_images:
        pytest.skip("localcluster pulls no images for its processes")
    began = time.monotonic()
    server.start(WAITS, 1, image="registry.invalid/asperathos/none:1")
    reasons = {"ErrImagePull", "ImagePullBackOff"}
    server.until(lambda: any(pod.reason in reasons for pod in server.view().workers()))
    assert time.monotonic() - began < 15.0


def test_a_refused_creation_is_forbidden(server: Case) -> None:
    """The admission of every API server refuses what is made in a namespace that is going."""
    assert isinstance(server.backend, Served)
    api, name = server.backend.api, f"{server.backend.namespace}-x"
    metadata = {"name": name, "labels": {Served.LABEL: "contract"}}
    api.call("POST", "/api/v1/namespaces", body={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    held = manifests.worker_job(server.submission(WAITS), 1, 0, ManifestSettings(namespace=name))
    held["metadata"]["finalizers"] = ["asperathos.io/test"]
    server.cluster.create_job(held)
    try:
        api.call("DELETE", f"/api/v1/namespaces/{name}")
        with pytest.raises(ClusterError, match="terminated") as refused:
            server.cluster.create_job(
                manifests.worker_job(server.submission(WAITS), 2, 1, ManifestSettings(namespace=name))
            )
        assert refused.value.reason == "Forbidden"
    finally:
        path = f"/apis/batch/v1/namespaces/{name}/jobs/{server.id}-g1"
        api.call("PATCH", path, body={"metadata": {"finalizers": None}}, content_type="application/merge-patch+json")


def test_no_server_is_unavailable_within_bounds(tmp_path: Any, free_port: int) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {token: t}}]\n"
        f"clusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:{free_port}'}}}}]\n"
    )
    clock = FakeClock()
    cluster = KubernetesCluster(str(kubeconfig), clock=clock)
    with pytest.raises(Unavailable, match="does not answer"):
        cluster.version()
    assert len(clock.slept) == 2


def test_no_kubeconfig_is_unavailable(tmp_path: Any) -> None:
    cluster = KubernetesCluster(str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="no usable kubeconfig"):
        cluster.version()
