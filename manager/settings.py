"""The manager's settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from common.domain.fields import ObjectName
from common.domain.submission import Priority
from common.settings import CommonSettings


class Settings(CommonSettings):
    """Environment variables ``ASPERATHOS_<NAME>``, listed by ``python -m manager --settings``. Durations in seconds."""

    # What pods are made of.
    worker_redis_url: SecretStr = Field(
        default=SecretStr(""), description="The suite's Redis as pods reach it; empty: the same address."
    )
    redis_acl: bool = Field(
        default=True,
        description="Give each submission's workers a Redis user limited to its queue; false where the suite's user "
        "may not manage users (managed Redis): workers then get the suite's own access.",
    )
    default_image: str = Field(default="python:3.12-slim", description="Image of submissions that name none.")
    worker_manager_url: str = Field(
        default="", description="The manager as pods reach it, for those that take items over HTTP; empty: manager_url."
    )
    items_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What tokens for items over HTTP are made of; empty: a random one, kept in Redis.",
    )
    runner_archive: Path = Field(
        default=Path(sys.prefix) / "share" / "asperathos" / "runner.pyz",
        description="What calls a run: template once per item, in any image with Python 3.8 or newer (make runner).",
    )
    runner_command: tuple[str, ...] = Field(
        default=(), description="What calls it instead of the archive, if the images bring it; JSON."
    )
    queue_image: str = Field(default="redis:7", description="Image of dedicated queues.")
    queue_command: tuple[str, ...] = Field(
        default=("redis-server",), description="Redis server of dedicated queues; JSON."
    )
    check_image: str = Field(
        default="", description="Image with python3 for a look at the cluster from a pod; empty: default_image."
    )
    check_timeout: float = Field(default=60.0, ge=5, le=600, description="How long that look may take.")
    default_user: Annotated[int, Field(ge=1, le=2**31 - 1)] | Literal["image"] = Field(
        default=65532, description="User id of submissions that name none; image: the image's own user."
    )
    run_as_non_root: bool = Field(default=False, description="Refuse submissions and images that run as root.")
    host_paths: tuple[Annotated[str, Field(pattern=r"^/")], ...] = Field(
        default=(), description="Directories of the nodes that submissions may mount, with all in them; JSON."
    )
    namespaces: tuple[ObjectName, ...] | None = Field(
        default=None,
        description="Namespaces that submissions may name; default: any, and where users log in none; JSON.",
    )
    service_accounts: tuple[ObjectName, ...] | None = Field(
        default=None,
        description="Service accounts that pods may have; default: any, and where users log in none; JSON.",
    )
    priority_classes: dict[Priority, ObjectName] = Field(
        default_factory=dict, description='Kubernetes priority classes of priorities; JSON: {"high": "urgent"}.'
    )
    job_ttl: int = Field(
        default=86400, ge=3600, description="When Kubernetes removes an ended Job that we have not removed."
    )
    result_limit: int = Field(default=1 << 20, ge=1, description="Largest result of an item in bytes.")

    # How a submission is seen through its life.
    load_batch: int = Field(default=1000, ge=1, le=100_000, description="Items put into the queue at once.")
    crash_pods: int = Field(default=3, ge=1, description="Failed pods without any item taken that make an error.")
    launch_patience: float = Field(default=300.0, ge=0, description="How long a refused Job is tried again.")
    forget_patience: float = Field(
        default=7 * 86400.0,
        ge=0,
        description="How long an ended submission's record waits for a service or a metric store that is away, when "
        "all is to be forgotten.",
    )
    log_followers: int = Field(default=8, ge=1, le=256, description="Logs followed at once; each holds a thread.")
    log_follow_limit: float = Field(default=3600.0, gt=0, description="Longest time a log is followed.")
    stream_retain: int = Field(default=100_000, ge=1, description="Finished items a stream keeps.")

    max_running: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Submissions that run at once; others wait for their turn; 0: any number.",
    )
    max_waiting: int = Field(
        default=10_000, ge=1, description="Submissions that wait for it; one more is refused for now (429)."
    )
    max_items: int = Field(default=0, ge=0, description="Most items of a submission; 0: any number.")
    claim_wait: float = Field(default=10.0, ge=0, le=60, description="Longest wait of a claim over HTTP for items.")

    # What is accepted, and how it is read.
    admission: Literal["warn", "refuse", "off"] = Field(
        default="warn",
        description="A submission that makes others miss their deadlines, or cannot meet its own beside them, is "
        "accepted with a warning, refused, or not looked at.",
    )
    history_keep: float = Field(
        default=90 * 86400.0, gt=0, description="How long what submissions of a name and image taught is kept."
    )
    history_most: int = Field(default=1000, ge=0, le=100_000, description="Histories kept; the oldest go first.")
    allow_local_files: bool = Field(default=False, description="Whether workloads may be files on the manager's disk.")
    local_directories: tuple[Annotated[str, Field(pattern=r"^/")], ...] = Field(
        default=(), description="Directories of which they may be, with all in them; JSON; empty: any but the system's."
    )
    workload_schemes: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*$")], ...] = Field(
        default=("http", "https", "file", "local", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"),
        description="Kinds of addresses that workloads may have; JSON.",
    )
    max_workload: int = Field(default=64 * 2**30, ge=1, description="Largest workload in bytes, unpacked.")
    workload_longest: float = Field(default=21600.0, gt=0, description="How long the reading of a workload may take.")
    max_item: int = Field(default=2**20, ge=1, le=2**20, description="Largest item in bytes.")
    workload_connect_timeout: float = Field(default=5.0, gt=0, description="Until a workload's server accepts.")
    workload_read_timeout: float = Field(default=30.0, gt=0, description="Until a workload's server goes on sending.")
    workload_proxy: str = Field(default="", description="HTTP proxy through which workload URLs are read.")
    workload_ca: str = Field(
        default="", description="File of certificates trusted for workload URLs; empty: the usual."
    )
    idempotency_keep: float = Field(default=86400.0, gt=0, description="How long an Idempotency-Key is remembered.")
    cors_origin: str = Field(default="", description="Origin whose pages may call the manager; *: any; empty: none.")
