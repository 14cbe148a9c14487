"""``asperathos``: the command line."""

from __future__ import annotations

import click

from cli import exit_codes
from cli.commands import (
    accounts,
    cluster,
    control,
    foreseeing,
    queries,
    reporting,
    simulating,
    stack,
    submitting,
    topping,
    watching,
)


@click.group(epilog=exit_codes.HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asperathos", prog_name="asperathos")
def main() -> None:
    """Finish a pile of work by its deadline, with as few replicas as that takes.

    \b
    asperathos up                 start everything on this machine
    asperathos submit job.yaml    hand in work
    asperathos watch ID           see it get done
    asperathos top                see all of them
    asperathos report ID          how it went
    """


for command in (
    stack.up,
    submitting.submit,
    queries.list_submissions,
    queries.status,
    watching.watch,
    topping.top,
    queries.logs,
    queries.results,
    reporting.report,
    reporting.compare,
    queries.events,
    queries.nodes,
    foreseeing.forecast,
    foreseeing.decisions,
    foreseeing.change,
    foreseeing.history,
    cluster.cluster,
    control.stop,
    control.delete,
    simulating.simulate,
    accounts.login,
    accounts.logout,
    accounts.whoami,
    accounts.users,
    accounts.tokens,
    accounts.audit,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
