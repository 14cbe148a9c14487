"""What the operator lets submissions do to the cluster's nodes, and what is told of it before one is accepted. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import PurePosixPath

from common.domain.errors import Fault
from common.domain.submission import Priority, SubmissionSpec

_ROOT = 0


@dataclass(frozen=True)
class Permissions:
    """``host_paths`` are directories of the nodes that may be mounted, with all in them."""

    host_paths: Sequence[str] = ()
    non_root: bool = False
    priorities: Set[Priority] = frozenset()
    """Priorities that the operator gave a priority class."""


def refusals(spec: SubmissionSpec, permissions: Permissions) -> list[Fault]:
    """What the specification asks for and the operator does not allow; each names the setting that would."""
    faults = [
        Fault(
            f"volumes.{place}.host_path",
            "the operator does not allow it: no directory of ASPERATHOS_HOST_PATHS holds it",
        )
        for place, volume in enumerate(spec.volumes)
        if volume.host_path is not None and not _is_allowed(volume.host_path, permissions.host_paths)
    ]
    if spec.user == _ROOT and permissions.non_root:
        faults.append(Fault("user", "the operator does not allow root: ASPERATHOS_RUN_AS_NON_ROOT is set"))
    return faults


def remarks(spec: SubmissionSpec, permissions: Permissions) -> list[str]:
    """What is accepted and changes nothing."""
    if spec.priority is Priority.NORMAL or spec.priority in permissions.priorities:
        return []
    return [
        f"priority: {spec.priority.value} changes nothing:"
        " the operator gave it no priority class (ASPERATHOS_PRIORITY_CLASSES)"
    ]


def _is_allowed(path: str, directories: Sequence[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(directory) for directory in directories)
