"""The REST API: paths and verbs onto the store, with the answers a real API server gives."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import discovery, errors, openapi
from localcluster.admission import create_pod
from localcluster.clock import Clock
from localcluster.defaults import apply_defaults, prepare_job
from localcluster.deletion import BACKGROUND, FOREGROUND, ORPHAN, DeleteOptions, delete_object
from localcluster.http_types import Request, Response, Stream, encode_json, json_response
from localcluster.objects import (
    Obj,
    clone,
    dig,
    evolve,
    generated_name,
    is_deleting,
    is_terminal,
    meta,
    name_of,
    namespace_of,
    parse_time,
    set_condition,
    uid_of,
    without_nulls,
)
from localcluster.patches import json_patch, merge_patch, strategic_merge_patch
from localcluster.podlogs import LogOptions, read_log
from localcluster.resources import (
    ACCESS_REVIEWS,
    ALL,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODES,
    POD_USAGE,
    PODS,
    REPLICASETS,
    SERVICES,
    VERSION,
    WORKLOADS,
    ResourceType,
    find,
)
from localcluster.scale import scale_of, with_scale
from localcluster.selectors import Selector, parse_selector
from localcluster.services import ServiceNetwork
from localcluster.store import ADDED, DELETED, MODIFIED, Change, Store
from localcluster.tables import render_table
from localcluster.usage import Meter, pod_usage
from localcluster.validation import check_address, check_shape, validate_create, validate_update

_PROTECTED_NAMESPACES = ("default", "kube-system")
_MIN_WATCH_SECONDS = 1800
_BOOKMARK_SECONDS = 60.0
_JOB_WARNING = (
    '299 - "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them'
    ' or set propagationPolicy=Orphan to suppress this warning"'
)
_PATCH_TYPES = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Target:
    """What a path names."""

    kind: ResourceType
    namespace: str | None
    name: str
    subresource: str


class Api:
    """Answers requests; safe to call from many threads. ``logs_dir`` is where the kubelet puts container logs.

    ``network`` gives Services their addresses. With a ``meter`` it serves metrics.k8s.io.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        logs_dir: Path,
        is_ready: Callable[[], list[tuple[str, bool]]],
        network: ServiceNetwork | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter
        self._served = tuple(kind for kind in ALL if kind is not POD_USAGE or meter is not None)
        self._store = store
        self._network = network or ServiceNetwork()
        self._clock = clock
        self._logs_dir = logs_dir
        self._is_ready = is_ready

    def handle(self, request: Request) -> Response:
        """The answer to an authenticated request; raises ApiError."""
        path = request.path.rstrip("/") or "/"
        document = self._document(request, path)
        if document is not None:
            return document
        target = parse_target(path)
        if target is None:
            raise errors.NotFound("the server could not find the requested resource")
        if target.kind is ACCESS_REVIEWS:
            return self._review_access(request)
        if target.kind is POD_USAGE:
            return self._usage(request, target)
        return self._resource(request, target)

    def health(self, path: str) -> Response | None:
        """/healthz, /livez and /readyz, which need no token; None for other paths."""
        if path not in ("/healthz", "/livez", "/readyz"):
            return None
        checks = self._is_ready()
        good = all(state for _, state in checks) or path == "/livez"
        lines = [f"[{'+' if state else '-'}]{name} {'ok' if state else 'failed'}" for name, state in checks]
        text = "ok" if good else "\n".join([*lines, f"{path[1:]} check failed"])
        return Response(200 if good else 503, text.encode(), "text/plain; charset=utf-8")

    def _document(self, request: Request, path: str) -> Response | None:
        if not (path in ("/", "/version", "/api", "/apis") or path.startswith(("/openapi", "/apis/", "/api/"))):
            return None
        found: Any = None
        parts = path.strip("/").split("/")
        if path == "/":
            found = {"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}
        elif path == "/version":
            found = VERSION
        elif path == "/api":
            found = discovery.api_versions()
        elif path == "/apis":
            found = discovery.api_group_list(self._served)
        elif path.startswith("/openapi"):
            found = openapi.document(path)
        elif len(parts) == 2 and parts[0] == "apis":
            found = discovery.api_group(self._served, parts[1])
        elif len(parts) == 2:
            found = discovery.api_resource_list(self._served, "", parts[1])
        elif len(parts) == 3 and parts[0] == "apis":
            found = discovery.api_resource_list(self._served, parts[1], parts[2])
        else:
            return None
        if found is None:
            raise errors.NotFound("the server could not find the requested resource")
        if request.method not in ("GET", "HEAD"):
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        return json_response(found)

    def _resource(self, request: Request, target: Target) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if target.subresource:
            return self._subresource(request, target, method)
        if target.name:
            if method == "GET" and _flag(request, "watch"):
                raise errors.BadRequest("watch one object with a list request and fieldSelector=metadata.name=...")
            actions: dict[str, tuple[str, Callable[[Request, Target], Response]]] = {
                "GET": ("get", self._get),
                "PUT": ("update", self._put),
                "PATCH": ("patch", self._patch),
                "DELETE": ("delete", self._delete),
            }
        else:
            watching = _flag(request, "watch")
            actions = {
                "GET": ("watch", self._watch) if watching else ("list", self._list),
                "POST": ("create", self._create),
                "DELETE": ("deletecollection", self._delete_collection),
            }
        verb, action = actions.get(method, ("", None))
        if action is None or verb not in target.kind.verbs:
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        return action(request, target)

    def _subresource(self, request: Request, target: Target, method: str) -> Response:
        if target.subresource not in target.kind.subresources:
            raise errors.NotFound("the server could not find the requested resource")
        if target.subresource == "log" and method == "GET":
            return self._log(request, target)
        if target.subresource == "eviction" and method == "POST":
            return self._evict(request, target)
        if target.subresource == "status":
            if method == "GET":
                return self._get(request, target)
            if method == "PUT":
                return self._put(request, target)
            if method == "PATCH":
                return self._patch(request, target)
        if target.subresource == "scale":
            return self._scale(request, target, method)
        if target.subresource == "finalize" and method == "PUT":
            return self._put(request, target)
        raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")

    # Reading

    def _get(self, request: Request, target: Target) -> Response:
        obj = self._store.get(target.kind, target.namespace or "", target.name)
        if _table_wanted(request):
            return json_response(self._table(request, target.kind, [obj], str(meta(obj)["resourceVersion"])))
        return json_response(obj)

    def _list(self, request: Request, target: Target) -> Response:
        selector = _selector(request, target)
        objects, revision = self._store.list(target.kind, target.namespace)
        chosen = objects if selector.is_everything else [obj for obj in objects if selector.matches(obj)]
        chosen, list_meta = _page(request, chosen, revision)
        if _table_wanted(request):
            table = self._table(request, target.kind, chosen, str(revision))
            table["metadata"] = list_meta
            return json_response(table)
        items = [_without_type(obj) for obj in chosen]
        body = {
            "kind": f"{target.kind.kind}List",
            "apiVersion": target.kind.api_version,
            "metadata": list_meta,
            "items": items,
        }
        return json_response(body)

    def _table(
        self, request: Request, kind: ResourceType, objects: list[Obj], revision: str, with_columns: bool = True
    ) -> Obj:
        include = request.query.get("includeObject", "Metadata")
        return render_table(kind, objects, revision, include, self._clock.now(), with_columns)

    def _watch(self, request: Request, target: Target) -> Response:
        selector = _selector(request, target)
        text = request.query.get("resourceVersion", "")
        since = _revision(text)
        seconds = _number(request, "timeoutSeconds") or _MIN_WATCH_SECONDS + random.randrange(_MIN_WATCH_SECONDS)
        bookmarks = _flag(request, "allowWatchBookmarks")
        initial_events = _flag(request, "sendInitialEvents")
        table = _table_wanted(request)
        if initial_events or text in ("", "0"):
            since = None
        watcher = _Watcher(self, self._store, self._clock, request, target, selector, table)
        subscription, initial = self._store.subscribe(target.kind, target.namespace, since)
        first_bookmark = self._store.revision if initial_events and bookmarks else None

        def stream(out: Stream) -> None:
            watcher.run(out, subscription, initial, float(seconds), bookmarks, first_bookmark)

        content_type = "application/json;stream=watch" if table else "application/json"
        return Response(200, content_type=content_type, stream=stream)

    def _log(self, request: Request, target: Target) -> Response:
        pod = self._store.get(PODS, target.namespace or "", target.name)
        containers = [*(dig(pod, "spec", "containers") or []), *(dig(pod, "spec", "initContainers") or [])]
        names = [str(item.get("name")) for item in containers]
        name = request.query.get("container") or ""
        if not name:
            if len(dig(pod, "spec", "containers") or []) > 1:
                listed = " ".join(names)
                raise errors.BadRequest(
                    f"a container name must be specified for pod {target.name}, choose one of: [{listed}]"
                )
            name = names[0]
        if name not in names:
            raise errors.BadRequest(f"container {name} is not valid for pod {target.name}")
        restart = self._log_number(request, pod, name)
        options = LogOptions(
            follow=_flag(request, "follow"),
            timestamps=_flag(request, "timestamps"),
            tail_lines=_number(request, "tailLines"),
            since=self._since(request),
            limit_bytes=_number(request, "limitBytes"),
        )
        path = self._logs_dir / uid_of(pod) / name / f"{restart}.log"

        def is_over() -> bool:
            current = self._store.find(PODS, namespace_of(pod), name_of(pod))
            if current is None or uid_of(current) != uid_of(pod):
                return True
            state = _container_status(current, name)
            return "running" not in (state.get("state") or {}) or state.get("restartCount", 0) != restart

        def stream(out: Stream) -> None:
            for data in read_log(path, options, is_over, lambda seconds: out.wait(None, seconds)):
                out.send(data)

        return Response(200, content_type="text/plain", stream=stream)

    def _log_number(self, request: Request, pod: Obj, name: str) -> int:
        status = _container_status(pod, name)
        restarts = int(status.get("restartCount") or 0)
        waiting = dig(status, "state", "waiting")
        if _flag(request, "previous"):
            if not dig(status, "lastState", "terminated"):
                raise errors.BadRequest(f'previous terminated container "{name}" in pod "{name_of(pod)}" not found')
            return restarts - 1
        if not status or waiting:
            if restarts > 0:
                return restarts - 1
            reason = str(dig(waiting or {}, "reason") or "ContainerCreating")
            words = "is waiting to start: " + reason
            raise errors.BadRequest(f'container "{name}" in pod "{name_of(pod)}" {words}')
        return restarts

    def _since(self, request: Request) -> float | None:
        seconds = _number(request, "sinceSeconds")
        if seconds is not None:
            return self._clock.now() - seconds
        text = request.query.get("sinceTime")
        if not text:
            return None
        try:
            return parse_time(text)
        except ValueError as error:
            raise errors.BadRequest(f"sinceTime must be an RFC 3339 time in UTC: {text!r}") from error

    def _usage(self, request: Request, target: Target) -> Response:
        if self._meter is None or target.subresource:
            raise errors.NotFound("the server could not find the requested resource")
        if request.method not in ("GET", "HEAD"):
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        if target.name:
            pods = [self._store.get(PODS, target.namespace or "", target.name)]
        else:
            selector = _selector(request, target)
            pods = [pod for pod in self._store.list(PODS, target.namespace)[0] if selector.matches(pod)]
        measured = pod_usage(pods, self._meter.rates(), self._clock.now())
        if not target.name:
            items = {"kind": f"{POD_USAGE.kind}List", "apiVersion": POD_USAGE.api_version, "metadata": {}}
            return json_response({**items, "items": [_without_type(one) for one in measured]})
        if not measured:
            raise errors.NotFound(f'podmetrics.metrics.k8s.io "{target.name}" not found')
        return json_response(measured[0])

    # Writing

    def _create(self, request: Request, target: Target) -> Response:
        kind = target.kind
        if kind.namespaced and target.namespace is None:
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        obj = check_shape(kind, without_nulls(_body(request)))
        made = clone(obj)
        metadata = made["metadata"] = dict(meta(obj))
        if metadata.get("resourceVersion"):
            raise errors.BadRequest("resourceVersion should not be set on objects to be created")
        for field in ("uid", "creationTimestamp", "deletionTimestamp", "generation", "managedFields", "selfLink"):
            metadata.pop(field, None)
        if kind.namespaced:
            if metadata.get("namespace") not in (None, "", target.namespace):
                message = "the namespace of the provided object does not match the namespace sent on the request"
                raise errors.BadRequest(message)
            metadata["namespace"] = target.namespace
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = generated_name(str(metadata["generateName"]))
        if kind in WORKLOADS:
            made.pop("status", None)
        made = apply_defaults(kind, made)
        validate_create(kind, made)
        if kind is JOBS:
            made = prepare_job(made)
        if kind in WORKLOADS:
            made["metadata"]["generation"] = 1
        stored: Obj = {}
        with self._store.transaction(_is_dry_run(request)):
            if kind.namespaced:
                self._check_namespace(target.namespace or "")
            if kind is SERVICES:
                made = self._addressed(made)
            stored = create_pod(self._store, made) if kind is PODS else self._store.create(kind, made)
        return json_response(stored, 201)

    def _addressed(self, service: Obj) -> Obj:
        """The Service with the address it asks for, or one of ours."""
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return service
        taken = [str(dig(other, "spec", "clusterIP")) for other in self._store.list(SERVICES)[0]]
        address = spec.get("clusterIP")
        if address:
            check_address(service, self._network.problem(str(address), taken))
        else:
            address = self._network.allot(taken)
        return evolve(service, spec={**spec, "clusterIP": address, "clusterIPs": [address]})

    def _scale(self, request: Request, target: Target, method: str) -> Response:
        """The autoscaling/v1 Scale of a Deployment or ReplicaSet, as kubectl scale and autoscalers use it."""
        if method == "GET":
            return json_response(scale_of(self._store.get(target.kind, target.namespace or "", target.name)))
        if method == "PUT":
            given = _body(request)

            def changed(current: Obj) -> Obj:
                return with_scale(current, given)
        elif method == "PATCH":
            patch = _body(request, ())

            def changed(current: Obj) -> Obj:
                return with_scale(current, merge_patch(scale_of(current), patch))
        else:
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        self._change(request, Target(target.kind, target.namespace, target.name, ""), changed)
        return json_response(scale_of(self._store.get(target.kind, target.namespace or "", target.name)))

    def _check_namespace(self, name: str) -> None:
        namespace = self._store.get(NAMESPACES, "", name)
        if is_deleting(namespace):
            message = f"unable to create new content in namespace {name} because it is being terminated"
            raise errors.Forbidden(message, {"causes": [{"reason": "NamespaceTerminating", "message": message}]})

    def _put(self, request: Request, target: Target) -> Response:
        obj = check_shape(target.kind, _body(request))
        if name_of(obj) and name_of(obj) != target.name:
            raise errors.BadRequest(
                f"the name of the object ({name_of(obj)}) does not match the name on the URL ({target.name})"
            )
        return self._change(request, target, lambda _current: clone(obj))

    def _patch(self, request: Request, target: Target) -> Response:
        patch = _body(request, ())
        media = request.headers.get("content-type", "").partition(";")[0].strip()
        if media == "application/json-patch+json":
            return self._change(request, target, lambda current: json_patch(current, patch))
        if not isinstance(patch, dict):
            raise errors.BadRequest("the patch is not a JSON object")
        if media == "application/merge-patch+json":
            return self._change(request, target, lambda current: merge_patch(current, patch))
        if media == "application/strategic-merge-patch+json":
            return self._change(request, target, lambda current: strategic_merge_patch(current, patch))
        raise errors.UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {_PATCH_TYPES}"
        )

    def _change(self, request: Request, target: Target, change: Callable[[Obj], Any]) -> Response:
        kind = target.kind
        stored: Obj = {}
        with self._store.transaction(_is_dry_run(request)):
            current = self._store.get(kind, target.namespace or "", target.name)
            changed = check_shape(kind, without_nulls(change(current)))
            made = _keep_protected(kind, current, clone(changed), target.subresource)
            if target.subresource != "status":
                made = _with_defaults(kind, current, made)
                validate_update(kind, current, made)
                if made.get("spec") != current.get("spec") and "generation" in meta(current):
                    made["metadata"]["generation"] = int(meta(current)["generation"]) + 1
            stored = self._store.update(kind, made)
        return json_response(stored)

    def _delete(self, request: Request, target: Target) -> Response:
        options, preconditions = self._delete_options(request)
        headers = {}
        if target.kind is JOBS and options.propagation is None:
            headers["Warning"] = _JOB_WARNING
        last: Obj = {}
        with self._store.transaction(_is_dry_run(request)):
            obj = self._store.get(target.kind, target.namespace or "", target.name)
            _check_preconditions(target.kind, obj, preconditions)
            last = self._delete_one(target.kind, obj, options)
        return json_response(_deleted(target.kind, last, self._store), headers=headers)

    def _delete_one(self, kind: ResourceType, obj: Obj, options: DeleteOptions) -> Obj:
        if kind is not NAMESPACES:
            return delete_object(self._store, kind, obj, options)
        if name_of(obj) in _PROTECTED_NAMESPACES:
            message = f'namespaces "{name_of(obj)}" is forbidden: this namespace may not be deleted'
            raise errors.Forbidden(message, {"name": name_of(obj), "kind": "namespaces"})
        return self._store.mark_deleted(kind, obj, 0, status={"phase": "Terminating"})

    def _delete_collection(self, request: Request, target: Target) -> Response:
        if target.kind.namespaced and target.namespace is None:
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        selector = _selector(request, target)
        options, _ = self._delete_options(request)
        deleted: list[Obj] = []
        with self._store.transaction(_is_dry_run(request)):
            objects, _ = self._store.list(target.kind, target.namespace)
            deleted = [self._delete_one(target.kind, obj, options) for obj in objects if selector.matches(obj)]
        list_meta = {"resourceVersion": str(self._store.revision)}
        kind = target.kind
        return json_response(
            {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": list_meta, "items": deleted}
        )

    def _delete_options(self, request: Request) -> tuple[DeleteOptions, Obj]:
        body = _body(request) if request.body.strip() else {}
        if not isinstance(body, dict):
            raise errors.BadRequest("DeleteOptions must be a JSON object")
        grace = body.get("gracePeriodSeconds", _number(request, "gracePeriodSeconds"))
        if grace is not None and (not isinstance(grace, int) or grace < 0):
            raise errors.BadRequest("gracePeriodSeconds must be a non-negative integer")
        propagation = body.get("propagationPolicy") or request.query.get("propagationPolicy")
        orphan = body.get("orphanDependents")
        if propagation is None and orphan is not None:
            propagation = ORPHAN if orphan else BACKGROUND
        if propagation not in (None, BACKGROUND, FOREGROUND, ORPHAN):
            known = '"Background", "Foreground", "Orphan"'
            message = f"propagationPolicy: Unsupported value: {json.dumps(propagation)}: supported values: {known}"
            raise errors.Invalid(f'DeleteOptions.meta.k8s.io "" is invalid: {message}')
        preconditions = body.get("preconditions")
        return DeleteOptions(grace, propagation), preconditions if isinstance(preconditions, dict) else {}

    def _evict(self, request: Request, target: Target) -> Response:
        body = _body(request)
        given = body.get("deleteOptions") if isinstance(body, dict) else None
        grace = given.get("gracePeriodSeconds") if isinstance(given, dict) else None
        with self._store.transaction(_is_dry_run(request)):
            pod = self._store.get(PODS, target.namespace or "", target.name)
            if not is_terminal(pod):
                made = clone(pod)
                message = "Eviction API: evicting"
                status = made.setdefault("status", {})
                known = status.get("conditions") or []
                status["conditions"] = set_condition(
                    known, "DisruptionTarget", "True", "EvictionByEvictionAPI", message, self._clock.now()
                )
                pod = self._store.update(PODS, made)
            delete_object(self._store, PODS, pod, DeleteOptions(grace))
        return json_response(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201
        )

    def _review_access(self, request: Request) -> Response:
        if request.method != "POST":
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        review = check_shape(ACCESS_REVIEWS, _body(request))
        # One token, one user: whoever got here may do everything.
        status = {"allowed": True, "reason": "the local cluster's only user"}
        made = {"kind": "SelfSubjectAccessReview", "apiVersion": ACCESS_REVIEWS.api_version, "metadata": {}}
        return json_response({**made, "spec": review.get("spec") or {}, "status": status}, 201)

    def watch_object(self, request: Request, kind: ResourceType, obj: Obj, table: bool, with_columns: bool) -> Obj:
        """An object as a watch shows it."""
        if not table:
            return obj
        return self._table(request, kind, [obj], str(meta(obj)["resourceVersion"]), with_columns)


class _Watcher:
    """One watch: turns changes into watch events for the client's selector."""

    def __init__(
        self, api: Api, store: Store, clock: Clock, request: Request, target: Target, selector: Selector, table: bool
    ) -> None:
        self._api, self._store, self._clock = api, store, clock
        self._request, self._target, self._selector, self._table = request, target, selector, table
        self._columns_sent = False

    def run(
        self,
        out: Stream,
        subscription: Any,
        initial: list[Obj],
        seconds: float,
        bookmarks: bool,
        first_bookmark: int | None,
    ) -> None:
        """Stream until the time is over, the client goes, or the server ends."""
        try:
            for obj in initial:
                if self._selector.matches(obj):
                    out.send(self._event(ADDED, obj))
            if first_bookmark is not None:
                out.send(self._bookmark(first_bookmark, {"k8s.io/initial-events-end": "true"}))
            self._follow(out, subscription, seconds, bookmarks)
        finally:
            self._store.unsubscribe(subscription)

    def _follow(self, out: Stream, subscription: Any, seconds: float, bookmarks: bool) -> None:
        end = self._clock.monotonic() + seconds
        bookmark_due = self._clock.monotonic() + _BOOKMARK_SECONDS
        while True:
            # Read before taking: everything up to here has been pushed by then, or comes later.
            revision = self._store.revision
            changes = subscription.take()
            data = b"".join(self._changes(changes))
            if data:
                out.send(data)
            if subscription.overflowed:
                gone = errors.Gone("the watch fell too far behind")
                out.send(encode_json({"type": "ERROR", "object": gone.status()}))
                return
            now = self._clock.monotonic()
            if subscription.closed or now >= end:
                if bookmarks and not changes:
                    out.send(self._bookmark(revision))
                return
            if bookmarks and now >= bookmark_due:
                if not changes:
                    out.send(self._bookmark(revision))
                bookmark_due = now + _BOOKMARK_SECONDS
            if out.wait(subscription.fileno(), max(0.0, min(end, bookmark_due if bookmarks else end) - now)):
                return

    def _changes(self, changes: list[Change]) -> list[bytes]:
        events = []
        for change in changes:
            now_matches = change.event != DELETED and self._selector.matches(change.obj)
            did_match = change.previous is not None and self._selector.matches(change.previous)
            if now_matches:
                events.append(self._event(MODIFIED if did_match else ADDED, change.obj))
            elif did_match:
                events.append(self._event(DELETED, change.obj))
        return events

    def _event(self, kind: str, obj: Obj) -> bytes:
        shown = self._api.watch_object(self._request, self._target.kind, obj, self._table, not self._columns_sent)
        self._columns_sent = True
        return encode_json({"type": kind, "object": shown})

    def _bookmark(self, revision: int, annotations: Obj | None = None) -> bytes:
        metadata: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind = self._target.kind
        obj: Obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        if kind in WORKLOADS:
            template: Obj = {"template": {"metadata": {}, "spec": {"containers": []}}}
            obj["spec"] = {"containers": []} if kind is PODS else template
            obj["status"] = {}
        if self._table:
            obj = {**render_table(kind, [], str(revision), "None", 0.0, False)}
        return encode_json({"type": "BOOKMARK", "object": obj})


def parse_target(path: str) -> Target | None:
    """What a resource path names; None when nothing is served there."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    kind = find(group, version, rest[0])
    if kind is None or len(rest) > 3 or (namespace is not None) > kind.namespaced:
        return None
    if kind.namespaced and namespace is None and len(rest) > 1:
        return None
    padded = [*rest, "", ""]
    return Target(kind, namespace, padded[1], padded[2])


def _keep_protected(kind: ResourceType, current: Obj, made: Obj, subresource: str) -> Obj:
    """What an update may not touch: identity, and status or everything but status."""
    made["apiVersion"], made["kind"] = kind.api_version, kind.kind
    metadata = made.setdefault("metadata", {})
    metadata["name"] = name_of(current)
    if kind.namespaced:
        metadata["namespace"] = namespace_of(current)
    for field in ("generation", "generateName"):
        if field in meta(current):
            metadata[field] = meta(current)[field]
        else:
            metadata.pop(field, None)
    metadata.pop("managedFields", None)
    if subresource == "status":
        version = metadata.get("resourceVersion")
        kept = clone(current)
        kept["status"] = made.get("status") or {}
        kept["metadata"]["resourceVersion"] = version or meta(current)["resourceVersion"]
        for field in ("labels", "annotations"):
            if field in metadata:
                kept["metadata"][field] = metadata[field]
        return kept
    if kind in (*WORKLOADS, NODES, NAMESPACES):
        if "status" in current:
            made["status"] = current["status"]
        else:
            made.pop("status", None)
    return made


def _with_defaults(kind: ResourceType, current: Obj, made: Obj) -> Obj:
    if kind is NAMESPACES:
        return made
    if kind is SERVICES:
        for field in ("clusterIP", "clusterIPs"):
            # Left out means: as it is.
            made["spec"] = {field: dig(current, "spec", field), **(made.get("spec") or {})}
    defaulted = apply_defaults(kind, made)
    if kind in (DEPLOYMENTS, REPLICASETS):
        defaulted["status"] = current.get("status") or {}
    if kind is JOBS and not dig(made, "spec", "selector"):
        defaulted["spec"]["selector"] = dig(current, "spec", "selector")
    if kind is PODS:
        defaulted["status"] = current.get("status") or {}
        if dig(current, "spec", "nodeName") and not dig(defaulted, "spec", "nodeName"):
            defaulted["spec"]["nodeName"] = dig(current, "spec", "nodeName")
    return defaulted


def _deleted(kind: ResourceType, last: Obj, store: Store) -> Obj:
    """The object when it is still there (being deleted) or is a pod, a Status otherwise: as the real server answers."""
    still_there = store.find(kind, namespace_of(last), name_of(last)) is not None
    if still_there or kind is PODS:
        return last
    details: Obj = {"name": name_of(last), "kind": kind.plural, "uid": uid_of(last)}
    if kind.group:
        details["group"] = kind.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _check_preconditions(kind: ResourceType, obj: Obj, preconditions: Obj) -> None:
    for field, known in (("uid", uid_of(obj)), ("resourceVersion", str(meta(obj)["resourceVersion"]))):
        wanted = preconditions.get(field)
        if wanted is not None and wanted != known:
            label = "UID" if field == "uid" else "ResourceVersion"
            why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {known}"
            raise errors.conflict(kind.plural, kind.group, name_of(obj), why)


def _container_status(pod: Obj, name: str) -> Obj:
    for field in ("containerStatuses", "initContainerStatuses"):
        for item in dig(pod, "status", field) or []:
            if item.get("name") == name:
                found: Obj = item
                return found
    return {}


def _without_type(obj: Obj) -> Obj:
    """Items of a list do not repeat the list's type."""
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def _page(request: Request, objects: list[Obj], revision: int) -> tuple[list[Obj], Obj]:
    """``limit`` and ``continue``: the token is the last key handed out."""
    list_meta: Obj = {"resourceVersion": str(revision)}
    token = request.query.get("continue")
    if token:
        place = tuple(token.split("/", 1))
        if len(place) != 2:
            raise errors.BadRequest("continue key is not valid")
        objects = [obj for obj in objects if (namespace_of(obj), name_of(obj)) > place]
    limit = _number(request, "limit") or 0
    if limit and len(objects) > limit:
        last = objects[limit - 1]
        list_meta["continue"] = f"{namespace_of(last)}/{name_of(last)}"
        list_meta["remainingItemCount"] = len(objects) - limit
        objects = objects[:limit]
    return objects, list_meta


def _selector(request: Request, target: Target) -> Selector:
    return parse_selector(request.query.get("labelSelector"), request.query.get("fieldSelector"), target.kind.key)


def _table_wanted(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    if not accept or "*/*" in accept or "application/*" in accept:
        return "as=Table" in accept
    if "json" not in accept:
        raise errors.NotAcceptable("only the following media types are accepted: application/json")
    return "as=Table" in accept


def _flag(request: Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("1", "true", "t")


def _number(request: Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None or text == "":
        return None
    if not text.isdigit():
        raise errors.BadRequest(f"{name} must be a non-negative integer: {text!r}")
    return int(text)


def _revision(text: str) -> int | None:
    if text in ("", "0"):
        return None
    if not text.isdigit():
        raise errors.BadRequest(f"invalid resource version {text!r}")
    return int(text)


def _is_dry_run(request: Request) -> bool:
    value = request.query.get("dryRun")
    if value not in (None, "", "All"):
        raise errors.BadRequest(f'dryRun: Unsupported value: {value!r}: supported values: "All"')
    return value == "All"


def _body(request: Request, media_types: tuple[str, ...] = ("application/json",)) -> Any:
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_types and media not in media_types:
        accepted = ", ".join(media_types)
        raise errors.UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise errors.BadRequest(f"the body is not valid JSON: {error}") from error
