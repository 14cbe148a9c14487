"""The API over a real store, without sockets."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.api import Api, parse_target
from localcluster.clock import ManualClock
from localcluster.defaults import apply_defaults
from localcluster.errors import ApiError
from localcluster.http_types import Request, Response
from localcluster.job_controller import build_pod, job_spec, job_status, pod_view
from localcluster.jobs import Backoff, BackoffSettings, CreatePod, reconcile
from localcluster.launch import NotStartable, build_start, pod_setup
from localcluster.resources import NAMESPACES
from localcluster.runtime.docker_config import (
    ImageFacts,
    container_body,
    objection,
    volume_archive,
    volume_requests,
)
from localcluster.runtime.process_launch import PodDirs, build_launch
from localcluster.scheduler import pod_request
from localcluster.services import ServiceNetwork
from localcluster.store import Store

JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}


class Client:
    """Calls the Api and decodes; errors come back as their Status bodies."""

    def __init__(self, store: Store, logs: Path, network: ServiceNetwork | None = None) -> None:
        self.store = store
        self.api = Api(store, ManualClock(), logs, lambda: [("loop", True)], network)

    def raw(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Response:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.api.handle(Request.parse(method, target, headers or {}, data))

    def __call__(
        self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        try:
            response = self.raw(method, target, body, headers)
        except ApiError as error:
            return error.code, error.status()
        return response.status, json.loads(response.body)

    def watch(self, target: str) -> list[dict[str, Any]]:
        """What a watch with a timeout of zero seconds sends."""
        response = self.raw("GET", target)
        sent: list[bytes] = []

        class Sink:
            def send(self, data: bytes) -> None:
                sent.append(data)

            def wait(self, fileno: int | None, seconds: float) -> bool:
                return True

        assert response.stream is not None
        response.stream(Sink())
        return [json.loads(line) for line in b"".join(sent).splitlines()]


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Client]:
    store = Store(tmp_path / "state.db", ManualClock())
    store.create(NAMESPACES, apply_defaults(NAMESPACES, {"metadata": {"name": "default"}}))
    yield Client(store, tmp_path / "logs")
    store.close()


def job(name: str = "j", **spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i", "command": ["true"]}]}}
    base = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {**base, **spec}}


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"k": "v"}}


def test_a_created_job_has_the_real_defaults(call: Client) -> None:
    code, made = call("POST", JOBS, job(backoffLimitPerIndex=3))
    assert code == 201
    uid = made["metadata"]["uid"]
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "j"
    assert labels["controller-uid"] == uid
    assert made["spec"]["backoffLimit"] == 2147483647
    assert made["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
    assert made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    assert call("POST", JOBS, job())[0] == 409


def test_a_pod_failure_policy_means_only_failed_pods_are_replaced(call: Client) -> None:
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    made = call("POST", JOBS, job(podFailurePolicy=policy))[1]
    assert made["spec"]["podReplacementPolicy"] == "Failed"
    assert made["spec"]["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


def test_elastic_patches(call: Client) -> None:
    call("POST", JOBS, job())
    patch = {"spec": {"parallelism": 5, "completions": 5}}
    code, changed = call("PATCH", f"{JOBS}/j", patch, MERGE)
    assert (code, changed["spec"]["completions"], changed["metadata"]["generation"]) == (200, 5, 2)
    code, status = call("PATCH", f"{JOBS}/j", {"spec": {"completions": 7}}, STRATEGIC)
    assert code == 422
    assert status["reason"] == "Invalid"
    assert status["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: 7: can only be modified in tandem with spec.parallelism",
            "field": "spec.completions",
        }
    ]
    assert call("PATCH", f"{JOBS}/j", {"spec": {"parallelism": 3}}, MERGE)[0] == 200
    assert call("PATCH", f"{JOBS}/j", {"spec": {"suspend": True}}, MERGE)[0] == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("completionMode", "NonIndexed"),
        ("backoffLimitPerIndex", 5),
        ("selector", {"matchLabels": {"a": "b"}}),
        ("template", {"spec": {"containers": [{"name": "c", "image": "other"}]}}),
    ],
)
def test_immutable_fields_of_a_job(call: Client, field: str, value: Any) -> None:
    call("POST", JOBS, job())
    code, status = call("PATCH", f"{JOBS}/j", {"spec": {field: value}}, STRATEGIC)
    assert code == 422
    assert any("field is immutable" in cause["message"] for cause in status["details"]["causes"])


def test_completions_of_plain_jobs_are_immutable(call: Client) -> None:
    call("POST", JOBS, job(completionMode="NonIndexed"))
    patch = {"spec": {"completions": 3, "parallelism": 3}}
    assert call("PATCH", f"{JOBS}/j", patch, MERGE)[0] == 422


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"completions": None}, "spec.completions"),
        ({"parallelism": -1}, "spec.parallelism"),
        ({"parallelism": "two"}, "spec.parallelism"),
        ({"completionMode": "Other"}, "spec.completionMode"),
        ({"completionMode": "NonIndexed", "backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex"),
        ({"maxFailedIndexes": 1}, "spec.backoffLimitPerIndex"),
        ({"template": {"spec": {"restartPolicy": "Always", "containers": []}}}, "spec.template.spec.restartPolicy"),
        ({"template": {"spec": {"restartPolicy": "Never"}}}, "spec.template.spec.containers"),
        (
            {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "B_", "image": ""}]}}},
            "spec.template.spec.containers[0].name",
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [0]}}]}},
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]",
        ),
        ({"podFailurePolicy": {"rules": [{"action": "Explode"}]}}, "spec.podFailurePolicy.rules[0].action"),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds"),
    ],
)
def test_invalid_jobs_name_the_field(call: Client, spec: dict[str, Any], field: str) -> None:
    body = job(**spec)
    if spec.get("completions", 1) is None:
        del body["spec"]["completions"]
        body["spec"]["parallelism"] = 1
    code, status = call("POST", JOBS, body)
    assert code == 422
    assert field in [cause["field"] for cause in status["details"]["causes"]]
    assert call("GET", JOBS)[1]["items"] == []


def test_all_faults_are_listed_at_once(call: Client) -> None:
    resources = {"requests": {"cpu": "2", "memory": "lots"}, "limits": {"cpu": "1"}}
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "resources": resources}]}}
    status = call("POST", JOBS, job("Bad_Name", template=template))[1]
    fields = [cause["field"] for cause in status["details"]["causes"]]
    path = "spec.template.spec.containers[0]"
    wanted = {"metadata.name", f"{path}.image", f"{path}.resources.requests", f"{path}.resources.requests[memory]"}
    assert wanted <= set(fields)


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "code", "reason"),
    [
        ("GET", f"{JOBS}/none", None, {}, 404, "NotFound"),
        ("GET", "/apis/batch/v2/jobs", None, {}, 404, "NotFound"),
        ("GET", "/nowhere", None, {}, 404, "NotFound"),
        ("POST", "/apis/batch/v1/namespaces/none/jobs", job(), {}, 404, "NotFound"),
        ("PUT", JOBS, job(), {}, 405, "MethodNotAllowed"),
        ("POST", "/api/v1/nodes", {}, {}, 405, "MethodNotAllowed"),
        ("POST", JOBS, b"not json", {}, 400, "BadRequest"),
        ("POST", JOBS, b"[" * 100_000, {}, 400, "BadRequest"),
        ("POST", JOBS, [], {}, 400, "BadRequest"),
        ("POST", JOBS, {"kind": "Pod"}, {}, 400, "BadRequest"),
        ("POST", JOBS, {"metadata": 3}, {}, 400, "BadRequest"),
        ("POST", JOBS, b"a: b", {"content-type": "application/yaml"}, 415, "UnsupportedMediaType"),
        ("PATCH", f"{CONFIGMAPS}/c", {}, {"content-type": "text/plain"}, 415, "UnsupportedMediaType"),
        ("GET", JOBS, None, {"accept": "application/vnd.kubernetes.protobuf"}, 406, "NotAcceptable"),
        ("GET", f"{JOBS}?labelSelector=a,,!", None, {}, 400, "BadRequest"),
        ("GET", f"{JOBS}?limit=x", None, {}, 400, "BadRequest"),
        ("GET", f"{JOBS}?watch=1&resourceVersion=99999", None, {}, 410, "Expired"),
        ("DELETE", "/api/v1/namespaces/default", None, {}, 403, "Forbidden"),
        ("DELETE", f"{CONFIGMAPS}/c?propagationPolicy=Sideways", None, {}, 422, "Invalid"),
    ],
)
def test_errors_are_status_bodies(
    call: Client, method: str, target: str, body: Any, headers: dict[str, str], code: int, reason: str
) -> None:
    call("POST", CONFIGMAPS, config_map("c"))
    got, status = call(method, target, body, headers)
    assert (got, status["kind"], status["reason"], status["code"]) == (code, "Status", reason, code)
    assert status["message"]


JUNK = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.text(max_size=3)
    | st.builds(list)
    | st.builds(dict)
    | st.builds(lambda: [1])
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in a document."""
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += places(inner, (*path, key))
    return found


