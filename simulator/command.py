"""``asperathos simulate``: options in, table, JSON or page out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from asperathos_worker.pace import MOST
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from common.domain.errors import BadRequest
from common.domain.submission import Kind
from common.domain.units import format_duration, parse_duration
from controller.lawbook import LawBook
from simulator.contention import Contention
from simulator.distributions import Constant, Distribution, LogNormal
from simulator.document import Document, read_document, read_numbers
from simulator.experiment import Experiment, Items, Submitted, results
from simulator.lawbook import all_laws
from simulator.naming import (
    DISTRIBUTIONS,
    PROCESSES,
    parse_arrivals,
    parse_contention,
    parse_distribution,
    parse_rate,
    parse_share,
    parse_stragglers,
)
from simulator.page import Shown, page
from simulator.plant import PlantModel
from simulator.scenarios import published
from simulator.table import plain, rows

T = TypeVar("T")
_REJECTED, _INTERRUPTED = 4, 130
_DURATIONS = ("duration_s", "service_s", "run_s", "seconds", "duration", "service")
_TIMES = ("arrival_s", "t_s", "at", "time", "arrival")
_PLANTS = {"original": published.PLANT}
_USUAL_VARIATION = 1.0
"""Coefficient of variation of item times when the document tells only the expected one."""


class _Read(click.ParamType[Any]):
    """A text read by one of our parsers, whose ValueError tells the remedy."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            return self.fail(str(error), param, ctx)


