"""Commands that change something: stop, delete."""

from __future__ import annotations

import time

import click

from cli.arguments import submission_id
from cli.client import ManagerClient
from cli.context import Output, manager_command
from cli.render import TERMINAL_STATES


@click.command()
@submission_id
@click.option("--now", is_flag=True, help="Terminate: do not let running items finish.")
@click.option("--wait/--no-wait", default=True, help="Return when it has ended [default: wait].")
@manager_command
def stop(client: ManagerClient, output: Output, id: str, now: bool, wait: bool) -> None:
    """Stop submission ID: running items finish, the rest is left undone. Results so far are kept."""
    client.end(id, "terminate" if now else "stop")
    status = client.status(id)
    while wait and status["state"] not in TERMINAL_STATES:
        time.sleep(0.2)
        status = client.status(id)
    if output.as_json:
        output.document(status)
    else:
        click.echo(f"{id} {status['state']}")


@click.command()
@submission_id
@manager_command
def delete(client: ManagerClient, output: Output, id: str) -> None:
    """Forget an ended submission: its record, results, logs and report."""
    client.delete(id)
    if output.as_json:
        output.document({"deleted": id})
    else:
        click.echo(f"{id} deleted")
