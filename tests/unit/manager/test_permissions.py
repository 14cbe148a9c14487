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
