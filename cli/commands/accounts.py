"""Commands about who may do things: login, logout, whoami, users, tokens, audit."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from cli.client import ManagerClient
from cli.context import Output, manager_command
from cli.credentials import default_keeper
from cli.render import duration, moment

ROLES = click.Choice(["viewer", "submitter", "admin"])


@click.command()
@click.option("--user", help="Your name; with it you are asked for your password [default: you are asked for a token].")
@click.option("--label", default="asperathos login", show_default=True, help="What the new token is called.")
@manager_command
def login(client: ManagerClient, output: Output, user: str | None, label: str) -> None:
    """Keep a token for the manager, in a file that only you may read.

    With --user a new token is made for you; without, you are asked for one that you have (or give --token).
    """
    if user is not None:
        client.use_password(user, click.prompt("password", hide_input=True, err=True))
        token = str(client.new_token(user, label, None)["token"])
    else:
        token = client.token or click.prompt("token", hide_input=True, err=True).strip()
    client.use_token(token)
    who = client.whoami()
    default_keeper().keep(client.url, token)
    output.tell(who, f"{who['name']} ({who['role']}) at {client.url}")


@click.command()
@click.option("--keep-token", is_flag=True, help="Do not revoke the token, only forget it here.")
@manager_command
def logout(client: ManagerClient, output: Output, keep_token: bool) -> None:
    """Forget the token that login kept, and revoke it."""
    token = default_keeper().forget(client.url)
    id = token.split("_")[1] if token.startswith("asp_") and token.count("_") >= 2 else ""
    if id and not keep_token:
        client.use_token(token)
        client.revoke_token(str(client.whoami()["name"]), id)
    output.tell({"manager": client.url, "forgotten": bool(token)}, "logged out" if token else "no token was kept")


@click.command()
@manager_command
def whoami(client: ManagerClient, output: Output) -> None:
    """Say who the manager takes you for, and what you may have."""
    who = client.whoami()
    text = f"{who['name']} ({who['role']})" if who["kind"] != "anonymous" else "anybody: nobody has to log in here"
    output.tell(who, text)


@click.group()
def users() -> None:
    """Add users, change what they may do, and remove them (administrators)."""


@users.command("list")
@manager_command
def list_users(client: ManagerClient, output: Output) -> None:
    """List the users."""
    found = client.users()
    if output.as_json:
        output.document(found)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "role", "password", "submissions", "items", "since"):
        table.add_column(heading)
    for name, user in found.items():
        quota = user["quota"]
        table.add_row(
            name,
            user["role"],
            "yes" if user["has_password"] else "no",
            _most(quota["submissions"]),
            _most(quota["items"]),
            moment(user["created_at"]),
        )
    output.console.print(table)


@users.command()
@click.argument("name")
@click.option("--role", type=ROLES, default="submitter", show_default=True)
@click.option("--password", "with_password", is_flag=True, help="Ask for a password; without, tokens are the only way.")
@click.option("--submissions", type=click.IntRange(min=0), default=0, help="Most that have not ended [default: any].")
@click.option("--items", type=click.IntRange(min=0), default=0, help="Most items of a submission [default: any].")
@manager_command
def add(
    client: ManagerClient, output: Output, name: str, role: str, with_password: bool, submissions: int, items: int
) -> None:
    """Add user NAME."""
    document: dict[str, Any] = {
        "name": name,
        "role": role,
        "quota": {"submissions": submissions, "items": items},
    }
    if with_password:
        document["password"] = _new_password()
    output.tell(client.add_user(document), f"{name} added")


@users.command("change")
@click.argument("name")
@click.option("--role", type=ROLES)
@click.option("--submissions", type=click.IntRange(min=0), help="Most that have not ended; 0: any.")
@click.option("--items", type=click.IntRange(min=0), help="Most items of a submission; 0: any.")
@manager_command
def change_user(
    client: ManagerClient, output: Output, name: str, role: str | None, submissions: int | None, items: int | None
) -> None:
    """Change the role or the quota of user NAME."""
    document: dict[str, Any] = {} if role is None else {"role": role}
    if submissions is not None or items is not None:
        present = client.user(name)["quota"]
        wanted = {"submissions": submissions, "items": items}
        document["quota"] = {**present, **{part: most for part, most in wanted.items() if most is not None}}
    output.tell(client.change_user(name, document), f"{name} changed")


@users.command()
@click.argument("name")
@manager_command
def remove(client: ManagerClient, output: Output, name: str) -> None:
    """Remove user NAME and their tokens; their submissions stay."""
    client.remove_user(name)
    output.tell({"removed": name}, f"{name} removed")


@users.command()
@click.argument("name")
@click.option("--none", "without", is_flag=True, help="No password any more: tokens are the only way.")
@manager_command
def password(client: ManagerClient, output: Output, name: str, without: bool) -> None:
    """Give user NAME a new password; sessions on the pages end."""
    is_own = client.whoami()["name"] == name
    current = click.prompt("current password", hide_input=True, err=True, default="") if is_own else ""
    client.set_password(name, "" if without else _new_password(), current)
    output.tell({"changed": name}, f"the password of {name} is changed")


@click.group()
def tokens() -> None:
    """Make, list and revoke API tokens: your own, or as an administrator anybody's."""


