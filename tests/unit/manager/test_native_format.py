"""docs/native-format.md and the model say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from common.domain.parsing import parse_native
from common.domain.pods import EmptyDir, KeyReference, Resources, Toleration, Volume
from common.domain.readings import Prices, Query
from common.domain.submission import (
    Control,
    Dashboard,
    Monitoring,
    ReplicaBounds,
    Submission,
    SubmissionSpec,
    Target,
    Workload,
)
from manager.manifests import ManifestSettings, worker_job
from tests.support.kubernetes_models import check_object

DOCUMENT = (Path(__file__).parents[3] / "docs" / "native-format.md").read_text()
ROW = re.compile(r"^\| `([a-z_.]+)` \| (.+?) \| (.+?) \| (.+?) \| `(.+?)` \|$", re.MULTILINE)
ROWS = {match[1]: match.groups()[1:] for match in ROW.finditer(DOCUMENT)}
PARTS: dict[str, type[BaseModel]] = {
    "": SubmissionSpec,
    "workload.": Workload,
    "target.": Target,
    "replicas.": ReplicaBounds,
    "control.": Control,
    "monitoring.": Monitoring,
    "monitoring.prices.": Prices,
    "monitoring.queries.": Query,
    "resources.": Resources,
    "tolerations.": Toleration,
    "env.": KeyReference,
    "volumes.": Volume,
    "volumes.empty_dir.": EmptyDir,
    "dashboard.": Dashboard,
}
FIELDS = {prefix + name: field for prefix, model in PARTS.items() for name, field in model.model_fields.items()}
ID = "kj-1234567"
BASE: dict[str, Any] = {"run": "x", "workload": ["a"]}
COMPANIONS: dict[str, dict[str, Any]] = {
    "command": {"run": None},
    "target": {"deadline": None},
    "workload.options": {"workload": {"source": "my-database"}},
    "args": {"run": None},
    "tolerations.value": {"tolerations": {"key": "gpu"}},
    "tolerations.effect": {"tolerations": {"key": "gpu"}},
    "tolerations.seconds": {"tolerations": {"key": "gpu", "effect": "NoExecute"}},
    "volumes.path": {"volumes": {"claim": "c"}},
    "volumes.sub_path": {"volumes": {"claim": "c"}},
    "volumes.read_only": {"volumes": {"claim": "c"}},
    "volumes.optional": {"volumes": {"secret": "s"}},
    "env.key": {"env": {"secret": "s"}},
    "env.optional": {"env": {"secret": "s"}},
    "target.percentile": {"target": {"latency": 5}},
}


def check_job(spec: SubmissionSpec) -> None:
    """It makes a Job of Kubernetes' own form."""
    check_object(client.V1Job, worker_job(Submission(id=ID, spec=spec, created_at=0.0), 1, 1, ManifestSettings()))


def test_every_field_is_documented_and_no_other() -> None:
    assert ROWS.keys() == FIELDS.keys()


def told(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return {None: "none", (): "empty"}.get(value, str(value)) if value != {} else "empty"


@pytest.mark.parametrize("path", FIELDS)
def test_defaults_and_meanings_are_the_models(path: str) -> None:
    _, default, meaning, _ = ROWS[path]
    assert (default, meaning) == (told(FIELDS[path]), FIELDS[path].description)


@pytest.mark.parametrize("path", FIELDS)
def test_examples_are_right(path: str) -> None:
    holder, _, name = path.rpartition(".")
    document = json.loads(json.dumps({**BASE, **COMPANIONS.get(path, {})}))
    value = yaml.safe_load(ROWS[path][3])
    if holder == "":
        document[name] = value
    elif holder == "env":
        document["env"] = {"NAME": {"key": "k", **document.get("env", {}), name: value}}
    elif holder == "volumes":
        document["volumes"] = [{"path": "/p", **document.get("volumes", {}), name: value}]
    elif holder == "monitoring.prices":
        document["monitoring"] = {"prices": {name: value}}
    elif holder == "monitoring.queries":
        document["monitoring"] = {"queries": {"lag": {"url": "http://p", "query": "q", name: value}}}
    elif holder == "volumes.empty_dir":
        document["volumes"] = [{"path": "/p", "empty_dir": {name: value}}]
    elif holder == "tolerations":
        document["tolerations"] = [{"operator": "Equal", "key": "k", **document.get("tolerations", {}), name: value}]
        if name == "operator":
            del document["tolerations"][0]["key"]
    else:
        inner = document.get(holder)
        document[holder] = {**(inner if isinstance(inner, dict) else {}), name: value}
    check_job(parse_native(document))


BLOCKS = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_documents_in_the_text_are_right(block: str) -> None:
    spec = parse_native(yaml.safe_load(block))
    assert spec.name != "job"
    check_job(spec)
