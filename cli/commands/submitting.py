"""``asperathos submit``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cli import exit_codes
from cli.client import ManagerClient
from cli.commands.foreseeing import print_forecast
from cli.commands.watching import follow
from cli.context import Output, manager_command
from cli.document import BadDocument, encode, load_document


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--watch", "wait", is_flag=True, help="Watch it until it ends; the exit code tells how.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of it: when it would end, at what cost.")
@manager_command
def submit(client: ManagerClient, output: Output, file: Path, wait: bool, dry_run: bool) -> None:
    """Submit the YAML or JSON document FILE ('-': standard input).

    Relative paths in it (working_dir, workload) count from the file's directory.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        document = load_document(text, Path.cwd() if str(file) == "-" else file.parent)
        body = encode(document)
    except (OSError, UnicodeDecodeError, BadDocument) as error:
        output.note(f"{file}: {error}")
        sys.exit(exit_codes.USAGE)
    if dry_run:
        _plan(client, output, body)
        return
    answer = client.submit(body, "application/json")
    for warning in answer.get("warnings", []):
        output.note(f"warning: {warning}")
    id = str(answer["job_id"])
    if wait:
        if not output.as_json:
            output.note(id)
        sys.exit(follow(client, output, id))
    if output.as_json:
        output.document(answer)
    else:
        click.echo(id)


def _plan(client: ManagerClient, output: Output, body: bytes) -> None:
    answer = client.plan(body, "application/json")
    if output.as_json:
        output.document(answer)
        return
    for warning in answer["warnings"]:
        output.note(f"warning: {warning}")
    items = "?" if answer["items"] is None else answer["items"]
    output.console.print(f"{'items':<16}  {items}", markup=False)
    print_forecast(output, answer["forecast"])
