"""Settings every service has, read from the environment (``ASPERATHOS_<NAME>``) once at start."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.domain.outbound import ELSEWHERE_ONLY, Outbound, Rule

LEAST_TOKEN = 16
"""Characters of a token in the settings."""


class CommonSettings(BaseSettings):
    """Shared by the four services; each adds its own. Durations in seconds."""

    model_config = SettingsConfigDict(env_prefix="ASPERATHOS_", frozen=True, extra="ignore")

    bind: str = Field(default="127.0.0.1", description="Address to listen on.")
    authentication: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether users have to log in; auto: unless bind is a loopback address. off lets everybody who "
        "reaches the service do everything.",
    )
    redis_url: SecretStr = Field(default=SecretStr("redis://127.0.0.1:6379/0"), description="The suite's Redis.")
    redis_timeout: float = Field(default=5.0, gt=0, description="Seconds until a Redis call fails.")
    manager_url: str = Field(default="http://127.0.0.1:1500", description="Where the manager answers.")
    controller_url: str = Field(default="http://127.0.0.1:5000", description="Where the controller answers.")
    monitor_url: str = Field(default="http://127.0.0.1:5001", description="Where the monitor answers.")
    visualizer_url: str = Field(default="http://127.0.0.1:5002", description="Where the visualizer answers.")
    service_token: SecretStr = Field(
        default=SecretStr(""),
        validate_default=True,
        description="What the services show each other; empty, where users need not log in: not asked for.",
    )
    admin_token: SecretStr = Field(
        default=SecretStr(""),
        description="A token that may do everything, to make the first users with; empty: there is none.",
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""), description="A token that may read /metrics and nothing else; empty: there is none."
    )
    session_keep: float = Field(default=43200.0, ge=60, description="How long a login to the pages lasts.")
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names by which services on loopback are called, beside those in the *_url settings; JSON.",
    )
    trusted_proxies: int = Field(
        default=0, ge=0, le=8, description="Proxies in front whose X-Forwarded-For, -Proto and -Host are believed."
    )
    audit_most: int = Field(default=20_000, ge=100, le=10_000_000, description="Entries the audit log keeps.")
    tls_certificate: str = Field(default="", description="Certificate (PEM, with its chain) to serve with TLS.")
    tls_key: str = Field(default="", validate_default=True, description="Its private key.")
    tls_ca: str = Field(
        default="",
        description="Certificates trusted when calling services, InfluxDB and Grafana: a file; empty: the usual.",
    )
    outbound_allow: tuple[Rule, ...] = Field(
        default=(),
        description="Hosts and networks that users' addresses (workloads, prices, metrics) may lead to though denied; "
        'JSON: ["data.example.com", "10.1.0.0/16"].',
    )
    outbound_deny: tuple[Rule, ...] | None = Field(
        default=None,
        description='Those they may not lead to, "private" among them; default: ["loopback", "link-local"] where users '
        "log in, else none; JSON.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What is logged, and everything worse."
    )
    log_json: bool | None = Field(default=None, description="JSON log lines; default: unless on a terminal.")
    threads: int = Field(default=32, ge=2, le=512, description="API threads a process.")
    loop_workers: int = Field(default=4, ge=1, le=64, description="Submissions a loop works on at once.")
    max_body: int = Field(default=16 * 2**20, ge=1024, description="Largest request body in bytes.")
    kubeconfig: str = Field(default="", description="Path of the kubeconfig; empty: in-cluster, then the default one.")
    default_cluster: str = Field(default="default", description="Name of the cluster of that kubeconfig.")
    cluster_key: SecretStr = Field(
        default=SecretStr(""), description="Seals added kubeconfigs in Redis; empty: the service token does."
    )
    kubeconfig_programs: bool = Field(
        default=False, description="Whether added kubeconfigs may name programs to run (exec, auth-provider)."
    )
    namespace: str = Field(default="default", description="Namespace of submissions that name none.")
    metrics: Literal["", "redis", "influx"] = Field(
        default="",
        description="Where time series go; empty: influx when influx_url is set, else redis.",
    )
    influx_url: str = Field(
        default="", validate_default=True, description="InfluxDB 1.x, 2.x or 3: http://influxdb:8086."
    )
    influx_token: SecretStr = Field(default=SecretStr(""), description="API token (2.x, 3).")
    influx_org: str = Field(default="", description="Organization (2.x); empty: the only one the token sees.")
    influx_bucket: str = Field(default="asperathos", description="Bucket, or database; made when it is not there.")
    influx_username: str = Field(default="", description="User (1.x), instead of a token.")
    influx_password: SecretStr = Field(default=SecretStr(""), description="The user's password (1.x).")
    influx_retention: float = Field(
        default=30 * 86400.0,
        ge=0,
        description="Seconds that a bucket we make keeps points, an hour at least; 0: for ever.",
    )
    influx_write_api: Literal["auto", "v1", "v2"] = Field(
        default="auto",
        description="v2: /api/v2/write, v1: /write, auto: by the server's version.",
    )
    influx_timeout: float = Field(default=10.0, gt=0, description="Seconds until a request to InfluxDB fails.")
    metrics_buffer: int = Field(
        default=200_000,
        ge=1000,
        description="Points a process keeps while InfluxDB is away; the oldest go first.",
    )
    shutdown_grace: float = Field(default=10.0, gt=0, description="Seconds requests in work get at shutdown.")

    @property
    def metric_store(self) -> Literal["redis", "influx"]:
        """Where time series go."""
        return self.metrics or ("influx" if self.influx_url else "redis")

    @property
    def authenticated(self) -> bool:
        """Whether everybody has to say who they are."""
        return _is_authenticated(self.authentication, self.bind)

    @property
    def outbound(self) -> Outbound:
        """Where addresses of users may lead."""
        usual = ELSEWHERE_ONLY if self.authenticated else ()
        return Outbound(self.outbound_allow, usual if self.outbound_deny is None else self.outbound_deny)

    @field_validator("service_token")
    @classmethod
    def _known_services(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        bind, authentication = str(info.data.get("bind", "")), str(info.data.get("authentication", "auto"))
        if len(value.get_secret_value()) < LEAST_TOKEN and _is_authenticated(authentication, bind):
            asked = "ASPERATHOS_AUTHENTICATION=on" if authentication == "on" else f"listening on {bind}"
            raise ValueError(
                f"{asked} has users log in, for which the services need a token in common ({LEAST_TOKEN} characters or "
                "more), and you ASPERATHOS_ADMIN_TOKEN to make users with. ASPERATHOS_AUTHENTICATION=off lets "
                "everybody who reaches this address do everything"
            )
        return value

    @field_validator("admin_token", "metrics_token")
    @classmethod
    def _not_to_be_guessed(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < LEAST_TOKEN:
            raise ValueError(f"must be {LEAST_TOKEN} characters or more")
        return value

    @field_validator("tls_key")
    @classmethod
    def _with_its_certificate(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) != bool(info.data.get("tls_certificate")):
            raise ValueError("ASPERATHOS_TLS_CERTIFICATE and ASPERATHOS_TLS_KEY go together")
        return value

    @field_validator("influx_url")
    @classmethod
    def _reachable_influx(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("metrics") == "influx" and not value:
            raise ValueError("ASPERATHOS_METRICS=influx needs it: the address of InfluxDB, e.g. http://influxdb:8086")
        return checked_url(value)

    @field_validator("influx_bucket")
    @classmethod
    def _named_bucket(cls, value: str) -> str:
        if not value or set(value) & set('"\\/\n\r') or value.startswith("_"):
            raise ValueError("must be a name without quotes, slashes and a leading underscore")
        return value

    @field_validator("influx_username")
    @classmethod
    def _one_way_in(cls, value: str, info: ValidationInfo) -> str:
        token = info.data.get("influx_token")
        if value and token is not None and token.get_secret_value():
            raise ValueError("give a user (InfluxDB 1.x) or ASPERATHOS_INFLUX_TOKEN (2.x, 3), not both")
        return value

    @field_validator("influx_retention")
    @classmethod
    def _long_enough(cls, value: float) -> float:
        if 0 < value < 3600:
            raise ValueError("InfluxDB keeps points for an hour at least; 0 keeps them for ever")
        return value


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_authenticated(authentication: str, bind: str) -> bool:
    return authentication == "on" or (authentication == "auto" and not is_loopback(bind))


def checked_url(value: str) -> str:
    """The address without a slash at its end. Raises ValueError for what is none."""
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if "@" in value:
        raise ValueError("must hold no credentials: there are settings for them")
    return value.rstrip("/")
