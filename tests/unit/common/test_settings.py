from __future__ import annotations

import sys
from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError

from common import bootstrap
from common.bootstrap import Roles
from common.http.server import ServerSettings, Service
from common.settings import LEAST_TOKEN, CommonSettings


class Settings(CommonSettings):
    own: int = Field(default=7, ge=1, description="A number of its own.")
    secret: SecretStr = SecretStr("")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASPERATHOS_OWN", "9")
    monkeypatch.setenv("ASPERATHOS_REDIS_URL", "redis://:covert@there:1/0")
    monkeypatch.setenv("ASPERATHOS_SOMETHING_ELSE", "x")
    settings = Settings()
    assert settings.own == 9
    assert settings.redis_url.get_secret_value() == "redis://:covert@there:1/0"
    assert settings.bind == "127.0.0.1"


def test_no_secret_is_shown_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASPERATHOS_REDIS_URL", "redis://:covert@there:1/0")
    monkeypatch.setenv("ASPERATHOS_SERVICE_TOKEN", "hidden")
    assert "covert" not in repr(Settings()) and "hidden" not in repr(Settings())
    assert "covert" not in Settings().model_dump_json()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().own = 3  # type: ignore[misc]


# The command line of a service.


class _Served(Exception):
    pass


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def serve(settings: ServerSettings, build: Any) -> None:
        seen["server"] = settings
        build()

    monkeypatch.setattr(bootstrap, "serve", serve)
    monkeypatch.setattr(bootstrap, "configure_logging", lambda *_: None)
    return seen


def _main(monkeypatch: pytest.MonkeyPatch, seen: dict[str, Any], *arguments: str) -> None:
    def build(settings: Settings, roles: Roles) -> Service:
        seen["settings"], seen["roles"] = settings, roles
        return Service.__new__(Service)

    monkeypatch.setattr(sys, "argv", ["svc", *arguments])
    bootstrap.main("svc", "Serves.", Settings, 5001, build)


@pytest.mark.parametrize(
    ("arguments", "roles"),
    [((), Roles(True, True)), (("--api-only",), Roles(True, False)), (("--loop-only",), Roles(False, True))],
)
def test_roles(
    monkeypatch: pytest.MonkeyPatch, served: dict[str, Any], arguments: tuple[str, ...], roles: Roles
) -> None:
    _main(monkeypatch, served, *arguments)
    assert served["roles"] == roles
    assert (served["server"].bind, served["server"].port, served["server"].workers) == ("127.0.0.1", 5001, 1)


def test_flags_override(monkeypatch: pytest.MonkeyPatch, served: dict[str, Any]) -> None:
    monkeypatch.setenv("ASPERATHOS_BIND", "0.0.0.0")
    monkeypatch.setenv("ASPERATHOS_SERVICE_TOKEN", "x" * LEAST_TOKEN)
    _main(monkeypatch, served, "--port", "7", "--workers", "3")
    assert (served["server"].bind, served["server"].port, served["server"].workers) == ("0.0.0.0", 7, 3)
    _main(monkeypatch, served, "--bind", "::1")
    assert served["server"].bind == "::1"


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.9", "example.org"])
def test_an_address_others_reach_takes_authentication_unless_asked_otherwise(
    monkeypatch: pytest.MonkeyPatch, served: dict[str, Any], capsys: pytest.CaptureFixture[str], bind: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        _main(monkeypatch, served, "--bind", bind)
    assert caught.value.code == 64
    told = capsys.readouterr().err
    assert f"listening on {bind}" in told and "ASPERATHOS_AUTHENTICATION=off" in told and "ADMIN_TOKEN" in told
    assert "server" not in served
    monkeypatch.setenv("ASPERATHOS_SERVICE_TOKEN", "x" * LEAST_TOKEN)
    _main(monkeypatch, served, "--bind", bind)
    assert Settings(bind=bind).authenticated
    monkeypatch.delenv("ASPERATHOS_SERVICE_TOKEN")
    monkeypatch.setenv("ASPERATHOS_AUTHENTICATION", "off")
    _main(monkeypatch, served, "--bind", bind)
    assert not Settings(bind=bind).authenticated


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_on_loopback_nobody_has_to_log_in_unless_asked(monkeypatch: pytest.MonkeyPatch, bind: str) -> None:
    assert not Settings(bind=bind).authenticated
    with pytest.raises(ValidationError, match="ASPERATHOS_AUTHENTICATION=on has users log in"):
        Settings(bind=bind, authentication="on")
    assert Settings(bind=bind, authentication="on", service_token=SecretStr("x" * LEAST_TOKEN)).authenticated


@pytest.mark.parametrize("name", ["admin_token", "metrics_token"])
def test_a_token_that_can_be_guessed_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="16 characters or more"):
        Settings(**{name: "short"})


def test_a_certificate_and_its_key_go_together() -> None:
    with pytest.raises(ValidationError, match="go together"):
        Settings(tls_certificate="a.pem")
    with pytest.raises(ValidationError, match="go together"):
        Settings(tls_key="a.key")


def test_wrong_settings_end_it_with_64_and_their_names(
    monkeypatch: pytest.MonkeyPatch, served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASPERATHOS_OWN", "0")
    monkeypatch.setenv("ASPERATHOS_THREADS", "many")
    with pytest.raises(SystemExit) as caught:
        _main(monkeypatch, served)
    assert caught.value.code == 64
    told = capsys.readouterr().err
    assert "ASPERATHOS_OWN" in told and "ASPERATHOS_THREADS" in told
    assert served == {}


def test_settings_are_listed_without_their_values(
    monkeypatch: pytest.MonkeyPatch, served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASPERATHOS_SECRET", "hidden")
    _main(monkeypatch, served, "--settings")
    told = capsys.readouterr().out
    assert "ASPERATHOS_OWN=7  # A number of its own." in told
    assert "hidden" not in told
    assert served == {}


# Where time series go.


@pytest.mark.parametrize(
    ("given", "store"),
    [
        ({}, "redis"),
        ({"INFLUX_URL": "http://influxdb:8086/"}, "influx"),
        ({"INFLUX_URL": "http://influxdb:8086", "METRICS": "redis"}, "redis"),
        ({"INFLUX_URL": "https://influxdb:8086", "METRICS": "influx"}, "influx"),
    ],
)
def test_the_metric_store_is_the_named_one_or_that_of_the_address(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], store: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ASPERATHOS_{name}", value)
    assert Settings().metric_store == store
    assert not Settings().influx_url.endswith("/")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"METRICS": "influx"}, "influx_url"),
        ({"INFLUX_URL": "influxdb:8086"}, "http://"),
        ({"INFLUX_URL": "http://user:word@influxdb:8086"}, "credentials"),
        ({"INFLUX_BUCKET": 'a"b'}, "influx_bucket"),
        ({"INFLUX_TOKEN": "t", "INFLUX_USERNAME": "u"}, "not both"),
        ({"INFLUX_RETENTION": "60"}, "an hour"),
        ({"METRICS": "influxdb"}, "metrics"),
    ],
)
def test_wrong_settings_of_the_metric_store_are_told(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ASPERATHOS_{name}", value)
    with pytest.raises(ValidationError, match=told):
        Settings()
