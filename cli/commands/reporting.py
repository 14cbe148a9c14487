"""``asperathos report`` and ``compare``: how it went."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from rich.text import Text

from cli import comparison, exit_codes
from cli.arguments import checked_id, submission_id
from cli.client import ManagerClient
from cli.context import Output, manager_command
from cli.saving import save

_CHART_ROWS = "400"
_MOST_COMPARED = 50
_output_option = click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write to FILE, whole or not at all, instead of standard output.",
)


@click.command()
@submission_id
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "html", "csv"]),
    help="text: for reading [default]; json: all figures; html: a page with plots; csv: one row an item.",
)
@_output_option
@click.option("--detailed", is_flag=True, help="text: every failure, change and event; json: series, too.")
@click.option("--partial", is_flag=True, help="Of one that still runs: what there is so far.")
@manager_command
def report(
    client: ManagerClient,
    output: Output,
    id: str,
    form: str | None,
    target: Path | None,
    detailed: bool,
    partial: bool,
) -> None:
    """Report how submission ID went: deadline, items and their times, replicas and cost, failures, decisions.

    The page (html) needs nothing beside itself. The table (csv) has a row for each item: id, state, attempts, failures,
    worker, began, ended, wait_seconds, service_seconds, error. Reports are made from what is kept: until 'keep' of the
    submission runs out, seven days after its end unless it says otherwise.
    """
    form = form or ("json" if output.as_json else "text")
    if form == "html" and target is None and output.console.is_terminal:
        raise click.UsageError("a page is for a file: give -o report.html")
    options = {**({"detailed": "true"} if detailed else {}), **({"partial": "true"} if partial else {})}
    _save(output, client.report(id, format=form, **options), target)


@click.command()
@click.argument("ids", nargs=-1, required=True, callback=lambda _c, _p, given: [checked_id(id) for id in given])
@click.option("--format", "form", type=click.Choice(["text", "json", "html"]), help="[default: text]")
@_output_option
@manager_command
def compare(client: ManagerClient, output: Output, ids: list[str], form: str | None, target: Path | None) -> None:
    """Compare submissions: deadlines, time, items, replicas, cost, item times. The best of each is marked.

    Those that still run are shown as they stand.
    """
    ids = list(dict.fromkeys(ids))
    if not 2 <= len(ids) <= _MOST_COMPARED:
        raise click.UsageError(f"give 2 to {_MOST_COMPARED} different ids")
    form = form or ("json" if output.as_json else "text")
    wanted = {
        "format": "json",
        "partial": "true",
        **({"detailed": "true", "rows": _CHART_ROWS} if form == "html" else {}),
    }
    reports = [json.loads(b"".join(client.report(id, **wanted))) for id in ids]
    if form == "html":
        if target is None and output.console.is_terminal:
            raise click.UsageError("a page is for a file: give -o comparison.html")
        _save(output, [comparison.html(reports).encode()], target)
    elif form == "json":
        _save(output, [json.dumps(comparison.document(reports), ensure_ascii=False, indent=2).encode() + b"\n"], target)
    elif target is not None and str(target) != "-":
        told = ("".join(text for text, _ in line).rstrip() for line in comparison.lines(reports, None))
        _save(output, ["\n".join(told).encode() + b"\n"], target)
    else:
        _print_lines(output, comparison.lines(reports, output.console.width if output.console.is_terminal else None))


def _print_lines(output: Output, lines: list[list[tuple[str, bool]]]) -> None:
    for line in lines:
        output.console.print(
            Text.assemble(*((text, "bold green" if best else "") for text, best in line)), soft_wrap=True
        )


def _save(output: Output, pieces: Iterable[bytes], target: Path | None) -> None:
    try:
        save(pieces, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        output.note(f"{target}: {error.strerror or error}")
        sys.exit(exit_codes.USAGE)
