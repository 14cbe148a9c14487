"""What users write for distributions, arrivals and chances; every refusal tells the remedy."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.arrivals import Batches, Bursty, Diurnal, Poisson
from simulator.contention import Contention
from simulator.distributions import Bimodal, Constant, Cut, Distribution, LogNormal, Pareto, Weibull
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


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30s", Constant(30.0)),
        ("1m30s", Constant(90.0)),
        ("lognormal:30s,cv=1.2", LogNormal(30.0, 1.2)),
        ("LogNormal: 30s , cv = 1.2", LogNormal(30.0, 1.2)),
        ("pareto:2,alpha=1.5,max=1m", Cut(Pareto(2.0, 1.5), 60.0)),
        ("bimodal:30s,ratio=4,share=0.2,cv=0", Bimodal(30.0, 4.0, 0.2, 0.0)),
    ],
)
def test_distributions(text: str, wanted: Distribution) -> None:
    assert parse_distribution(text) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lognorm:30s", "did you mean lognormal"),
        ("lognormal:30s,alpha=2", "takes cv, max, not alpha"),
        ("lognormal:30s,cv=x", "cv must be a number"),
        ("lognormal:30s,cv=-1", "between 0 and 20"),
        ("lognormal:30s,1.2", "options like cv=1.2"),
        ("lognormal:", "is not a duration"),
        ("constant:0s", "longer than nothing"),
        ("soon", "is not a duration"),
        ("gamma:30s,cv=nan", "must lie between"),
    ],
)
def test_refused_distributions(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_distribution(text)


def test_every_example_is_understood() -> None:
    # The commas inside an example are followed by no space, those between two are.
    assert all(isinstance(parse_distribution(text), Distribution) for text in DISTRIBUTIONS.split(", "))
    assert [type(parse_arrivals(text)) for text in PROCESSES.split(", ")] == [Poisson, Diurnal, Bursty, Batches]


@pytest.mark.parametrize(
    ("parse", "text", "wanted"),
    [
        (parse_rate, "3/s", 3.0),
        (parse_rate, "120/m", 2.0),
        (parse_rate, "0.5/h", 0.5 / 3600),
        (parse_share, "2%", 0.02),
        (parse_share, "0.02", 0.02),
        (parse_stragglers, "1%x5", (0.01, 5.0)),
        (parse_contention, "cores=2", Contention(cores=2.0)),
        (parse_contention, "sigma=0.02, kappa=0.001", Contention(0.02, 0.001)),
    ],
)
def test_rates_shares_and_rules(parse: Callable[[str], object], text: str, wanted: object) -> None:
    assert parse(text) == pytest.approx(wanted) if isinstance(wanted, float | tuple) else parse(text) == wanted


@pytest.mark.parametrize(
    ("parse", "text", "told"),
    [
        (parse_rate, "3", "3/s, 120/m"),
        (parse_rate, "x/s", "must be a number"),
        (parse_rate, "0/s", "above 0"),
        (parse_share, "120%", "more than all"),
        (parse_stragglers, "1%", "1%x5"),
        (parse_stragglers, "1%x0.5", "between 1"),
        (parse_contention, "cpus=2", "cores=2"),
        (parse_arrivals, "poison:3/s", "did you mean poisson"),
        (parse_arrivals, "3/s", "unknown arrivals"),
        (parse_arrivals, "bursty:3/s,size=3", "takes ratio, calm, burst, not size"),
        (parse_arrivals, "batches:3/s,size=0.5", "at least 1"),
        (parse_arrivals, "diurnal:3/s,swing=2", "at most 1"),
    ],
)
def test_refused_rates_shares_and_rules(parse: Callable[[str], object], text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text)


@given(st.text(max_size=40))
def test_no_text_brings_anything_but_an_answer_or_a_remedy(text: str) -> None:
    for parse in (parse_distribution, parse_arrivals, parse_rate, parse_share, parse_stragglers, parse_contention):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize("cv", [0.1, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("family", ["lognormal", "gamma", "weibull"])
def test_samples_have_the_mean_and_variation_asked_for(family: str, cv: float) -> None:
    drawn = parse_distribution(f"{family}:30s,cv={cv}").samples(random.Random(5), 40_000)
    assert statistics.fmean(drawn) == pytest.approx(30.0, rel=0.03)
    assert statistics.pstdev(drawn) / statistics.fmean(drawn) == pytest.approx(cv, rel=0.08)


@pytest.mark.parametrize("text", ["uniform:30s,cv=0.3", "exponential:30s", "pareto:30s,alpha=3", "bimodal:30s"])
def test_samples_have_the_mean_asked_for(text: str) -> None:
    drawn = parse_distribution(text).samples(random.Random(5), 40_000)
    assert statistics.fmean(drawn) == pytest.approx(30.0, rel=0.03)
    assert min(drawn) > 0


def test_a_cut_distribution_ends_where_it_is_cut() -> None:
    drawn = parse_distribution("weibull:30s,cv=3,max=1m").samples(random.Random(5), 2000)
    assert max(drawn) == 60.0
    assert Weibull(30.0, 3.0).samples(random.Random(5), 2000)[0] >= drawn[0]


@pytest.mark.parametrize("text", PROCESSES.split(", "))
def test_arrivals_come_in_order_at_the_rate_asked_for(text: str) -> None:
    day = 4 * 3600.0
    counts = []
    for seed in range(12):
        times = parse_arrivals(text).times(random.Random(seed), day)
        assert list(times) == sorted(times)
        assert not times or (times[0] >= 0 and times[-1] < day)
        counts.append(len(times))
    assert statistics.fmean(counts) / day == pytest.approx(3.0, rel=0.06)


def test_bursts_are_burstier_than_poisson() -> None:
    """The index of dispersion of counts per minute is 1 for Poisson."""

    def dispersion(text: str) -> float:
        times = parse_arrivals(text).times(random.Random(1), 4 * 3600.0)
        counts = [0] * 240
        for at in times:
            counts[math.floor(at / 60.0)] += 1
        return statistics.pvariance(counts) / statistics.fmean(counts)

    assert dispersion("poisson:3/s") == pytest.approx(1.0, abs=0.3)
    assert dispersion("batches:3/s,size=10") > 10.0
    assert dispersion("bursty:3/s,ratio=4,calm=4m,burst=1m") > 20.0
