"""Commands that only ask: list, status, logs, results, events, nodes."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.table import Table

from cli.arguments import submission_id
from cli.client import ManagerClient
from cli.context import Output, manager_command
from cli.render import TERMINAL_STATES, bar, deadline_text, duration, moment, percent, printable, state_text


@click.command("list")
@click.option("--state", help="Only submissions in this state.")
@manager_command
def list_submissions(client: ManagerClient, output: Output, state: str | None) -> None:
    """List the submissions, oldest first."""
    submissions = client.submissions(state)
    if output.as_json:
        output.document(submissions)
        return
    if not submissions:
        output.note("no submissions" + (f" in state {state}" if state else ""))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "name", "state", "progress", "items", "replicas", "deadline"):
        table.add_column(heading, justify="right" if heading in ("items", "replicas") else "left")
    for id, status in submissions.items():
        counts, replicas = status.get("counts") or {}, status.get("replicas") or {}
        table.add_row(
            id,
            printable(status.get("name", "")),
            state_text(str(status.get("state", ""))),
            f"{bar(status.get('progress') or 0.0, 10)} {percent(status.get('progress'))}",
            str(counts.get("total") if counts.get("total") is not None else counts.get("done", 0)),
            str(replicas.get("observed", 0)),
            deadline_text(status),
        )
    output.console.print(table)


@click.command()
@submission_id
@manager_command
def status(client: ManagerClient, output: Output, id: str) -> None:
    """Show where submission ID stands."""
    answer = client.status(id)
    if output.as_json:
        output.document(answer)
        return
    _print_pairs(output, _status_pairs(answer))


def _status_pairs(answer: dict[str, Any]) -> list[tuple[str, str]]:
    counts, replicas = answer.get("counts") or {}, answer.get("replicas") or {}
    places = "  ".join(
        f"{place} {counts[place]}" for place in ("ready", "delayed", "leased", "done", "dead") if place in counts
    )
    pairs = [
        ("id", str(answer.get("id", ""))),
        ("name", str(answer.get("name", ""))),
        ("state", str(answer.get("state", ""))),
        ("cluster", str(answer.get("cluster") or "")),
        ("reason", str(answer.get("reason") or "")),
        (
            "progress",
            f"{bar(answer.get('progress') or 0.0, 30, answer.get('time_progress'))} {percent(answer.get('progress'))}",
        ),
        ("items", places),
        ("replicas", "  ".join(f"{name} {count}" for name, count in replicas.items())),
        ("deadline", deadline_text(answer)),
        ("ready in", duration(answer.get("eta")) if answer.get("state") not in TERMINAL_STATES else ""),
        ("accepted", moment(answer.get("created_at"))),
        ("ended", moment(answer["finished_at"]) if answer.get("finished_at") else ""),
        ("took", duration(answer.get("execution_time")) if answer.get("execution_time") is not None else ""),
        ("page", str(answer.get("visualizer_url") or "")),
    ]
    return [(name, value) for name, value in pairs if value]


@click.command()
@submission_id
@click.option("--pod", help="Only this pod.")
@click.option("-f", "--follow", "keep_on", is_flag=True, help="Go on until the submission ends.")
@click.option("--tail", type=click.IntRange(min=0), help="Only so many lines of each pod's past.")
@manager_command
def logs(client: ManagerClient, output: Output, id: str, pod: str | None, keep_on: bool, tail: int | None) -> None:
    """Print the logs of the submission's replicas."""
    parameters = {**({"pod": pod} if pod else {}), **({"tail": str(tail)} if tail is not None else {})}
    if keep_on and not output.as_json:
        _follow(client, id, parameters)
        return
    answer = client.get(id, "log", **parameters)
    if output.as_json:
        output.document(answer)
        return
    for name, text in (answer.get("pods") or {}).items():
        for line in text.splitlines():
            click.echo(f"{name} | {line}")


def _follow(client: ManagerClient, id: str, parameters: dict[str, str]) -> None:
    """Print lines until the submission ends; the manager ends a stream that gets very old, then there is a new one."""
    while True:
        for line in client.follow_log(id, **parameters):
            if line:
                click.echo(line)
        if client.status(id)["state"] in TERMINAL_STATES:
            return
        parameters = {**parameters, "tail": "0"}
        time.sleep(1.0)


@click.command()
@submission_id
@click.option("--format", "form", type=click.Choice(["jsonl", "text"]), default="text", show_default=True)
@manager_command
def results(client: ManagerClient, output: Output, id: str, form: str) -> None:
    """Print the results, in order of completion: 'item id <tab> result', or with jsonl/--json an object a line."""
    for result in client.results(id):
        if output.as_json or form == "jsonl":
            click.echo(json.dumps(result, ensure_ascii=False))
        else:
            click.echo(f"{result['id']}\t{result['result']}")


@click.command()
@submission_id
@manager_command
def events(client: ManagerClient, output: Output, id: str) -> None:
    """Print the life of submission ID: states, decisions, what went wrong."""
    answer = client.get(id, "events")
    if output.as_json:
        output.document(answer)
        return
    for event in answer["events"]:
        mark = "!" if event.get("warning") else " "
        click.echo(f"{moment(event['at'])} {mark} {event['kind']:<9} {printable(event['message'])}")


@click.command()
@click.option("--cluster", help="The cluster to ask [default: the active one].")
@manager_command
def nodes(client: ManagerClient, output: Output, cluster: str | None) -> None:
    """List the cluster's nodes and what they offer."""
    answer = client.nodes(cluster)
    if output.as_json:
        output.document(answer)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "ready", "cpu", "memory", "pods", "gpus"):
        table.add_column(heading)
    for node in answer["nodes"]:
        memory = f"{float(node['memory']) / 2**30:.1f} GiB"
        table.add_row(
            node["name"],
            "yes" if node["ready"] else "no",
            f"{node['cpu']:g}",
            memory,
            str(node["pods"]),
            str(node["gpus"]),
        )
    output.console.print(table)


def _print_pairs(output: Output, pairs: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        output.console.print(f"{name:<{width}}  {printable(value)}", markup=False, soft_wrap=True)
