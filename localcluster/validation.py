"""The rules an object must keep, with the real API server's field paths and texts. Pure; reports every broken rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from localcluster import errors
from localcluster.errors import Cause
from localcluster.objects import Obj, dig, meta, name_of
from localcluster.quantity import parse_quantity
from localcluster.resources import DEPLOYMENTS, JOBS, PODS, REPLICASETS, SERVICES, WORKLOADS, ResourceType

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_QUALIFIED = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_ENV_NAME = re.compile(r"^[ -<>-~]+$")
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_IMMUTABLE = "field is immutable"
_PODS_OR_SHARE = re.compile(r"^[0-9]{1,9}%?$")
_MAX_PARALLEL_INDEXED = 100_000
_SHOWN = 200


class Faults:
    """Collects causes."""

    def __init__(self) -> None:
        self.causes: list[Cause] = []

    def required(self, path: str, text: str = "") -> None:
        """Something is missing."""
        self.causes.append(Cause(path, "FieldValueRequired", f"Required value{': ' + text if text else ''}"))

    def wrong(self, path: str, value: Any, text: str) -> None:
        """Something has a value it must not have."""
        self.causes.append(Cause(path, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {text}"))

    def unsupported(self, path: str, value: Any, known: Iterable[str]) -> None:
        """Something is not one of the known words."""
        listed = ", ".join(json.dumps(word) for word in sorted(known))
        self.causes.append(
            Cause(path, "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {listed}")
        )

    def duplicate(self, path: str, value: Any) -> None:
        """Something occurs twice."""
        self.causes.append(Cause(path, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}"))

    def forbidden(self, path: str, text: str) -> None:
        """Something may not be there."""
        self.causes.append(Cause(path, "FieldValueForbidden", f"Forbidden: {text}"))

    def type_of(self, path: str, value: Any, wanted: type | tuple[type, ...], called: str) -> bool:
        """Whether a value has the type; otherwise a fault."""
        if isinstance(value, wanted) and not (isinstance(value, bool) and wanted is int):
            return True
        self.causes.append(Cause(path, "FieldValueTypeInvalid", f"Invalid value: {_shown(value)}: must be {called}"))
        return False

    def raise_for(self, kind: ResourceType, name: str) -> None:
        """Raise Invalid when there are faults."""
        if self.causes:
            raise errors.invalid(kind.kind, kind.group, name, self.causes)


def check_shape(kind: ResourceType, obj: Any) -> Obj:
    """The object's outermost types; raises BadRequest as the real decoder does."""
    if not isinstance(obj, dict):
        raise errors.BadRequest("the object provided is not a JSON object")
    for field, wanted in (("kind", kind.kind), ("apiVersion", kind.api_version)):
        given = obj.get(field)
        if given is not None and given != wanted:
            raise errors.BadRequest(f"the {field} in the data ({given}) does not match the expected one ({wanted})")
    for field in ("metadata", "spec", "status"):
        if obj.get(field) is not None and not isinstance(obj[field], dict):
            raise errors.BadRequest(
                f"{kind.kind} in version {kind.version!r} cannot be handled: {field} must be an object"
            )
    for field in ("labels", "annotations"):
        table = meta(obj).get(field)
        if table is not None and not (
            isinstance(table, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in table.items())
        ):
            message = f"metadata.{field} must map strings to strings"
            raise errors.BadRequest(f"{kind.kind} in version {kind.version!r} cannot be handled: {message}")
    if kind in WORKLOADS:
        for field in ("spec", "status"):
            _check_types(kind, field, obj.get(field))
    for field in ("finalizers", "ownerReferences"):
        items = meta(obj).get(field)
        if items is not None and not isinstance(items, list):
            raise errors.BadRequest(
                f"{kind.kind} in version {kind.version!r} cannot be handled: metadata.{field} must be a list"
            )
    return obj


