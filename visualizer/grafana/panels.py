"""Panels as all dashboards have them: units, thresholds, legends. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard

DATASOURCE_UID = "asperathos-influxdb"
SHARE, SECONDS, ITEMS, RATE, BYTES = "percentunit", "s", "short", "ops", "bytes"
"""Units by Grafana's names."""
_WHOLE = 24
"""Columns of a dashboard's grid."""
AHEAD = ((None, "red"), (-0.05, "orange"), (0.0, "green"))
"""Steps for a progress error: late, a little late, ahead."""
LIKELY = ((None, "red"), (0.5, "orange"), (0.9, "green"))
"""Steps for the probability of meeting a deadline."""
NONE_IS_GOOD = ((None, "green"), (1.0, "red"))
NEUTRAL = ((None, "blue"),)
Steps = Sequence[tuple[float | None, str]]


def datasource() -> dashboard.DataSourceRef:
    """The InfluxDB that all queries ask."""
    return dashboard.DataSourceRef(type_val="influxdb", uid=DATASOURCE_UID)


class InfluxQuery(Dataquery):
    """One query of a panel; the kit has none for InfluxDB."""

    def __init__(self, ref: str, text: str, alias: str, shape: str) -> None:
        self._fields = {
            "refId": ref,
            "datasource": datasource().to_json(),
            "query": text,
            "rawQuery": True,
            "resultFormat": shape,
            **({"alias": alias} if alias else {}),
        }

    def to_json(self) -> dict[str, object]:
        return dict(self._fields)


@dataclass(frozen=True)
class _Query(Builder[InfluxQuery]):
    ref: str
    text: str
    alias: str = ""
    shape: str = "time_series"

    def build(self) -> InfluxQuery:
        return InfluxQuery(self.ref, self.text, self.alias, self.shape)


@dataclass(frozen=True)
class Curve:
    """A query of a chart, and how its series are named: ``$col`` by column, ``$tag_submission`` by submission."""

    text: str
    name: str = "$col"


@dataclass(frozen=True)
class Chart:
    """A chart over time. ``width`` in columns of 24; ``line`` is a value to mark, such as 0 of an error."""

    title: str
    about: str
    curves: Sequence[Curve]
    unit: str = ITEMS
    width: int = 12
    stacked: bool = False
    stepped: bool = False
    least: float | None = 0.0
    line: float | None = None

    def build(self) -> timeseries.Panel:
        """The panel."""
        panel = (
            timeseries.Panel()
            .title(self.title)
            .description(self.about)
            .datasource(datasource())
            .height(8)
            .span(self.width)
            .unit(self.unit)
            .line_width(2)
            .fill_opacity(15 if self.stacked else 5)
            .show_points(common.VisibilityMode.AUTO)
            .legend(
                common_builders.VizLegendOptions()
                .display_mode(common.LegendDisplayMode.TABLE)
                .placement(common.LegendPlacement.BOTTOM)
                .show_legend(True)
                .calcs(["lastNotNull", "max"])
            )
            .tooltip(
                common_builders.VizTooltipOptions()
                .mode(common.TooltipDisplayMode.MULTI)
                .sort(common.SortOrder.DESCENDING)
            )
        )
        if self.stepped:
            panel.line_interpolation(common.LineInterpolation.STEP_AFTER)
        if self.stacked:
            panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        if self.least is not None:
            panel.axis_soft_min(self.least)
        if self.line is not None:
            panel.thresholds(_steps(((None, "red"), (self.line, "green"))))
            panel.thresholds_style(
                common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.LINE_AND_AREA)
            )
        for number, curve in enumerate(self.curves):
            panel.with_target(_Query(chr(ord("A") + number), curve.text, curve.name))
        return panel


@dataclass(frozen=True)
class Number:
    """A number now. ``steps`` colour it from their value up."""

    title: str
    about: str
    text: str
    unit: str = ITEMS
    steps: Steps = NEUTRAL
    width: int = 4

    def build(self) -> stat.Panel:
        """The panel."""
        return (
            stat.Panel()
            .title(self.title)
            .description(self.about)
            .datasource(datasource())
            .height(4)
            .span(self.width)
            .unit(self.unit)
            .no_value("-")
            .color_mode(common.BigValueColorMode.VALUE)
            .graph_mode(common.BigValueGraphMode.NONE)
            .text_mode(common.BigValueTextMode.VALUE)
            .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
            .thresholds(_steps(self.steps))
            .with_target(_Query("A", self.text, "now"))
        )


@dataclass(frozen=True)
class Column:
    """A column of a table: the query's own name for it, the unit, the address its cells lead to."""

    name: str
    unit: str = ""
    link: str = ""
    steps: Steps = field(default_factory=tuple)


@dataclass(frozen=True)
class Table:
    """A row for each submission: queries that are joined by their tags."""

    title: str
    about: str
    queries: Sequence[str]
    columns: Sequence[Column]

    def build(self) -> table.Panel:
        """The panel."""
        panel = (
            table.Panel()
            .title(self.title)
            .description(self.about)
            .datasource(datasource())
            .height(9)
            .span(_WHOLE)
            .show_header(True)
            .frame_index(0)
        )
        for number, text in enumerate(self.queries):
            panel.with_target(_Query(chr(ord("A") + number), text, shape="table"))
        # Without their times rows of one submission are one.
        panel.with_transformation(_transformation("organize", excludeByName={"Time": True}))
        panel.with_transformation(_transformation("merge"))
        for column in self.columns:
            properties = _properties(column)
            if properties:
                panel.override_by_name(column.name, properties)
        return panel


def _properties(column: Column) -> list[dashboard.DynamicConfigValue]:
    told: dict[str, Any] = {}
    if column.unit:
        told["unit"] = column.unit
    if column.link:
        told["links"] = [{"title": "Open", "url": column.link}]
    if column.steps:
        told["thresholds"] = {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in column.steps],
        }
        told["custom.cellOptions"] = {"type": "color-text"}
    return [dashboard.DynamicConfigValue(id_val=name, value=value) for name, value in told.items()]


def _transformation(id: str, **options: Any) -> dashboard.DataTransformerConfig:
    return dashboard.DataTransformerConfig(id_val=id, options=options)


def _steps(steps: Steps) -> builders.ThresholdsConfig:
    made = [dashboard.Threshold(value=value, color=colour) for value, colour in steps]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)
