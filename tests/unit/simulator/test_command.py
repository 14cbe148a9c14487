"""``asperathos simulate`` as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from simulator.command import simulate_command

BATCH = """
name: thumbs
run: python thumb.py {item}
workload: items.txt
deadline: 10m
replicas: {max: 20}
"""
STREAM = """
name: feed
run: python digest.py {item}
target: {latency: 8s}
replicas: {max: 20}
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "items.txt").write_text("".join(f"photo-{number}\n\n" for number in range(60)))
    path = tmp_path / "job.yaml"
    path.write_text(BATCH)
    return path


def run(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(simulate_command, [str(argument) for argument in arguments], input=text)


def told(*arguments: object) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    answer: list[dict[str, Any]] = json.loads(result.stdout)
    return answer


def test_it_tells_what_would_happen(job: Path) -> None:
    result = run(job, "--service", "lognormal:20s,cv=0.5", "--runs", 4)
    assert result.exit_code == 0, result.output
    assert "thumbs" in result.stdout and "deadline" in result.stdout
    assert "chance of meeting the deadline" in result.stdout


def test_figures_are_for_scripts(job: Path) -> None:
    [outlook] = told(job, "--service", "20s", "--runs", 3, "--startup", "5s", "--scale-down", "drain")
    assert outlook["runs"] == 3
    assert outlook["chance"] == 1.0
    # Sixty items of 20 s, whatever the law does.
    assert outlook["work_hours"] == pytest.approx(60 * 20 / 3600)
    assert outlook["replica_hours"]["p50"] >= outlook["work_hours"]
    assert outlook["finish"]["p10"] <= outlook["finish"]["p50"] <= outlook["finish"]["p90"] <= 600


def test_the_same_seed_gives_the_same_and_laws_have_the_same_luck(job: Path) -> None:
    options = (job, "--service", "exponential:20s", "--runs", 3, "--failures", "5%", "--compare", "baseline:fixed")
    first, again, other = told(*options), told(*options), told(*options, "--seed", 2)
    assert first == again
    assert first != other
    assert first[0]["work_hours"] == first[1]["work_hours"]
    assert [one["law"] for one in first] == ["deadline", "baseline:fixed"]


def test_measured_durations_keep_their_order_in_the_first_run(job: Path, tmp_path: Path) -> None:
    durations = tmp_path / "measured.csv"
    durations.write_text("item,run_s\n" + "".join(f"{number},{10 + number}\n" for number in range(60)))
    [one] = told(job, "--durations", durations, "--law", "nop", "--runs", 1, "--startup", "0.001s")
    assert one["finish"]["p50"] == pytest.approx(sum(range(10, 70)), abs=0.1)


def test_the_expected_item_time_of_the_document_is_enough(job: Path) -> None:
    job.write_text(BATCH + "expected_item_time: 20s\n")
    assert told(job, "--runs", 1)[0]["law"] == "deadline"


def test_a_stream_needs_arrivals_and_is_told_by_its_target(tmp_path: Path) -> None:
    path = tmp_path / "stream.yaml"
    path.write_text(STREAM)
    result = run(path, "--service", "2s")
    assert result.exit_code == 2
    assert "--arrivals" in result.stderr and "poisson:3/s" in result.stderr
    times = tmp_path / "times.csv"
    times.write_text("".join(f"{5 * number}\n" for number in range(100)))
    [one] = told(path, "--service", "1s", "--arrival-times", times, "--runs", 1)
    assert one["within"] == pytest.approx(1.0, abs=0.05)
    assert one["finish"]["p50"] == pytest.approx(496.0, abs=1.0)


def test_a_page_shows_each_law(job: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run(job, "--service", "20s", "--compare", "threshold", "--runs", 2, "--plot", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.count("<svg") >= 4
    assert "thumbs: deadline" in text and "thumbs: threshold" in text
    assert "Progress" in text and "Replicas" in text and "Forecast" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text


def test_several_submissions_share_a_capacity(job: Path) -> None:
    both = told(job, job, "--service", "20s", "--service", "40s", "--capacity", 4, "--runs", 1, "--every", "30s")
    assert [one["name"] for one in both] == ["thumbs-1", "thumbs-2"]
    assert both[1]["work_hours"] == pytest.approx(2 * both[0]["work_hours"])
    alone = told(job, "--service", "40s", "--runs", 1)[0]
    assert both[1]["finish"]["p50"] > alone["finish"]["p50"]


def test_the_document_may_come_from_standard_input() -> None:
    text = "{run: 'x {item}', workload: [a, b, c], deadline: 5m}"
    assert run("-", "--service", "10s", "--runs", 1, text=text).exit_code == 0


def test_a_payload_of_the_original_is_understood(job: Path) -> None:
    payload = Path(__file__).parents[2] / "data" / "compat" / "payload1.json"
    result = run(payload, "--service", "1s", "--items", 50, "--runs", 1, "--plant", "original", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["law"] == "threshold"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--service lognormal:30s,cv=1"),
        (("--service", "lognorm:3s"), "did you mean lognormal"),
        (("--service", "3s", "--durations", "{here}"), "not both"),
        (("--service", "3s", "--compare", "basline:fixed"), "did you mean baseline:fixed"),
        (("--service", "3s", "--law", "no-law"), "--law: unknown law"),
        (("--service", "3s", "--items", "1", "--items", "2"), "once for each of the 1 files"),
        (("--service", "3s", "--contention", "cpus=3"), "cores=2"),
        (("--service", "3s", "--failures", "200%"), "more than all"),
        (("--durations", "{here}"), "--durations: "),
        (("--service", "3s", "--plot", "/nowhere/page.html"), "there is no directory /nowhere"),
        (("--service", "3s", "--plot", "plot.pdf"), "name it like plot.html"),
        (("--service", "3s", "--at-once", "0"), "1<=x<=256"),
    ],
)
def test_wrong_usage_names_the_option_and_the_remedy(job: Path, options: tuple[str, ...], said: str) -> None:
    result = run(job, *(option.format(here=job) for option in options), "--runs", 1)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")


def test_a_workload_that_only_a_run_could_count_needs_items(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(BATCH.replace("items.txt", "https://host/items.txt"))
    result = run(path, "--service", "3s")
    assert result.exit_code == 2
    assert "--items 500" in result.stderr


def test_a_wrong_document_is_refused_with_every_fault(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("run: x {item}\nworkload: [a]\ndeadlin: 5m\nreplicas: {max: none}\n")
    result = run(path, "--service", "3s")
    assert result.exit_code == 4
    assert "deadline" in result.stderr and "replicas.max" in result.stderr
    as_json = json.loads(run(path, "--service", "3s", "--json").stdout)
    assert {detail["field"] for detail in as_json["details"]} == {"deadlin", "replicas.max"}
    path.write_text("[1, 2]")
    assert run(path, "--service", "3s").exit_code == 4
    path.write_text("a: [")
    assert "neither YAML nor JSON" in run(path, "--service", "3s").stderr
    path.write_text(BATCH.replace("20}", "20}\ncontrol: {law: threshold, settings: {trigger_up: x}}"))
    assert "control.settings.trigger_up" in run(path, "--service", "3s", "--items", 3).stderr


def test_laws_are_listed_without_a_document() -> None:
    result = run("--list-laws")
    assert result.exit_code == 0
    assert "deadline" in result.stdout and "baseline:keda-eager" in result.stdout


def test_an_interruption_says_how_far_it_came(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("simulator.command.results", interrupted)
    result = run(job, "--service", "3s", "--runs", 7)
    assert result.exit_code == 130
    assert "interrupted after 0 of 7" in result.stderr


def test_a_price_in_the_document_reaches_the_laws_and_the_table(job: Path) -> None:
    """A budget of five replicas bounds what the law asks for; what it came to is told."""
    job.write_text(f"{BATCH}monitoring: {{prices: {{cpu: 2}}}}\nresources: {{cpu: 500m}}\n")
    given = (job, "--service", "20s", "--runs", 2)
    [outlook] = told(*given)
    assert outlook["money"]["p50"] == pytest.approx(outlook["replica_hours"]["p50"])
    assert "money" in run(*given).stdout
    job.write_text(f"{job.read_text()}control: {{law: cost, settings: {{budget: 5}}}}\n")
    [bounded] = told(*given)
    assert bounded["peak"]["p90"] == 5.0
    assert not run(*given).stderr


def test_without_a_price_no_money_is_told(job: Path) -> None:
    [outlook] = told(job, "--service", "20s", "--runs", 2)
    assert outlook["money"] is None
    assert "money" not in run(job, "--service", "20s", "--runs", 2).stdout


def test_what_a_simulation_cannot_read_is_said(job: Path) -> None:
    outside = "{prices: {url: 'http://x/prices'}, queries: {lag: {url: 'http://x', query: lag}}}"
    job.write_text(f"{BATCH}monitoring: {outside}\n")
    result = run(job, "--service", "20s", "--runs", 2)
    assert result.exit_code == 0
    assert "monitoring.prices.url" in result.stderr
    assert "monitoring.queries" in result.stderr
