"""The clusters as a page shows them: nodes, what there is to share, and who has it. Pure and forgiving.

Cores, bytes, GPUs, pods; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from common.domain.capacity import Capacity, Requests
from common.http.contracts import SharesView, ShareView
from visualizer.reading import Row

MOST_CLUSTERS = 20
"""More are not asked for their nodes."""
_MOST_NODES = 500


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class Known(_Document):
    """What the manager tells of a cluster."""

    name: str
    active: bool = False
    """Whether it takes the submissions that name none."""
    default: bool = False
    server: str = ""


class Node(_Document):
    """A node and what pods may use of it."""

    name: str
    ready: bool
    cpu: float
    memory: float
    pods: int
    gpus: int = 0


class User(_Document):
    """A submission on the cluster. Counts are replicas; None where the controller does not tell."""

    id: str
    owner: str | None
    """None where its record is not there (any more)."""
    name: str
    state: str
    priority: str = ""
    observed: int | None = None
    granted: int | None = None
    wanted: int | None = None
    requests: Requests = Requests()
    """Of one replica."""
    deadline_at: float | None = None
    waiting_since: float | None = None


class Totals(_Document):
    """Sums over the ready nodes, or over the replicas that were granted."""

    replicas: int = 0
    cpu: float = 0.0
    memory: float = 0.0
    gpus: int = 0
    pods: int = 0


class ClusterView(_Document):
    """One cluster. ``problems`` says what could not be asked; ``capacity`` None: nothing is divided there."""

    name: str
    active: bool
    default: bool
    server: str
    problems: tuple[str, ...]
    nodes: tuple[Node, ...]
    offered: Totals
    capacity: Capacity | None
    used: Totals
    users: tuple[User, ...]


@dataclass(frozen=True)
class Asked:
    """What was answered about one cluster; None where nobody knows, and ``problems`` says why."""

    nodes: object
    shares: SharesView | None
    problems: tuple[str, ...] = ()


def known_clusters(listing: object) -> tuple[Known, ...]:
    """The clusters in the manager's listing, the active one first."""
    found = [
        Known(
            name=str(name),
            active=told.get("active") is True,
            default=told.get("default") is True,
            server=told["server"] if isinstance(told.get("server"), str) else "",
        )
        for name, told in (listing.items() if isinstance(listing, Mapping) else ())
        if isinstance(told, Mapping)
    ]
    return tuple(sorted(found, key=lambda one: (not one.active, not one.default, one.name)))


def cluster_view(known: Known, asked: Asked, rows: Iterable[Row]) -> ClusterView:
    """One cluster put together."""
    nodes = _nodes(asked.nodes)
    shares = asked.shares.shares if asked.shares else {}
    here = {row.id: row for row in rows if not row.terminal and _is_on(row, known)}
    users = [_user(id, here.get(id), shares.get(id)) for id in dict.fromkeys([*here, *shares])]
    return ClusterView(
        name=known.name,
        active=known.active,
        default=known.default,
        server=known.server,
        problems=asked.problems,
        nodes=nodes,
        offered=_offered(nodes),
        capacity=asked.shares.capacity if asked.shares else None,
        used=_used(users),
        users=tuple(sorted(users, key=lambda one: (-(one.granted or one.observed or 0), one.id))),
    )


def _is_on(row: Row, known: Known) -> bool:
    return row.cluster == known.name or (not row.cluster and known.default)


def _user(id: str, row: Row | None, share: ShareView | None) -> User:
    return User(
        id=id,
        owner=row.owner if row else None,
        name=(row.name if row else "") or id,
        state=row.state if row else "",
        priority=share.priority.value if share else "",
        observed=row.replicas.observed if row and row.replicas else None,
        granted=share.granted if share else None,
        wanted=share.wanted if share else None,
        requests=share.requests if share else Requests(),
        deadline_at=share.deadline_at if share else None,
        waiting_since=share.waiting_since if share else None,
    )


def _nodes(answer: object) -> tuple[Node, ...]:
    listed: Any = answer.get("nodes") if isinstance(answer, Mapping) else None
    found: list[Node] = []
    for entry in listed[:_MOST_NODES] if isinstance(listed, list) else ():
        try:
            found.append(Node.model_validate(entry))
        except ValidationError:
            continue
    return tuple(found)


def _offered(nodes: Iterable[Node]) -> Totals:
    ready = [node for node in nodes if node.ready]
    return Totals(
        cpu=sum(node.cpu for node in ready),
        memory=sum(node.memory for node in ready),
        gpus=sum(node.gpus for node in ready),
        pods=sum(node.pods for node in ready),
    )


def _used(users: Iterable[User]) -> Totals:
    counted = [(user.granted if user.granted is not None else user.observed or 0, user.requests) for user in users]
    return Totals(
        replicas=sum(count for count, _ in counted),
        cpu=sum(count * each.cpu for count, each in counted),
        memory=sum(count * each.memory for count, each in counted),
        gpus=sum(count * each.gpus for count, each in counted),
        pods=sum(count for count, _ in counted),
    )
