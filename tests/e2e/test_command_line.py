"""The command line against a whole stack: what a user types, and what a script reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
GOOD = {
    "name": "upper",
    "run": "sh -c 'printf %s \"$ASPERATHOS_ITEM\" | tr a-z A-Z; echo working on $ASPERATHOS_ITEM >&2'",
    "workload": ["one", "two", "three"],
    "deadline": "2m",
    "control": {"interval": 1},
}


def write(path: Path, document: object) -> str:
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_the_whole_way(stack: StackProcess, tmp_path: Path) -> None:
    submitted = stack.cli("submit", write(tmp_path / "job.yaml", GOOD), "--watch")
    id = submitted.stderr.split()[0]
    assert "completed" in submitted.stdout
    assert id in stack.cli("list").stdout
    assert json.loads(stack.cli("list", "--json").stdout)[id]["state"] == "completed"
    assert "met by" in stack.cli("status", id).stdout
    results = dict(line.split("\t") for line in stack.cli("results", id).stdout.splitlines())
    assert results == {"0": "ONE", "1": "TWO", "2": "THREE"}
    assert "working on two" in stack.cli("logs", id).stdout
    assert "replica-seconds" in stack.cli("report", id).stdout
    assert json.loads(stack.cli("report", id, "--json").stdout)["deadline_met"] is True
    page = tmp_path / "report.html"
    assert stack.cli("report", id, "--format", "html", "-o", str(page)).stdout == ""
    assert "<svg" in page.read_text() and "before its deadline" in page.read_text()
    rows = list(csv.DictReader(stack.cli("report", id, "--format", "csv").stdout.splitlines()))
    assert [(row["state"], row["attempts"], row["error"]) for row in rows] == [("done", "1", "")] * 3
    assert all(float(row["service_seconds"]) > 0 and float(row["wait_seconds"]) > 0 for row in rows)
    assert id in json.loads(stack.cli("top", "--all", "-n", "1", "--json").stdout)
    assert "completed" in stack.cli("events", id).stdout
    assert stack.cli("watch", id).returncode == 0
    assert stack.cli("delete", id).returncode == 0
    assert stack.cli("status", id, check=False).returncode == 4


def test_submissions_are_compared(stack: StackProcess, tmp_path: Path) -> None:
    ids = []
    for failing in ("true", "false"):
        document = {**GOOD, "run": failing, "workload": ["x"], "retries": 0}
        submitted = stack.cli("submit", write(tmp_path / "job.yaml", document), "--watch", check=False)
        ids.append(submitted.stderr.split()[0])
    lines = {line.split("  ")[0]: line.split() for line in stack.cli("compare", *ids).stdout.splitlines()}
    assert lines["state"][1:] == ["completed", "failed"]
    assert lines["items dead"][2:] == ["0", "1"]
    told = json.loads(stack.cli("compare", *ids, "--json").stdout)["submissions"]
    assert [told[id]["items_dead"] for id in ids] == [0, 1]
    page = tmp_path / "comparison.html"
    stack.cli("compare", *ids, "--format", "html", "-o", str(page))
    assert all(id in page.read_text() for id in ids)
    assert stack.cli("compare", ids[0], "kj-0000000", check=False).returncode == 4


def test_of_one_that_runs_there_is_a_partial_report(stack: StackProcess, tmp_path: Path) -> None:
    document = {**GOOD, "run": "sleep 30", "deadline": "1h", "grace_period": 1}
    id = stack.cli("submit", write(tmp_path / "job.yaml", document)).stdout.strip()
    stack.wait_for(id, lambda now: now["state"] == "ongoing")
    refused = stack.cli("report", id, check=False)
    assert (refused.returncode, "--partial" in refused.stderr) == (4, True)
    assert "so far" in stack.cli("report", id, "--partial").stdout
    assert id in stack.cli("top", "-n", "1").stdout
    stack.cli("stop", id, "--now")


def test_a_bad_document_names_every_fault(stack: StackProcess, tmp_path: Path) -> None:
    bad = {**GOOD, "deadlin": "2m", "replicas": {"min": -1}, "retries": "many"}
    answer = stack.cli("submit", write(tmp_path / "bad.yaml", bad), check=False)
    assert answer.returncode == 4
    for word in ("deadlin", "did you mean deadline", "replicas.min", "retries"):
        assert word in answer.stderr


@pytest.mark.parametrize("content", ["[1, 2", "just text", "a: &x 1\nb: *x\n---\nc: 1"])
def test_an_unreadable_document_is_a_usage_error(stack: StackProcess, tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    answer = stack.cli("submit", str(path), check=False)
    assert answer.returncode == 2
    assert str(path) in answer.stderr


def test_a_missing_file_is_a_usage_error(stack: StackProcess, tmp_path: Path) -> None:
    assert stack.cli("submit", str(tmp_path / "none.yaml"), check=False).returncode == 2


def test_an_unknown_id_is_refused(stack: StackProcess) -> None:
    for command in ("status", "watch", "logs", "results", "report", "stop", "delete", "events"):
        answer = stack.cli(command, "kj-0000000", check=False)
        assert answer.returncode == 4, command
        assert "kj-0000000" in answer.stderr, command


def test_an_absent_manager_says_how_to_get_one(stack: StackProcess) -> None:
    answer = stack.cli("list", "--manager", "http://127.0.0.1:1", check=False)
    assert answer.returncode == 5
    assert "asperathos up" in answer.stderr


def test_stop_ends_a_running_one(stack: StackProcess, tmp_path: Path) -> None:
    document = {**GOOD, "run": "sleep 30", "deadline": "1h", "grace_period": 1}
    id = stack.cli("submit", write(tmp_path / "job.yaml", document)).stdout.strip()
    stack.wait_for(id, lambda now: now["state"] == "ongoing")
    assert stack.cli("stop", id, "--now").stdout.split() == [id, "terminated"]
    assert stack.cli("watch", id, check=False).returncode == 1


def test_a_missed_deadline_has_an_exit_code_of_its_own(stack: StackProcess, tmp_path: Path) -> None:
    document = {**GOOD, "run": "sleep 1", "deadline": "1s", "replicas": {"min": 1, "max": 1}}
    submitted = stack.cli("submit", write(tmp_path / "job.yaml", document), "--watch", check=False)
    assert submitted.returncode == 3
    assert "missed by" in submitted.stdout


def test_relative_paths_count_from_the_documents_directory(stack: StackProcess, tmp_path: Path) -> None:
    (tmp_path / "items.txt").write_text("a\nb")
    (tmp_path / "double.sh").write_text('echo "$1$1"')
    document = {**GOOD, "run": "sh double.sh {item}", "working_dir": ".", "workload": {"url": "items.txt"}}
    submitted = stack.cli("submit", write(tmp_path / "job.yaml", document), "--watch")
    id = submitted.stderr.split()[0]
    assert sorted(result["result"] for result in stack.results(id)) == ["aa", "bb"]


def test_nodes_are_listed(stack: StackProcess) -> None:
    assert json.loads(stack.cli("nodes", "--json").stdout)["nodes"]
    assert "cpu" in stack.cli("nodes").stdout


def test_the_cluster_is_checked(stack: StackProcess) -> None:
    answer = stack.cli("cluster", "check")
    assert answer.stdout.splitlines()[-1] == "nothing is missing"
    report = json.loads(stack.cli("cluster", "check", "--json").stdout)
    assert report["ok"] is True
    assert {finding["service"] for finding in report["findings"]} == {"manager", "controller", "monitor", "pods"}
