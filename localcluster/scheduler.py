"""Which node a pod goes to. Pure: nodes, what they carry and the pod in; a node or the reasons against all out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from localcluster.objects import Obj, labels_of, name_of
from localcluster.quantity import parse_quantity

Amounts = Mapping[str, Fraction]


@dataclass(frozen=True)
class NodeView:
    """A node: what it offers (``pods`` included), its labels and the taints that keep pods away."""

    name: str
    allocatable: Amounts
    labels: Mapping[str, str]
    unschedulable: bool = False
    taints: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class PodRequest:
    """What a pod asks of a node."""

    requests: Amounts
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Placement:
    """The chosen node, or None with the scheduler's message."""

    node: str | None
    message: str


def node_view(node: Obj) -> NodeView:
    """A Node object as the scheduler sees it."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    taints = tuple(
        (str(item.get("key", "")), str(item.get("value", "")), str(item.get("effect", "")))
        for item in spec.get("taints") or []
    )
    allocatable = {key: parse_quantity(value) for key, value in (status.get("allocatable") or {}).items()}
    return NodeView(name_of(node), allocatable, labels_of(node), bool(spec.get("unschedulable")), taints)


def pod_request(pod: Obj) -> PodRequest:
    """A Pod object as the scheduler sees it: the containers' sum, or the largest init container if that is more."""
    spec = pod.get("spec") or {}
    total: dict[str, Fraction] = {}
    for container in spec.get("containers") or []:
        for name, amount in container_requests(container).items():
            total[name] = total.get(name, Fraction(0)) + amount
    for container in spec.get("initContainers") or []:
        for name, amount in container_requests(container).items():
            total[name] = max(total.get(name, Fraction(0)), amount)
    total["pods"] = Fraction(1)
    return PodRequest(total, spec.get("nodeSelector") or {}, tuple(spec.get("tolerations") or ()))


def container_requests(container: Obj) -> dict[str, Fraction]:
    """A container's requests; a limit without a request is a request too."""
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse_quantity(amount) for name, amount in merged.items()}


def usage(pods: Iterable[Obj]) -> dict[str, dict[str, Fraction]]:
    """What the given pods take of each node."""
    used: dict[str, dict[str, Fraction]] = {}
    for pod in pods:
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        table = used.setdefault(node, {})
        for name, amount in pod_request(pod).requests.items():
            table[name] = table.get(name, Fraction(0)) + amount
    return used


def place(request: PodRequest, nodes: Iterable[NodeView], used: Mapping[str, Amounts]) -> Placement:
    """The fitting node with the largest share of free CPU (then memory, then pods); ties go to the first name."""
    reasons: Counter[str] = Counter()
    best: tuple[tuple[Fraction, ...], str] | None = None
    count = 0
    for node in sorted(nodes, key=lambda item: item.name):
        count += 1
        against = _objections(request, node, used.get(node.name, {}))
        if against:
            reasons.update(against)
            continue
        score = _free_shares(request, node, used.get(node.name, {}))
        if best is None or score > best[0]:
            best = (score, node.name)
    if best is not None:
        return Placement(best[1], f"assigned to {best[1]}")
    if count == 0:
        return Placement(None, "no nodes available to schedule pods")
    listed = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return Placement(None, f"0/{count} nodes are available: {listed}.")


def _objections(request: PodRequest, node: NodeView, used: Amounts) -> list[str]:
    if node.unschedulable:
        return ["node(s) were unschedulable"]
    for key, value, effect in node.taints:
        if effect in ("NoSchedule", "NoExecute") and not _tolerates(request.tolerations, key, value, effect):
            return [f"node(s) had untolerated taint {{{key}: {value}}}"]
    if any(node.labels.get(key) != value for key, value in request.node_selector.items()):
        return ["node(s) didn't match Pod's node affinity/selector"]
    found = []
    for name, amount in sorted(request.requests.items()):
        free = node.allocatable.get(name, Fraction(0)) - used.get(name, Fraction(0))
        if amount > free:
            found.append("Too many pods" if name == "pods" else f"Insufficient {name}")
    return found


def _tolerates(tolerations: tuple[Mapping[str, str], ...], key: str, value: str, effect: str) -> bool:
    for item in tolerations:
        if item.get("effect") not in (None, "", effect):
            continue
        if item.get("operator") == "Exists":
            if item.get("key") in (None, "", key):
                return True
        elif item.get("key") == key and (item.get("value") or "") == value:
            return True
    return False


def _free_shares(request: PodRequest, node: NodeView, used: Amounts) -> tuple[Fraction, ...]:
    shares = []
    for name in ("cpu", "memory", "pods"):
        capacity = node.allocatable.get(name, Fraction(0))
        free = capacity - used.get(name, Fraction(0)) - request.requests.get(name, Fraction(0))
        shares.append(free / capacity if capacity else Fraction(0))
    return tuple(shares)
