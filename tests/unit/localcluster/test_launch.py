from __future__ import annotations

import base64
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.launch import NotStartable, build_start, expand, pod_setup, volumes_of
from localcluster.runtime.port import ContainerStart, Credentials, EmptyDir, Files, HostPath, Mount
from localcluster.runtime.process_launch import Launch, PodDirs, build_launch

DIRS = PodDirs(Path("/state/pods/u"))
DOCKER_CONFIG = {
    "auths": {
        "https://index.docker.io/v1/": {"auth": base64.b64encode(b"me:secret").decode()},
        "registry.example.org:5000": {"username": "you", "password": "too"},
    }
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("ns", "settings"): {"data": {"A": "1", "file.txt": "hello"}},
    ("ns", "keys"): {"data": {"TOKEN": encoded("s3cret")}},
    ("ns", "pull"): {"data": {".dockerconfigjson": encoded(json.dumps(DOCKER_CONFIG))}},
    ("ns", "broken"): {"data": {".dockerconfigjson": encoded("{")}},
}


def lookup(namespace: str, name: str) -> dict[str, Any] | None:
    return OBJECTS.get((namespace, name))


def start(container: dict[str, Any], volumes: list[dict[str, Any]] | None = None, **spec: Any) -> ContainerStart:
    container = {"name": "main", **container}
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"x.io/i": "7"}, "annotations": {"n": "a"}},
        "spec": {"containers": [container], "volumes": volumes or [], "nodeName": "local-1", "hostname": "p-0", **spec},
    }
    setup = pod_setup(pod, "127.64.0.9", ("team",), lookup, lookup)
    return build_start(pod, container, setup, 0, "127.0.0.1", lookup, lookup, Path("/logs/0.log"), 1000)


def launch(container: dict[str, Any], volumes: list[dict[str, Any]] | None = None) -> Launch:
    made = build_launch(start(container, volumes), DIRS, {"PATH": "/bin"})
    assert made is not None
    return made


def test_environment_from_everywhere() -> None:
    def field(path: str) -> dict[str, Any]:
        return {"fieldRef": {"fieldPath": path}}

    made = start(
        {
            "command": ["run", "$(POD_IP):6379", "$(MISSING)", "$$(POD_IP)"],
            "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "S_"}, {"secretRef": {"name": "keys"}}],
            "env": [
                {"name": "POD_IP", "valueFrom": field("status.podIP")},
                {"name": "POD", "valueFrom": field("metadata.name")},
                {"name": "INDEX", "valueFrom": field("metadata.labels['x.io/i']")},
                {"name": "NOTE", "valueFrom": field("metadata.annotations['n']")},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
                {"name": "CONF", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "A"}}},
                {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}},
                {"name": "URL", "value": "redis://$(POD_IP)/$(INDEX)"},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            "resources": {"limits": {"cpu": "1500m"}},
        }
    )
    assert made.command == ("run", "127.64.0.9:6379", "$(MISSING)", "$(POD_IP)")
    assert made.env == {
        "POD_IP": "127.64.0.9",
        "POD": "p",
        "INDEX": "7",
        "NOTE": "a",
        "KEY": "s3cret",
        "TOKEN": "s3cret",
        "CONF": "1",
        "S_A": "1",
        "S_file.txt": "hello",
        "URL": "redis://127.64.0.9/7",
        "CPU": "2",
    }


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"secretKeyRef": {"name": "none", "key": "x"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "B"}}, "couldn't find key B"),
        ({"fieldRef": {"fieldPath": "spec.weird"}}, "unsupported fieldPath"),
    ],
)
def test_what_cannot_be_resolved_is_said(entry: dict[str, Any], text: str) -> None:
    with pytest.raises(NotStartable, match=text) as caught:
        start({"command": ["x"], "env": [{"name": "A", "valueFrom": entry}]})
    assert caught.value.reason == "CreateContainerConfigError"


def test_limits_and_security_of_container_and_pod() -> None:
    made = start(
        {
            "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"}},
            "securityContext": {
                "runAsUser": 7,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
        },
        securityContext={
            "runAsUser": 5,
            "runAsGroup": 6,
            "runAsNonRoot": True,
            "fsGroup": 9,
            "supplementalGroups": [8],
        },
    )
    resources, security = made.resources, made.security
    assert (resources.cpu_request, resources.cpu_limit) == (Fraction(1, 4), Fraction(2))
    assert (resources.memory_limit, resources.gpus) == (2**30, 1)
    assert (security.user, security.group, security.groups) == (7, 6, (8, 9))
    assert security.must_not_be_root and not security.may_gain_privileges and security.read_only_root
    assert security.drop == ("ALL",) and made.pod.fs_group == 9


