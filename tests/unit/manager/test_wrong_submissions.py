"""Wrong documents, each with the fields that the answer must name. Nothing may be created by any of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.manager_door import NATIVE, Door, payload

JSON = "application/json"
YAML = "application/yaml"
BIG = 10**400


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
BATCH = "batch.kubernetes.io"


def nodes(terms: list[Any]) -> dict[str, Any]:
    """An affinity that asks for these nodes."""
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}


def native(*fields: str, **change: Any) -> Any:
    """NATIVE with changed fields (... removes one), and the faulty fields."""
    document = {name: value for name, value in {**NATIVE, **change}.items() if value is not ...}
    return pytest.param(document, fields, id=f"native {json.dumps(change, default=str)[:70]}")


NATIVES = [
    native("run", run=...),
    native("run", run=5),
    native("run", run=""),
    native("run", run="a\0b"),
    native("run", run="a\x07b"),
    native("run", run="x" * 5000),
    native("run", run=["a"]),
    native("run", run="sort '{item}"),
    native("run", run="echo {thing}"),
    native("run", command=["x"]),
    native("command", run=..., command=[]),
    native("command", run=..., command="x"),
    native("command", run=..., command=[" "]),
    native("command.1", run=..., command=["x", 5]),
    native("command", run=..., command=["x", *["y" * 100_000] * 3]),
    native("command.0", run=..., command=["x" * 200_000]),
    native("workload", workload=...),
    native("workload", workload=None),
    native("workload", workload=5),
    native("workload", workload={}),
    native("workload", workload={"items": ["a"], "glob": "*"}),
    native("workload.items.1", workload=["a", 5]),
    native("workload.items.0", workload=[None]),
    native("workload.items", workload={"items": "abc"}),
    native("workload.0", workload=["a\0"]),
    native("workload.0", workload=["\ud800"]),
    native("workload.items", workload=["a", "x" * 1001]),
    native("workload.url", workload="not a url"),
    native("workload.url", workload="http://"),
    native("workload.url", workload="http://127.0.0.1:1/x"),
    native("workload.url", workload="http://exa mple/x"),
    native("workload.url", workload="http://[/x"),
    native("workload.url", workload="gopher://127.0.0.1/x"),
    native("workload.url", workload="file:///no/such/file"),
    native("workload.url", workload={"url": 5}),
    native("workload.source", workload={"source": "nothing-by-this-name"}),
    native("workload.options", workload={"items": ["a"], "options": {"x": 1}}),
    native("workload.itmes", workload={"itmes": ["a"]}),
    native("name", name=""),
    native("name", name="Has Capitals"),
    native("name", name="x" * 41),
    native("name", name="-x"),
    native("name", name="x\n"),
    native("name", name="../../etc"),
    native("name", name=None),
    native("name", name=7),
    native("name", name={"a": 1}),
    native("image", image=""),
    native("image", image="a b"),
    native("image", image=["a"]),
    native("working_dir", working_dir="\x00"),
    native("deadline", deadline=0),
    native("deadline", deadline=-1),
    native("deadline", deadline="soon"),
    native("deadline", deadline="1h 30x"),
    native("deadline", deadline=True),
    native("deadline", deadline=BIG),
    native("deadline", deadline="1e999"),
    native("deadline", deadline="nan"),
    native("deadline", deadline="٣m"),
    native("deadline", deadline=1e12),
    native("deadline", deadline=[10]),
    native("deadline", target={"latency": 5}),
    native("target.latency", deadline=..., target={}),
    native("target.percentile", deadline=..., target={"latency": 5, "percentile": 100}),
    native("target.percentile", deadline=..., target={"latency": 5, "percentile": "95"}),
    native("target", deadline=..., target=5),
    native("replicas", replicas=3),
    native("replicas", replicas=[1, 2]),
    native("replicas.min", replicas={"min": -1}),
    native("replicas.min", replicas={"min": "1"}),
    native("replicas.min", replicas={"min": 1.5}),
    native("replicas.min", replicas={"min": True}),
    native("replicas.min", replicas={"min": 4, "max": 3}),
    native("replicas.max", replicas={"max": 0}),
    native("replicas.max", replicas={"max": 10_001}),
    native("replicas.max", replicas={"max": BIG}),
    native("replicas.max", replicas={"max": None}),
    native("replicas.initial", replicas={"max": 3, "initial": 4}),
    native("replicas.maximum", replicas={"maximum": 3}),
    native("control.interval", control={"interval": 0}),
    native("control.interval", control={"interval": 0.01}),
    native("control.law", control={"law": ""}),
    native("control.settings", control={"settings": [1]}),
    native("control.settings.gain", control={"settings": {"gain": BIG}}),
    native("control.max_step_up", control={"max_step_up": 0}),
    native("control.cooldown_down", control={"cooldown_down": -5}),
    native("control.lw", control={"lw": "pid"}),
    native("monitoring.plugin", monitoring={"plugin": "no-such-monitor"}),
    native("monitoring.interval", monitoring={"interval": "never"}),
    native("dashboard.plugin", dashboard={"plugin": "no-such-visualizer"}),
    native("dashboard", dashboard="yes"),
    native("dashboard.theme", dashboard={"theme": "pink"}),
    native("resources.cpu", resources={"cpu": "lots"}),
    native("resources.cpu", resources={"cpu": 0}),
    native("resources.cpu", resources={"cpu": "9" * 500}),
    native("resources.cpu", resources={"cpu": "2", "cpu_limit": "1"}),
    native("resources.memory", resources={"memory": "1GB"}),
    native("resources.memory", resources={"memory": "2Gi", "memory_limit": "1G"}),
    native("resources.gpu", resources={"gpu": -1}),
    native("resources.gpu", resources={"gpu": True}),
    native("queue", queue="mine"),
    native("queue", queue="dedicated"),
    native("retries", retries=-1),
    native("retries", retries="3"),
    native("retries", retries=1001),
    native("lease", lease=0.5),
    native("lease", lease="∞"),
    native("item_timeout", item_timeout=0),
    native("env", env=["A=1"]),
    native("env.A B", env={"A B": "1"}),
    native("env.ASPERATHOS_RUN", env={"ASPERATHOS_RUN": "x"}),
    native("env.A", env={"A": None}),
    native("env.A", env={"A": True}),
    native("env.A.b", "env.A.key", env={"A": {"b": 1}}),
    native("env.A", env={"A": {"key": "k"}}),
    native("env.A", env={"A": {"secret": "s", "config_map": "c", "key": "k"}}),
    native("env.A.secret", "env.A.key", env={"A": {"secret": "S", "key": "a b"}}),
    native("env.A.optional", env={"A": {"secret": "s", "key": "k", "optional": "yes"}}),
    native("args.0", args=[5]),
    native("run", args=["x"]),
    native("image_pull_policy", image_pull_policy="Sometimes"),
    native("service_account", service_account="A B"),
    native("user", user="bob"),
    native("user", user=-1),
    native("user", user=2**31),
    native("user", user=True),
    native("volumes", volumes={"path": "/a"}),
    native("volumes.0", volumes=[{"path": "/a"}]),
    native("volumes.0", volumes=[{"path": "/a", "claim": "c", "secret": "s"}]),
    native("volumes.0.path", volumes=[{"path": "a", "claim": "c"}]),
    native("volumes.0.path", volumes=[{"path": "/", "claim": "c"}]),
    native("volumes.0.path", volumes=[{"path": "/a:b", "claim": "c"}]),
    native("volumes.0.path", volumes=[{"path": "/a/../b", "claim": "c"}]),
    native("volumes.0.sub_path", volumes=[{"path": "/a", "claim": "c", "sub_path": "../b"}]),
    native("volumes.0.optional", volumes=[{"path": "/a", "claim": "c", "optional": True}]),
    native("volumes.0.empty_dir.size", volumes=[{"path": "/a", "empty_dir": {"size": "big"}}]),
    native("volumes.0.host_path", volumes=[{"path": "/a", "host_path": "/etc"}]),
    native("volumes.1.clame", volumes=[{"path": "/a", "claim": "c"}, {"path": "/b", "clame": "c"}]),
    native("volumes", volumes=[{"path": "/a", "claim": "c"}, {"path": "/a/", "secret": "s"}]),
    native("volumes", volumes=[{"path": f"/{n}", "claim": "c"} for n in range(65)]),
    native("affinity.nodeAfinity", affinity={"nodeAfinity": {}}),
    native(f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms", affinity=nodes([])),
    native(
        f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms.0.matchExpressions.0.values",
        affinity=nodes([{"matchExpressions": [{"key": "a", "operator": "In"}]}]),
    ),
    native(
        f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms.0.matchExpressions.0.values",
        affinity=nodes([{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["x"]}]}]),
    ),
    native(
        f"affinity.podAffinity.{REQUIRED}.0.topologyKey",
        f"affinity.podAffinity.{REQUIRED}.0.labelSelector.matchLabels.a b",
        affinity={"podAffinity": {REQUIRED: [{"labelSelector": {"matchLabels": {"a b": "c"}}}]}},
    ),
    native("annotations.a b", annotations={"a b": "c"}),
    native("annotations.a", annotations={"a": "\x1b[31m"}),
    native("annotations.a", annotations={"a": 5}),
    native("annotations.batch.kubernetes.io/job-completion-index", annotations={f"{BATCH}/job-completion-index": "7"}),
    native("annotations", annotations={"a": "x" * 200_000}),
    native("tolerations.0.key", tolerations=[{"key": "a b", "operator": "Exists"}]),
    native("tolerations.0.value", tolerations=[{"key": "a", "value": "b c"}]),
    native("tolerations.0.seconds", tolerations=[{"operator": "Exists", "seconds": 5}]),
    native("resources.gpu_vendor", resources={"gpu": 1, "gpu_vendor": "acme"}),
    native("env.A", env={"A": "\x1b[31m"}),
    native("env", env={"A": "x" * 300_000}),
    native("secrets.0", secrets=["Not A Name"]),
    native("secrets", secrets="name"),
    native("node_selector.a/b/c", node_selector={"a/b/c": "x"}),
    native("node_selector.zone", node_selector={"zone": 5}),
    native("tolerations", tolerations={"key": "x"}),
    native("tolerations.0.key", tolerations=[{"operator": "Equal"}]),
    native("tolerations.0.effect", tolerations=[{"key": "x", "effect": "Never"}]),
    native("tolerations.0.kee", tolerations=[{"key": "x", "kee": "x"}]),
    native("namespace", namespace="Default"),
    native("namespace", namespace="a" * 64),
    native("priority", priority="urgent"),
    native("grace_period", grace_period=4000),
    native("job_lifetime", job_lifetime=-1),
    native("keep", keep="for ever"),
    native("labels.a b", labels={"a b": "c"}),
    native("labels.a", labels={"a": "x" * 64}),
    native("labels.asperathos.io/submission", labels={"asperathos.io/submission": "x"}),
    native("unknown", unknown=1),
    native("comand", comand=["x"]),
    native("a.b", **{"a.b": 1}),
    native("x" * 80 + "...", **{"x" * 10_000: 1}),
    native("name", "deadline", "replicas.max", "retries", name=5, deadline="x", replicas={"max": -1}, retries=None),
    native("nest", nest=json.loads("[" * 30 + "]" * 30)),
]

INFO = "plugin_info"
CONTROL = "plugin_info.control_parameters"


def compatible(*fields: str, top: dict[str, Any] | None = None, control: Any = None, **info: Any) -> Any:
    """The original's first payload with changed fields, and the faulty fields."""
    document = payload(1, "http://127.0.0.1:1/x")
    document["plugin_info"].update(info)
    if isinstance(control, dict):
        document["plugin_info"]["control_parameters"].update(control)
    for name in [name for name, value in document["plugin_info"].items() if value is ...]:
        del document["plugin_info"][name]
    document.update({name: value for name, value in (top or {}).items() if value is not ...})
    if (top or {}).get("plugin") is ...:
        del document["plugin"]
    return pytest.param(document, fields, id=f"compatible {json.dumps([top, control, info], default=str)[:70]}")


