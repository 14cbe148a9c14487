"""The example distribution, installed as a user would, is found and works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugin"

PROBE = """
import json, sys
import yaml
from common.domain.parsing import parse_native
from common.domain.progress import Counts, Observation
from common.plugins import list_plugins
from controller.laws import Situation
from controller.lawbook import read_laws
from monitor.monitors import ProgressReading, faults_in, progress_of
from monitor.plugins import installed

spec = parse_native(yaml.safe_load(open(sys.argv[1])))
laws = read_laws()
settings = laws.settings(spec.law, spec.control.settings)
def at(hour):
    seen = Observation(submission="kj-0000001", at=hour * 3600.0, elapsed=1.0, counts=Counts(total=4, ready=4))
    return laws.law(spec.law).decide(Situation(seen, spec.kind, 1, 4, 1, 5.0), settings, {}).wanted
reading = ProgressReading(Counts(total=4, ready=4), 1.0, None, {"loss": {"a": 0.5, "b": 0.2}}, 0.0)
print(json.dumps({
    "wanted": [at(3), at(12), at(21)],
    "faults": [str(fault) for fault in faults_in(installed(), spec.monitoring.plugin, spec.monitoring.settings)],
    "progress": progress_of(spec.monitoring.plugin, installed(), spec.monitoring.settings, reading),
    "plugins": [[i.component, i.name, i.version, i.builtin] for i in list_plugins() if "example" in i.distribution],
}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the example installed, built from a copy so that nothing is left in the source tree."""
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(EXAMPLE, source)
    target = tmp_path_factory.mktemp("site")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, *install, "--target", str(target), str(source)],
        check=True,
        timeout=120,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"},
    )
    return target


def test_the_example_is_found_and_works(site: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, str(EXAMPLE / "submission.yaml")],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"},
    )
    found = json.loads(answer.stdout)
    # The clock of the submission is an hour ahead of UTC, its office hours are 8 to 18.
    assert found["wanted"] == [4, 1, 4]
    assert found["faults"] == []
    share, problem = found["progress"]
    # The worker furthest behind has a loss of 0.5: log(2.3 / 0.5) / log(2.3 / 0.1).
    assert share == pytest.approx(0.4867, abs=1e-3)
    assert problem == ""
    assert sorted(found["plugins"]) == [
        ["law", "night-shift", "0.1.0", False],
        ["monitor", "convergence", "0.1.0", False],
    ]


def test_the_readme_names_what_is_there() -> None:
    readme = (EXAMPLE / "README.md").read_text()
    document = yaml.safe_load((EXAMPLE / "submission.yaml").read_text())
    assert document["control"]["law"] in readme
    assert document["monitoring"]["plugin"] in readme
