"""The resource types this server knows, as data: discovery, routing and error texts all read this table."""

from __future__ import annotations

from dataclasses import dataclass

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.0+asperathos-localcluster",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "python",
    "platform": "linux/amd64",
}


@dataclass(frozen=True)
class ResourceType:
    """One resource: names, scope, verbs and subresources."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """``v1`` or ``batch/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> str:
        """The name under which the store files this type: ``pods``, ``jobs.batch``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


NAMESPACES = ResourceType(
    "", "v1", "namespaces", "namespace", "Namespace", False, short_names=("ns",), subresources=("status", "finalize")
)
NODES = ResourceType(
    "",
    "v1",
    "nodes",
    "node",
    "Node",
    False,
    verbs=("get", "list", "patch", "update", "watch"),
    short_names=("no",),
    subresources=("status",),
)
PODS = ResourceType(
    "",
    "v1",
    "pods",
    "pod",
    "Pod",
    True,
    short_names=("po",),
    categories=("all",),
    subresources=("status", "log", "eviction"),
)
EVENTS = ResourceType("", "v1", "events", "event", "Event", True, short_names=("ev",))
SERVICES = ResourceType(
    "",
    "v1",
    "services",
    "service",
    "Service",
    True,
    short_names=("svc",),
    categories=("all",),
    subresources=("status",),
)
SECRETS = ResourceType("", "v1", "secrets", "secret", "Secret", True)
CONFIGMAPS = ResourceType("", "v1", "configmaps", "configmap", "ConfigMap", True, short_names=("cm",))
RESOURCEQUOTAS = ResourceType(
    "",
    "v1",
    "resourcequotas",
    "resourcequota",
    "ResourceQuota",
    True,
    short_names=("quota",),
    subresources=("status",),
)
SERVICEACCOUNTS = ResourceType(
    "", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", True, short_names=("sa",)
)
DEPLOYMENTS = ResourceType(
    "apps",
    "v1",
    "deployments",
    "deployment",
    "Deployment",
    True,
    short_names=("deploy",),
    categories=("all",),
    subresources=("status", "scale"),
)
REPLICASETS = ResourceType(
    "apps",
    "v1",
    "replicasets",
    "replicaset",
    "ReplicaSet",
    True,
    short_names=("rs",),
    categories=("all",),
    subresources=("status", "scale"),
)
JOBS = ResourceType("batch", "v1", "jobs", "job", "Job", True, categories=("all",), subresources=("status",))
ACCESS_REVIEWS = ResourceType(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "selfsubjectaccessreview",
    "SelfSubjectAccessReview",
    False,
    verbs=("create",),
)

POD_USAGE = ResourceType("metrics.k8s.io", "v1beta1", "pods", "", "PodMetrics", True, verbs=("get", "list"))
"""Not stored but measured; only where the runtime can."""

STORED: tuple[ResourceType, ...] = (
    NAMESPACES,
    NODES,
    PODS,
    EVENTS,
    SERVICES,
    SECRETS,
    CONFIGMAPS,
    SERVICEACCOUNTS,
    RESOURCEQUOTAS,
    DEPLOYMENTS,
    REPLICASETS,
    JOBS,
)
WORKLOADS = (PODS, REPLICASETS, DEPLOYMENTS, JOBS)
"""What has a pod's spec or template: its status is the controllers' matter, and its spec has generations."""
ALL: tuple[ResourceType, ...] = (*STORED, ACCESS_REVIEWS, POD_USAGE)


def find(group: str, version: str, plural: str) -> ResourceType | None:
    """The type served at that path, or None."""
    for kind in ALL:
        if kind.group == group and kind.version == version and kind.plural == plural:
            return kind
    return None


def find_kind(api_version: str, kind: str) -> ResourceType | None:
    """The stored type of an ownerReference, or None."""
    for item in STORED:
        if item.api_version == api_version and item.kind == kind:
            return item
    return None
