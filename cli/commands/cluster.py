"""Commands about the clusters submissions may run on: list, add, activate, remove, check."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from cli import exit_codes
from cli.client import ManagerClient
from cli.context import Output, manager_command


@click.group()
def cluster() -> None:
    """Name the Kubernetes clusters that submissions may run on, and look at the default one."""


@cluster.command("list")
@manager_command
def list_clusters(client: ManagerClient, output: Output) -> None:
    """List the clusters; * marks the active one."""
    clusters = client.clusters()
    if output.as_json:
        output.document(clusters)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "name", "server", "login", "submissions", "lacks"):
        table.add_column(heading, justify="right" if heading == "submissions" else "left")
    for name, told in clusters.items():
        server = "(from the settings)" if told["default"] else told["server"]
        mark = "*" if told["active"] else ""
        lacking = ", ".join(told["missing"])
        table.add_row(mark, name, server, told["authentication"], str(told["submissions"]), lacking)
    output.console.print(table)


@cluster.command()
@click.argument("name")
@click.argument("kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that the kubeconfig refers to; may be given more than once.",
)
@manager_command
def add(client: ManagerClient, output: Output, name: str, kubeconfig: Path, certificates: tuple[Path, ...]) -> None:
    """Add cluster NAME with a KUBECONFIG (its current context), or renew the kubeconfig of one."""
    answer = client.add_cluster(name, _text(kubeconfig))
    for path in certificates:
        answer = client.add_certificate(name, path.name, _text(path))
    if output.as_json:
        output.document(answer)
        return
    click.echo(f"{name} added" + (f": Kubernetes {answer['version']}" if answer["reachable"] else ""))
    for warning in answer["warnings"]:
        output.note(f"warning: {warning}")


@cluster.command()
@click.argument("name")
@manager_command
def activate(client: ManagerClient, output: Output, name: str) -> None:
    """Have submissions that name no cluster run on cluster NAME from now on."""
    output.tell(client.activate_cluster(name), f"{name} is active")


@cluster.command()
@click.argument("name")
@manager_command
def remove(client: ManagerClient, output: Output, name: str) -> None:
    """Forget cluster NAME; refused while submissions use it."""
    client.remove_cluster(name)
    output.tell({"removed": name}, f"{name} removed")


@cluster.command()
@click.option("--no-probe", is_flag=True, help="Make no pod: do not look whether pods reach Redis and the manager.")
@manager_command
def check(client: ManagerClient, output: Output, no_probe: bool) -> None:
    """Say what the cluster lacks: reachable, recent enough, namespace, nodes, the services' permissions, and whether
    pods reach Redis and the manager (a pod is made to look, and removed).

    Exit code 0 when nothing is missing, 1 otherwise.
    """
    if not no_probe:
        output.note("looking, also from a pod; that takes as long as a pod takes to start ...")
    answer = client.cluster_check(probe=not no_probe)
    if output.as_json:
        output.document(answer)
    else:
        _print_report(answer)
    if not answer["ok"]:
        sys.exit(exit_codes.FAILED)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {type(error).__name__}") from error


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
