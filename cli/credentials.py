"""The tokens that ``asperathos login`` keeps, by manager: in one file that only its user may read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from cli.home import Home, default_home


class Keeper:
    """A file of tokens by the manager's address."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def token(self, manager: str) -> str:
        """The token kept for that manager, '' for none."""
        return self._read().get(_key(manager), "")

    def keep(self, manager: str, token: str) -> None:
        """Keep it, in place of another. Raises OSError."""
        self._write({**self._read(), _key(manager): token})

    def forget(self, manager: str) -> str:
        """Forget it; what it was. Raises OSError."""
        kept = self._read()
        token = kept.pop(_key(manager), "")
        if token:
            self._write(kept)
        return token

    def _read(self) -> dict[str, str]:
        try:
            kept = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return {str(name): str(token) for name, token in kept.items()} if isinstance(kept, dict) else {}

    def _write(self, kept: dict[str, str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(kept, indent=2))
        draft.replace(self.path)


def default_keeper() -> Keeper:
    """The user's own: credentials.json in $XDG_CONFIG_HOME/asperathos."""
    directory = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Keeper(Path(directory) / "asperathos" / "credentials.json")


def find_token(explicit: str | None, manager: str) -> str:
    """What to show that manager: as given, $ASPERATHOS_TOKEN, what login kept, the local stack's own, else ''."""
    return explicit or os.environ.get("ASPERATHOS_TOKEN") or default_keeper().token(manager) or _local_token(manager)


def _local_token(manager: str) -> str:
    """The administrator's token of the stack that runs here, for its own manager only."""
    home = Home(default_home())
    addresses = home.read()
    is_its_own = addresses is not None and _key(addresses.manager) == _key(manager)
    return home.kept_admin_token if is_its_own else ""


def _key(manager: str) -> str:
    parts = urlsplit(manager if "://" in manager else f"http://{manager}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}".lower()