def _list_laws(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value and not ctx.resilient_parsing:
        laws = all_laws().laws
        for name in sorted(laws):
            click.echo(f"{name:<24} {laws[name].summary}")
        ctx.exit()


def _check_plot(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Before the simulations, lest they were for nothing."""
    if value is not None and value.suffix.lower() not in (".html", ".htm"):
        raise click.BadParameter(f"{value} is to be a page: name it like plot.html", ctx, param)
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"there is no directory {value.parent}", ctx, param)
    return value


_DISTRIBUTION = _Read("dist", parse_distribution)
_DURATION = _Read("duration", parse_duration)
_SHARE = _Read("share", parse_share)
_RATE = _Read("rate", parse_rate)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done · 2 wrong usage · 4 the document is wrong · 130 interrupted.",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--items", type=click.IntRange(0, 1_000_000), multiple=True, help="Number of items [the workload's].")
@click.option(
    "--service", type=_DISTRIBUTION, multiple=True, help=f"Service time of an item on one replica: {DISTRIBUTIONS}."
)
@click.option("--durations", type=_FILE, multiple=True, help="CSV of service times (s) in place of --service.")
@click.option("--history", type=_FILE, multiple=True, help="CSV of service times (s) of earlier submissions' items.")
@click.option("--arrivals", type=_Read("process", parse_arrivals), help=f"Of a stream's items: {PROCESSES}.")
@click.option("--arrival-times", type=_FILE, help="CSV of arrival times (s) in place of --arrivals.")
@click.option("--for", "seconds", type=_DURATION, default="1h", show_default=True, help="How long --arrivals last.")
@click.option("--every", type=_DURATION, default="0s", show_default=True, help="Time between two FILEs' submissions.")
@click.option("--plant", type=click.Choice(sorted(_PLANTS)), help="A fitted plant: original = its published cluster.")
@click.option("--startup", type=_DISTRIBUTION, help="From a replica's request to its first item [5s].")
@click.option("--launch-interval", type=_DURATION, help="Replicas start no closer to each other than this [0s].")
@click.option(
    "--contention", type=_Read("rule", parse_contention), help="cores=2, or sigma=0.02,kappa=0.0001 (see docs)."
)
@click.option("--overhead", type=_DURATION, help="What a replica needs between two items [0s].")
@click.option(
    "--at-once",
    type=click.IntRange(1, MOST),
    help="Most short items a replica takes at once, as the SDK's batch [256].",
)
@click.option("--failures", type=_SHARE, default="0%", help="Share of the attempts that fail: 2%.")
@click.option("--stragglers", type=_Read("rule", parse_stragglers), help="1%x5: so many attempts, so much slower.")
@click.option("--evictions", type=_RATE, help="Of each replica, with notice: 0.5/h.")
@click.option("--losses", type=_RATE, help="Of each replica with its node; its item's lease must end first: 0.1/h.")
@click.option(
    "--capacity", type=click.IntRange(min=1), help="Replicas the cluster has room for, of all FILEs together."
)
@click.option(
    "--scale-down",
    type=click.Choice(["drain-index", "drain", "kill"]),
    default="drain-index",
    show_default=True,
    help="drain-index: as an Indexed Job goes down; drain: whoever is free first; kill: at once.",
)
@click.option("--measurement-delay", type=_DURATION, default="0s", help="From a measurement to the decision's sight.")
@click.option("--law", "own_law", metavar="LAW", help="In place of the document's law.")
@click.option("--compare", metavar="LAW,...", help="Also under these laws or baselines.")
@click.option("--list-laws", is_flag=True, is_eager=True, expose_value=False, callback=_list_laws, help="Name them.")
@click.option("--runs", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Simulations of each law.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the luck; the same seed, the same result.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE.html",
    callback=_check_plot,
    help="Write a page.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def simulate_command(files: tuple[Path, ...], **options: Any) -> None:
    """Say what would happen: run the submission documents FILE ('-': standard input) in a simulation.

    The laws are those of the controller, the plant is a model: give it what you know. Nothing is started. Several
    FILEs run beside each other; an option that describes items may then be given once for each.

    \b
    asperathos simulate job.yaml --service lognormal:30s,cv=1.2
    asperathos simulate job.yaml --durations measured.csv --startup 15s --compare baseline:fixed,baseline:slack
    asperathos simulate stream.yaml --service 2s --arrivals bursty:3/s --plot stream.html
    """
    laws = all_laws()
    try:
        experiment, warnings = _experiment(files, options, laws)
    except BadRequest as error:
        _refuse(error, options["as_json"])
        sys.exit(_REJECTED)
    notes = Console(stderr=True, highlight=False)
    for warning in warnings:
        notes.print(f"warning: {warning}", markup=False, soft_wrap=True)
    done = 0
    try:
        shown = []
        with Progress(console=notes, transient=True, disable=options["as_json"] or not notes.is_terminal) as progress:
            bar = progress.add_task("simulating", total=experiment.trials)
            for one in results(experiment, laws):
                if one is None:
                    done += 1
                    progress.advance(bar)
                else:
                    shown.append(one)
    except KeyboardInterrupt:
        notes.print(f"interrupted after {done} of {experiment.trials} simulations")
        sys.exit(_INTERRUPTED)
    _tell(shown, experiment, options)


def _experiment(files: Sequence[Path], options: dict[str, Any], laws: LawBook) -> tuple[Experiment, list[str]]:
    for name in ("items", "service", "durations", "history"):
        given = options[name]
        if len(given) not in (0, 1, len(files)):
            raise click.UsageError(f"--{name}: give it once, or once for each of the {len(files)} files")
    if options["service"] and options["durations"]:
        raise click.UsageError("--durations: give it or --service, not both")
    if options["arrivals"] is not None and options["arrival_times"] is not None:
        raise click.UsageError("--arrival-times: give it or --arrivals, not both")
    _check_laws(laws, "--law", [options["own_law"]] if options["own_law"] else [])
    _check_laws(laws, "--compare", _names(options["compare"]))
    submissions: list[Submitted] = []
    warnings: list[str] = []
    for place, path in enumerate(files):
        document = _read(path)
        warnings += document.warnings
        warnings += _not_simulated(document)
        if options["own_law"] is None:
            laws.settings(document.spec.law, document.spec.control.settings)
        history = _pick(options["history"], place)
        submissions.append(
            Submitted(
                name=document.spec.name if len(files) == 1 else f"{document.spec.name}-{place + 1}",
                spec=document.spec,
                items=_items(document, place, path, options),
                plant=_plant(document, options),
                history=() if history is None else _numbers("--history", history, _DURATIONS),
                at=place * options["every"],
            )
        )
    experiment = Experiment(
        submissions=tuple(submissions),
        laws=(options["own_law"], *(name for name in _names(options["compare"]) if name != options["own_law"])),
        runs=options["runs"],
        seed=options["seed"],
        capacity=options["capacity"],
        measurement_delay=options["measurement_delay"],
    )
    return experiment, warnings


def _not_simulated(document: Document) -> Iterator[str]:
    """What a simulation does not read from outside."""
    monitoring = document.spec.monitoring
    if monitoring.prices is not None and monitoring.prices.url is not None:
        yield "monitoring.prices.url: is not read in a simulation; give replica, or cpu and memory, for the time being"
    if monitoring.queries:
        yield "monitoring.queries: Prometheus is not asked in a simulation; the law metric holds without an answer"


def _check_laws(laws: LawBook, option: str, names: Sequence[str]) -> None:
    for name in names:
        try:
            laws.law(name)
        except BadRequest as error:
            problem = error.faults[0].problem
            raise click.UsageError(f"{option}: {problem} (--list-laws names all)") from error


def _read(path: Path) -> Document:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    return read_document(text, Path.cwd() if str(path) == "-" else path.resolve().parent)


def _items(document: Document, place: int, path: Path, options: dict[str, Any]) -> Items:
    spec = document.spec
    is_stream = spec.kind is Kind.STREAM
    file = _pick(options["durations"], place)
    durations = () if file is None else _numbers("--durations", file, _DURATIONS)
    service = _service(spec.expected_item_time, _pick(options["service"], place))
    if service is None and not durations:
        raise click.UsageError(
            f"--service: {path} does not tell how long an item takes; give for example --service lognormal:30s,cv=1, "
            "--durations FILE, or expected_item_time in the document"
        )
    number = _pick(options["items"], place)
    if number is None:
        number = document.items
    if is_stream:
        if options["arrivals"] is None and options["arrival_times"] is None:
            raise click.UsageError(f"--arrivals: {path} is a stream; give for example --arrivals poisson:3/s")
        times = options["arrival_times"]
        return Items(
            service=service,
            durations=durations,
            arrivals=options["arrivals"],
            seconds=options["seconds"],
            arrival_times=() if times is None else tuple(sorted(_numbers("--arrival-times", times, _TIMES))),
        )
    if number is None and not durations:
        raise click.UsageError(
            f"--items: how many items the workload of {path} has shows only when it runs; give for example --items 500"
        )
    return Items(service=service, number=number, durations=durations)


def _service(expected: float | None, given: Distribution | None) -> Distribution | None:
    if given is not None or expected is None:
        return given
    return LogNormal(expected, _USUAL_VARIATION)


def _plant(document: Document, options: dict[str, Any]) -> PlantModel:
    spec = document.spec
    like = _PLANTS.get(options["plant"], PlantModel(startup=Constant(5.0)))
    share, factor = options["stragglers"] or (0.0, 1.0)
    return PlantModel(
        startup=options["startup"] or like.startup,
        launch_interval=like.launch_interval if options["launch_interval"] is None else options["launch_interval"],
        contention=options["contention"] or Contention(),
        overhead=options["overhead"] or 0.0,
        at_once=options["at_once"] or MOST,
        failures=options["failures"],
        stragglers=share,
        straggling=factor,
        evictions=3600.0 * (options["evictions"] or 0.0),
        losses=3600.0 * (options["losses"] or 0.0),
        scale_down=options["scale_down"],
        lease=spec.lease,
        retries=spec.retries,
        item_timeout=spec.item_timeout,
    )


def _numbers(option: str, path: Path, columns: tuple[str, ...]) -> tuple[float, ...]:
    try:
        return read_numbers(path, columns)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise click.UsageError(f"{option}: {error}") from error


def _pick(values: Sequence[T], place: int) -> T | None:
    """The value for that file: its own, or the one for all."""
    if not values:
        return None
    return values[place] if len(values) > 1 else values[0]


def _names(compare: str | None) -> list[str]:
    return [name.strip() for name in compare.split(",") if name.strip()] if compare else []


def _tell(shown: Sequence[Shown], experiment: Experiment, options: dict[str, Any]) -> None:
    if options["plot"] is not None:
        title = ", ".join(dict.fromkeys(one.name for one in experiment.submissions))
        told = f"{experiment.runs} simulations of each law, seed {experiment.seed}; the first of them is drawn."
        try:
            options["plot"].write_text(page(f"Simulation of {title}", told, shown), encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"--plot: {error}") from error
    if options["as_json"]:
        click.echo(json.dumps([plain(one.outlook) for one in shown], indent=2 if sys.stdout.isatty() else None))
        return
    table = Table(box=None, pad_edge=False)
    headings, lines = rows([one.outlook for one in shown])
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < 2 else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    # In a file or a pipe nothing has to be cut off.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for one in shown:
        console.print(_goal(one), markup=False, soft_wrap=True)


def _goal(one: Shown) -> str:
    """One sentence on what to expect."""
    told = one.outlook
    whose = f"{told.name} under {told.law}: "
    if told.within is not None:
        return whose + f"{told.within:.1%} of the items in time on average"
    if told.chance is None:
        return whose + f"finishes after about {format_duration(told.finish.p50)}"
    deadline = one.run.deadline or 0.0
    early = deadline - told.finish.p50
    when = f"{format_duration(abs(early))} {'before' if early >= 0 else 'after'}"
    sentence = whose + f"{told.chance:.0%} chance of meeting the deadline; the median run finishes {when} it"
    first = next((decision for decision in one.run.decisions if not decision.feasible), None)
    return sentence if first is None else f"{sentence}; in the first run it said: {first.reason}"


def _refuse(error: BadRequest, as_json: bool) -> None:
    if as_json:
        details = [{"field": fault.field, "problem": fault.problem} for fault in error.faults]
        click.echo(json.dumps({"error_message": error.message, "details": details}))
        return
    if not error.faults:
        click.echo(error.message, err=True)
    for fault in error.faults:
        click.echo(f"{fault.field}: {fault.problem}", err=True)


def main() -> None:
    """As ``asperathos simulate`` starts it."""
    simulate_command(prog_name="asperathos simulate")
