"""Every manifest is a Kubernetes object: of the client's own models, with names and labels Kubernetes accepts."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client

from common.domain.submission import Submission, SubmissionSpec
from manager.manifests import ManifestSettings, queue_pod, redis_secret, worker_job

LABEL_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
LABEL_PREFIX = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
ENV_NAME = re.compile(r"^[-._A-Za-z][-._A-Za-z0-9]*$")

words = st.from_regex(re.compile(r"[a-z][a-z0-9-]{0,12}[a-z0-9]"), fullmatch=True)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
quantities = st.sampled_from(["1", "500m", "64Mi", "1.5Gi", "2G"])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": draw(words),
        "workload": ["a"],
        "grace_period": draw(st.sampled_from([0, 0.2, 30, 3600])),
        "labels": draw(st.dictionaries(words, words, max_size=3)),
        "node_selector": draw(st.dictionaries(words, words, max_size=2)),
        "env": draw(st.dictionaries(st.from_regex(r"[A-Z_]{1,12}", fullmatch=True), texts, max_size=3)),
        "secrets": draw(st.lists(words, max_size=2)),
        "queue": draw(st.sampled_from(["shared", "dedicated"])),
        "resources": draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "cpu": quantities,
                    "memory": quantities,
                    "memory_limit": st.just("4Gi"),
                    "gpu": st.integers(0, 8),
                },
            )
        ),
        "tolerations": draw(
            st.lists(st.just({"key": "gpu", "operator": "Equal", "value": "x", "effect": "NoSchedule"}), max_size=1)
        ),
    }
    for name, values in (("image", words), ("working_dir", st.just("/w")), ("namespace", words)):
        if draw(st.booleans()):
            document[name] = draw(values)
    if document["queue"] == "shared" and draw(st.booleans()):
        document["run"] = f"echo {{item}} {draw(st.sampled_from(['', '$HOME', '$(X)', '$$']))}"
    else:
        document["command"] = draw(st.lists(texts, min_size=1, max_size=3))
    return document


submissions = st.builds(
    lambda document, tail: Submission(
        id=f"kj-{tail}",
        spec=SubmissionSpec.model_validate(document),
        created_at=0.0,
        redis_host="10.0.0.1",
    ),
    documents(),
    st.from_regex(r"[0-9a-f]{7}", fullmatch=True),
)
operators = st.builds(
    ManifestSettings,
    namespace=words,
    worker_redis_url=st.sampled_from(["redis://h:1/0", "redis://:secret-of-ours@h:1/0"]),
    run_as_non_root=st.booleans(),
)


def check_metadata(manifest: dict[str, Any], id: str) -> None:
    metadata = manifest["metadata"]
    assert DNS_LABEL.match(metadata["name"])
    assert DNS_LABEL.match(metadata["namespace"])
    assert metadata["labels"]["asperathos.io/submission"] == id
    for key, value in metadata["labels"].items():
        prefix, _, name = key.rpartition("/")
        assert LABEL_NAME.match(name)
        assert not prefix or LABEL_PREFIX.match(prefix)
        assert value == "" or LABEL_NAME.match(value)


def check_pod(spec: dict[str, Any]) -> None:
    assert spec["terminationGracePeriodSeconds"] >= 0
    (container,) = spec["containers"]
    assert container["command"]
    assert container["image"]
    names = [entry["name"] for entry in container["env"]]
    assert len(set(names)) == len(names)
    assert all(ENV_NAME.match(name) for name in names)


def check_model(model: Any, manifest: dict[str, Any]) -> None:
    """The client's model takes all of it, and gives all of it back: no field is misspelt or of a wrong type."""
    loaded = model.model_validate(manifest)
    assert client.ApiClient(client.Configuration()).sanitize_for_serialization(loaded) == manifest


@settings(max_examples=30)
@given(submissions, operators, st.integers(1, 99), st.integers(0, 10_000))
def test_every_manifest_is_a_kubernetes_object(
    submission: Submission, operator: ManifestSettings, generation: int, replicas: int
) -> None:
    job = worker_job(submission, generation, replicas, operator)
    check_model(client.V1Job, job)
    check_metadata(job, submission.id)
    check_pod(job["spec"]["template"]["spec"])
    assert job["spec"]["completions"] == job["spec"]["parallelism"] >= 1
    assert "secret-of-ours" not in str(job)
    pod = queue_pod(submission, operator)
    check_model(client.V1Pod, pod)
    check_metadata(pod, submission.id)
    check_pod(pod["spec"])
    secret = redis_secret(submission, operator)
    client.V1Secret.model_validate(secret)
    check_metadata(secret, submission.id)