def full_job() -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "i",
        "command": ["x"],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": [{"configMapRef": {"name": "m"}}],
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "ports": [{"containerPort": 1}],
    }
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": [{"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}}],
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "k"}],
        },
    }
    rules = [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [143]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
    ]
    return job(template=template, podFailurePolicy={"rules": rules}, backoffLimitPerIndex=3)


@given(data=st.data())
def test_no_document_breaks_the_server(data: st.DataObject) -> None:
    document = full_job()
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places(document)))
        inner: Any = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = data.draw(JUNK)
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "state.db", ManualClock())
        try:
            store.create(NAMESPACES, apply_defaults(NAMESPACES, {"metadata": {"name": "default"}}))
            code, answer = Client(store, Path(directory))("POST", JOBS, document)
            assert code in (201, 400, 422), answer
            if code == 201:
                pod = build_pod(answer, CreatePod(0, 0))
                assert reconcile(job_spec(answer), job_status(answer), [], Backoff(), 0.0, BackoffSettings()).status
                assert pod_request(pod).requests
                assert pod_view(pod).index == 0
                launch_or_say_why(pod)
        finally:
            store.close()


def launch_or_say_why(pod: dict[str, Any]) -> None:
    """What both runtimes make of whatever the API let in."""
    dirs = PodDirs(Path("/pods/u"))
    try:
        setup = pod_setup(pod, "127.64.0.1", (), lambda *_: None, lambda *_: None)
        for container in pod["spec"]["containers"]:
            nothing, log = (lambda *_: None), Path("/log")
            request = build_start(pod, container, setup, 0, "127.0.0.1", nothing, nothing, log, 4096)
            build_launch(request, dirs, {})
            if objection(request, ImageFacts("i"), "jobs", (1, 41)) is None:
                assert json.dumps(container_body(request, ImageFacts("i"), "jobs", {}))
            volume_requests(setup)
            assert volume_archive(setup)
    except NotStartable as error:
        assert error.message


