"""Builds the runner as one zip archive that any Python from 3.8 on runs: ``python3 runner.pyz``.

    python worker/build_runner.py --wheels DIRECTORY --output runner.pyz

The wheels are those of requirements/runner.lock. What the runner needs of redis-py is opening a connection: its
commands, cluster, sentinel and asyncio clients are left out, since an archive cannot keep compiled modules and each pod
compiles what it imports. The same inputs make the same bytes: entries are sorted and carry neither times nor owners.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

LIMIT = 1 << 20
"""Bytes Kubernetes lets a ConfigMap hold."""
_WORKER = Path(__file__).parent / "asperathos_worker"
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_REDIS_KEPT = (
    "redis/_parsers/",
    "redis/auth/",
    *(
        f"redis/{name}.py"
        for name in (
            "backoff",
            "cache",
            "connection",
            "credentials",
            "event",
            "exceptions",
            "ocsp",
            "retry",
            "typing",
            "utils",
        )
    ),
)
# Must be understood by Pythons that are too old for the rest.
_MAIN = """\
import sys

if sys.version_info < (3, 8):
    sys.stderr.write("asperathos-worker: needs Python 3.8 or newer, this is " + sys.version.split()[0] + "\\n")
    sys.exit(64)

from asperathos_worker.__main__ import main

main()
"""
_REDIS = '''\
"""The part of redis-py that opens connections; the rest is left out of this archive."""

from redis import exceptions
from redis.connection import ConnectionPool
from redis.exceptions import AuthenticationError, ConnectionError, RedisError, ResponseError, TimeoutError

__all__ = [
    "AuthenticationError",
    "ConnectionError",
    "ConnectionPool",
    "RedisError",
    "ResponseError",
    "TimeoutError",
    "exceptions",
]
'''


class BadInput(Exception):
    """The archive cannot be made; the message says why."""


def contents(wheels: Path, worker: Path = _WORKER) -> dict[str, bytes]:
    """The archive's files by name. Raises BadInput when a wheel is missing or there are several of one package."""
    files = {"__main__.py": _MAIN.encode(), "redis/__init__.py": _REDIS.encode()}
    files.update(_worker_files(worker))
    files.update(_wheel_files(wheels, "redis", _REDIS_KEPT))
    # redis-py's parsers import it on Pythons before 3.11.
    files.update(_wheel_files(wheels, "async_timeout", ("async_timeout/",)))
    return files


def write_archive(files: Mapping[str, bytes], output: Path) -> bytes:
    """Write the archive, at once or not at all; returns its content. Raises BadInput beyond LIMIT."""
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f"{output.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, _TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3
                entry.external_attr = _MODE
                archive.writestr(entry, files[name])
        content = draft.read_bytes()
        if len(content) > LIMIT:
            raise BadInput(f"the archive has {len(content)} bytes; a ConfigMap holds {LIMIT}")
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)
    return content


def _worker_files(worker: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(worker.rglob("*")):
        if path.suffix in (".py", ".lua"):
            yield f"asperathos_worker/{path.relative_to(worker).as_posix()}", path.read_bytes()


def _wheel_files(wheels: Path, package: str, kept: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    found = sorted(wheels.glob(f"{package}-*-py3-none-any.whl"))
    if len(found) != 1:
        raise BadInput(f"{wheels} must hold one wheel of {package}, and holds {len(found)}")
    with zipfile.ZipFile(found[0]) as wheel:
        for name in wheel.namelist():
            is_notice = ".dist-info/" in name and name.rsplit("/", 1)[-1] in ("LICENSE", "METADATA")
            if is_notice or (name.startswith(kept) and name.endswith(".py")):
                yield name, wheel.read(name)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Builds the runner as one zip archive.")
    parser.add_argument("--wheels", type=Path, required=True, help="directory with the wheels of runner.lock")
    parser.add_argument("--output", type=Path, required=True, help="the archive to write")
    options = parser.parse_args()
    try:
        content = write_archive(contents(options.wheels), options.output)
    except (BadInput, OSError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"build_runner: {error}\n")
        return 1
    sys.stdout.write(f"{options.output}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
