from __future__ import annotations

import pytest
from asperathos_worker.errors import BadEnvironment
from asperathos_worker.settings import VARIABLES, WorkerSettings, read_settings

NEEDED = {"ASPERATHOS_REDIS_URL": "redis://queue:6379/0", "ASPERATHOS_SUBMISSION": "kj-1234567"}


def test_defaults() -> None:
    settings = read_settings({**NEEDED, "HOSTNAME": "pod-0"})
    assert settings == WorkerSettings("redis://queue:6379/0", "kj-1234567", "pod-0")
    assert settings.grace == 30 and settings.item_timeout is None and settings.patience == 600


def test_everything_set() -> None:
    settings = read_settings(
        {
            **NEEDED,
            "POD_NAME": "mine",
            "HOSTNAME": "other",
            "JOB_COMPLETION_INDEX": "7",
            "ASPERATHOS_GRACE_SECONDS": "12.5",
            "ASPERATHOS_ITEM_TIMEOUT": "90",
            "ASPERATHOS_RESULT_LIMIT": "100",
            "ASPERATHOS_QUEUE_PATIENCE": "0",
            "ASPERATHOS_RUN": "wc -l {item}",
        }
    )
    assert settings == WorkerSettings(
        "redis://queue:6379/0", "kj-1234567", "mine", 7, 12.5, 90.0, 100, 0.0, "wc -l {item}"
    )


def test_empty_optional_variables_count_as_absent() -> None:
    settings = read_settings({**NEEDED, "HOSTNAME": "h", "ASPERATHOS_ITEM_TIMEOUT": "", "ASPERATHOS_RUN": ""})
    assert settings.item_timeout is None and settings.run is None


def test_a_name_of_its_own_without_pod_name_and_hostname() -> None:
    assert read_settings(NEEDED).worker.rpartition("-")[2].isdigit()


def test_every_fault_is_named_at_once_and_no_password_shown() -> None:
    with pytest.raises(BadEnvironment) as caught:
        read_settings(
            {
                "ASPERATHOS_REDIS_URL": "http://user:secret@host",
                "JOB_COMPLETION_INDEX": "-1",
                "ASPERATHOS_GRACE_SECONDS": "soon",
                "ASPERATHOS_ITEM_TIMEOUT": "0",
                "ASPERATHOS_RESULT_LIMIT": "1.5",
                "ASPERATHOS_QUEUE_PATIENCE": "nan",
            }
        )
    assert {name for name, _ in caught.value.faults} == {
        "ASPERATHOS_REDIS_URL",
        "ASPERATHOS_SUBMISSION",
        "JOB_COMPLETION_INDEX",
        "ASPERATHOS_GRACE_SECONDS",
        "ASPERATHOS_ITEM_TIMEOUT",
        "ASPERATHOS_RESULT_LIMIT",
        "ASPERATHOS_QUEUE_PATIENCE",
    }
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("grace", "margin"), [(0, 0), (1, 0.5), (2, 1), (4, 1), (10, 2), (30, 5), (300, 5)])
def test_margin(grace: float, margin: float) -> None:
    assert WorkerSettings("redis://x", "s", "w", grace=grace).margin == margin


def test_help_lists_variables_once() -> None:
    names = [name for name, _ in VARIABLES]
    assert len(names) == len(set(names))
