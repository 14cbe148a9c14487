"""What the operator says in the environment reaches the manifests."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from common.domain.submission import Priority
from manager.bootstrap import _manifest_settings, _permissions
from manager.settings import Settings


def test_what_pods_may_do_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASPERATHOS_DEFAULT_USER", "1000")
    monkeypatch.setenv("ASPERATHOS_RUN_AS_NON_ROOT", "true")
    monkeypatch.setenv("ASPERATHOS_HOST_PATHS", '["/mnt", "/srv/data"]')
    monkeypatch.setenv("ASPERATHOS_PRIORITY_CLASSES", '{"low": "batch", "high": "urgent"}')
    monkeypatch.setenv("ASPERATHOS_JOB_TTL", "7200")
    settings = Settings()
    made = _manifest_settings(settings)
    assert (made.default_user, made.run_as_non_root, made.job_ttl) == (1000, True, 7200)
    assert made.priority_classes == {Priority.LOW: "batch", Priority.HIGH: "urgent"}
    allowed = _permissions(settings)
    assert (allowed.host_paths, allowed.non_root) == (("/mnt", "/srv/data"), True)
    assert allowed.priorities == {Priority.LOW, Priority.HIGH}


def test_the_images_own_user_can_be_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _manifest_settings(Settings()).default_user == 65532
    monkeypatch.setenv("ASPERATHOS_DEFAULT_USER", "image")
    assert _manifest_settings(Settings()).default_user is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEFAULT_USER", "0"),
        ("DEFAULT_USER", "root"),
        ("HOST_PATHS", '["mnt"]'),
        ("PRIORITY_CLASSES", '{"urgent": "x"}'),
        ("PRIORITY_CLASSES", '{"high": "Not A Name"}'),
        ("JOB_TTL", "60"),
    ],
)
def test_wrong_words_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    monkeypatch.setenv(f"ASPERATHOS_{name}", value)
    with pytest.raises(ValidationError):
        Settings()
