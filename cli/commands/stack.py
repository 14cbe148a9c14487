"""``asperathos up``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from cli import exit_codes
from cli.context import Output
from cli.home import Addresses, default_home
from cli.stack.plan import DEFAULT_PORTS
from cli.stack.ports import PortTaken
from cli.stack.redis_server import NoRedis
from cli.stack.run import AlreadyRunning, StackOptions, running_stack, stop_signals
from cli.stack.supervisor import StartFailed


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Directory for state and logs [default: your state dir].")
@click.option("--any-port", is_flag=True, help="Where a port is taken, choose a free one and say so.")
@click.option(
    "--port", "ports", multiple=True, metavar="PART=PORT", help=f"Port of a part: {', '.join(DEFAULT_PORTS)}."
)
@click.option(
    "--capacity",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most replicas of all submissions together [default: as many as the local cluster has room for].",
)
@click.option(
    "--authentication",
    is_flag=True,
    help="Have users log in. The administrator's token is in the home directory's admin.token; asperathos shows it.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as JSON once everything is ready.")
def up(
    home: Path | None,
    any_port: bool,
    ports: tuple[str, ...],
    capacity: int | None,
    authentication: bool,
    log_level: str,
    as_json: bool,
) -> None:
    """Start the whole stack on this machine and keep it running until Ctrl-C.

    Redis, an embedded Kubernetes API whose pods are local processes, and the four services. Everything listens on
    127.0.0.1. State and logs are kept in the home directory, so that the next 'up' goes on where this one stopped.
    """
    output = Output(as_json)
    options = StackOptions(home or default_home(), any_port, _parse_ports(ports), log_level, authentication, capacity)
    stop = stop_signals()
    try:
        output.note("starting ...")
        with running_stack(options, output.note) as (supervisor, addresses):
            _announce(output, addresses, options.home)
            supervisor.watch(stop)
            output.note("stopping: running items are handed back, nothing is lost ...")
    except (AlreadyRunning, PortTaken, NoRedis, StartFailed, OSError) as error:
        output.note(str(error))
        sys.exit(exit_codes.NOT_STARTED)
    output.note("stopped")


def _parse_ports(given: tuple[str, ...]) -> dict[str, int]:
    ports: dict[str, int] = {}
    for text in given:
        part, _, number = text.partition("=")
        if part not in DEFAULT_PORTS or not number.isdigit() or not 0 <= int(number) < 65536:
            raise click.BadParameter(f"{text!r}: write PART=PORT with PART one of {', '.join(DEFAULT_PORTS)}")
        ports[part] = int(number)
    return ports


def _announce(output: Output, addresses: Addresses, home: Path) -> None:
    if output.as_json:
        click.echo(json.dumps(asdict(addresses)))
        sys.stdout.flush()
        return
    output.console.print(f"[bold]Asperathos is up[/bold] (process {addresses.pid}, logs in {home / 'logs'})")
    output.console.print(f"  pages       {addresses.visualizer}")
    output.console.print(f"  manager     {addresses.manager}   POST /submissions")
    output.console.print(f"  controller  {addresses.controller}")
    output.console.print(f"  monitor     {addresses.monitor}")
    output.console.print(f"  cluster     kubectl --kubeconfig {addresses.kubeconfig} get pods", soft_wrap=True)
    output.console.print("Ctrl-C stops everything.")
