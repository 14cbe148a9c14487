"""Every measurement and field name, declared once: writers, dashboards, pages and docs read them here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Point:
    """One sample: fields of one measurement of one submission at a moment (Unix seconds).

    ``tags`` are those of TAGS beside ``submission`` and ``job``; stores may leave them out, and reading tells none.
    """

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
    {"throughput": "items/s", "arrival_rate": "items/s"},
    "Items settled and put per second, over the last 30 s.",
)
ATTEMPTS = Measurement(
    "attempts",
    {"taken": "attempts", "failed": "attempts", "expired": "attempts", "released": "attempts", "retried": "attempts"},
    "So far: handed out; failed by word of their worker; ended by a lease that ran out; handed back unharmed; failures "
    "after which the item got another chance (after the others it is dead).",
)
SERVICE = Measurement(
    "service_time",
    {"mean": "s", "p50": "s", "p95": "s", "p99": "s", "longest": "s"},
    "How long items take, from lease to result: all so far.",
)
QUEUE_WAIT = Measurement(
    "queue_wait",
    {"p50": "s", "p95": "s", "p99": "s", "oldest": "s"},
    "How long a stream's items waited before they were taken, over the last 30 s; the age of the oldest that waits.",
)
FORECAST = Measurement(
    "forecast",
    {
        "eta_p50": "s",
        "eta_p90": "s",
        "end_p50": "s",
        "end_p90": "s",
        "deadline": "s",
        "chance": "share",
        "late_by": "s",
    },
    "Time left until the end, and the end and the deadline in seconds since acceptance; the probability of meeting the "
    "deadline; by how much it is missed even at the most replicas. At the moment of each new forecast.",
)
COST = Measurement(
    "cost",
    {"so_far": "money", "projected": "money"},
    "Spent so far, and expected in all by the time it ends (at the moment of each new forecast).",
)
USAGE = Measurement(
    "usage",
    {"cpu": "cores", "memory": "bytes", "pods": "pods"},
    "What the running pods use together, and how many tell; only where metrics.k8s.io answers.",
)
COST_ERROR = Measurement(
    "application_cost_error", {"value": "money/h"}, "Current minus desired cost: above 0 too dear."
)
DESIRED_COST = Measurement("desired_cost", {"value": "money/h"}, "What the submission may cost.")
CURRENT_SPENT = Measurement("current_spent", {"value": "money/h"}, "What it costs now.")

MEASUREMENTS = (
    PROGRESS_ERROR,
    JOB_PROGRESS,
    TIME_PROGRESS,
    PARALLELISM,
    QUEUE,
    REPLICAS,
    FLOW,
    ATTEMPTS,
    SERVICE,
    QUEUE_WAIT,
    FORECAST,
    USAGE,
)
"""Those of every submission, the original's four first."""
COSTS = (COST_ERROR, DESIRED_COST, CURRENT_SPENT, COST)
"""Those of submissions with a price; three have the original's names."""

EVENT = "event"
"""Measurement of what happened, as text: for the annotations of dashboards, where the store keeps texts."""
EVENT_TEXT = "text"
EVENT_KIND = "kind"
"""Its field, and the tag that tells events.Event.kind, or ``warning``."""

TAGS: Mapping[str, str] = {
    "submission": "Id of the submission.",
    "job": "The same, under the original's name.",
    "name": "Its name, when it has one.",
    "kind": "batch or stream.",
    "law": "The control law.",
    "cluster": "Name of its cluster, when it names one.",
    "namespace": "Where its pods run.",
}
"""Tags of every measurement: each is one value for one submission (the law may be changed), so there are about as many
series as submissions times measurements. Nothing that grows otherwise (pods, items, errors) is ever a tag."""
