"""The visualizer's settings. Durations in seconds."""

from __future__ import annotations

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from common.settings import CommonSettings, checked_url


class Settings(CommonSettings):
    """Beside the common ones."""

    public_url: str = Field(
        default="", description="Where browsers reach the visualizer, e.g. behind a proxy; empty: visualizer_url."
    )
    page_refresh: float = Field(default=1.0, gt=0, le=60, description="Seconds between two looks of a live page.")
    page_actions: bool = Field(default=True, description="Whether the pages may submit, change, stop and retry.")
    action_timeout: float = Field(
        default=60.0, gt=0, description="Seconds until the manager must have answered what a page asks for or reads."
    )
    page_timeout: float = Field(default=3.0, gt=0, description="Seconds until an asked service counts as away.")
    max_streams: int = Field(
        default=16, ge=0, description="Live connections a process; pages beyond them poll. At most half of threads."
    )
    board_check: float = Field(default=60.0, gt=0, description="Seconds between looks for purged submissions.")

    grafana_url: str = Field(
        default="", validate_default=True, description="Grafana 9 or newer, as we reach it; empty: there is none."
    )
    grafana_public_url: str = Field(default="", description="As browsers reach it; empty: grafana_url.")
    grafana_token: SecretStr = Field(default=SecretStr(""), description="A service account's token.")
    grafana_username: str = Field(default="", validate_default=True, description="A user, instead of a token.")
    grafana_password: SecretStr = Field(default=SecretStr(""), description="The user's password.")
    grafana_timeout: float = Field(default=5.0, gt=0, description="Seconds until a request to Grafana fails.")
    grafana_influx_url: str = Field(default="", description="InfluxDB as Grafana reaches it; empty: influx_url.")
    grafana_influx_token: SecretStr = Field(
        default=SecretStr(""), description="A token for Grafana that may only read; empty: influx_token."
    )

    @field_validator("grafana_url", "grafana_public_url", "grafana_influx_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return checked_url(value)

    @field_validator("grafana_username")
    @classmethod
    def _one_way_in(cls, value: str, info: ValidationInfo) -> str:
        token = info.data.get("grafana_token")
        has_token = token is not None and bool(token.get_secret_value())
        if info.data.get("grafana_url") and bool(value) == has_token:
            raise ValueError("Grafana needs either ASPERATHOS_GRAFANA_TOKEN, or a user and ASPERATHOS_GRAFANA_PASSWORD")
        return value

    @field_validator("grafana_url")
    @classmethod
    def _with_series(cls, value: str, info: ValidationInfo) -> str:
        if value and "influx_url" in info.data and not info.data["influx_url"]:
            raise ValueError("Grafana shows what is in InfluxDB: set ASPERATHOS_INFLUX_URL too")
        return value

    @property
    def base_url(self) -> str:
        """The absolute address pages are linked with, without a slash at its end."""
        return (self.public_url or self.visualizer_url).rstrip("/")

    @property
    def stream_limit(self) -> int:
        """Live connections allowed: each holds a thread, so some stay free for everything else."""
        return min(self.max_streams, self.threads // 2)
