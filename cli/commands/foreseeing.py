"""Commands about control: forecast, decisions, change, history."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click
from rich.table import Table

from cli.arguments import submission_id
from cli.client import ManagerClient
from cli.context import Output, manager_command
from cli.render import TERMINAL_STATES, duration, moment, percent
from common.domain.units import parse_duration

_COLUMNS = {
    "at": 19,
    "progress": 5,
    "outstanding": 5,
    "observed": 3,
    "pending": 3,
    "wanted": 3,
    "asked": 3,
    "granted": 3,
}
"""What is shown of a decision, and how wide."""


@click.command()
@submission_id
@manager_command
def forecast(client: ManagerClient, output: Output, id: str) -> None:
    """Say when submission ID is expected to end, how probably in time, and what it will still cost."""
    answer = client.get(id, "forecast")
    if output.as_json:
        output.document(answer)
    else:
        print_forecast(output, answer)


def print_forecast(output: Output, answer: dict[str, Any]) -> None:
    """The forecast of a submission, or of a plan, for a person."""
    for name, value in forecast_pairs(answer):
        output.console.print(f"{name:<16}  {value}", markup=False, soft_wrap=True)


def forecast_pairs(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """What a forecast says, as names and texts; what is not known is left out."""
    finish, replicas = answer.get("finish") or {}, answer.get("replicas") or {}
    cost = answer.get("cost") or {}
    ended = answer.get("state") in TERMINAL_STATES
    quantiles = [finish.get(name) for name in ("p10", "p50", "p90")]
    spread = "" if ended or None in quantiles else " / ".join(duration(value) for value in quantiles)
    margin = answer.get("margin")
    wanted, granted = replicas.get("wanted"), replicas.get("granted")
    pairs = [
        ("state", str(answer.get("state", ""))),
        ("basis", _basis(answer)),
        ("took" if ended else "takes", duration(finish.get("p50")) if finish.get("p50") is not None else ""),
        ("p10 / p50 / p90", spread),
        ("ended" if ended else "ends about", moment(answer["ends_at"]) if answer.get("ends_at") else ""),
        ("deadline", moment(answer["deadline_at"]) if answer.get("deadline_at") else ""),
        ("margin", "" if margin is None else f"{duration(abs(margin))} {'early' if margin >= 0 else 'late'}"),
        ("chance", "" if ended or answer.get("chance") is None else percent(answer["chance"])),
        ("late by", duration(answer["late_by"]) if answer.get("late_by") else ""),
        ("cost so far", _spent(cost.get("so_far"))),
        ("cost to finish", "" if ended else _spent(cost)),
        ("cost in all", "" if ended else _spent(cost.get("projected"))),
        ("replicas", "" if wanted is None else f"{granted} granted, {wanted} wanted by the law {replicas.get('law')}"),
        ("because", str(replicas.get("reason") or "")),
        ("endangers", ", ".join(answer.get("endangered") or ())),
    ]
    return [(name, value) for name, value in pairs if value]


def _basis(answer: Mapping[str, Any]) -> str:
    age = answer.get("age")
    return f"{answer.get('basis', '')}{f', made {duration(age)} ago' if age else ''}"


def _spent(cost: Mapping[str, Any] | None) -> str:
    seconds = (cost or {}).get("replica_seconds")
    if cost is None or seconds is None:
        return ""
    money = cost.get("money")
    told = "no price is known" if money is None else f"money: {money:.2f}" if money >= 0.1 else f"money: {money:.2g}"
    return f"{seconds / 3600:.2f} replica-hours ({seconds:.0f} s); {told}"


@click.command()
@submission_id
@click.option("-n", "--count", type=click.IntRange(1, 5000), default=20, show_default=True, help="The last so many.")
@manager_command
def decisions(client: ManagerClient, output: Output, id: str, count: int) -> None:
    """List the latest decisions about the replicas of submission ID: what was seen, wanted, asked for, granted, why.

    'wanted' is the law's, 'asked' what the guard let through, 'granted' what the arbiter gave.
    """
    answer = client.get(id, "decisions", count=str(count))
    if output.as_json:
        output.document(answer)
        return
    if not answer["decisions"]:
        output.note("no decision yet")
        return
    click.echo(decision_line({name: name for name in _COLUMNS} | {"reason": "because"}))
    for each in answer["decisions"]:
        asked = each["asked"] if each.get("asked") is not None else each["granted"]
        shown = {**each, "at": moment(each["at"]), "progress": percent(each["progress"]), "asked": asked}
        click.echo(decision_line(shown))


def decision_line(decision: Mapping[str, Any]) -> str:
    """A decision on one line, its reason last."""
    columns = (f"{decision.get(name, '')!s:>{max(width, len(name))}}" for name, width in _COLUMNS.items())
    return "  ".join((*columns, str(decision["reason"])))


@click.command()
@submission_id
@click.option("--deadline", help="Another deadline, from acceptance on: 30m, 1h30m; none takes it away.")
@click.option("--finish-in", help="Another deadline, from now on.")
@click.option("--latency", help="Another latency target of a stream.")
@click.option("--min", "least", type=click.IntRange(min=0), help="Fewest replicas.")
@click.option("--max", "most", type=click.IntRange(min=1), help="Most replicas.")
@click.option("--law", help="Another law; its settings begin anew.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the law; NAME= takes it back."
)
@click.option("--interval", help="Time between decisions.")
@click.option(
    "--priority", type=click.Choice(["low", "normal", "high"]), help="Who goes first where capacity is short."
)
@manager_command
def change(client: ManagerClient, output: Output, id: str, **given: Any) -> None:
    """Change submission ID while it runs: its deadline, bounds, law, the law's settings, priority."""
    patch = _patch(given, lambda: float(client.status(id)["elapsed"]))
    if not patch:
        raise click.UsageError("nothing to change: give at least one option")
    answer = client.change(id, patch)
    if output.as_json:
        output.document(answer)
        return
    for field, values in answer["changed"].items():
        click.echo(f"{field}: {_text(values['old'])} -> {_text(values['new'])}")
    if not answer["changed"]:
        output.note("it was so already")