COMPATIBLES = [
    compatible(f"{INFO}.redis_workload"),
    compatible("plugin", top={"plugin": ...}),
    compatible("plugin", top={"plugin": "spark"}),
    compatible("plugin", top={"plugin": ["kubejobs"]}),
    compatible(INFO, top={"plugin_info": []}),
    compatible(INFO, top={"plugin_info": "x"}),
    compatible(f"{INFO}.cmd", cmd=...),
    compatible(f"{INFO}.cmd", cmd="bash"),
    compatible(f"{INFO}.cmd", cmd=[]),
    compatible(f"{INFO}.cmd.0", cmd=[5]),
    compatible(f"{INFO}.img", img=...),
    compatible(f"{INFO}.img", img=5),
    compatible(f"{INFO}.img", img=""),
    compatible(f"{INFO}.init_size", init_size=...),
    compatible(f"{INFO}.init_size", init_size=0),
    compatible(f"{INFO}.init_size", init_size=-3),
    compatible(f"{INFO}.init_size", init_size="1"),
    compatible(f"{INFO}.init_size", init_size=BIG),
    compatible(f"{INFO}.init_size", init_size=50),
    compatible(f"{INFO}.redis_workload", redis_workload=...),
    compatible(f"{INFO}.redis_workload", redis_workload="x"),
    compatible(f"{INFO}.redis_workload", redis_workload=["http://x/y"]),
    compatible(f"{INFO}.env_vars", env_vars="A=1"),
    compatible(f"{INFO}.env_vars.A B", env_vars={"A B": "1"}),
    compatible(f"{INFO}.env_vars.A", env_vars={"A": []}),
    compatible(f"{INFO}.control_parameters", control_parameters=[]),
    compatible(f"{CONTROL}.min_rep", f"{CONTROL}.max_rep", control_parameters=...),
    compatible(f"{CONTROL}.min_rep", control={"min_rep": 0}),
    compatible(f"{CONTROL}.min_rep", control={"min_rep": 4}),
    compatible(f"{CONTROL}.min_rep", control={"min_rep": None}),
    compatible(f"{CONTROL}.max_rep", control={"max_rep": "3"}),
    compatible(f"{CONTROL}.max_rep", control={"max_rep": 1e9}),
    compatible(f"{CONTROL}.check_interval", control={"check_interval": 0}),
    compatible(f"{CONTROL}.check_interval", control={"check_interval": "often"}),
    compatible(f"{CONTROL}.schedule_strategy", control={"schedule_strategy": "magic"}),
    compatible(f"{CONTROL}.schedule_strategy", control={"schedule_strategy": 5}),
    compatible(f"{CONTROL}.actuator", control={"actuator": "hammer"}),
    compatible(f"{CONTROL}.metric_source", control={"metric_source": {}}),
    compatible(f"{CONTROL}.heuristic_options", control={"heuristic_options": 5}),
    compatible(f"{CONTROL}.heuristic_options.integral_gain", control={"schedule_strategy": "pid"}),
    compatible(f"{INFO}.control_plugin", control_plugin="openstack"),
    compatible(
        f"{INFO}.monitor_info.cluster_info_url", f"{INFO}.monitor_info.desired_cost", monitor_plugin="kubejobs_cost"
    ),
    compatible(
        f"{INFO}.monitor_info.cluster_info_url",
        monitor_plugin="kubejobs_cost",
        monitor_info={"cluster_info_url": "ftp://prices", "desired_cost": 1.5},
    ),
    compatible(f"{INFO}.monitor_plugin", monitor_plugin=5),
    compatible(f"{INFO}.monitor_info", monitor_info=5),
    compatible(f"{INFO}.monitor_info.expected_time", monitor_info={}),
    compatible(f"{INFO}.monitor_info.expected_time", monitor_info={"expected_time": 0}),
    compatible(f"{INFO}.monitor_info.expected_time", monitor_info={"expected_time": "later"}),
    compatible(f"{INFO}.monitor_info.expected_time", monitor_info={"expected_time": BIG}),
    compatible(f"{INFO}.enable_visualizer", enable_visualizer="true"),
    compatible(f"{INFO}.visualizer_info", visualizer_info=[]),
    compatible(f"{INFO}.visualizer_plugin", visualizer_plugin="oscilloscope"),
    compatible(f"{INFO}.job_resources_lifetime", job_resources_lifetime=-1),
    compatible(f"{INFO}.termination_grace_period_seconds", termination_grace_period_seconds="x"),
    compatible(f"{INFO}.k8s_resources_control", k8s_resources_control="big"),
    compatible(f"{INFO}.k8s_resources_control.limits.cpu", k8s_resources_control={"limits": {"cpu": "x"}}),
    compatible(
        f"{INFO}.k8s_resources_control.limits.nvidia.com/gpu", k8s_resources_control={"limits": {"nvidia.com/gpu": "x"}}
    ),
    compatible(f"{INFO}.selectors", selectors={"a": "b"}),
    compatible(f"{INFO}.selectors.0", selectors=["a"]),
    compatible(f"{INFO}.selectors.disk", selectors=[{"key": "disk", "value": 5}]),
    compatible(f"{INFO}.secrets.0", secrets=["NOT A NAME"]),
    compatible(
        f"{INFO}.k8s_resources_control.limits.amd.com/gpu",
        k8s_resources_control={"limits": {"nvidia.com/gpu": 1, "amd.com/gpu": 1}},
    ),
    compatible(f"{INFO}.config_id", config_id=[]),
]

