"""Commands about the cluster: cluster check."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Any

import click

from cli import exit_codes
from cli.client import ManagerClient
from cli.context import Output, manager_command


@click.group()
def cluster() -> None:
    """Look at the cluster that submissions run on."""


@cluster.command()
@manager_command
def check(client: ManagerClient, output: Output) -> None:
    """Say what the cluster lacks: reachable, recent enough, namespace, nodes, the services' permissions.

    Exit code 0 when nothing is missing, 1 otherwise.
    """
    answer = client.cluster_check()
    if output.as_json:
        output.document(answer)
    else:
        _print_report(answer)
    if not answer["ok"]:
        sys.exit(exit_codes.FAILED)


def _print_report(answer: dict[str, Any]) -> None:
    """What is missing, each on a line; what is right, by service."""
    for service, found in groupby(answer["findings"], key=lambda finding: str(finding["service"])):
        findings = list(found)
        for finding in findings:
            if not finding["ok"]:
                click.echo(f"! {service:<11} {finding['name']}: {finding['message']}")
        right = [finding for finding in findings if finding["ok"]]
        notes = ", ".join(
            f"{finding['name']} {finding['message']}"
            for finding in right
            if finding["name"] in ("version", "namespace", "nodes")
        )
        click.echo(
            f"  {service:<11} {len(right)} of {len(findings)} as they have to be" + (f" ({notes})" if notes else "")
        )
    click.echo("nothing is missing" if answer["ok"] else "something is missing")