_FOR = click.option("--user", help="Whose [default: your own].")


@tokens.command("list")
@_FOR
@manager_command
def list_tokens(client: ManagerClient, output: Output, user: str | None) -> None:
    """List a user's tokens: not what they are, which nobody knows any more."""
    found = client.tokens(_user(client, user))
    if output.as_json:
        output.document(found)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "label", "made", "expires"):
        table.add_column(heading)
    for token in found:
        expires = "never" if token["expires_at"] is None else moment(token["expires_at"])
        table.add_row(token["id"], token["label"], moment(token["created_at"]), expires)
    output.console.print(table)


@tokens.command()
@_FOR
@click.option("--label", default="", help="What it is for.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True, max=3650), help="When it expires [default: never].")
@manager_command
def create(client: ManagerClient, output: Output, user: str | None, label: str, days: float | None) -> None:
    """Make a token and print it, this once."""
    answer = client.new_token(_user(client, user), label, None if days is None else days * 86400)
    if not output.as_json:
        lasts = "" if days is None else f", for {duration(days * 86400)}"
        output.note(f"token {answer['id']} of {answer['user']}{lasts}; it is not shown again:")
    output.tell(answer, str(answer["token"]))


@tokens.command()
@click.argument("id")
@_FOR
@manager_command
def revoke(client: ManagerClient, output: Output, id: str, user: str | None) -> None:
    """Make token ID worth nothing, at once."""
    client.revoke_token(_user(client, user), id)
    output.tell({"revoked": id}, f"{id} revoked")


@click.command()
@click.option("--count", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Latest entries.")
@click.option("--who", help="Only what this user did.")
@click.option("--subject", help="Only what was done to this submission, user or cluster.")
@click.option("--refused", is_flag=True, help="What strangers tried, who did not say who they are.")
@manager_command
def audit(
    client: ManagerClient, output: Output, count: int, who: str | None, subject: str | None, refused: bool
) -> None:
    """Say who changed what, when, and what came of it (administrators)."""
    entries = client.audit(count, who, subject, refused)
    if output.as_json:
        output.document(entries)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("when", "who", "from", "what", "about", "outcome"):
        table.add_column(heading)
    for entry in entries:
        outcome = f"{entry['code']} {entry['error']}".strip()
        what = f"{entry['service']} {entry['method']} {entry['path']}"
        table.add_row(moment(entry["at"]), entry["who"] or "?", entry["address"], what, entry["subject"], outcome)
    output.console.print(table)


def _user(client: ManagerClient, given: str | None) -> str:
    return given if given is not None else str(client.whoami()["name"])


def _new_password() -> str:
    return str(click.prompt("new password", hide_input=True, confirmation_prompt=True, err=True))


def _most(limit: int) -> str:
    return str(limit) if limit else "any"