BODIES = [
    pytest.param(b"", JSON, 400, "body", id="empty"),
    pytest.param(b"{", JSON, 400, "body", id="cut short"),
    pytest.param(b"{'run': 1}", JSON, 400, "body", id="not JSON"),
    pytest.param(b'{"deadline": NaN}', JSON, 400, "body", id="NaN"),
    pytest.param(b'{"deadline": Infinity}', JSON, 400, "body", id="Infinity"),
    pytest.param(b'{"deadline": ' + b"9" * 10_000 + b"}", JSON, 400, "body", id="a number of 10,000 digits"),
    pytest.param(b"\xff\xfe", JSON, 400, "body", id="not UTF-8"),
    pytest.param(b"[" * 100_000, JSON, 400, "body", id="deep"),
    pytest.param(b"[]", JSON, 400, "body", id="a list"),
    pytest.param(b'"x"', JSON, 400, "body", id="a text"),
    pytest.param(b"null", JSON, 400, "body", id="null"),
    pytest.param(b"5", JSON, 400, "body", id="a number"),
    pytest.param(b"a: [", YAML, 400, "body", id="not YAML"),
    pytest.param(b"a: &x [1]\nb: *x", YAML, 400, "body", id="YAML aliases"),
    pytest.param(b"a: !!python/object/apply:os.system [true]", YAML, 400, "body", id="YAML objects"),
    pytest.param(b"run: x\nworkload: [a]\n1: 2", YAML, 400, "1", id="a key that is no text"),
    pytest.param(b"run: x\nworkload: !!timestamp 2024-01-01", YAML, 400, "workload", id="a date"),
    pytest.param(b"run: x\nworkload: [a]\nenv: {A: !!binary aGk=}", YAML, 400, "env.A", id="bytes"),
    pytest.param(b"run: x\nworkload: !!set {a, b}", YAML, 400, "workload", id="a set"),
    pytest.param(b"run: x", "text/plain", 415, "Content-Type", id="text/plain"),
    pytest.param(b"run=x", "application/x-www-form-urlencoded", 415, "Content-Type", id="a form"),
    pytest.param(b"{}", "", 415, "Content-Type", id="no content type"),
    pytest.param(b" " * (1 << 20) + b"  ", JSON, 413, None, id="too large"),
]


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    assert made.is_untouched()
    assert made.client.get("/submissions").json == {}


def named(answer: Any) -> list[str]:
    body = answer.get_json()
    assert body["error_code"] == answer.status_code
    assert body["error_message"]
    return [fault["field"] for fault in body["details"]]


@pytest.mark.parametrize(("document", "fields"), NATIVES + COMPATIBLES)
def test_a_wrong_document_is_refused_by_name(door: Door, document: Any, fields: tuple[str, ...]) -> None:
    answer = door.client.post("/submissions", data=json.dumps(document), content_type=JSON)
    assert answer.status_code == 400, answer.text
    assert set(fields) <= set(named(answer)), answer.text


@pytest.mark.parametrize(("body", "kind", "code", "field"), BODIES)
def test_a_wrong_body_is_refused(door: Door, body: bytes, kind: str, code: int, field: str | None) -> None:
    answer = door.client.post("/submissions", data=body, content_type=kind)
    assert answer.status_code == code, answer.text
    assert [field] == named(answer) if field else named(answer) == []


def test_there_are_more_than_a_hundred() -> None:
    assert len(NATIVES) + len(COMPATIBLES) + len(BODIES) > 200