# Fields of pod and Job specs that hold objects, and those that hold lists of objects, wherever they occur.
_OBJECT_FIELDS = frozenset(
    {
        "template",
        "resources",
        "limits",
        "requests",
        "nodeSelector",
        "securityContext",
        "valueFrom",
        "fieldRef",
        "resourceFieldRef",
        "configMapKeyRef",
        "secretKeyRef",
        "configMapRef",
        "secretRef",
        "emptyDir",
        "configMap",
        "secret",
        "hostPath",
        "downwardAPI",
        "podFailurePolicy",
        "successPolicy",
        "onExitCodes",
        "selector",
        "matchLabels",
        "affinity",
        "metadata",
        "labels",
        "annotations",
    }
)
_LIST_FIELDS = frozenset(
    {
        "containers",
        "initContainers",
        "volumes",
        "env",
        "envFrom",
        "volumeMounts",
        "ports",
        "tolerations",
        "rules",
        "onPodConditions",
        "items",
        "imagePullSecrets",
        "conditions",
        "containerStatuses",
        "initContainerStatuses",
    }
)
_TEXT_FIELDS = frozenset(
    {
        "name",
        "image",
        "workingDir",
        "mountPath",
        "subPath",
        "nodeName",
        "restartPolicy",
        "hostname",
        "key",
        "value",
        "path",
        "fieldPath",
        "resource",
        "divisor",
        "operator",
        "action",
        "type",
        "status",
        "prefix",
        "secretName",
        "completionMode",
        "podReplacementPolicy",
    }
)
_COUNT_FIELDS = frozenset({"defaultMode", "mode", "containerPort", "succeededCount"})
_FREE_FORM = frozenset({"limits", "requests", "nodeSelector", "matchLabels", "labels", "annotations"})


