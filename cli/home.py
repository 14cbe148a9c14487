"""The directory of a local stack: where its parts keep their state and where other commands find its addresses."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

DEFAULT_MANAGER = "http://127.0.0.1:1500"
_KEY_BYTES = 32
_ADMIN_TOKEN = "admin.token"


def default_home() -> Path:
    """$ASPERATHOS_HOME, else asperathos in the user's state directory."""
    explicit = os.environ.get("ASPERATHOS_HOME")
    if explicit:
        return Path(explicit)
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "asperathos"


@dataclass(frozen=True)
class Addresses:
    """Where a running stack answers, and the pid that runs it."""

    pid: int
    manager: str
    controller: str
    monitor: str
    visualizer: str
    cluster: str
    kubeconfig: str
    redis: str
    """host:port; the password is in redis.conf beside it."""


class Home:
    """A stack's directory, private to its user (mode 0700)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def addresses_file(self) -> Path:
        return self.path / "addresses.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def prepare(self) -> None:
        """Create the directories. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.chmod(0o700)
        for part in (self.logs, self.path / "redis", self.path / "cluster"):
            part.mkdir(exist_ok=True, mode=0o700)

    @property
    def cluster_key(self) -> str:
        """What added kubeconfigs are sealed with: made once, since what a stack keeps is read by the next one here.

        Raises OSError.
        """
        return self._secret("cluster.key")

    @property
    def admin_token(self) -> str:
        """What makes users where they have to log in: made once. Raises OSError."""
        return self._secret(_ADMIN_TOKEN)

    @property
    def kept_admin_token(self) -> str:
        """The same, '' where none was made or it may not be read."""
        try:
            return (self.path / _ADMIN_TOKEN).read_text()
        except OSError:
            return ""

    def _secret(self, name: str) -> str:
        path = self.path / name
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(_KEY_BYTES))
            draft.replace(path)
        return path.read_text()

    def lock(self) -> bool:
        """Whether this process is now the only one that runs a stack here; held until it ends."""
        self._lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def write(self, addresses: Addresses) -> None:
        """Publish the addresses, whole or not at all."""
        draft = self.addresses_file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(addresses), indent=2))
        draft.chmod(0o600)
        draft.replace(self.addresses_file)

    def read(self) -> Addresses | None:
        """The published addresses, None when there are none or they are from another version."""
        try:
            return Addresses(**json.loads(self.addresses_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def retract(self) -> None:
        """Take the addresses back."""
        self.addresses_file.unlink(missing_ok=True)


def find_manager(explicit: str | None) -> str:
    """The manager's address: as given, $ASPERATHOS_MANAGER_URL, the local stack's, else the default port."""
    if explicit:
        return explicit
    from_environment = os.environ.get("ASPERATHOS_MANAGER_URL")
    if from_environment:
        return from_environment
    addresses = Home(default_home()).read()
    return addresses.manager if addresses is not None else DEFAULT_MANAGER