def test_pull_secrets_are_credentials_by_registry() -> None:
    made = start({}, imagePullSecrets=[{"name": "pull"}, {"name": "none"}])
    assert made.pod.registries == {
        "index.docker.io": Credentials("me", "secret"),
        "registry.example.org:5000": Credentials("you", "too"),
    }
    assert "secret" not in repr(made.pod.registries)
    with pytest.raises(NotStartable, match="broken"):
        start({}, imagePullSecrets=[{"name": "broken"}])


def test_names_and_parts_of_volumes() -> None:
    mounts = [
        {"name": "v", "mountPath": "/v/", "subPath": "a/b", "readOnly": True},
        {"name": "none", "mountPath": "/x"},
    ]
    made = start({"volumeMounts": mounts}, [{"name": "v", "emptyDir": {}}], subdomain="jobs")
    assert made.mounts == (Mount("v", "/v", "a/b", True),)
    assert made.pod.sub_paths == (("v", "a/b"),)
    assert made.pod.names == ("p-0", "p-0.jobs", "p-0.jobs.ns.svc", "team")


def test_a_process_has_the_pods_environment() -> None:
    made = launch({"command": ["x"], "env": [{"name": "A", "value": "1"}]})
    assert made.env == {
        "PATH": "/bin",
        "HOSTNAME": "p-0",
        "HOME": f"{DIRS.root}/work",
        "TMPDIR": f"{DIRS.root}/tmp",
        "A": "1",
    }


def test_a_container_without_command_cannot_run_as_a_process() -> None:
    assert build_launch(start({"image": "busybox"}), DIRS, {}) is None


def test_mount_paths_point_to_the_volumes_directories() -> None:
    made = launch(
        {
            "command": ["python3", "/opt/app/worker.pyz", "--data=/data", "/data", "/database"],
            "workingDir": "/data/in",
            "env": [{"name": "APP", "value": "/opt/app"}],
            "volumeMounts": [{"name": "app", "mountPath": "/opt/app"}, {"name": "scratch", "mountPath": "/data/"}],
        },
        [{"name": "app", "configMap": {"name": "settings"}}, {"name": "scratch", "emptyDir": {}}],
    )
    root = "/state/pods/u/volumes"
    assert made.argv == ("python3", f"{root}/app/worker.pyz", "--data=/data", f"{root}/scratch", "/database")
    assert made.env["APP"] == f"{root}/app"
    assert made.env["ASPERATHOS_VOLUME_SCRATCH"] == f"{root}/scratch"
    assert made.working_dir == Path(f"{root}/scratch/in")
    assert made.links[DIRS.work / "opt/app"] == Path(f"{root}/app")


def test_volumes_of_every_kind() -> None:
    items = [{"key": "file.txt", "path": "a/b", "mode": 256}]
    pod: dict[str, Any] = {
        "metadata": {"namespace": "ns", "name": "p"},
        "spec": {
            "volumes": [
                {"name": "some", "configMap": {"name": "settings", "items": items}},
                {"name": "all", "secret": {"secretName": "keys", "defaultMode": 292}},
                {
                    "name": "facts",
                    "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]},
                },
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": "host", "hostPath": {"path": "/srv"}},
            ]
        },
    }
    assert volumes_of(pod, lookup, lookup) == {
        "some": Files({"a/b": b"hello"}, {"a/b": 0o400}),
        "all": Files({"TOKEN": b"s3cret"}, {"TOKEN": 0o444}),
        "facts": Files({"n": b"p"}),
        "memory": EmptyDir(True, 2**20),
        "host": HostPath("/srv"),
    }
    for wrong, text in (
        ({"persistentVolumeClaim": {"claimName": "x"}}, "persistentVolumeClaim is not supported"),
        ({"emptyDir": {"sizeLimit": "much"}}, "sizeLimit"),
    ):
        pod["spec"]["volumes"] = [{"name": "v", **wrong}]
        with pytest.raises(NotStartable, match=text):
            volumes_of(pod, lookup, lookup)


@given(st.text(alphabet="$()AB x", max_size=12))
def test_expansion_is_total_and_leaves_text_without_dollars_alone(text: str) -> None:
    result = expand(text, {"A": "1"})
    if "$" not in text:
        assert result == text