def _check_types(kind: ResourceType, path: str, value: Any) -> None:
    """Objects, lists and texts where the API has them; raises BadRequest as the real decoder does."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            _check_types(kind, f"{path}[{number}]", item)
        return
    if not isinstance(value, dict):
        return
    for field, inner in value.items():
        at = f"{path}.{field}"
        if inner is None:
            continue
        if field in _OBJECT_FIELDS and not isinstance(inner, dict):
            raise _undecodable(kind, at, "an object")
        if field in _LIST_FIELDS and not (isinstance(inner, list) and all(isinstance(item, dict) for item in inner)):
            raise _undecodable(kind, at, "a list of objects")
        if field in _TEXT_FIELDS and not isinstance(inner, str):
            raise _undecodable(kind, at, "a string")
        if field in _COUNT_FIELDS and (isinstance(inner, bool) or not isinstance(inner, int)):
            raise _undecodable(kind, at, "an integer")
        if field not in _FREE_FORM:
            _check_types(kind, at, inner)


def _undecodable(kind: ResourceType, path: str, wanted: str) -> errors.BadRequest:
    return errors.BadRequest(f"{kind.kind} in version {kind.version!r} cannot be handled: {path} must be {wanted}")


def validate_create(kind: ResourceType, obj: Obj) -> None:
    """A new, defaulted object; raises Invalid."""
    faults = Faults()
    _check_metadata(faults, kind, obj)
    if kind is JOBS:
        _check_job(faults, obj)
    elif kind is PODS:
        _check_pod_spec(faults, obj.get("spec") or {}, "spec", ("Always", "OnFailure", "Never"))
    elif kind in (DEPLOYMENTS, REPLICASETS):
        _check_replicated(faults, obj)
    elif kind is SERVICES:
        _check_service(faults, obj)
    faults.raise_for(kind, name_of(obj) or str(meta(obj).get("generateName") or ""))


def validate_update(kind: ResourceType, old: Obj, new: Obj) -> None:
    """A changed object; raises Invalid."""
    faults = Faults()
    _check_labels(faults, new)
    if kind is JOBS:
        _check_job(faults, new)
        _check_job_update(faults, old, new)
    elif kind is PODS:
        _check_pod_update(faults, old, new)
    elif kind in (DEPLOYMENTS, REPLICASETS):
        _check_replicated(faults, new)
        if dig(old, "spec", "selector") != dig(new, "spec", "selector"):
            faults.wrong("spec.selector", dig(new, "spec", "selector"), _IMMUTABLE)
    elif kind is SERVICES:
        _check_service(faults, new)
        if dig(old, "spec", "clusterIP") != dig(new, "spec", "clusterIP"):
            faults.wrong("spec.clusterIP", dig(new, "spec", "clusterIP"), _IMMUTABLE)
    elif dig(old, "immutable") and dig(old, "data") != dig(new, "data"):
        faults.forbidden("data", "field is immutable when `immutable` is set")
    faults.raise_for(kind, name_of(new))


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _check_metadata(faults: Faults, kind: ResourceType, obj: Obj) -> None:
    metadata = meta(obj)
    name = metadata.get("name")
    if not name:
        faults.required("metadata.name", "name or generateName is required")
    elif not isinstance(name, str):
        faults.type_of("metadata.name", name, str, "a string")
    elif kind.plural in ("namespaces", "services"):
        if not _LABEL.match(name) or len(name) > 63:
            faults.wrong("metadata.name", name, _LABEL_TEXT)
    elif not _SUBDOMAIN.match(name) or len(name) > 253:
        faults.wrong("metadata.name", name, _SUBDOMAIN_TEXT)
    _check_labels(faults, obj)
    for number, owner in enumerate(metadata.get("ownerReferences") or []):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not isinstance(owner, dict) or not owner.get(field):
                faults.required(f"metadata.ownerReferences[{number}].{field}", "must not be empty")


def _check_labels(faults: Faults, obj: Obj, path: str = "metadata") -> None:
    for key, value in (meta(obj).get("labels") or {}).items():
        if not _QUALIFIED.match(key):
            faults.wrong(f"{path}.labels", key, "name part must consist of alphanumeric characters, '-', '_' or '.'")
        if not isinstance(value, str) or len(value) > 63 or not _LABEL_VALUE.match(value):
            text = (
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must"
                " start and end with an alphanumeric character, and be no more than 63 characters"
            )
            faults.wrong(f"{path}.labels", value, text)
    for key in meta(obj).get("annotations") or {}:
        if not _QUALIFIED.match(key.lower()):
            faults.wrong(
                f"{path}.annotations", key, "name part must consist of alphanumeric characters, '-', '_' or '.'"
            )


def _check_job(faults: Faults, job: Obj) -> None:
    spec = job.get("spec") or {}
    before = len(faults.causes)
    for field in (
        "parallelism",
        "completions",
        "backoffLimit",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ):
        value = spec.get(field)
        if value is not None and faults.type_of(f"spec.{field}", value, int, "an integer") and value < 0:
            faults.wrong(f"spec.{field}", value, "must be greater than or equal to 0")
    if spec.get("activeDeadlineSeconds") == 0:
        faults.wrong("spec.activeDeadlineSeconds", 0, "must be greater than or equal to 1")
    if len(faults.causes) > before:
        # The rules below compare these numbers.
        return
    _check_index_settings(faults, job, spec)
    template = spec.get("template")
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        faults.required("spec.template.spec", "a pod template is required")
        return
    _check_labels(faults, template, "spec.template.metadata")
    pod_spec = template["spec"]
    policy = pod_spec.get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        # The default, Always, is not for Jobs.
        faults.required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    _check_pod_spec(faults, pod_spec, "spec.template.spec", ("Always", "OnFailure", "Never"))
    _check_failure_policy(faults, spec, policy)


def _check_index_settings(faults: Faults, job: Obj, spec: Obj) -> None:
    mode = spec.get("completionMode")
    if mode not in ("Indexed", "NonIndexed"):
        faults.unsupported("spec.completionMode", mode, ("Indexed", "NonIndexed"))
        return
    completions, parallelism = spec.get("completions"), spec.get("parallelism") or 0
    if mode == "Indexed":
        if completions is None:
            faults.required("spec.completions", "when completion mode is Indexed")
            return
        if parallelism > _MAX_PARALLEL_INDEXED:
            text = f"must be less than or equal to {_MAX_PARALLEL_INDEXED} when completion mode is Indexed"
            faults.wrong("spec.parallelism", parallelism, text)
        longest = f"{name_of(job)}-{max(completions - 1, 0)}"
        if name_of(job) and (len(longest) > 63 or not _LABEL.match(longest)):
            text = "will not able to create pod with invalid DNS label: " + longest
            faults.wrong("metadata.name", name_of(job), text)
    for field in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
        if spec.get(field) is not None and mode != "Indexed":
            faults.wrong(f"spec.{field}", spec[field], "requires indexed completion mode")
    if spec.get("maxFailedIndexes") is not None:
        if spec.get("backoffLimitPerIndex") is None:
            faults.required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified")
        if completions is not None and spec["maxFailedIndexes"] > completions:
            faults.wrong(
                "spec.maxFailedIndexes",
                spec["maxFailedIndexes"],
                f"must be less than or equal to completions ({completions})",
            )
    if spec.get("podReplacementPolicy") not in (None, "Failed", "TerminatingOrFailed"):
        faults.unsupported("spec.podReplacementPolicy", spec["podReplacementPolicy"], ("Failed", "TerminatingOrFailed"))
    elif spec.get("podFailurePolicy") and spec.get("podReplacementPolicy") == "TerminatingOrFailed":
        faults.unsupported("spec.podReplacementPolicy", "TerminatingOrFailed", ("Failed",))


def _check_failure_policy(faults: Faults, spec: Obj, restart_policy: Any) -> None:
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return
    path = "spec.podFailurePolicy"
    if restart_policy != "Never":
        faults.wrong(f"{path}", policy, 'only "Never" is supported for the restart policy of the pod template')
    names = {c.get("name") for c in dig(spec, "template", "spec", "containers") or [] if isinstance(c, dict)}
    if not isinstance(policy, dict) or not isinstance(policy.get("rules"), list):
        faults.required(f"{path}.rules", "a list of rules")
        return
    for number, rule in enumerate(policy["rules"]):
        at = f"{path}.rules[{number}]"
        if not isinstance(rule, dict):
            faults.type_of(at, rule, dict, "an object")
            continue
        action = rule.get("action")
        if not action:
            faults.required(f"{at}.action", 'valid values: "Count", "FailIndex", "FailJob", "Ignore"')
        elif action not in ("Count", "FailIndex", "FailJob", "Ignore"):
            faults.unsupported(f"{at}.action", action, ("Count", "FailIndex", "FailJob", "Ignore"))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            faults.wrong(f"{at}.action", action, "requires the backoffLimitPerIndex to be set")
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None and patterns:
            faults.wrong(at, rule, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not patterns:
            faults.wrong(at, rule, "specifying one of OnExitCodes and OnPodConditions is required")
        if codes is not None:
            _check_exit_codes(faults, f"{at}.onExitCodes", codes, names)
        for place, pattern in enumerate(patterns or []):
            if not isinstance(pattern, dict) or not pattern.get("type"):
                faults.required(f"{at}.onPodConditions[{place}].type")


def _check_exit_codes(faults: Faults, at: str, codes: Any, names: set[Any]) -> None:
    if not faults.type_of(at, codes, dict, "an object"):
        return
    if codes.get("operator") not in ("In", "NotIn"):
        faults.unsupported(f"{at}.operator", codes.get("operator"), ("In", "NotIn"))
    values = codes.get("values")
    if not isinstance(values, list) or not values:
        faults.wrong(f"{at}.values", values, "at least one value is required")
        return
    for place, value in enumerate(values):
        if (
            faults.type_of(f"{at}.values[{place}]", value, int, "an integer")
            and value == 0
            and codes.get("operator") == "In"
        ):
            faults.wrong(f"{at}.values[{place}]", value, "must not be 0 for the In operator")
    if codes.get("containerName") is not None and codes["containerName"] not in names:
        faults.wrong(
            f"{at}.containerName",
            codes["containerName"],
            "must be one of the container or initContainer names in the pod template",
        )


def _check_pod_spec(faults: Faults, spec: Obj, path: str, policies: tuple[str, ...]) -> None:
    if spec.get("restartPolicy") not in policies:
        faults.unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), policies)
    grace = spec.get("terminationGracePeriodSeconds")
    if (
        grace is not None
        and faults.type_of(f"{path}.terminationGracePeriodSeconds", grace, int, "an integer")
        and grace < 0
    ):
        faults.wrong(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")
    volumes = _named(faults, spec.get("volumes"), f"{path}.volumes")
    names: set[str] = set()
    containers = spec.get("containers")
    if not containers:
        faults.required(f"{path}.containers")
    for field in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(field) or []):
            at = f"{path}.{field}[{number}]"
            if not faults.type_of(at, container, dict, "an object"):
                continue
            _check_container(faults, at, container, volumes)
            name = container.get("name")
            if name in names:
                faults.duplicate(f"{at}.name", name)
            names.add(str(name))


def _named(faults: Faults, items: Any, path: str) -> set[str]:
    names: set[str] = set()
    for number, item in enumerate(items if isinstance(items, list) else []):
        name = item.get("name") if isinstance(item, dict) else None
        if not name:
            faults.required(f"{path}[{number}].name")
        elif name in names:
            faults.duplicate(f"{path}[{number}].name", name)
        else:
            names.add(str(name))
    return names


def _check_container(faults: Faults, at: str, container: Obj, volumes: set[str]) -> None:
    name = container.get("name")
    if not name:
        faults.required(f"{at}.name")
    elif not isinstance(name, str) or not _LABEL.match(name) or len(name) > 63:
        faults.wrong(f"{at}.name", name, _LABEL_TEXT)
    if not container.get("image"):
        faults.required(f"{at}.image")
    for field in ("command", "args"):
        words = container.get(field)
        if words is not None and not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
            faults.type_of(f"{at}.{field}", words, type(None), "a list of strings")
    for number, item in enumerate(container.get("env") or []):
        if not isinstance(item, dict) or not item.get("name"):
            faults.required(f"{at}.env[{number}].name")
        elif not _ENV_NAME.match(str(item["name"])):
            faults.wrong(
                f"{at}.env[{number}].name",
                item["name"],
                "a valid environment variable name must consist only of printable ASCII",
            )
        elif item.get("value") is not None and not isinstance(item["value"], str):
            faults.type_of(f"{at}.env[{number}].value", item["value"], str, "a string")
        elif item.get("value") and item.get("valueFrom") is not None:
            faults.wrong(f"{at}.env[{number}].valueFrom", "", "may not be specified when `value` is not empty")
    for number, mount in enumerate(container.get("volumeMounts") or []):
        if not isinstance(mount, dict) or not mount.get("mountPath"):
            faults.required(f"{at}.volumeMounts[{number}].mountPath")
        elif mount.get("name") not in volumes:
            faults.causes.append(
                Cause(
                    f"{at}.volumeMounts[{number}].name", "FieldValueNotFound", f"Not found: {_shown(mount.get('name'))}"
                )
            )
    _check_resources(faults, f"{at}.resources", container.get("resources") or {})


def _check_resources(faults: Faults, at: str, resources: Obj) -> None:
    parsed: dict[tuple[str, str], Any] = {}
    for field in ("limits", "requests"):
        for name, amount in (resources.get(field) or {}).items():
            try:
                number = parse_quantity(amount)
            except ValueError as error:
                faults.wrong(f"{at}.{field}[{name}]", amount, str(error))
                continue
            if number < 0:
                faults.wrong(f"{at}.{field}[{name}]", amount, "must be greater than or equal to 0")
            parsed[(field, name)] = number
    for (field, name), number in parsed.items():
        limit = parsed.get(("limits", name))
        if field == "requests" and limit is not None and number > limit:
            text = f"must be less than or equal to {name} limit of {resources['limits'][name]}"
            faults.wrong(f"{at}.requests", str(resources["requests"][name]), text)


def _check_service(faults: Faults, service: Obj) -> None:
    ports = dig(service, "spec", "ports")
    if not ports and dig(service, "spec", "clusterIP") != "None" and dig(service, "spec", "type") != "ExternalName":
        faults.required("spec.ports")
    for number, port in enumerate(ports or []):
        if not isinstance(port, dict) or not isinstance(port.get("port"), int) or not 0 < port["port"] < 65536:
            faults.wrong(f"spec.ports[{number}].port", dig(port, "port"), "must be between 1 and 65535, inclusive")


def check_address(service: Obj, problem: str) -> None:
    """A Service's wish for an address; raises Invalid when there is a problem with it."""
    faults = Faults()
    if problem:
        faults.wrong("spec.clusterIPs", [dig(service, "spec", "clusterIP")], problem)
    faults.raise_for(SERVICES, name_of(service))


