"""What a submission becomes in Kubernetes."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from common.domain.submission import Priority, Submission, SubmissionSpec
from manager.manifests import (
    ManifestSettings,
    initial_replicas,
    job_ttl,
    queue_deployment,
    queue_secret,
    queue_service,
    redis_secret,
    runner_config_map,
    worker_job,
)
from manager.pods import GPU_RESOURCES
from manager.runner_archive import NoArchive, RunnerArchive, read_archive
from tests.support.kubernetes_models import restricted_faults

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
    assert spec["ttlSecondsAfterFinished"] == 86400
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
    deployment = queue_deployment(submission(queue="dedicated"), SETTINGS)
    template = deployment["spec"]["template"]
    (only,) = template["spec"]["containers"]
    command = only["command"]
    assert command[0] == "redis-server"
    assert command[command.index("--bind") + 1] == "$(POD_IP)"
    assert command[command.index("--port") + 1] == "6379"
    assert only["env"] == [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    assert template["metadata"]["labels"]["asperathos.io/role"] == "queue"
    assert restricted_faults(template["spec"]) == []


def test_the_dedicated_queue_keeps_its_items_when_its_server_is_started_again() -> None:
    spec = queue_deployment(submission(queue="dedicated"), SETTINGS)["spec"]
    pod = spec["template"]["spec"]
    (only,) = pod["containers"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert pod["restartPolicy"] == "Always"
    assert {"name": "data", "emptyDir": {}} in pod["volumes"]
    assert {"name": "data", "mountPath": "/data"} in only["volumeMounts"]
    assert only["command"][only["command"].index("--dir") + 1] == "/data"
    assert only["command"][only["command"].index("--appendonly") + 1] == "yes"


def test_what_belongs_to_a_dedicated_queue_is_owned_by_its_deployment_and_leads_to_its_pod() -> None:
    of = submission(queue="dedicated", labels={"team": "a"}).model_copy(update={"queue_password": "hush"})
    deployment = queue_deployment(of, SETTINGS)
    service, secret = queue_service(of, SETTINGS, "the-uid"), queue_secret(of, SETTINGS, "the-uid")
    for owned in (service, secret):
        (owner,) = owned["metadata"]["ownerReferences"]
        assert owner == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "kj-1234567-queue", "uid": "the-uid"}
        assert owned["metadata"]["labels"]["asperathos.io/submission"] == "kj-1234567"
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"].items() <= labels
    assert [port["port"] for port in service["spec"]["ports"]] == [6379]
    assert secret["metadata"]["name"] in str(deployment["spec"]["template"]["spec"]["volumes"])


def test_the_password_of_a_dedicated_queue_is_in_its_secret_only_and_redis_is_told_a_digest() -> None:
    of = submission(queue="dedicated").model_copy(update={"queue_password": "hush"})
    data = {key: base64.b64decode(value).decode() for key, value in queue_secret(of, SETTINGS, "u")["data"].items()}
    assert data["password"] == "hush"
    admin, anyone = data["users.acl"].splitlines()
    assert admin == f"user asperathos on #{hashlib.sha256(b'hush').hexdigest()} ~* &* +@all"
    assert "nopass" in anyone
    assert "-@admin -@dangerous" in anyone
    told = f"{queue_deployment(of, SETTINGS)}{queue_service(of, SETTINGS, 'u')}{worker_job(of, 1, 1, SETTINGS)}{of!r}"
    assert "hush" not in told


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
    assert restricted_faults(pod) == []


@pytest.mark.parametrize(
    ("user", "default", "non_root", "told"),
    [
        (None, 65532, False, {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "runAsNonRoot": True}),
        (None, None, False, {}),
        (None, None, True, {"runAsNonRoot": True}),
        ("image", 65532, False, {}),
        ("image", 65532, True, {"runAsNonRoot": True}),
        ("root", 65532, False, {"runAsUser": 0}),
        (1000, None, False, {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000, "runAsNonRoot": True}),
    ],
)
def test_the_user_is_the_submissions_or_the_operators(
    user: Any, default: int | None, non_root: bool, told: dict[str, Any]
) -> None:
    operator = ManifestSettings(default_user=default, run_as_non_root=non_root)
    pod = worker_job(submission(user=user), 1, 1, operator)["spec"]["template"]["spec"]
    security = dict(pod["securityContext"])
    assert security.pop("seccompProfile") == {"type": "RuntimeDefault"}
    assert security.pop("fsGroupChangePolicy", None) == ("OnRootMismatch" if "fsGroup" in told else None)
    assert security == told


def test_a_job_that_ended_stays_as_long_as_asked_for_and_a_day() -> None:
    assert job_ttl(submission(job_lifetime="1h").spec, SETTINGS) == 3600 + 86400
    assert job_ttl(submission(job_lifetime="36525d").spec, SETTINGS) == 2**31 - 1


def test_values_of_the_environment_come_from_secrets_and_config_maps() -> None:
    document = {
        "TOKEN": {"secret": "api", "key": "token"},
        "REGION": {"config_map": "site", "key": "region", "optional": True},
    }
    told = env(worker_job(submission(env=document), 1, 1, SETTINGS))
    assert told["TOKEN"] == {"secretKeyRef": {"name": "api", "key": "token"}}
    assert told["REGION"] == {"configMapKeyRef": {"name": "site", "key": "region", "optional": True}}


def test_volumes_are_mounted() -> None:
    volumes = [
        {"path": "/data", "claim": "books", "read_only": True},
        {"path": "/etc/app/app.ini", "config_map": "app", "sub_path": "app.ini"},
        {"path": "/keys", "secret": "keys", "optional": True},
        {"path": "/scratch", "empty_dir": True},
        {"path": "/dev/shm", "empty_dir": {"size": "1Gi", "memory": True}},
        {"path": "/scans", "host_path": "/mnt/scans"},
    ]
    job = worker_job(submission(volumes=volumes), 1, 1, SETTINGS)
    assert job["spec"]["template"]["spec"]["volumes"] == [
        {"name": "volume-0", "persistentVolumeClaim": {"claimName": "books"}},
        {"name": "volume-1", "configMap": {"name": "app"}},
        {"name": "volume-2", "secret": {"secretName": "keys", "optional": True}},
        {"name": "volume-3", "emptyDir": {}},
        {"name": "volume-4", "emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}},
        {"name": "volume-5", "hostPath": {"path": "/mnt/scans"}},
    ]
    assert container(job)["volumeMounts"] == [
        {"name": "volume-0", "mountPath": "/data", "readOnly": True},
        {"name": "volume-1", "mountPath": "/etc/app/app.ini", "subPath": "app.ini"},
        {"name": "volume-2", "mountPath": "/keys"},
        {"name": "volume-3", "mountPath": "/scratch"},
        {"name": "volume-4", "mountPath": "/dev/shm"},
        {"name": "volume-5", "mountPath": "/scans"},
    ]


def test_affinity_arrives_as_it_was_written_also_from_a_record() -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = {
        "nodeAffinity": {
            required: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]}
        },
        "podAntiAffinity": {required: [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]},
    }
    kept = Submission.model_validate_json(submission(affinity=affinity).model_dump_json())
    assert worker_job(kept, 1, 1, SETTINGS)["spec"]["template"]["spec"]["affinity"] == affinity


@pytest.mark.parametrize(("vendor", "name"), list(GPU_RESOURCES.items()))
def test_gpus_are_their_vendors(vendor: str, name: str) -> None:
    job = worker_job(submission(resources={"gpu": 1, "gpu_vendor": vendor}), 1, 1, SETTINGS)
    assert container(job)["resources"] == {"limits": {name: "1"}}


def test_arguments_policy_account_priority_and_annotations_are_passed_on() -> None:
    document = {
        "command": None,
        "args": ["--fast", "$(POD_NAME)"],
        "image_pull_policy": "Always",
        "service_account": "reader",
        "priority": "high",
        "annotations": {"example.org/owner": "team vision"},
        "tolerations": [{"operator": "Exists", "effect": "NoExecute", "seconds": 60}],
    }
    operator = ManifestSettings(priority_classes={Priority.HIGH: "urgent"})
    job = worker_job(submission(**document), 1, 1, operator)
    pod = job["spec"]["template"]["spec"]
    assert "command" not in container(job)
    assert container(job)["args"] == ["--fast", "$(POD_NAME)"]
    assert container(job)["imagePullPolicy"] == "Always"
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("reader", True)
    assert pod["priorityClassName"] == "urgent"
    assert pod["tolerations"] == [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}]
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert metadata["annotations"] == {"example.org/owner": "team vision"}
    plain = worker_job(submission(), 1, 1, operator)["spec"]["template"]["spec"]
    assert "priorityClassName" not in plain
    assert "serviceAccountName" not in plain


@pytest.mark.parametrize(
    ("bounds", "count"), [({}, 1), ({"min": 0}, 1), ({"min": 3}, 3), ({"min": 0, "initial": 0}, 0), ({"initial": 4}, 4)]
)
def test_it_starts_with_what_is_asked_for_or_the_fewest_that_work(bounds: dict[str, int], count: int) -> None:
    assert initial_replicas(submission(replicas=bounds).spec) == count


def test_the_runners_archive_comes_in_a_config_map_read_only() -> None:
    settings = dataclasses.replace(SETTINGS, runner=RunnerArchive(b"archive"))
    runs = submission(run="echo {item}", image="python:3.8-slim", namespace="elsewhere")
    job = worker_job(runs, 2, 1, settings)
    assert container(job)["command"] == ["python3", "/asperathos/runner.pyz"]
    (mount,) = container(job)["volumeMounts"]
    (volume,) = job["spec"]["template"]["spec"]["volumes"]
    assert (mount["mountPath"], mount["readOnly"], mount["name"]) == ("/asperathos", True, volume["name"])
    config_map = runner_config_map(runs, settings)
    assert config_map is not None
    assert config_map["metadata"]["name"] == volume["configMap"]["name"]
    assert config_map["metadata"]["namespace"] == "elsewhere"
    assert config_map["metadata"]["labels"]["asperathos.io/submission"] == "kj-1234567"
    assert {name: base64.b64decode(data) for name, data in config_map["binaryData"].items()} == {
        "runner.pyz": b"archive"
    }


def test_what_needs_no_archive_gets_none() -> None:
    settings = dataclasses.replace(SETTINGS, runner=RunnerArchive(b"archive"))
    for plain, chosen in ((submission(), settings), (submission(run="echo {item}"), SETTINGS)):
        assert runner_config_map(plain, chosen) is None
        job = worker_job(plain, 1, 1, chosen)
        assert "volumes" not in job["spec"]["template"]["spec"]
        assert "volumeMounts" not in container(job)


def test_a_command_may_take_items_over_http() -> None:
    settings = dataclasses.replace(SETTINGS, worker_manager_url="http://manager:1500/")
    told = env(worker_job(submission(), 1, 1, settings))
    assert told["ASPERATHOS_ITEMS_URL"] == "http://manager:1500/submissions/kj-1234567/items"
    reference = told["ASPERATHOS_ITEMS_TOKEN"]["secretKeyRef"]
    secret = redis_secret(submission(), settings, "the-token")
    assert reference["name"] == secret["metadata"]["name"]
    assert base64.b64decode(secret["data"][reference["key"]]) == b"the-token"
    for without in (submission(run="echo {item}"), submission(queue="dedicated")):
        assert not any("ITEMS" in name for name in env(worker_job(without, 1, 1, settings)))


def test_an_archive_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runner.pyz"
    with pytest.raises(NoArchive, match="make runner builds it"):
        read_archive(path)
    path.write_text("no archive")
    with pytest.raises(NoArchive, match="no zip archive"):
        read_archive(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", "")
    assert read_archive(path).content == path.read_bytes()
    path.write_bytes(bytes(2**20 + 1))
    with pytest.raises(NoArchive, match="ConfigMap holds"):
        read_archive(path)
