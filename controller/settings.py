"""The controller's settings."""

from __future__ import annotations

from pydantic import Field

from common.settings import CommonSettings


class Settings(CommonSettings):
    """Environment variables ``ASPERATHOS_<NAME>``; ``python -m controller --settings`` lists them. Seconds."""

    scaling_keep: float = Field(
        default=7 * 86400.0, gt=0, description="How long the record of a stopped submission stays readable."
    )
    cluster_timeout: float = Field(default=5.0, gt=0, le=30, description="Seconds until a call to Kubernetes fails.")