def _check_replicated(faults: Faults, workload: Obj) -> None:
    """Deployments and ReplicaSets."""
    spec = workload.get("spec") or {}
    for field in ("replicas", "revisionHistoryLimit", "progressDeadlineSeconds", "minReadySeconds"):
        value = spec.get(field)
        if value is not None and faults.type_of(f"spec.{field}", value, int, "an integer") and value < 0:
            faults.wrong(f"spec.{field}", value, "must be greater than or equal to 0")
    strategy = spec.get("strategy") or {}
    if strategy.get("type", "Recreate") not in ("Recreate", "RollingUpdate"):
        faults.unsupported("spec.strategy.type", strategy["type"], ("Recreate", "RollingUpdate"))
    elif strategy.get("type") == "Recreate" and strategy.get("rollingUpdate"):
        faults.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    for field, value in (strategy.get("rollingUpdate") or {}).items():
        if isinstance(value, bool) or not _PODS_OR_SHARE.match(str(value)):
            faults.wrong(f"spec.strategy.rollingUpdate.{field}", value, "must be a number of pods or a percentage")
    template = spec.get("template")
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        faults.required("spec.template.spec", "a pod template is required")
        return
    _check_labels(faults, template, "spec.template.metadata")
    _check_pod_spec(faults, template["spec"], "spec.template.spec", ("Always",))
    wanted = dig(spec, "selector", "matchLabels") or {}
    if not wanted:
        faults.required("spec.selector", "labels to find the pods by (matchExpressions are not served here)")
    labels = meta(template).get("labels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        faults.wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _check_job_update(faults: Faults, old: Obj, new: Obj) -> None:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    indexed = after.get("completionMode") == "Indexed"
    if before.get("completions") != after.get("completions"):
        if not indexed:
            faults.wrong("spec.completions", after.get("completions"), _IMMUTABLE)
        elif after.get("completions") is not None and after.get("completions") != after.get("parallelism"):
            faults.wrong(
                "spec.completions", after["completions"], "can only be modified in tandem with spec.parallelism"
            )
    for field in (
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "successPolicy",
        "managedBy",
        "manualSelector",
    ):
        if before.get(field) != after.get(field):
            faults.wrong(f"spec.{field}", after.get(field), _IMMUTABLE)
    old_template, new_template = before.get("template") or {}, after.get("template") or {}
    if old_template != new_template and not _is_allowed_template_change(old, old_template, new_template):
        faults.wrong("spec.template", new_template, _IMMUTABLE)


def _is_allowed_template_change(job: Obj, old: Obj, new: Obj) -> bool:
    """A suspended Job that never started may still get its scheduling directives."""
    if not dig(job, "spec", "suspend") or dig(job, "status", "startTime"):
        return False

    def frozen_part(template: Obj) -> Obj:
        spec = dict(template.get("spec") or {})
        for field in ("nodeSelector", "tolerations", "affinity", "schedulingGates"):
            spec.pop(field, None)
        return {"spec": spec}

    return frozen_part(old) == frozen_part(new)


def _check_pod_update(faults: Faults, old: Obj, new: Obj) -> None:
    def frozen_part(pod: Obj) -> Obj:
        spec = dict(pod.get("spec") or {})
        spec.pop("activeDeadlineSeconds", None)
        spec.pop("tolerations", None)
        spec.pop("terminationGracePeriodSeconds", None)
        for field in ("containers", "initContainers"):
            spec[field] = [
                {key: value for key, value in item.items() if key != "image"} for item in spec.get(field) or []
            ]
        return spec

    if frozen_part(old) != frozen_part(new):
        text = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        faults.forbidden("spec", text)
