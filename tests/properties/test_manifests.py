"""Every specification makes Kubernetes objects: of the client's own models, with names and labels Kubernetes accepts,
restricted unless it asks for more, and without a secret in clear."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client
from pydantic import ValidationError

from common.domain.parsing import parse_native
from common.domain.submission import Submission
from manager.manifests import (
    ManifestSettings,
    queue_deployment,
    queue_secret,
    queue_service,
    redis_secret,
    worker_job,
)
from tests.support.kubernetes_models import check_object, restricted_faults

LABEL_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
LABEL_PREFIX = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
ENV_NAME = re.compile(r"^[-._A-Za-z][-._A-Za-z0-9]*$")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

words = st.from_regex(re.compile(r"[a-z][a-z0-9-]{0,12}[a-z0-9]"), fullmatch=True)
keys = st.one_of(words, st.builds("{}.example/{}".format, words, words))
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
quantities = st.sampled_from(["1", "500m", "64Mi", "1.5Gi", "2G", 3])
flags = st.booleans()


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def lists(values: st.SearchStrategy[Any], most: int = 2, least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=least, max_size=most)


references = st.one_of(
    some({"secret": words, "key": words}, {"optional": flags}),
    some({"config_map": words, "key": words}, {"optional": flags}),
)
tolerations = st.one_of(
    some({"key": keys}, {"value": words, "effect": st.sampled_from(["NoSchedule", "PreferNoSchedule"])}),
    some({"operator": st.just("Exists")}, {"key": keys}),
    some({"operator": st.just("Exists"), "effect": st.just("NoExecute")}, {"seconds": st.integers(0, 9)}),
)
requirements = st.one_of(
    st.fixed_dictionaries({"key": keys, "operator": st.sampled_from(["In", "NotIn"]), "values": lists(words, 2, 1)}),
    st.fixed_dictionaries({"key": keys, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)
numbers = st.fixed_dictionaries(
    {"key": keys, "operator": st.sampled_from(["Gt", "Lt"]), "values": st.lists(st.just("7"), min_size=1, max_size=1)}
)
node_terms = st.fixed_dictionaries({"matchExpressions": lists(st.one_of(requirements, numbers), 2, 1)})
selectors = some({}, {"matchLabels": st.dictionaries(keys, words, max_size=2), "matchExpressions": lists(requirements)})
pod_terms = some(
    {"topologyKey": keys}, {"labelSelector": selectors, "namespaces": lists(words), "namespaceSelector": selectors}
)
weights = st.integers(1, 100)
pod_affinity = some(
    {},
    {
        REQUIRED: lists(pod_terms),
        PREFERRED: lists(st.fixed_dictionaries({"weight": weights, "podAffinityTerm": pod_terms})),
    },
)
affinities = some(
    {},
    {
        "nodeAffinity": some(
            {},
            {
                REQUIRED: st.fixed_dictionaries({"nodeSelectorTerms": lists(node_terms, 2, 1)}),
                PREFERRED: lists(st.fixed_dictionaries({"weight": weights, "preference": node_terms})),
            },
        ),
        "podAffinity": pod_affinity,
        "podAntiAffinity": pod_affinity,
    },
)
origins = st.one_of(
    st.fixed_dictionaries({"claim": words}),
    some({"secret": words}, {"optional": flags}),
    some({"config_map": words}, {"optional": flags}),
    st.just({"empty_dir": True}),
    st.fixed_dictionaries({"empty_dir": some({}, {"size": quantities, "memory": flags})}),
    st.fixed_dictionaries({"host_path": st.just("/mnt/x")}),
)
mountings = some({}, {"sub_path": st.just("a/b"), "read_only": flags})


@st.composite
def volumes(draw: st.DrawFn) -> list[dict[str, Any]]:
    paths = draw(st.lists(st.builds("/{}".format, words), max_size=3, unique=True))
    return [{"path": path, **draw(origins), **draw(mountings)} for path in paths]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {"name": draw(words), "workload": ["a"], "queue": draw(st.sampled_from(QUEUES))}
    document |= draw(some({}, OPTIONAL))
    if document["queue"] == "shared" and draw(flags):
        document["run"] = f"echo {{item}} {draw(st.sampled_from(['', '$HOME', '$(X)', '$$']))}"
        return document
    words_of_command = st.one_of(
        some({"command": lists(texts, 3, 1)}, {"args": lists(texts, 3)}),
        st.fixed_dictionaries({"args": lists(texts, 3, 1)}),
    )
    return document | draw(words_of_command)


QUEUES = ["shared", "dedicated"]
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "image": words,
    "image_pull_policy": st.sampled_from(["IfNotPresent", "Always", "Never"]),
    "working_dir": st.just("/w"),
    "namespace": words,
    "grace_period": st.sampled_from([0, 0.2, 30, 3600]),
    "job_lifetime": st.sampled_from([0, 0.5, "1d", "36525d"]),
    "labels": st.dictionaries(words, words, max_size=3),
    "annotations": st.dictionaries(keys, texts, max_size=3),
    "node_selector": st.dictionaries(keys, words, max_size=2),
    "env": st.dictionaries(
        st.from_regex(r"[A-Z_]{1,12}", fullmatch=True), st.one_of(texts, st.integers(0, 9), references), max_size=3
    ),
    "secrets": lists(words),
    "resources": some(
        {},
        {
            "cpu": quantities,
            "memory": quantities,
            "memory_limit": st.just("4Gi"),
            "gpu": st.integers(0, 8),
            "gpu_vendor": st.sampled_from(["nvidia", "amd", "intel"]),
        },
    ),
    "tolerations": lists(tolerations),
    "affinity": affinities,
    "volumes": volumes(),
    "user": st.one_of(st.sampled_from(["image", "root"]), st.integers(0, 2**31 - 1)),
    "service_account": words,
    "priority": st.sampled_from(["low", "normal", "high"]),
}
submissions = st.builds(
    # As the loop meets it: parsed from a document, then read from a record.
    lambda document, tail: Submission.model_validate_json(
        Submission(
            id=f"kj-{tail}", spec=parse_native(document), created_at=0.0, redis_host="10.0.0.1"
        ).model_dump_json()
    ),
    documents(),
    st.from_regex(r"[0-9a-f]{7}", fullmatch=True),
)
SECRET = "secret-of-ours"
operators = st.builds(
    ManifestSettings,
    namespace=words,
    worker_redis_url=st.sampled_from(["redis://h:1/0", f"redis://:{SECRET}@h:1/0"]),
    run_as_non_root=flags,
    default_user=st.sampled_from([None, 65532]),
    priority_classes=st.dictionaries(st.sampled_from(["low", "normal", "high"]), words),
)


def check_metadata(manifest: dict[str, Any], id: str) -> None:
    metadata = manifest["metadata"]
    assert DNS_LABEL.match(metadata["name"])
    assert DNS_LABEL.match(metadata["namespace"])
    assert metadata["labels"]["asperathos.io/submission"] == id
    for key, value in metadata["labels"].items():
        check_key(key)
        assert value == "" or LABEL_NAME.match(value)
    for key in metadata.get("annotations", {}):
        check_key(key)


def check_key(key: str) -> None:
    prefix, _, name = key.rpartition("/")
    assert LABEL_NAME.match(name)
    assert not prefix or LABEL_PREFIX.match(prefix)


def check_pod(spec: dict[str, Any]) -> None:
    assert spec["terminationGracePeriodSeconds"] >= 0
    (container,) = spec["containers"]
    assert container.get("command") or container.get("args")
    assert container["image"]
    names = [entry["name"] for entry in container["env"]]
    assert len(set(names)) == len(names)
    assert all(ENV_NAME.match(name) for name in names)
    mounted = [mount["name"] for mount in container.get("volumeMounts", ())]
    declared = [volume["name"] for volume in spec.get("volumes", ())]
    assert mounted == declared
    assert len(set(declared)) == len(declared)
    assert all(DNS_LABEL.match(name) for name in declared)


def check_security(submission: Submission, operator: ManifestSettings, pod: dict[str, Any]) -> None:
    spec = submission.spec
    user = operator.default_user if spec.user is None else spec.user
    faults = restricted_faults(pod)
    host = [f"volume volume-{place} is a hostPath" for place, volume in enumerate(spec.volumes) if volume.host_path]
    assert [fault for fault in faults if "hostPath" in fault] == host
    if user not in (None, "image", 0):
        assert faults == host
    if operator.run_as_non_root:
        assert pod["securityContext"]["runAsNonRoot"] is True


@settings(max_examples=60)
@given(submissions, operators, st.integers(1, 99), st.integers(0, 10_000))
def test_every_manifest_is_a_kubernetes_object(
    submission: Submission, operator: ManifestSettings, generation: int, replicas: int
) -> None:
    job = worker_job(submission, generation, replicas, operator)
    template = job["spec"]["template"]["spec"]
    check_object(client.V1Job, job)
    check_metadata(job, submission.id)
    check_pod(template)
    check_security(submission, operator, template)
    assert job["spec"]["completions"] == job["spec"]["parallelism"] >= 1
    assert 0 < job["spec"]["ttlSecondsAfterFinished"] < 2**31
    assert job["spec"]["ttlSecondsAfterFinished"] > min(submission.spec.job_lifetime, 2**31 - 2)
    deployment = queue_deployment(submission, operator)
    check_object(client.V1Deployment, deployment)
    check_metadata(deployment, submission.id)
    check_pod(deployment["spec"]["template"]["spec"])
    service = queue_service(submission, operator, "a-uid")
    check_object(client.V1Service, service)
    check_metadata(service, submission.id)
    secrets = (redis_secret(submission, operator), queue_secret(submission, operator, "a-uid"))
    for secret in secrets:
        check_object(client.V1Secret, {**secret, "data": {}})
        client.V1Secret.model_validate(secret)
        check_metadata(secret, submission.id)
    assert SECRET not in json.dumps([job, deployment, service, *secrets])


MANIFEST = worker_job(
    Submission(
        id="kj-1234567",
        spec=parse_native(
            {
                "command": ["x"],
                "workload": ["a"],
                "env": {"A": {"secret": "s", "key": "k"}},
                "volumes": [{"path": "/a", "empty_dir": {"size": "1Gi"}}],
                "resources": {"cpu": "1"},
                "tolerations": [{"operator": "Exists", "effect": "NoExecute", "seconds": 3}],
            }
        ),
        created_at=0.0,
    ),
    1,
    1,
    ManifestSettings(),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all fields."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    for name, inner in inside:
        yield (*path, name)
        yield from places(inner, (*path, name))


FREE = {"labels", "annotations", "requests"}
FIELDS = [path for path in places(MANIFEST) if isinstance(path[-1], str) and path[-2:-1] not in [(n,) for n in FREE]]


def test_the_check_does_not_take_pythons_names() -> None:
    broken = copy.deepcopy(MANIFEST)
    pod = broken["spec"]["template"]["spec"]
    pod["restart_policy"] = pod.pop("restartPolicy")
    with pytest.raises(ValueError, match="does not give back"):
        check_object(client.V1Job, broken)


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_the_check_sees_what_is_misspelt_or_of_a_wrong_type(path: tuple[Any, ...]) -> None:
    check_object(client.V1Job, MANIFEST)
    for change in ("misspelt", "wrong type"):
        broken = copy.deepcopy(MANIFEST)
        holder: Any = broken
        for part in path[:-1]:
            holder = holder[part]
        value = holder.pop(path[-1])
        if change == "misspelt":
            holder[f"{path[-1]}x"] = value
        else:
            holder[path[-1]] = str(value) if isinstance(value, int | bool) else 5
        with pytest.raises(ValidationError):
            check_object(client.V1Job, broken)
