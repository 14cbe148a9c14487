"""What has to hold before a pod is made, whoever makes it: the API's clients or a controller."""

from __future__ import annotations

from localcluster import errors
from localcluster.objects import Obj, name_of, namespace_of
from localcluster.quotas import refusal
from localcluster.resources import PODS, RESOURCEQUOTAS
from localcluster.store import Store

RETRY_SECONDS = 2.0
"""When a controller tries again to make a pod that was refused."""


def create_pod(store: Store, pod: Obj) -> Obj:
    """Store a new pod; raises Forbidden when a quota has no room for it."""
    namespace = namespace_of(pod)
    with store.transaction():
        quotas, _ = store.list(RESOURCEQUOTAS, namespace)
        if quotas:
            problem = refusal(pod, quotas, store.list(PODS, namespace)[0])
            if problem:
                raise errors.Forbidden(f'pods "{name_of(pod)}" is forbidden: {problem}')
        return store.create(PODS, pod)
