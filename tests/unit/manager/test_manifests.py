"""What a submission becomes in Kubernetes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from common.domain.submission import Submission, SubmissionSpec
from manager.manifests import (
    ManifestSettings,
    initial_replicas,
    queue_pod,
    redis_secret,
    worker_job,
)

SETTINGS = ManifestSettings(namespace="work", worker_redis_url="redis://:hush@redis:6379/0")


def submission(**document: Any) -> Submission:
    if "run" not in document:
        document.setdefault("command", ["work", "--fast"])
    spec = SubmissionSpec.model_validate({"workload": ["a"], **document})
    return Submission(id="kj-1234567", spec=spec, created_at=0.0, redis_host="10.1.2.3")


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return dict(only)


def env(job: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container(job)["env"]}


def test_the_job_is_elastic_and_indexed() -> None:
    job = worker_job(submission(grace_period=45), 2, 3, SETTINGS)
    assert job["metadata"]["name"] == "kj-1234567-g2"
    assert job["metadata"]["namespace"] == "work"
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"], spec["suspend"]) == (
        "Indexed",
        3,
        3,
        False,
    )
    assert spec["backoffLimitPerIndex"] >= 10
    assert "ttlSecondsAfterFinished" not in spec
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 45)
    assert job["metadata"]["labels"] == spec["template"]["metadata"]["labels"]


def test_release_and_disruption_are_no_failures() -> None:
    rules = worker_job(submission(), 1, 1, SETTINGS)["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore"]
    assert rules[0]["onExitCodes"]["values"] == [143]
    assert rules[1]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_no_replicas_are_a_suspended_job_of_one() -> None:
    spec = worker_job(submission(), 1, 0, SETTINGS)["spec"]
    assert (spec["suspend"], spec["completions"], spec["parallelism"]) == (True, 1, 1)


def test_a_command_is_run_as_it_is_and_a_template_by_the_runner() -> None:
    assert container(worker_job(submission(image="mine:1"), 1, 1, SETTINGS))["command"] == ["work", "--fast"]
    job = worker_job(submission(run="echo {item} $HOME $(date) $$"), 1, 1, SETTINGS)
    assert container(job)["command"] == ["python3", "-m", "asperathos_worker"]
    assert container(job)["image"] == "python:3.12-slim"
    # Kubernetes makes $ of $$, and $(NAME) is its own.
    assert env(job)["ASPERATHOS_RUN"].replace("$$", "$") == "echo {item} $HOME $(date) $$"


def test_the_worker_is_told_what_it_needs_and_no_secret_is_shown() -> None:
    job = worker_job(submission(item_timeout=2.5, grace_period=7), 1, 1, SETTINGS)
    told = env(job)
    assert told["ASPERATHOS_SUBMISSION"] == "kj-1234567"
    assert (told["ASPERATHOS_ITEM_TIMEOUT"], told["ASPERATHOS_GRACE_SECONDS"]) == ("2.5", "7")
    assert told["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert "hush" not in str(job)
    reference = told["ASPERATHOS_REDIS_URL"]["secretKeyRef"]
    secret = redis_secret(submission(), SETTINGS)
    assert secret["metadata"]["name"] == reference["name"]
    assert base64.b64decode(secret["data"][reference["key"]]).decode() == SETTINGS.worker_redis_url


def test_the_users_environment_does_not_override_ours() -> None:
    told = env(worker_job(submission(env={"POD_NAME": "me", "LEVEL": 3}), 1, 1, SETTINGS))
    assert told["LEVEL"] == "3"
    assert isinstance(told["POD_NAME"], dict)


def test_a_dedicated_queue_has_its_host_in_the_environment_and_no_secret() -> None:
    told = env(worker_job(submission(queue="dedicated", env={"REDIS_HOST": "elsewhere"}), 1, 1, SETTINGS))
    assert told["REDIS_HOST"] == "10.1.2.3"
    assert not any(name.startswith("ASPERATHOS_") for name in told)


def test_the_dedicated_queue_listens_on_its_pods_address_only() -> None:
    pod = queue_pod(submission(queue="dedicated"), SETTINGS)
    (only,) = pod["spec"]["containers"]
    command = only["command"]
    assert command[0] == "redis-server"
    assert command[command.index("--bind") + 1] == "$(POD_IP)"
    assert command[command.index("--port") + 1] == "6379"
    assert only["env"] == [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    assert pod["metadata"]["labels"]["asperathos.io/role"] == "queue"


def test_the_dedicated_queue_keeps_its_items_when_its_server_is_started_again() -> None:
    pod = queue_pod(submission(queue="dedicated"), SETTINGS)["spec"]
    (only,) = pod["containers"]
    assert pod["restartPolicy"] == "Always"
    assert pod["volumes"] == [{"name": "data", "emptyDir": {}}]
    assert only["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]
    assert only["command"][only["command"].index("--dir") + 1] == "/data"
    assert only["command"][only["command"].index("--appendonly") + 1] == "yes"


def test_resources_and_placement_are_passed_on() -> None:
    document = {
        "resources": {"cpu": "500m", "memory": "64Mi", "memory_limit": "1Gi", "gpu": 2},
        "node_selector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "secrets": ["registry"],
        "working_dir": "/data",
        "namespace": "elsewhere",
        "labels": {"team": "a"},
    }
    job = worker_job(submission(**document), 1, 1, SETTINGS)
    pod = job["spec"]["template"]["spec"]
    assert container(job)["resources"] == {
        "requests": {"cpu": "500m", "memory": "64Mi"},
        "limits": {"memory": "1Gi", "nvidia.com/gpu": "2"},
    }
    assert container(job)["workingDir"] == "/data"
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert job["metadata"]["namespace"] == "elsewhere"
    assert job["metadata"]["labels"]["team"] == "a"
    assert "resources" not in container(worker_job(submission(), 1, 1, SETTINGS))


def test_privileges_are_dropped() -> None:
    pod = worker_job(submission(), 1, 1, SETTINGS)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (only,) = pod["containers"]
    assert only["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert "runAsNonRoot" not in pod["securityContext"]
    strict = worker_job(submission(), 1, 1, ManifestSettings(run_as_non_root=True))
    assert strict["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("bounds", "count"), [({}, 1), ({"min": 0}, 1), ({"min": 3}, 3), ({"min": 0, "initial": 0}, 0), ({"initial": 4}, 4)]
)
def test_it_starts_with_what_is_asked_for_or_the_fewest_that_work(bounds: dict[str, int], count: int) -> None:
    assert initial_replicas(submission(replicas=bounds).spec) == count
