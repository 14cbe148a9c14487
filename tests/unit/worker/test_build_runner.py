"""The runner's archive: the same inputs make the same bytes, and what is wrong is said."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_runner", ROOT / "worker" / "build_runner.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Wheels that stand in for the locked ones: the same names and kinds of files."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    files = {
        "redis-6.1.1": [
            "redis/__init__.py",
            "redis/connection.py",
            "redis/asyncio/client.py",
            "redis/_parsers/base.py",
        ],
        "async_timeout-5.0.1": ["async_timeout/__init__.py", "async_timeout/py.typed"],
    }
    for name, paths in files.items():
        with zipfile.ZipFile(directory / f"{name}-py3-none-any.whl", "w") as wheel:
            for path in [*paths, f"{name}.dist-info/METADATA", f"{name}.dist-info/LICENSE", f"{name}.dist-info/RECORD"]:
                wheel.writestr(path, f"# {path}\n")
    return directory


def test_what_is_in_it(builder: ModuleType, wheels: Path) -> None:
    files = builder.contents(wheels)
    sources = ROOT / "worker" / "asperathos_worker"
    ours = {f"asperathos_worker/{path.relative_to(sources).as_posix()}" for path in sources.rglob("*.py")}
    ours |= {f"asperathos_worker/{path.relative_to(sources).as_posix()}" for path in sources.rglob("*.lua")}
    assert files.keys() - ours == {
        "__main__.py",
        "redis/__init__.py",
        "redis/connection.py",
        "redis/_parsers/base.py",
        "redis-6.1.1.dist-info/METADATA",
        "redis-6.1.1.dist-info/LICENSE",
        "async_timeout/__init__.py",
        "async_timeout-5.0.1.dist-info/METADATA",
        "async_timeout-5.0.1.dist-info/LICENSE",
    }
    assert ours <= files.keys()
    assert b"ConnectionPool" in files["redis/__init__.py"]


def test_the_same_inputs_make_the_same_bytes(builder: ModuleType, wheels: Path, tmp_path: Path) -> None:
    files = builder.contents(wheels)
    first = builder.write_archive(files, tmp_path / "deep" / "first.pyz")
    second = builder.write_archive(dict(reversed(list(files.items()))), tmp_path / "second.pyz")
    assert first == second == (tmp_path / "second.pyz").read_bytes()
    assert builder.write_archive({**files, "__main__.py": b"other"}, tmp_path / "third.pyz") != first


def test_what_no_config_map_holds_is_not_written(builder: ModuleType, tmp_path: Path) -> None:
    import random

    noise = random.Random(1).randbytes(builder.LIMIT)
    with pytest.raises(builder.BadInput, match="ConfigMap holds"):
        builder.write_archive({"__main__.py": noise}, tmp_path / "large.pyz")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_second_wheel_is_named(builder: ModuleType, wheels: Path) -> None:
    (wheels / "redis-6.0.0-py3-none-any.whl").write_bytes(b"")
    with pytest.raises(builder.BadInput, match="one wheel of redis, and holds 2"):
        builder.contents(wheels)
    for wheel in wheels.glob("async*"):
        wheel.unlink()
    (wheels / "redis-6.0.0-py3-none-any.whl").unlink()
    command = [
        sys.executable,
        str(ROOT / "worker" / "build_runner.py"),
        "--wheels",
        str(wheels),
        "--output",
        "none.pyz",
    ]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=wheels, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "one wheel of async_timeout, and holds 0" in refused.stderr
    assert not (wheels / "none.pyz").exists()
