"""Settings every service has, read from the environment (``ASPERATHOS_<NAME>``) once at start."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
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
    shutdown_grace: float = Field(default=10.0, gt=0, description="Seconds requests in work get at shutdown.")
