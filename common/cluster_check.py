"""Looks whether a service's cluster is as the service needs it. The service that asks is the one that is judged:
each has an account of its own, and no other can tell what it may do."""

from __future__ import annotations

from collections.abc import Iterator

from common.domain.access import NEEDS, OLDEST_VERSION, ClusterReport, Finding, is_recent, report_of
from common.domain.errors import ClusterError, Unavailable
from common.ports import Cluster


def check_cluster(cluster: Cluster, namespace: str, service: str) -> ClusterReport:
    """The report of ``service`` on submissions' ``namespace``. Never raises for what the cluster does."""
    try:
        version = cluster.version()
    except (Unavailable, ClusterError) as error:
        # The rest would only say the same again, each after its own wait.
        return report_of([Finding(service=service, name="reachable", ok=False, message=error.message)])
    findings = [Finding(service=service, name="reachable", ok=True, message=version), _version(service, version)]
    for look in (_namespace, _nodes, _permissions):
        try:
            findings.extend(look(cluster, namespace, service))
        except (Unavailable, ClusterError) as error:
            name = look.__name__.strip("_")
            findings.append(Finding(service=service, name=name, ok=False, message=error.message))
    return report_of(findings)


def _version(service: str, version: str) -> Finding:
    oldest = ".".join(map(str, OLDEST_VERSION))
    ok = is_recent(version)
    message = version if ok else f"{version or 'no version'}: {oldest} or newer is needed"
    return Finding(service=service, name="version", ok=bool(ok), message=message)


def _namespace(cluster: Cluster, namespace: str, service: str) -> Iterator[Finding]:
    there = cluster.has_namespace(namespace)
    message = namespace if there else f"{namespace} does not exist: kubectl create namespace {namespace}"
    yield Finding(service=service, name="namespace", ok=there, message=message)


def _nodes(cluster: Cluster, _: str, service: str) -> Iterator[Finding]:
    if not any(access.resource == "nodes" for access in NEEDS[service]):
        return
    nodes = cluster.nodes()
    ready = sum(node.ready for node in nodes)
    message = f"{ready} of {len(nodes)} ready" + ("" if ready else ": no pod can run")
    yield Finding(service=service, name="nodes", ok=ready > 0, message=message)


def _permissions(cluster: Cluster, namespace: str, service: str) -> Iterator[Finding]:
    for access in sorted(NEEDS[service]):
        place = namespace if access.namespaced else ""
        allowed = cluster.allowed(place, access)
        where = f"in {namespace}" if access.namespaced else "in the cluster"
        message = where if allowed else f"not allowed {where}: grant it to the account of the {service}"
        yield Finding(service=service, name=str(access), ok=allowed, message=message)
