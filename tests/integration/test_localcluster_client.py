"""The official Python client against localcluster: every typed model must accept what the server says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from tests.support.local_cluster import LocalClusterProcess, job_object, python_container

Eventually = Callable[..., None]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.ApiClient]:
    cluster = LocalClusterProcess(tmp_path_factory.mktemp("client") / "state", ("--backoff-base", "0.2")).start()
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made
    assert cluster.stop() == 0


def test_a_typed_job_from_manifest_to_removal(api: client.ApiClient, eventually: Eventually) -> None:
    batch, core = client.BatchV1Api(api), client.CoreV1Api(api)
    code = "import os, time; print(os.environ['JOB_COMPLETION_INDEX']); time.sleep(600)"
    made = batch.create_namespaced_job("default", job_object("typed", python_container(code), 2))
    assert made.metadata.uid and made.spec.completions == 2
    eventually(lambda: batch.read_namespaced_job_status("typed", "default").status.ready == 2)
    job = batch.patch_namespaced_job("typed", "default", {"spec": {"parallelism": 3, "completions": 3}})
    assert job.spec.parallelism == 3
    eventually(lambda: batch.read_namespaced_job("typed", "default").status.active == 3)
    pods = core.list_namespaced_pod("default", label_selector="job-name=typed").items
    assert {pod.metadata.owner_references[0].uid for pod in pods} == {made.metadata.uid}
    assert all(pod.status.container_statuses is not None for pod in pods)
    first = pods[0].metadata.name
    eventually(lambda: core.read_namespaced_pod_log(first, "default") == "0\n")
    events = core.list_namespaced_event("default", field_selector=f"involvedObject.name={first}").items
    assert {event.reason for event in events} >= {"Scheduled", "Started", "ImageNotPulled"}
    assert all(event.last_timestamp is not None for event in events)
    with pytest.raises(ApiException) as caught:
        batch.patch_namespaced_job("typed", "default", {"spec": {"completions": 9}})
    assert caught.value.status == 422
    with pytest.raises(ApiException) as caught:
        batch.create_namespaced_job("default", job_object("typed", python_container(code)))
    assert caught.value.status == 409
    batch.patch_namespaced_job("typed", "default", {"spec": {"suspend": True}})
    eventually(lambda: not core.list_namespaced_pod("default", label_selector="job-name=typed").items)
    conditions = batch.read_namespaced_job("typed", "default").status.conditions
    assert [(item.type, item.status) for item in conditions] == [("Suspended", "True")]
    batch.delete_namespaced_job("typed", "default", propagation_policy="Background")
    with pytest.raises(ApiException) as caught:
        batch.read_namespaced_job("typed", "default")
    assert caught.value.status == 404


def test_deleting_without_policy_orphans_the_pods_as_the_real_one(
    api: client.ApiClient, eventually: Eventually
) -> None:
    batch, core = client.BatchV1Api(api), client.CoreV1Api(api)
    batch.create_namespaced_job("default", job_object("orphans", python_container("import time; time.sleep(600)"), 1))
    eventually(lambda: batch.read_namespaced_job("orphans", "default").status.ready == 1)
    batch.delete_namespaced_job("orphans", "default")
    time.sleep(0.2)
    pods = core.list_namespaced_pod("default", label_selector="job-name=orphans").items
    assert len(pods) == 1 and not pods[0].metadata.owner_references
    core.delete_collection_namespaced_pod("default", label_selector="job-name=orphans", grace_period_seconds=0)
    assert not core.list_namespaced_pod("default", label_selector="job-name=orphans").items


def test_a_typed_watch(api: client.ApiClient) -> None:
    batch, core = client.BatchV1Api(api), client.CoreV1Api(api)
    version = core.list_namespaced_pod("default").metadata.resource_version
    batch.create_namespaced_job("default", job_object("watched", python_container("print(1)"), 1))
    phases: list[Any] = []
    stream = watch.Watch()
    arguments = {"label_selector": "job-name=watched", "timeout_seconds": 10, "allow_watch_bookmarks": True}
    for event in stream.stream(core.list_namespaced_pod, "default", resource_version=version, **arguments):
        phases.append((event["type"], event["object"].status.phase))
        if phases[-1][1] == "Succeeded":
            stream.stop()
    assert phases[0] == ("ADDED", "Pending") and ("MODIFIED", "Running") in phases
    jobs = [event["object"] for event in watch.Watch().stream(batch.list_namespaced_job, "default", timeout_seconds=1)]
    assert "watched" in {job.metadata.name for job in jobs}
    batch.delete_namespaced_job("watched", "default", propagation_policy="Foreground")


def test_a_resource_version_out_of_reach_is_gone(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as caught:
        core.list_namespaced_pod("default", watch=True, resource_version="999999999", _preload_content=False)
    assert caught.value.status == 410


def test_everything_else_deserializes(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    node = core.list_node().items[0]
    assert node.status.allocatable["cpu"] == "64"
    assert node.status.conditions[0].type == "Ready"
    assert {item.metadata.name for item in core.list_namespace().items} >= {"default", "kube-system"}
    core.create_namespaced_service("default", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    assert core.read_namespaced_service("s", "default").spec.ports[0].protocol == "TCP"
    core.create_namespaced_secret("default", {"metadata": {"name": "k"}, "stringData": {"a": "b"}})
    assert core.read_namespaced_secret("k", "default").data == {"a": "Yg=="}
    core.create_namespaced_config_map("default", {"metadata": {"name": "c"}, "data": {"a": "b"}})
    assert core.list_config_map_for_all_namespaces().items[0].data == {"a": "b"}
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="patch", resource="jobs", group="batch")
        )
    )
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed
    assert client.VersionApi(api).get_code().major == "1"
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert "batch" in groups
