"""The dashboards: one of all submissions, one for each kind. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from common.domain import metrics
from common.domain.events import Event
from visualizer.grafana import queries
from visualizer.grafana.panels import (
    AHEAD,
    BYTES,
    DATASOURCE_UID,
    LIKELY,
    NONE_IS_GOOD,
    RATE,
    SECONDS,
    SHARE,
    Chart,
    Column,
    Curve,
    Number,
    Table,
    datasource,
)

OVERVIEW, BATCH, STREAM, COST = "asperathos-overview", "asperathos-batch", "asperathos-stream", "asperathos-cost"
"""Uids, by which their addresses are known beforehand."""
FOLDER_UID, FOLDER = "asperathos", "Asperathos"
SCHEMA_VERSION = 36
"""That of Grafana 9.0; newer ones migrate from there."""
_TAGS = ["asperathos"]
_EVENTS = {"state": "blue", "scaling": "purple", "warning": "red"}
"""Kinds of events that are marked, and their colours."""
_EVENT_KINDS = {*Event.model_fields["kind"].annotation.__args__, "warning"}  # type: ignore[union-attr]
Parts = Sequence[Chart | Number | Table]
Json = dict[str, Any]

_REPLICAS = Chart(
    "Replicas",
    "Decided, asked of Kubernetes, running, and waiting to run.",
    [Curve(queries.over_time(metrics.REPLICAS, aggregate="last"))],
    stepped=True,
)
_QUEUE = Chart(
    "Items by place",
    "Waiting, waiting for another try, in work, done, given up.",
    [Curve(queries.over_time(metrics.QUEUE, aggregate="last"))],
)
_SERVICE = Chart(
    "Time per item",
    "From lease to result, all so far: mean, median, 95th and 99th percentile, longest.",
    [Curve(queries.over_time(metrics.SERVICE))],
    unit=SECONDS,
)
_WAITS = Chart(
    "Waiting before work",
    "Median, 95th and 99th percentile of those taken lately, and the age of the oldest that still waits.",
    [Curve(queries.over_time(metrics.QUEUE_WAIT))],
    unit=SECONDS,
)
_FAILURES = Chart(
    "Failed attempts",
    "So far: attempts that failed, attempts whose lease ran out, and how many of both were tried again.",
    [Curve(queries.over_time(metrics.ATTEMPTS, ("failed", "expired", "retried"), "last"))],
    stepped=True,
)
_ATTEMPTS = Chart(
    "Attempts",
    "So far: handed out to workers, and handed back unharmed.",
    [Curve(queries.over_time(metrics.ATTEMPTS, ("taken", "released"), "last"))],
    stepped=True,
)
_CPU = Chart(
    "Cores in use",
    "Of the running pods that are measured; nothing where the cluster does not measure (no metrics.k8s.io).",
    [Curve(queries.over_time(metrics.USAGE, ("cpu", "pods")))],
)
_MEMORY = Chart(
    "Memory in use",
    "Of the running pods that are measured; nothing where the cluster does not measure (no metrics.k8s.io).",
    [Curve(queries.over_time(metrics.USAGE, ("memory",)), "memory")],
    unit=BYTES,
)
_END = Chart(
    "Expected end against deadline",
    "Time since acceptance: the end as expected (half of the cases, nine of ten), and the deadline.",
    [Curve(queries.over_time(metrics.FORECAST, ("end_p50", "end_p90", "deadline"), "last"))],
    unit=SECONDS,
)
_CHANCE = Chart(
    "Chance of meeting the deadline",
    "As foreseen at that time.",
    [Curve(queries.over_time(metrics.FORECAST, ("chance",), "last"), "chance")],
    unit=SHARE,
    line=0.5,
)
_PROGRESS = Chart(
    "Job progress against time progress",
    "The share of the work that is settled, and the share of the time that is used up.",
    [
        Curve(queries.over_time(metrics.JOB_PROGRESS, aggregate="last"), "job progress"),
        Curve(queries.over_time(metrics.TIME_PROGRESS, aggregate="last"), "time progress"),
    ],
    unit=SHARE,
    width=24,
)
_ERROR = Chart(
    "Progress error",
    "Progress minus time progress: above 0 ahead, below 0 late.",
    [Curve(queries.over_time(metrics.PROGRESS_ERROR, aggregate="last"), "progress error")],
    unit=SHARE,
    least=None,
    line=0.0,
)
_RUNNING = Number("Replicas", "Running now.", queries.latest(metrics.REPLICAS, "observed"))
_OUTSTANDING = Number("Items left", "Not settled yet.", queries.latest(metrics.QUEUE, "ready", "delayed", "leased"))
_EXPIRED = Number(
    "Leases run out",
    "Attempts that were not heard of in time; their items came back.",
    queries.latest(metrics.ATTEMPTS, "expired"),
    steps=NONE_IS_GOOD,
)
_RETRIED = Number(
    "Retries", "Failed attempts whose items were tried again.", queries.latest(metrics.ATTEMPTS, "retried")
)
_DEAD = Number("Given up", "Items that failed for good.", queries.latest(metrics.QUEUE, "dead"), steps=NONE_IS_GOOD)


def dashboards(pages: str) -> dict[str, Json]:
    """All dashboards by uid, as Grafana's API and its provisioning take them.

    ``pages`` is the address of our own pages, which they link to.
    """
    return {one["uid"]: one for one in (_overview(pages), _batch(pages), _stream(pages), _cost(pages))}


def _overview(pages: str) -> Json:
    parts: Parts = [
        Number("Submissions", "Measured within the last minute.", queries.count(metrics.JOB_PROGRESS)),
        Number(
            "Late",
            "Behind their time, of those.",
            queries.count(metrics.PROGRESS_ERROR, '"one" < 0'),
            steps=((None, "green"), (1.0, "orange")),
        ),
        Number(
            "In danger",
            "More likely than not to miss their deadline.",
            queries.count(metrics.FORECAST, '"one" < 0.5', "chance"),
            steps=NONE_IS_GOOD,
        ),
        Number("Given up", "Items that failed for good.", queries.total(metrics.QUEUE, "dead"), steps=NONE_IS_GOOD),
        Number("Leases run out", "So far.", queries.total(metrics.ATTEMPTS, "expired")),
        Number("Spent so far", "Money, of those with a price.", queries.total(metrics.COST, "so_far")),
        Number("Replicas", "Running now.", queries.total(metrics.REPLICAS, "observed")),
        Number("Replicas pending", "Waiting for a place.", queries.total(metrics.REPLICAS, "pending")),
        Number("Items waiting", "Ready to be taken.", queries.total(metrics.QUEUE, "ready")),
        Number("Items per second", "Settled now.", queries.total(metrics.FLOW, "throughput"), unit=RATE),
        Number("Cores in use", "Where clusters measure it.", queries.total(metrics.USAGE, "cpu")),
        Number("Memory in use", "Where clusters measure it.", queries.total(metrics.USAGE, "memory"), unit=BYTES),
        Table(
            "Submissions",
            "The last that was measured of each in this range of time.",
            [
                queries.latest_of_each(metrics.JOB_PROGRESS, "value", "progress", "name", "kind"),
                queries.latest_of_each(metrics.PROGRESS_ERROR, "value", "ahead"),
                queries.latest_of_each(metrics.FORECAST, "chance", "chance"),
                queries.latest_of_each(metrics.FORECAST, "eta_p50", "time left"),
                queries.latest_of_each(metrics.REPLICAS, "observed", "replicas"),
                queries.latest_of_each(metrics.QUEUE, "done", "done"),
                queries.latest_of_each(metrics.QUEUE, "dead", "given up"),
            ],
            [
                Column("submission", link="${pages}/submissions/${__value.text}"),
                Column("kind", link="/d/asperathos-${__value.text}?var-submission=${__data.fields.submission}"),
                Column("progress", SHARE),
                Column("ahead", SHARE, steps=AHEAD),
                Column("chance", SHARE, steps=LIKELY),
                Column("time left", SECONDS),
                Column("given up", steps=NONE_IS_GOOD),
            ],
        ),
        Chart(
            "Progress",
            "The settled share of each.",
            [Curve(queries.each_over_time(metrics.JOB_PROGRESS, aggregate="last"), "$tag_submission")],
            unit=SHARE,
        ),
        Chart(
            "Progress error",
            "Above 0 ahead, below 0 late.",
            [Curve(queries.each_over_time(metrics.PROGRESS_ERROR, aggregate="last"), "$tag_submission")],
            unit=SHARE,
            least=None,
            line=0.0,
        ),
        Chart(
            "Running replicas",
            "Of each, on top of each other.",
            [Curve(queries.each_over_time(metrics.PARALLELISM, aggregate="last"), "$tag_submission")],
            stacked=True,
            stepped=True,
        ),
        Chart(
            "Throughput",
            "Items settled per second.",
            [Curve(queries.each_over_time(metrics.FLOW, "throughput"), "$tag_submission")],
            unit=RATE,
            stacked=True,
        ),
    ]
    every = _chooser(queries.submissions()).multi(True).include_all(True).all_value(".*")
    everything = dashboard.VariableOption(selected=True, text="All", value="$__all")
    return _dashboard(OVERVIEW, "Asperathos: all submissions", every.current(everything), parts, pages)


def _batch(pages: str) -> Json:
    parts: Parts = [
        Number("Progress", "Settled share.", queries.latest(metrics.JOB_PROGRESS, "value"), unit=SHARE),
        Number("Time used", "Share of the deadline.", queries.latest(metrics.TIME_PROGRESS, "value"), unit=SHARE),
        Number("Ahead", "Below 0 late.", queries.latest(metrics.PROGRESS_ERROR, "value"), unit=SHARE, steps=AHEAD),
        _RUNNING,
        _OUTSTANDING,
        _DEAD,
        Number(
            "Chance",
            "Of meeting the deadline.",
            queries.latest(metrics.FORECAST, "chance"),
            unit=SHARE,
            steps=LIKELY,
        ),
        Number("Time left", "As likely less as more.", queries.latest(metrics.FORECAST, "eta_p50"), unit=SECONDS),
        Number("At most", "Nine times of ten.", queries.latest(metrics.FORECAST, "eta_p90"), unit=SECONDS),
        Number(
            "Late by",
            "Even with the most replicas.",
            queries.latest(metrics.FORECAST, "late_by"),
            unit=SECONDS,
            steps=NONE_IS_GOOD,
        ),
        _RETRIED,
        _EXPIRED,
        _PROGRESS,
        _END,
        _CHANCE,
        _REPLICAS,
        _ERROR,
        _QUEUE,
        Chart(
            "Throughput",
            "Items settled per second.",
            [Curve(queries.over_time(metrics.FLOW, ("throughput",)), "items per second")],
            unit=RATE,
        ),
        _SERVICE,
        _FAILURES,
        _ATTEMPTS,
        _CPU,
        _MEMORY,
    ]
    return _dashboard(BATCH, "Asperathos: batch", _chooser(queries.submissions("batch")), parts, pages)


def _stream(pages: str) -> Json:
    parts: Parts = [
        Number("Arriving", "Items per second.", queries.latest(metrics.FLOW, "arrival_rate"), unit=RATE),
        Number("Settled", "Items per second.", queries.latest(metrics.FLOW, "throughput"), unit=RATE),
        Number("Wait, p50", "Of items taken lately.", queries.latest(metrics.QUEUE_WAIT, "p50"), unit=SECONDS),
        Number("Wait, p95", "Of items taken lately.", queries.latest(metrics.QUEUE_WAIT, "p95"), unit=SECONDS),
        Number("Wait, p99", "Of items taken lately.", queries.latest(metrics.QUEUE_WAIT, "p99"), unit=SECONDS),
        Number("Oldest", "Waits the longest.", queries.latest(metrics.QUEUE_WAIT, "oldest"), unit=SECONDS),
        _RUNNING,
        _OUTSTANDING,
        _DEAD,
        _RETRIED,
        _EXPIRED,
        Number("Cores in use", "Of its pods.", queries.latest(metrics.USAGE, "cpu")),
        Chart(
            "Input and output",
            "Items that arrive and items that are settled per second.",
            [
                Curve(queries.over_time(metrics.FLOW, ("arrival_rate",)), "arriving"),
                Curve(queries.over_time(metrics.FLOW, ("throughput",)), "settled"),
            ],
            unit=RATE,
            width=24,
        ),
        _WAITS,
        Chart(
            "Queue",
            "Items that wait, wait for another try, or are in work.",
            [Curve(queries.over_time(metrics.QUEUE, ("ready", "delayed", "leased"), "last"))],
        ),
        _REPLICAS,
        _SERVICE,
        _FAILURES,
        _ATTEMPTS,
        _CPU,
        _MEMORY,
    ]
    return _dashboard(STREAM, "Asperathos: stream", _chooser(queries.submissions("stream")), parts, pages)


def _cost(pages: str) -> Json:
    parts: Parts = [
        Number("Costs now", "Money per hour.", queries.latest(metrics.CURRENT_SPENT, "value")),
        Number("May cost", "Money per hour.", queries.latest(metrics.DESIRED_COST, "value")),
        Number(
            "Too dear by",
            "Above 0 it costs more than it may.",
            queries.latest(metrics.COST_ERROR, "value"),
            steps=((None, "green"), (0.0, "orange")),
        ),
        Number("Spent so far", "Money.", queries.latest(metrics.COST, "so_far")),
        Number("Expected in all", "Money, by the time it ends.", queries.latest(metrics.COST, "projected")),
        _RUNNING,
        Chart(
            "Money",
            "Spent so far, and expected in all by the time it ends.",
            [
                Curve(queries.over_time(metrics.COST, ("so_far",), "last"), "so far"),
                Curve(queries.over_time(metrics.COST, ("projected",), "last"), "expected in all"),
            ],
        ),
        Chart(
            "Desired against current cost",
            "Money per hour.",
            [
                Curve(queries.over_time(metrics.DESIRED_COST, aggregate="last"), "desired"),
                Curve(queries.over_time(metrics.CURRENT_SPENT, aggregate="last"), "current"),
            ],
        ),
        Chart(
            "Cost error",
            "Current minus desired cost: above 0 too dear.",
            [Curve(queries.over_time(metrics.COST_ERROR, aggregate="last"), "cost error")],
            least=None,
        ),
        _REPLICAS,
        Chart(
            "Job progress",
            "The settled share of the work.",
            [Curve(queries.over_time(metrics.JOB_PROGRESS, aggregate="last"), "job progress")],
            unit=SHARE,
        ),
        _QUEUE,
    ]
    chooser = _chooser(queries.submissions(measurement=metrics.CURRENT_SPENT))
    return _dashboard(COST, "Asperathos: cost", chooser, parts, pages)


def _chooser(text: str) -> builders.QueryVariable:
    """The variable that says which submission."""
    return (
        builders.QueryVariable("submission")
        .label("Submission")
        .datasource(datasource())
        .query(text)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_DESC)
    )


def _dashboard(uid: str, title: str, chooser: builders.QueryVariable, parts: Parts, pages: str) -> Json:
    built = (
        builders.Dashboard(title)
        .uid(uid)
        .tags(_TAGS)
        .editable()
        .timezone("browser")
        .refresh("5s")
        .time("now-1h", "now")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(chooser)
        .with_variable(builders.ConstantVariable("pages").value(pages))
        .link(
            builders.DashboardLink("Page of the submission")
            .type(dashboard.DashboardLinkType.LINK)
            .url("${pages}/submissions" + ("" if uid == OVERVIEW else "/${submission}"))
            .icon("external link")
            .target_blank(True)
        )
        .link(
            builders.DashboardLink("Dashboards")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(_TAGS)
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for part in parts:
        built.with_panel(part.build())
    made: Json = json.loads(json.dumps(built.build(), cls=JSONEncoder))
    made["schemaVersion"] = SCHEMA_VERSION
    made["annotations"] = {"list": [_annotation(kind, colour) for kind, colour in _EVENTS.items()]}
    for number, panel in enumerate(made["panels"], start=1):
        panel["id"] = number
    # What the kit's builder of constants has no method for, and what it gives to variables that are no intervals.
    made["templating"]["list"][1]["hide"] = dashboard.VariableHide.HIDE_VARIABLE.value
    for variable in made["templating"]["list"]:
        for name in ("auto", "auto_min", "auto_count"):
            del variable[name]
    return made


def _annotation(kind: str, colour: str) -> Json:
    """Marks of one kind of events. The query stands twice: Grafana 9 to 12 read it from different places."""
    assert kind in _EVENT_KINDS
    columns = {"textColumn": metrics.EVENT_TEXT, "tagsColumn": "submission", "titleColumn": "", "timeEndColumn": ""}
    text = queries.events(kind)
    return {
        "name": {"state": "States", "scaling": "Scalings", "warning": "Warnings"}[kind],
        "datasource": {"type": "influxdb", "uid": DATASOURCE_UID},
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "query": text,
        **columns,
        "target": {"refId": kind, "query": text, "rawQuery": True, "fromAnnotations": True, **columns},
    }
