"""The controller's settings."""

from __future__ import annotations

from pydantic import Field

from common.settings import CommonSettings
from controller.capacity import Rule


class Settings(CommonSettings):
    """Environment variables ``ASPERATHOS_<NAME>``; ``python -m controller --settings`` lists them. Seconds."""

    scaling_keep: float = Field(
        default=7 * 86400.0, gt=0, description="How long the record of a stopped submission stays readable."
    )
    capacity: dict[str, Rule] = Field(
        default_factory=dict,
        description='What submissions share, by cluster, * for any other; JSON: {"default": 40}, replicas, or {"cpu": '
        '"64", "memory": "256Gi", "gpus": 4, "replicas": 200}, "nodes" (what these offer; the default) or "unlimited".',
    )
    cluster_timeout: float = Field(default=5.0, gt=0, le=30, description="Seconds until a call to Kubernetes fails.")
