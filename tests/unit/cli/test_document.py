"""Submission files as they are sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.document import BadDocument, encode, load_document, resolve_paths

ORIGIN = Path("/jobs/here")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"workload": "items.txt"}, {"workload": "file:///jobs/here/items.txt"}),
        ({"workload": {"url": "../items.txt"}}, {"workload": {"url": "file:///jobs/items.txt"}}),
        ({"workload": {"url": "s3://b/k"}}, {"workload": {"url": "s3://b/k"}}),
        ({"workload": {"glob": "*.csv"}}, {"workload": {"glob": "/jobs/here/*.csv"}}),
        ({"workload": {"glob": "/data/*.csv"}}, {"workload": {"glob": "/data/*.csv"}}),
        ({"workload": ["a"]}, {"workload": ["a"]}),
        ({"working_dir": "."}, {"working_dir": "/jobs/here"}),
        ({"working_dir": 7, "workload": 8}, {"working_dir": 7, "workload": 8}),
    ],
)
def test_relative_paths_count_from_the_file(given: dict[str, object], wanted: dict[str, object]) -> None:
    assert resolve_paths(given, ORIGIN) == wanted


def test_the_originals_payload_is_left_alone(tmp_path: Path) -> None:
    text = '{"plugin": "kubejobs", "plugin_info": {"redis_workload": "x"}, "workload": "y"}'
    assert load_document(text, tmp_path)["workload"] == "y"


@pytest.mark.parametrize("text", ["", "- a", "7", "a: [", "\x00"])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(BadDocument):
        load_document(text, None)


@pytest.mark.parametrize("value", ["2020-01-01", ".nan"])
def test_what_json_cannot_say_is_refused(value: str) -> None:
    with pytest.raises(BadDocument, match="quotes"):
        encode(load_document(f"a: {value}", None))
