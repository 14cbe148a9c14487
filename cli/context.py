"""What every command shares: where the manager is, how to print, how errors become exit codes."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

from cli import exit_codes
from cli.client import ManagerClient, Rejected, Unreachable
from cli.credentials import find_token
from cli.home import find_manager

_UNAUTHORIZED = 401
F = TypeVar("F", bound=Callable[..., Any])


class Output:
    """Prints for a person or, with ``as_json``, one JSON document for a script. Notes go to standard error."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False)
        self.notes = Console(stderr=True, highlight=False)

    def document(self, value: object) -> None:
        """Print JSON."""
        click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))

    def tell(self, value: object, text: str) -> None:
        """JSON for a script, the text for a person."""
        if self.as_json:
            self.document(value)
        else:
            click.echo(text)

    def note(self, text: str) -> None:
        """A sentence beside the result."""
        self.notes.print(text, markup=False, soft_wrap=True)


def manager_command(command: F) -> F:
    """Adds --manager and --json, passes ``client`` and ``output``, and turns our errors into exit codes."""

    @click.option("--manager", metavar="URL", help="The manager's address [default: the local stack's].")
    @click.option(
        "--token", metavar="TOKEN", help="What to show the manager [default: $ASPERATHOS_TOKEN, else login's]."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
    @functools.wraps(command)
    def wrapped(manager: str | None, token: str | None, as_json: bool, **arguments: Any) -> None:
        output = Output(as_json)
        url = find_manager(manager)
        client = ManagerClient(url, token=find_token(token, url), ca=os.environ.get("ASPERATHOS_CA", ""))
        try:
            command(client=client, output=output, **arguments)
        except Rejected as error:
            _print_rejection(output, error)
            if error.status == _UNAUTHORIZED and not output.as_json:
                output.note("'asperathos login' keeps a token; --token and $ASPERATHOS_TOKEN give one")
            sys.exit(exit_codes.REJECTED)
        except Unreachable as error:
            output.note(f"{error}; is it running? 'asperathos up' starts one here, --manager names another")
            sys.exit(exit_codes.UNREACHABLE)
        except KeyboardInterrupt:
            sys.exit(exit_codes.INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(exit_codes.OK)

    return wrapped  # type: ignore[return-value]


def _print_rejection(output: Output, error: Rejected) -> None:
    if output.as_json:
        details = [{"field": field, "problem": problem} for field, problem in error.details]
        output.document({"error_code": error.status, "error_message": error.message, "details": details})
        return
    if not error.details:
        output.note(error.message)
        return
    output.note("refused:")
    for field, problem in error.details:
        output.note(f"  {field or '(document)'}: {problem}")
