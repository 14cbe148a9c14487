from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.units import format_duration, parse_duration, parse_quantity

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_parts = st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(sorted(_UNITS))), min_size=1, max_size=4)
_SUFFIXES = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18} | {
    f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)
}


@given(_parts)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(number * _UNITS[unit] for number, unit in parts))
    assert parse_duration(f"  {text}\n") == parse_duration(text)


@given(st.floats(0, 1e12) | st.integers(0, 10**12))
def test_a_number_is_its_seconds_also_as_text(seconds: float) -> None:
    assert parse_duration(seconds) == parse_duration(repr(seconds)) == seconds


@given(st.floats(0, 10_000_000))
def test_what_is_written_for_people_is_read_back_about_as_it_was(seconds: float) -> None:
    written = format_duration(seconds)
    assert re.fullmatch(r"\d+ms|\d+s|\d+[mhd] \d\d[smh]", written)
    coarse = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[re.findall(r"[a-z]+", written)[-1]]
    assert parse_duration(written.replace(" ", "")) == pytest.approx(seconds, abs=coarse)


@given(st.floats(0.0, 1e9))
def test_a_negative_duration_is_written_with_its_sign(seconds: float) -> None:
    if seconds > 0:
        assert format_duration(-seconds) == "-" + format_duration(seconds)


@given(st.floats(-1e9, -1e-9) | st.just(math.nan) | st.just(math.inf) | st.just(-math.inf) | st.just(10**400))
def test_no_duration_is_negative_or_without_end(value: float) -> None:
    with pytest.raises(ValueError):
        parse_duration(value)


@given(
    st.text(max_size=12)
    | st.none()
    | st.booleans()
    | st.binary(max_size=3)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)
)
def test_anything_is_a_duration_and_a_quantity_or_a_value_error(value: object) -> None:
    for parse in (parse_duration, parse_quantity):
        try:
            number = parse(value)
        except ValueError as error:
            assert str(error)
        else:
            assert math.isfinite(number) and number >= 0


@pytest.mark.parametrize(
    "text", ["", " ", "s", "5 s", "1h 30m", "5x", "s5", "1.s", "1:30", "NaN", "inf", "1_000", "٣s", "0x10", "-5s"]
)
def test_odd_durations(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.9996, "1s"),
        (0.85, "850ms"),
        (59.6, "1m 00s"),
        (3599.7, "1h 00m"),
        (200, "3m 20s"),
        (3900, "1h 05m"),
        (86399.9, "1d 00h"),
        (183600, "2d 03h"),
        (math.inf, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**6), st.sampled_from(sorted(_SUFFIXES)))
def test_quantities(number: int, suffix: str) -> None:
    assert parse_quantity(f"{number}{suffix}") == pytest.approx(number * _SUFFIXES[suffix])
    assert parse_quantity(f"{number}.5{suffix}") == pytest.approx((number + 0.5) * _SUFFIXES[suffix])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("64Mi", 67108864.0),
        ("1e3", 1000.0),
        ("1E-2", 0.01),
        ("1E", 1e18),
        (2, 2.0),
        (0.5, 0.5),
        (".5", 0.5),
    ],
)
def test_quantities_as_kubernetes_writes_them(text: object, number: float) -> None:
    assert parse_quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "m", "1 Gi", "-1", "1gi", "1KI", "1e", "1e999", "9" * 400, "1Gi2", True, None])
def test_odd_quantities(text: object) -> None:
    with pytest.raises(ValueError):
        parse_quantity(text)
