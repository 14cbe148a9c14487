"""What the operator allows, and what is told of what changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from common.domain.submission import Priority, SubmissionSpec
from manager.admission import Admission
from manager.permissions import Permissions, refusals, remarks
from tests.support.manager_door import DoorSettings, FakeLaws


def spec(**document: Any) -> SubmissionSpec:
    return SubmissionSpec.model_validate({"command": ["x"], "workload": ["a"], **document})


@pytest.mark.parametrize(
    ("allowed", "path", "is_allowed"),
    [
        ((), "/mnt", False),
        (("/mnt",), "/mnt", True),
        (("/mnt/",), "/mnt/scans/june", True),
        (("/mnt",), "/mntx", False),
        (("/srv", "/mnt/scans"), "/mnt", False),
        (("/srv", "/mnt/scans"), "/mnt/scans/", True),
        (("/",), "/etc", True),
    ],
)
def test_host_paths_need_a_directory_that_holds_them(allowed: tuple[str, ...], path: str, is_allowed: bool) -> None:
    volumes = [{"path": "/a", "claim": "c"}, {"path": "/b", "host_path": path}]
    faults = refusals(spec(volumes=volumes), Permissions(host_paths=allowed))
    assert [fault.field for fault in faults] == ([] if is_allowed else ["volumes.1.host_path"])
    assert all("ASPERATHOS_HOST_PATHS" in fault.problem for fault in faults)


@pytest.mark.parametrize(
    ("user", "is_refused"), [("root", True), (0, True), ("image", False), (None, False), (1, False)]
)
def test_root_can_be_refused(user: Any, is_refused: bool) -> None:
    assert refusals(spec(user=user), Permissions()) == []
    faults = refusals(spec(user=user), Permissions(non_root=True))
    assert [fault.field for fault in faults] == (["user"] if is_refused else [])


def test_a_priority_without_a_class_is_remarked_on() -> None:
    assert remarks(spec(), Permissions()) == []
    assert remarks(spec(priority="high"), Permissions(priorities={Priority.HIGH})) == []
    (remark,) = remarks(spec(priority="low"), Permissions(priorities={Priority.HIGH}))
    assert remark.startswith("priority: low changes nothing")


def test_admission_asks() -> None:
    admission = Admission(DoorSettings(), FakeLaws(), (), permissions=Permissions(non_root=True))
    findings = admission.examine(spec(user="root", priority="high"))
    assert [fault.field for fault in findings.faults] == ["user"]
    assert [warning.partition(":")[0] for warning in findings.warnings] == ["priority"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"env": {"A": {"secret": "kj-0123456-redis", "key": "url"}}}, "env.A"),
        ({"env": {"A": {"config_map": "kj-0123456-runner", "key": "url"}}}, "env.A"),
        ({"volumes": [{"path": "/a", "secret": "kj-0123456-queue"}]}, "volumes.0"),
        ({"secrets": ["mine", "kj-0123456"]}, "secrets.1"),
    ],
)
def test_what_the_manager_made_for_another_submission_is_not_to_be_had(document: dict[str, Any], field: str) -> None:
    (fault,) = refusals(spec(**document), Permissions())
    assert (fault.field, "the manager's own" in fault.problem) == (field, True)


def test_secrets_of_ones_own_are() -> None:
    document = {"env": {"A": {"secret": "kj-keys", "key": "url"}}, "secrets": ["kj-0123456x", "registry"]}
    assert refusals(spec(**document), Permissions()) == []


def test_namespaces_and_service_accounts_that_may_be_named() -> None:
    wanted = spec(namespace="asperathos", service_account="admin")
    assert refusals(wanted, Permissions()) == []
    faults = refusals(wanted, Permissions(namespaces=(), service_accounts=("worker",)))
    assert [fault.field for fault in faults] == ["namespace", "service_account"]
    assert refusals(wanted, Permissions(namespaces=("asperathos",), service_accounts=("admin",))) == []
    assert refusals(spec(), Permissions(namespaces=(), service_accounts=())) == []