def test_put_needs_the_current_revision_if_any(call: Client) -> None:
    made = call("POST", CONFIGMAPS, config_map("c"))[1]
    assert call("PUT", f"{CONFIGMAPS}/c", {**made, "data": {"k": "2"}})[0] == 200
    code, status = call("PUT", f"{CONFIGMAPS}/c", {**made, "data": {"k": "3"}})
    assert (code, status["reason"]) == (409, "Conflict")
    assert call("PUT", f"{CONFIGMAPS}/c", {"metadata": {"name": "c"}, "data": {}})[0] == 200


def test_generate_name_selectors_and_pages(call: Client) -> None:
    for color in ("red", "red", "blue"):
        made = call("POST", CONFIGMAPS, {"metadata": {"generateName": "c-", "labels": {"color": color}}})[1]
        assert made["metadata"]["name"].startswith("c-")
    assert len(call("GET", f"{CONFIGMAPS}?labelSelector=color%3Dred")[1]["items"]) == 2
    first = call("GET", f"{CONFIGMAPS}?limit=2")[1]
    assert first["metadata"]["remainingItemCount"] == 1
    second = call("GET", f"{CONFIGMAPS}?limit=2&continue={first['metadata']['continue']}")[1]
    names = [item["metadata"]["name"] for item in first["items"] + second["items"]]
    assert len(set(names)) == 3
    assert call("DELETE", f"{CONFIGMAPS}?labelSelector=color%3Dred")[0] == 200
    assert len(call("GET", CONFIGMAPS)[1]["items"]) == 1


