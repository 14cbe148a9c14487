"""Every measurement and field name, declared once: writers, dashboards, pages and docs read them here."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Point:
    """One sample: fields of one measurement of one submission at a moment (Unix seconds)."""

    measurement: str
    submission: str
    at: float
    fields: dict[str, float]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """A measurement's name, its fields with units, and what it tells."""

    name: str
    fields: dict[str, str]
    help: str


PROGRESS_ERROR = Measurement(
    "application_progress_error", {"value": "share"}, "Progress minus time progress: above 0 ahead, below 0 late."
)
JOB_PROGRESS = Measurement("job_progress", {"value": "share"}, "Share of the work that is settled.")
TIME_PROGRESS = Measurement("time_progress", {"value": "share"}, "Share of the deadline that is used up.")
PARALLELISM = Measurement("job_parallelism", {"value": "replicas"}, "Replicas observed.")
QUEUE = Measurement(
    "queue",
    {"ready": "items", "delayed": "items", "leased": "items", "done": "items", "dead": "items"},
    "Items by place.",
)
REPLICAS = Measurement(
    "replicas",
    {"desired": "replicas", "requested": "replicas", "observed": "replicas", "pending": "replicas"},
    "Replicas by reality.",
)
FLOW = Measurement(
    "flow",
    {"throughput": "items/s", "arrival_rate": "items/s", "failures": "attempts"},
    "Items settled and put per second; failed attempts so far.",
)
SERVICE = Measurement(
    "service_time", {"mean": "s", "p50": "s", "p95": "s", "longest": "s"}, "How long items take, from lease to result."
)

MEASUREMENTS = (PROGRESS_ERROR, JOB_PROGRESS, TIME_PROGRESS, PARALLELISM, QUEUE, REPLICAS, FLOW, SERVICE)
"""All of them, the original's four first."""
