"""What the pages show is there: documents are accepted, commands and options exist, links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.__main__ import main
from cli.commands.simulating import simulate
from common.domain.parsing import parse_native
from common.domain.submission import Submission, SubmissionSpec, Workload
from manager.forecasting import forecast
from manager.translate import translate
from simulator.command import simulate_command

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"<<'(\w+)'[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
ANSWERS = {"docs/clusters.md", "docs/steering.md"}
"""Pages whose JSON is what a service answers; tests of the service hold it."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            if match[1] in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(str(page.relative_to(ROOT)), line, match[1], match[2]))
    return found


def documents() -> list[tuple[Block, Any]]:
    """YAML and JSON on the pages, those inside of shell scripts included."""
    found = [(block, yaml.safe_load(block.text)) for block in blocks("yaml", "json")]
    for block in blocks("sh", "console"):
        found += [(block, yaml.safe_load(match[2])) for match in HEREDOC.finditer(block.text)]
    return found


def test_pages_show_documents() -> None:
    assert len(documents()) >= 5


@pytest.mark.parametrize(("block", "document"), documents(), ids=str)
def test_a_document_is_what_it_is_shown_for(block: Block, document: Any) -> None:
    assert isinstance(document, dict)
    if "plugin" in document:
        translate(document)
    elif "run" in document or "command" in document:
        parse_native(document)
    elif "cluster_name" in document:
        assert yaml.safe_load(document["cluster_config"])["kind"] == "Config"
    else:
        assert "certificate_name" in document or block.page in ANSWERS, "what is it? No test knows"


def test_a_forecast_is_shown_as_it_is_told() -> None:
    (shown,) = (
        document for block, document in documents() if block.page == "docs/steering.md" and "finish" in document
    )
    spec = SubmissionSpec(run="true", workload=Workload(items=["a"]), deadline=60.0)
    told = forecast(Submission(id="kj-1", spec=spec, created_at=0.0), None, None, 1.0)
    assert set(shown) <= set(told)
    assert set(shown["replicas"]) <= set(told["replicas"])


def test_a_requests_body_is_json() -> None:
    bodies = [
        match[1] for block in blocks("sh", "console") for match in re.finditer(r"(?<!tr )-d '([^']*)'", block.text)
    ]
    assert len(bodies) >= 8
    for body in bodies:
        document = json.loads(body)
        if isinstance(document, dict) and "run" in document:
            parse_native(document)


def command_lines() -> Iterator[tuple[Block, list[str]]]:
    """What is typed: lines of scripts, and those after a prompt."""
    for block in blocks("sh", "console"):
        text = HEREDOC.sub("", re.sub(r"\\\n", " ", block.text))
        for line in text.splitlines():
            if block.language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]
            for part in re.split(r"\s*(?:&&|\|\||\||;)\s*", line):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:
                    # A quoted text that holds one of the separators.
                    continue
                while words and re.match(r"[A-Z_]+=", words[0]):
                    words = words[1:]
                if words:
                    yield block, words


def typed(program: str) -> list[tuple[Block, list[str]]]:
    inline = [
        (Block(str(page.relative_to(ROOT)), 0, "", ""), shlex.split(match[1]))
        for page in PAGES
        for match in re.finditer(rf"`({program} [a-z][^`|…]*)`", page.read_text())
    ]
    return [(block, words) for block, words in [*command_lines(), *inline] if words[0] == program]


@pytest.mark.parametrize(("block", "words"), typed("asperathos"), ids=str)
def test_a_command_of_ours_is_there_with_its_options(block: Block, words: list[str]) -> None:
    command: click.Command = main
    rest = [word for word in words[1:] if word not in ("&", "...")]
    while isinstance(command, click.Group) and rest:
        found = command.commands.get(rest[0])
        assert found is not None, f"{block}: no command {rest[0]}"
        # The command line hands on all that follows: the simulator knows its options.
        command, rest = simulate_command if found is simulate else found, rest[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in {*options, "--help"}]
    assert unknown == [], f"{block}: {command.name} has no such option"


def test_a_target_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for _, words in typed("make") for word in words[1:] if "=" not in word}
    assert named - targets == set()
    assert {"demo", "test", "test-cluster"} <= named


def test_a_module_that_is_run_is_there() -> None:
    named = {words[2] for _, words in [*typed("python"), *typed("python3")] if words[1:2] == ["-m"] and len(words) > 2}
    assert {name for name in named if find_spec(name) is None} == set()
    assert "localcluster" in named


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        text = FENCE.sub("", page.read_text())
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:|#", target) and not (page.parent / target.partition("#")[0]).exists():
                broken.append((page.name, target))
    assert broken == []