def test_delete_preconditions_and_dry_run(call: Client) -> None:
    made = call("POST", CONFIGMAPS, config_map("c"))[1]
    assert call("DELETE", f"{CONFIGMAPS}/c", {"preconditions": {"uid": "other"}})[0] == 409
    assert call("DELETE", f"{CONFIGMAPS}/c?dryRun=All")[0] == 200
    assert call("POST", f"{CONFIGMAPS}?dryRun=All", config_map("d"))[0] == 201
    assert call("GET", f"{CONFIGMAPS}/d")[0] == 404
    code, status = call("DELETE", f"{CONFIGMAPS}/c", {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert (code, status["status"]) == (200, "Success")


def test_deleting_a_job_without_policy_warns_about_its_pods(call: Client) -> None:
    call("POST", JOBS, job())
    response = call.raw("DELETE", f"{JOBS}/j")
    assert "child pods are preserved by default" in response.headers["Warning"]


def test_status_is_changed_only_through_status(call: Client) -> None:
    call("POST", JOBS, job())
    body = {"spec": {"parallelism": 1}, "status": {"active": 7}}
    assert "active" not in call("PATCH", f"{JOBS}/j", body, MERGE)[1]["status"]
    changed = call("PATCH", f"{JOBS}/j/status", body | {"spec": {"parallelism": 9}}, MERGE)[1]
    assert (changed["status"]["active"], changed["spec"]["parallelism"]) == (7, 1)


def test_watch_shows_changes_for_its_selector(call: Client) -> None:
    listed = call("GET", CONFIGMAPS)[1]["metadata"]["resourceVersion"]
    call("POST", CONFIGMAPS, config_map("c", color="red"))
    call("POST", CONFIGMAPS, config_map("d", color="blue"))
    call("PATCH", f"{CONFIGMAPS}/c", {"data": {"k": "2"}}, MERGE)
    call("PATCH", f"{CONFIGMAPS}/c", {"metadata": {"labels": {"color": "green"}}}, MERGE)
    events = call.watch(f"{CONFIGMAPS}?watch=true&resourceVersion={listed}&labelSelector=color%3Dred")
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "c"),
        ("MODIFIED", "c"),
        ("DELETED", "c"),
    ]
    everything = call.watch(f"{CONFIGMAPS}?watch=true")
    assert [event["type"] for event in everything] == ["ADDED", "ADDED"]


def test_watch_list_ends_its_start_with_a_bookmark(call: Client) -> None:
    call("POST", CONFIGMAPS, config_map("c"))
    query = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    events = call.watch(f"{CONFIGMAPS}?{query}")
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_tables_when_asked(call: Client) -> None:
    call("POST", JOBS, job())
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    table = call("GET", JOBS, headers=accept)[1]
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]][:4] == [
        "Name",
        "Status",
        "Completions",
        "Duration",
    ]
    assert table["rows"][0]["cells"][:3] == ["j", "Running", "0/2"]


def test_logs_of_pods_that_have_none(call: Client) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    call("POST", PODS, pod)
    code, status = call("GET", f"{PODS}/p/log")
    assert code == 400 and "is waiting to start: ContainerCreating" in status["message"]
    assert "not valid" in call("GET", f"{PODS}/p/log?container=x")[1]["message"]
    code, status = call("GET", f"{PODS}/p/log?previous=true")
    assert code == 400 and "previous terminated container" in status["message"]


def test_eviction_marks_the_disruption(call: Client) -> None:
    pod = {"metadata": {"name": "p", "finalizers": ["x.io/y"]}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    call("POST", PODS, pod)
    assert call("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})[0] == 201
    evicted = call("GET", f"{PODS}/p")[1]
    assert evicted["metadata"]["deletionTimestamp"]
    assert evicted["status"]["conditions"][0]["type"] == "DisruptionTarget"


def test_pod_specs_are_immutable(call: Client) -> None:
    call("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    assert call("PATCH", f"{PODS}/p", {"spec": {"nodeName": "x"}}, MERGE)[0] == 422
    assert call("PATCH", f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}}, MERGE)[0] == 200


def test_access_reviews_and_discovery(call: Client) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "create", "resource": "jobs"}}}
    code, answer = call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert (code, answer["status"]["allowed"]) == (201, True)
    assert "v1" in call("GET", "/api")[1]["versions"]
    groups = [group["name"] for group in call("GET", "/apis")[1]["groups"]]
    assert groups == ["apps", "authorization.k8s.io", "batch"]
    resources = [item["name"] for item in call("GET", "/apis/batch/v1")[1]["resources"]]
    assert resources == ["jobs", "jobs/status"]
    assert call("GET", "/version")[1]["major"] == "1"
    assert "apis/batch/v1" in call("GET", "/openapi/v3")[1]["paths"]
    assert call("POST", "/version")[0] == 405


def test_secrets_take_plain_text(call: Client) -> None:
    made = call("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})[1]
    assert made["data"] == {"a": "Yg=="}
    assert "stringData" not in made


def test_health(call: Client) -> None:
    healthy = call.api.health("/readyz")
    assert healthy is not None and (healthy.status, healthy.body) == (200, b"ok")
    sick = Api(call.store, ManualClock(), Path(), lambda: [("loop", False)]).health("/readyz")
    assert sick is not None and sick.status == 503
    assert call.api.health("/version") is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/default/pods/p/log/more",
        "/api/v1/pods/p",
        "/api/v1/namespaces/default/nodes",
        "/apis/batch/v1/namespaces/default/cronjobs",
        "/api/v1",
    ],
)
def test_paths_that_name_nothing(path: str) -> None:
    assert parse_target(path) is None
