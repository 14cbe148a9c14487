"""From a container to a process of this machine: its words, environment, directories and files. Pure.

A process cannot mount anything, so a mount path at the start of a command word, an argument or an environment value is
replaced by the directory that stands for it, and the pod's own directory has a link of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.runtime.port import ContainerStart, HostPath, PodSetup


@dataclass(frozen=True)
class PodDirs:
    """Where a pod lives on disk."""

    root: Path

    @property
    def work(self) -> Path:
        """The default working directory."""
        return self.root / "work"

    @property
    def temporary(self) -> Path:
        """TMPDIR."""
        return self.root / "tmp"

    def volume(self, name: str) -> Path:
        """The directory that stands for a volume of the pod's own."""
        return self.root / "volumes" / name


@dataclass(frozen=True)
class Launch:
    """A process ready to start; ``links`` are to be made in the working directory first."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: Path
    links: Mapping[Path, Path]


def volume_paths(pod: PodSetup, dirs: PodDirs) -> dict[str, Path]:
    """The directory that stands for each volume."""
    return {
        name: Path(volume.path) if isinstance(volume, HostPath) else dirs.volume(name)
        for name, volume in pod.volumes.items()
    }


def build_launch(request: ContainerStart, dirs: PodDirs, base_env: Mapping[str, str]) -> Launch | None:
    """The process of one container; None when neither command nor arguments say what to run."""
    words = (*request.command, *request.args)
    if not words:
        return None
    volumes = volume_paths(request.pod, dirs)
    mounts = _mounts(request, volumes)
    env = dict(base_env)
    env["HOSTNAME"] = request.pod.hostname
    env["HOME"] = str(dirs.work)
    env["TMPDIR"] = str(dirs.temporary)
    for name, path in volumes.items():
        env["ASPERATHOS_VOLUME_" + re.sub(r"[^A-Z0-9]", "_", name.upper())] = str(path)
    env.update({name: _mounted(value, mounts) for name, value in request.env.items()})
    directory = Path(_mounted(request.working_dir, mounts)) if request.working_dir else dirs.work
    links = {dirs.work / path.lstrip("/"): target for path, target in mounts.items()}
    return Launch(tuple(_mounted(word, mounts) for word in words), env, directory, links)


def _mounts(request: ContainerStart, volumes: Mapping[str, Path]) -> dict[str, Path]:
    """Mount path to directory, longest path first."""
    found = {
        mount.path: volumes[mount.volume] / mount.sub_path if mount.sub_path else volumes[mount.volume]
        for mount in request.mounts
    }
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def _mounted(text: str, mounts: Mapping[str, Path]) -> str:
    for path, target in mounts.items():
        if path != "/" and (text == path or text.startswith(path + "/")):
            return str(target) + text[len(path) :]
    return text
