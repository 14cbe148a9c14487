"""The visualizer's settings. Durations in seconds."""

from __future__ import annotations

from pydantic import Field

from common.settings import CommonSettings


class Settings(CommonSettings):
    """Beside the common ones."""

    public_url: str = Field(
        default="", description="Where browsers reach the visualizer, e.g. behind a proxy; empty: visualizer_url."
    )
    page_refresh: float = Field(default=1.0, gt=0, le=60, description="Seconds between two looks of a live page.")
    page_timeout: float = Field(default=3.0, gt=0, description="Seconds until an asked service counts as away.")
    max_streams: int = Field(
        default=16, ge=0, description="Live connections a process; pages beyond them poll. At most half of threads."
    )
    board_check: float = Field(default=60.0, gt=0, description="Seconds between looks for purged submissions.")

    @property
    def base_url(self) -> str:
        """The absolute address pages are linked with, without a slash at its end."""
        return (self.public_url or self.visualizer_url).rstrip("/")

    @property
    def stream_limit(self) -> int:
        """Live connections allowed: each holds a thread, so some stay free for everything else."""
        return min(self.max_streams, self.threads // 2)
