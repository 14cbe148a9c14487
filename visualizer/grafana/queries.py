"""InfluxQL as Grafana sends it, from the names of common.domain.metrics. Pure.

Grafana fills in ``$timeFilter``, ``$__interval`` and ``$submission`` (a regular expression of one id or several).
"""

from __future__ import annotations

from collections.abc import Sequence

from common.domain.metrics import EVENT, EVENT_KIND, EVENT_TEXT, JOB_PROGRESS, Measurement

_CHOSEN = '"submission" =~ /^$submission$/'
_IN_RANGE = f"$timeFilter AND {_CHOSEN}"
_NOW = f"time > now() - 1m AND {_CHOSEN}"


def over_time(measurement: Measurement, fields: Sequence[str] = (), aggregate: str = "mean") -> str:
    """The fields (all when none are named) of the submission over time, one value for each interval that has any."""
    columns = ", ".join(f'{aggregate}("{name}") AS "{name}"' for name in fields or measurement.fields)
    return f'SELECT {columns} FROM "{measurement.name}" WHERE {_IN_RANGE} GROUP BY time($__interval) fill(none)'


def each_over_time(measurement: Measurement, field: str = "value", aggregate: str = "mean") -> str:
    """One field of each chosen submission over time."""
    return (
        f'SELECT {aggregate}("{field}") AS "{field}" FROM "{measurement.name}" WHERE {_IN_RANGE} '
        f'GROUP BY time($__interval), "submission" fill(none)'
    )


def latest(measurement: Measurement, *fields: str) -> str:
    """The sum of the last values of the fields."""
    total = " + ".join(f'last("{name}")' for name in fields)
    return f'SELECT {total} AS "now" FROM "{measurement.name}" WHERE {_IN_RANGE}'


def latest_of_each(measurement: Measurement, field: str, name: str, *tags: str) -> str:
    """The last value of each chosen submission, under a name, with tags."""
    by = ", ".join(f'"{tag}"' for tag in ("submission", *tags))
    return f'SELECT last("{field}") AS "{name}" FROM "{measurement.name}" WHERE {_IN_RANGE} GROUP BY {by}'


def total(measurement: Measurement, field: str) -> str:
    """The sum over the submissions that were measured within the last minute."""
    inner = f'SELECT last("{field}") AS "one" FROM "{measurement.name}" WHERE {_NOW} GROUP BY "submission"'
    return f'SELECT sum("one") AS "now" FROM ({inner})'


def count(measurement: Measurement, condition: str = "", field: str = "value") -> str:
    """How many submissions were measured within the last minute, or fulfil a condition on their last value ``one``."""
    inner = f'SELECT last("{field}") AS "one" FROM "{measurement.name}" WHERE {_NOW} GROUP BY "submission"'
    where = f" WHERE {condition}" if condition else ""
    return f'SELECT count("one") AS "now" FROM ({inner}){where}'


def submissions(kind: str = "", measurement: Measurement = JOB_PROGRESS) -> str:
    """The ids there are, for a variable to choose from."""
    where = f" WHERE \"kind\" = '{kind}'" if kind else ""
    return f'SHOW TAG VALUES FROM "{measurement.name}" WITH KEY = "submission"{where}'


def events(kind: str) -> str:
    """What happened, of one kind of events."""
    columns = f'"{EVENT_TEXT}", "submission"'
    return f'SELECT {columns} FROM "{EVENT}" WHERE {_IN_RANGE} AND "{EVENT_KIND}" = \'{kind}\''