def _patch(given: Mapping[str, Any], elapsed: Callable[[], float]) -> dict[str, Any]:
    """The merge patch that the options stand for. ``elapsed`` gives the seconds since acceptance."""
    patch: dict[str, Any] = {}
    if given["deadline"] is not None and given["finish_in"] is not None:
        raise click.UsageError("give --deadline or --finish-in, not both")
    if given["deadline"] is not None:
        patch["deadline"] = None if given["deadline"] == "none" else _number_or_text(given["deadline"])
    if given["finish_in"] is not None:
        try:
            patch["deadline"] = round(elapsed() + parse_duration(_number_or_text(given["finish_in"])), 1)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--finish-in") from error
    if given["latency"] is not None:
        patch["target"] = {"latency": _number_or_text(given["latency"])}
    bounds = {name: given[option] for name, option in (("min", "least"), ("max", "most")) if given[option] is not None}
    control = {name: given[name] for name in ("law", "interval") if given[name] is not None}
    if given["settings"]:
        control["settings"] = dict(map(_setting, given["settings"]))
    for name, value in (("replicas", bounds), ("control", control), ("priority", given["priority"])):
        if value:
            patch[name] = value
    return patch


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r}: write NAME=VALUE", param_hint="--set")
    return name, None if value == "" else _plain(value)


def _plain(text: str) -> Any:
    """Numbers, true, lists and so on as JSON has them; everything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number_or_text(text: str) -> Any:
    value = _plain(text)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


@click.group()
def history() -> None:
    """What submissions of one name and image taught about the time their items take; the next ones begin with it."""


@history.command("list")
@manager_command
def list_history(client: ManagerClient, output: Output) -> None:
    """List what is known, by name and image."""
    found = client.histories()
    if output.as_json:
        output.document(found)
        return
    if not found:
        output.note("nothing is known: no submission has ended yet")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("key", "name", "image", "submissions", "items", "mean", "longest", "last"):
        table.add_column(heading, justify="right" if heading in ("submissions", "items", "mean", "longest") else "left")
    for key, told in found.items():
        table.add_row(
            key,
            told["name"],
            told["image"] or "-",
            str(told["submissions"]),
            str(told["items"]),
            duration(told["mean"]),
            duration(told["longest"]),
            moment(told["updated_at"]),
        )
    output.console.print(table)


@history.command()
@click.argument("key", required=False)
@click.option("--all", "everything", is_flag=True, help="Forget all of it.")
@manager_command
def forget(client: ManagerClient, output: Output, key: str | None, everything: bool) -> None:
    """Forget the history KEY, as 'history list' shows it, or --all."""
    if (key is None) != everything:
        raise click.UsageError("give the key of one history, or --all")
    client.forget_history(key)
    if output.as_json:
        output.document({"forgotten": key or "all"})
    else:
        click.echo(f"{key or 'all history'} forgotten")
