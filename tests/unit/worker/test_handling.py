from __future__ import annotations

import threading

import asperathos_worker
import pytest
from asperathos_worker import NoCurrentItem, PermanentError, current_item, report, run_in_memory


def test_results_are_kept_in_the_order_of_the_items() -> None:
    run = run_in_memory(lambda item: {"length": len(item)}, ["a", "bb", "ccc"])
    assert run.results == ['{"length":1}', '{"length":2}', '{"length":3}']
    assert run.errors == {}


def test_a_failing_item_is_tried_again_and_dies_with_its_error() -> None:
    calls = []

    def handler(item: str) -> str:
        calls.append(item)
        if item == "bad":
            raise ValueError("no good")
        return item.upper()

    run = run_in_memory(handler, ["bad", "good"], retries=2)
    assert run.results == [None, "GOOD"]
    assert calls.count("bad") == 3
    outcome = run.outcomes[0]
    assert outcome.attempts == 3 and outcome.error is not None
    assert outcome.error.startswith("Traceback") and outcome.error.endswith("ValueError: no good")
    assert "test_handling.py" in outcome.error and 'handling.py", line' in outcome.error
    assert "asperathos_worker/handling.py" not in outcome.error, "our own frames tell the user nothing"


def test_an_item_that_works_at_the_second_attempt() -> None:
    def handler(item: str) -> int:
        if current_item().attempt == 1:
            raise OSError("flaky")
        return current_item().failures

    assert run_in_memory(handler, ["x"]).results == ["1"]


def test_permanent_errors_are_not_tried_again() -> None:
    def handler(item: str) -> None:
        raise PermanentError("not an image")

    outcome = run_in_memory(handler, ["x"], retries=5).outcomes[0]
    assert outcome.attempts == 1 and outcome.error is not None and "not an image" in outcome.error


def test_sys_exit_in_a_handler_is_the_items_failure() -> None:
    def handler(item: str) -> None:
        raise SystemExit(3)

    assert "SystemExit: 3" in run_in_memory(handler, ["x"], retries=0).errors["x"]


def test_a_result_over_the_limit_fails_at_once() -> None:
    outcome = run_in_memory(lambda item: "x" * 11, ["a"], result_limit=10).outcomes[0]
    assert outcome.attempts == 1 and outcome.error is not None and "over the limit of 10" in outcome.error


def test_a_long_traceback_is_bounded() -> None:
    def handler(item: str) -> None:
        raise ValueError("x" * 100_000 + "end")

    error = run_in_memory(handler, ["x"], retries=0).errors["x"]
    assert len(error) == 4000 and error.endswith("end")


def test_the_current_item_is_known_inside_the_handler_only() -> None:
    seen = []
    run_in_memory(lambda item: seen.append(current_item()), ["x"])
    assert seen[0].payload == "x" and seen[0].id == "0" and seen[0].attempt == 1
    with pytest.raises(NoCurrentItem):
        current_item()


def test_metrics() -> None:
    def handler(item: str) -> None:
        report("loss", float(item))

    assert run_in_memory(handler, ["3", "2"]).metrics == {"loss": 2.0}
    with pytest.raises(NoCurrentItem):
        report("loss", 1)


def test_another_thread_is_told_how_to_report() -> None:
    errors = []

    def handler(item: str) -> None:
        def elsewhere() -> None:
            try:
                report("loss", 1)
            except NoCurrentItem as error:
                errors.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    run_in_memory(handler, ["x"])
    assert "copy_context" in errors[0]


def test_batches() -> None:
    sizes = []

    def batch(items: list[str]) -> list[str]:
        sizes.append(len(items))
        return [item.upper() for item in items]

    run = run_in_memory(None, list("abcdefg"), batch_handler=batch, batch=3)
    assert run.results == list("ABCDEFG")
    assert max(sizes) == 3


def test_in_a_failing_batch_only_the_culprit_fails() -> None:
    def batch(items: list[str]) -> list[int]:
        return [int(item) for item in items]

    run = run_in_memory(None, ["1", "x", "3"], batch_handler=batch, batch=8, retries=1)
    assert run.results == ["1", None, "3"]
    assert [outcome.attempts for outcome in run.outcomes] == [1, 2, 1]


def test_an_exception_among_a_batchs_results_fails_its_item_alone() -> None:
    def batch(items: list[str]) -> list[object]:
        return [PermanentError("two") if item == "2" else item for item in items]

    run = run_in_memory(None, ["1", "2", "3"], batch_handler=batch, batch=8)
    assert run.results == ["1", None, "3"]
    assert run.outcomes[1].attempts == 1


def test_a_batch_handler_that_loses_results_fails() -> None:
    run = run_in_memory(None, ["1", "2"], batch_handler=lambda items: [], batch=8, retries=0)
    assert "returned 0 results for 1 items" in run.errors["1"]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"handler": len, "batch_handler": len}, {"handler": 3}, {"handler": len, "batch": 0}],
)
def test_run_wants_exactly_one_handler(arguments: dict[str, object]) -> None:
    handler = arguments.pop("handler", None)
    with pytest.raises(TypeError):
        run_in_memory(handler, [], **arguments)  # type: ignore[arg-type]


def test_the_public_names_are_there() -> None:
    for name in asperathos_worker.__all__:
        assert getattr(asperathos_worker, name)
    with pytest.raises(AttributeError):
        asperathos_worker.nonsense  # noqa: B018
