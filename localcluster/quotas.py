"""ResourceQuotas: what the pods of a namespace ask for together, and whether there is room for one more. Pure.

Of Kubernetes' names these are counted: pods and count/pods, and requests and limits of any resource of containers
(cpu and memory alone mean requests). Pods that have ended do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from localcluster.objects import Obj, containers_of, dig, is_terminal, name_of
from localcluster.quantity import parse_quantity
from localcluster.scheduler import container_requests, pod_request

_COUNTED = ("pods", "count/pods")
Amounts = Mapping[str, Fraction]


def refusal(pod: Obj, quotas: Iterable[Obj], pods: Iterable[Obj]) -> str:
    """Why the pod is not admitted, in the real server's words; '' when it is."""
    others = [other for other in pods if not is_terminal(other)]
    for quota in quotas:
        hard = _hard(quota)
        missing = [name for name in hard if name not in _COUNTED and not _asks(pod, name)]
        if missing:
            (first, *_) = [str(container.get("name")) for container in containers_of(pod["spec"])]
            listed = ",".join(sorted(missing))
            return f"failed quota: {name_of(quota)}: must specify {listed} for: {first}"
        wanted, used = _usage(hard, [pod]), _usage(hard, others)
        over = sorted(name for name, limit in hard.items() if used[name] + wanted[name] > limit)
        if over:
            told = (
                f"{word}: {','.join(f'{name}={_written(amounts[name])}' for name in over)}"
                for word, amounts in (("requested", wanted), ("used", used), ("limited", hard))
            )
            return f"exceeded quota: {name_of(quota)}, {', '.join(told)}"
    return ""


def quota_status(quota: Obj, pods: Iterable[Obj]) -> Obj:
    """Hard limits and what is used of them."""
    hard = _hard(quota)
    used = _usage(hard, [pod for pod in pods if not is_terminal(pod)])
    given = dig(quota, "spec", "hard") or {}
    return {
        "hard": {name: given[name] for name in hard},
        "used": {name: _written(amount) for name, amount in used.items()},
    }


def _hard(quota: Obj) -> dict[str, Fraction]:
    """The limits that are counted here; others are accepted and have no effect."""
    given = dig(quota, "spec", "hard") or {}
    return {name: parse_quantity(amount) for name, amount in given.items() if name in _COUNTED or _resource(name)[1]}


def _resource(name: str) -> tuple[str, str]:
    """(side, resource) of a quota's name; an empty resource for what is not of containers."""
    side, _, resource = name.partition(".")
    if side in ("requests", "limits"):
        return side, resource
    return "requests", name if name in ("cpu", "memory") else ""


def _asks(pod: Obj, name: str) -> bool:
    """Whether every container says how much; extended resources need not be asked for."""
    side, resource = _resource(name)
    if resource not in ("cpu", "memory"):
        return True
    return all(resource in _side(container, side) for container in pod["spec"].get("containers") or [])


def _side(container: Obj, side: str) -> Amounts:
    if side == "requests":
        return container_requests(container)
    limits = (container.get("resources") or {}).get("limits") or {}
    return {name: parse_quantity(amount) for name, amount in limits.items()}


def _usage(hard: Amounts, pods: list[Obj]) -> dict[str, Fraction]:
    return {name: sum((_amount(pod, name) for pod in pods), Fraction(0)) for name in hard}


def _amount(pod: Obj, name: str) -> Fraction:
    if name in _COUNTED:
        return Fraction(1)
    side, resource = _resource(name)
    if side == "requests":
        return pod_request(pod).requests.get(resource, Fraction(0))
    containers = pod["spec"].get("containers") or []
    return sum((_side(container, side).get(resource, Fraction(0)) for container in containers), Fraction(0))


def _written(amount: Fraction) -> str:
    """As a quantity: whole numbers as they are, others in thousandths."""
    return str(amount.numerator) if amount.denominator == 1 else f"{-(-amount.numerator * 1000 // amount.denominator)}m"
