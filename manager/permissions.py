"""What the operator lets submissions do to the cluster's nodes, and what is told of it before one is accepted. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import PurePosixPath

from common.domain.errors import Fault
from common.domain.pods import KeyReference
from common.domain.submission import Priority, SubmissionSpec

_ROOT = 0
_OURS = re.compile(r"kj-[0-9a-f]{7}(-|$)")
"""How the names of what belongs to a submission begin."""


@dataclass(frozen=True)
class Permissions:
    """``host_paths`` are directories of the nodes that may be mounted, with all in them."""

    host_paths: Sequence[str] = ()
    non_root: bool = False
    priorities: Set[Priority] = frozenset()
    """Priorities that the operator gave a priority class."""
    namespaces: Sequence[str] | None = None
    """Those that submissions may name; None: any."""
    service_accounts: Sequence[str] | None = None
    """Those that pods may have; None: any."""


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
    if not _is_listed(spec.namespace, permissions.namespaces):
        faults.append(Fault("namespace", "the operator does not allow it: ASPERATHOS_NAMESPACES does not name it"))
    if not _is_listed(spec.service_account, permissions.service_accounts):
        problem = "the operator does not allow it: ASPERATHOS_SERVICE_ACCOUNTS does not name it"
        faults.append(Fault("service_account", problem))
    return [*faults, *_others(spec)]


def _others(spec: SubmissionSpec) -> list[Fault]:
    """Secrets and config maps that the manager made for submissions: they are of their own pods only."""
    named = [
        *((f"env.{name}", value.secret or value.config_map) for name, value in _references(spec)),
        *((f"volumes.{place}", volume.secret or volume.config_map) for place, volume in enumerate(spec.volumes)),
        *((f"secrets.{place}", name) for place, name in enumerate(spec.secrets)),
    ]
    return [
        Fault(path, f"{name} is the manager's own, for the pods of a submission")
        for path, name in named
        if name is not None and _OURS.match(name)
    ]


def _references(spec: SubmissionSpec) -> list[tuple[str, KeyReference]]:
    return [(name, value) for name, value in spec.env.items() if isinstance(value, KeyReference)]


def _is_listed(name: str | None, listed: Sequence[str] | None) -> bool:
    return name is None or listed is None or name in listed


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
