"""``run:`` in an image that has nothing of ours: a Python 3.8 that finds the runner's archive in its config map."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from common.adapters.kubernetes_api import ApiSettings, KubernetesApi
from common.clock import SystemClock
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
ARCHIVE = Path(sys.prefix) / "share" / "asperathos" / "runner.pyz"
OLDEST = sorted((Path.home() / ".pyenv" / "versions").glob("3.8.*/bin/python3"))


def config_maps(stack: StackProcess) -> list[str]:
    """Names of the cluster's config maps that are ours."""
    api = KubernetesApi(ApiSettings(kubeconfig=str(stack.addresses["kubeconfig"])), SystemClock())
    query = [("labelSelector", "asperathos.io/submission")]
    listed = api.call("GET", "/api/v1/namespaces/default/configmaps", query).json()
    return [item["metadata"]["name"] for item in listed["items"]]


def test_an_unmodified_python_3_8_runs_it(stack: StackProcess) -> None:
    if not ARCHIVE.is_file():
        pytest.skip(f"{ARCHIVE} is not there: make runner builds it")
    if not OLDEST:
        pytest.skip("no Python 3.8 under ~/.pyenv/versions: the runner's oldest Python is not tried end to end")
    id = stack.submit(
        {
            "run": 'sh -c \'python3 -V; tr "\\0" " " < /proc/$PPID/cmdline; echo; cat\'',
            "workload": ["one", "two"],
            "env": {"PATH": f"{OLDEST[-1].parent}:/usr/bin:/bin"},
        }
    )
    stack.wait_for(id, lambda now: now["state"] == "ongoing")
    assert f"{id}-runner" in config_maps(stack)
    assert stack.wait(id)["state"] == "completed"
    said = [result["result"].splitlines() for result in stack.results(id)]
    assert {lines[0].rsplit(".", 1)[0] for lines in said} == {"Python 3.8"}
    assert all("runner.pyz" in lines[1] for lines in said)
    assert sorted(lines[2] for lines in said) == ["one", "two"]
    stack.wait_for(id, lambda _: f"{id}-runner" not in config_maps(stack))
