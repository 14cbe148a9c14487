from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.launch import Launch, NotStartable, PodDirs, build_launch, expand, volumes_of

DIRS = PodDirs(Path("/state/pods/u"))
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("ns", "settings"): {"data": {"A": "1", "file.txt": "hello"}},
    ("ns", "keys"): {"data": {"TOKEN": base64.b64encode(b"s3cret").decode()}},
}


def lookup(namespace: str, name: str) -> dict[str, Any] | None:
    return OBJECTS.get((namespace, name))


def launch(container: dict[str, Any], volumes: list[dict[str, Any]] | None = None) -> Launch:
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"x.io/i": "7"}, "annotations": {"n": "a"}},
        "spec": {"containers": [container], "volumes": volumes or [], "nodeName": "local-1", "hostname": "p-0"},
    }
    found = volumes_of(pod, DIRS, lookup, lookup)
    return build_launch(pod, container, "127.64.0.9", "127.0.0.1", DIRS, found, {"PATH": "/bin"}, lookup, lookup)


def test_environment_from_everywhere() -> None:
    def field(path: str) -> dict[str, Any]:
        return {"fieldRef": {"fieldPath": path}}

    made = launch(
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
    assert made.argv == ("run", "127.64.0.9:6379", "$(MISSING)", "$(POD_IP)")
    expected = {
        "POD_IP": "127.64.0.9",
        "POD": "p",
        "INDEX": "7",
        "NOTE": "a",
        "KEY": "s3cret",
        "TOKEN": "s3cret",
        "CONF": "1",
        "S_A": "1",
        "URL": "redis://127.64.0.9/7",
        "CPU": "2",
        "HOSTNAME": "p-0",
        "PATH": "/bin",
    }
    assert {key: made.env.get(key) for key in expected} == expected
    assert "GONE" not in made.env


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
        launch({"command": ["x"], "env": [{"name": "A", "valueFrom": entry}]})
    assert caught.value.reason == "CreateContainerConfigError"


def test_a_container_without_command_cannot_run_as_a_process() -> None:
    with pytest.raises(NotStartable, match="no command"):
        launch({"image": "busybox"})


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


def test_volumes_with_items_and_unsupported_volumes() -> None:
    pod = {
        "metadata": {"namespace": "ns"},
        "spec": {
            "volumes": [
                {
                    "name": "v",
                    "configMap": {"name": "settings", "items": [{"key": "file.txt", "path": "a/b", "mode": 256}]},
                }
            ]
        },
    }
    made = volumes_of(pod, DIRS, lookup, lookup)["v"]
    assert made.files == {"a/b": b"hello"}
    assert made.modes == {"a/b": 0o400}
    pod["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]
    with pytest.raises(NotStartable, match="persistentVolumeClaim is not supported"):
        volumes_of(pod, DIRS, lookup, lookup)


@given(st.text(alphabet="$()AB x", max_size=12))
def test_expansion_is_total_and_leaves_text_without_dollars_alone(text: str) -> None:
    result = expand(text, {"A": "1"})
    if "$" not in text:
        assert result == text
