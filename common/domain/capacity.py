"""What a cluster has for replicas, and what one replica asks of it. Cores, bytes, GPUs, pods."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from common.domain.pods import Resources
from common.domain.units import parse_quantity


class Requests(BaseModel):
    """What one replica asks of its node, besides its place as a pod."""

    model_config = ConfigDict(frozen=True)

    cpu: float = Field(default=0.0, ge=0)
    memory: float = Field(default=0.0, ge=0)
    gpus: int = Field(default=0, ge=0)


class Capacity(BaseModel):
    """What there is for all replicas together; None: no limit."""

    model_config = ConfigDict(frozen=True)

    replicas: int | None = Field(default=None, ge=0)
    cpu: float | None = Field(default=None, ge=0)
    memory: float | None = Field(default=None, ge=0)
    gpus: int | None = Field(default=None, ge=0)


def requests_of(resources: Resources) -> Requests:
    """What a replica of these resources asks for; a limit without a request is one, as in Kubernetes."""
    cpu, memory = resources.cpu or resources.cpu_limit, resources.memory or resources.memory_limit
    return Requests(
        cpu=parse_quantity(cpu) if cpu is not None else 0.0,
        memory=parse_quantity(memory) if memory is not None else 0.0,
        gpus=resources.gpu,
    )
