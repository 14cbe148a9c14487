"""The node objects this machine plays."""

from __future__ import annotations

import platform

from localcluster.objects import Obj, clone, format_time, make_condition
from localcluster.resources import NODES, VERSION
from localcluster.settings import Settings
from localcluster.store import Store


def node_names(count: int) -> list[str]:
    """``local-1`` and so on."""
    return [f"local-{number}" for number in range(1, count + 1)]


def ensure_nodes(store: Store, settings: Settings, now: float, runtime: str) -> None:
    """Create the configured nodes, refresh those that exist (labels and cordons stay), remove the others."""
    wanted = node_names(settings.nodes)
    with store.transaction():
        for node in store.list(NODES)[0]:
            if node["metadata"]["name"] not in wanted:
                store.remove(NODES, node)
        for name in wanted:
            made = _node(name, settings, now, runtime)
            known = store.find(NODES, "", name)
            if known is None:
                store.create(NODES, made)
            else:
                fresh = clone(known)
                fresh["status"] = made["status"]
                store.update(NODES, fresh)


def _node(name: str, settings: Settings, now: float, runtime: str) -> Obj:
    system = platform.uname()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(system.machine, system.machine)
    capacity = {"cpu": settings.node_cpu, "memory": settings.node_memory, "pods": str(settings.node_pods)}
    capacity.update(settings.node_resources)
    labels = {
        "kubernetes.io/arch": machine,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/worker": "",
    }
    stamp = format_time(now)
    ready = make_condition("Ready", "True", "KubeletReady", "the local cluster is running", stamp)
    ready["lastHeartbeatTime"] = stamp
    del ready["lastProbeTime"]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": system.release,
                "osImage": system.system,
                "containerRuntimeVersion": runtime,
                "kubeletVersion": VERSION["gitVersion"],
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": machine,
            },
        },
    }
