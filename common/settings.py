"""Settings every service has, read from the environment (``ASPERATHOS_<NAME>``) once at start."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class CommonSettings(BaseSettings):
    """Shared by the four services; each adds its own. Durations in seconds."""

    model_config = SettingsConfigDict(env_prefix="ASPERATHOS_", frozen=True, extra="ignore")

    bind: str = Field(default="127.0.0.1", description="Address to listen on.")
    redis_url: SecretStr = Field(default=SecretStr("redis://127.0.0.1:6379/0"), description="The suite's Redis.")
    redis_timeout: float = Field(default=5.0, gt=0, description="Seconds until a Redis call fails.")
    manager_url: str = Field(default="http://127.0.0.1:1500", description="Where the manager answers.")
    controller_url: str = Field(default="http://127.0.0.1:5000", description="Where the controller answers.")
    monitor_url: str = Field(default="http://127.0.0.1:5001", description="Where the monitor answers.")
    visualizer_url: str = Field(default="http://127.0.0.1:5002", description="Where the visualizer answers.")
    service_token: SecretStr = Field(default=SecretStr(""), description="Shared by the services; empty: not asked for.")
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


def checked_url(value: str) -> str:
    """The address without a slash at its end. Raises ValueError for what is none."""
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if "@" in value:
        raise ValueError("must hold no credentials: there are settings for them")
    return value.rstrip("/")
