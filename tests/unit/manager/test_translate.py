from __future__ import annotations

from typing import Any

import pytest

from common.domain.errors import Fault, InvalidSubmission
from common.domain.submission import Submission, Workload
from manager.translate import FIELDS, Translation, in_old_words, is_compatible, old_control, translate
from tests.support.manager_door import payload

URL = "http://127.0.0.1:1/items"
PID = {"proportional_gain": 0.1, "derivative_gain": 0.2, "integral_gain": 0.3}


def translated(number: int = 2, control: dict[str, Any] | None = None, **info: Any) -> Translation:
    document = payload(number, URL, **info)
    document["plugin_info"]["control_parameters"].update(control or {})
    return translate(document)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_originals_payloads_are_understood(number: int) -> None:
    spec = translated(number).spec
    assert spec.command == ("/bin/bash", "wrapper.sh")
    assert spec.workload == Workload(url=URL)
    assert spec.queue == "dedicated"
    assert spec.law == "threshold"
    assert spec.env == {"SCONE_CONFIG_ID": "asd"}
    assert spec.secrets == ("gitlablsdtoken",)
    assert spec.job_lifetime == 120.0
    assert spec.deadline == {1: 20.0, 2: 1.0, 3: 1e9}[number]
    assert spec.replicas.initial == {1: 1, 2: 1, 3: 10}[number]
    assert (spec.replicas.min, spec.replicas.max) == (1, {1: 3, 2: 10, 3: 10}[number])


def test_what_means_nothing_is_named() -> None:
    warnings = translated(surprise=1, monitor_info={"expected_time": 5, "expected_tme": 6}).warnings
    named = {warning.split(":")[0] for warning in warnings}
    assert {
        "plugin_info.control_parameters.max_size",
        "plugin_info.username",
        "plugin_info.password",
        "plugin_info.surprise",
        "plugin_info.monitor_info.expected_tme",
    } <= named
    assert any("did you mean expected_time?" in warning for warning in warnings)


def test_what_asks_for_nothing_is_not_named() -> None:
    named = {warning.split(":")[0] for warning in translated(enable_detailed_report=True).warnings}
    assert not named & {"plugin", "enable_auth", "plugin_info", "plugin_info.enable_detailed_report"}


def test_authentication_that_is_asked_for_is_named() -> None:
    document = {**payload(1, URL), "enable_auth": True, "username": "u", "password": "hush-hush"}
    warnings = translate(document).warnings
    assert {"enable_auth", "username", "password"} <= {warning.split(":")[0] for warning in warnings}
    assert "hush-hush" not in str(warnings)


def test_no_password_is_in_the_specification() -> None:
    assert "grafana123123" not in translated().spec.model_dump_json()


def test_many_warnings_are_bounded() -> None:
    fields: dict[str, Any] = {f"field{number}": 1 for number in range(1000)}
    warnings = translated(**fields).warnings
    assert len(warnings) == 51
    assert "more fields" in warnings[-1]


def test_every_field_has_its_place() -> None:
    spec = translated(
        env_vars={"A": 1, "B": "two"},
        selectors=[{"key": "disk", "value": "ssd"}],
        termination_grace_period_seconds=7,
        k8s_resources_control={
            "limits": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
            "requests": {"cpu": "500m", "memory": "512Mi"},
        },
        visualizer_info={"datasource_type": "influxdb", "theme": "dark"},
        enable_visualizer=False,
        control={"check_interval": 0.5, "trigger_up": 0.1, "trigger_down": 0.2, "actuation_size": 3},
    ).spec
    assert spec.env == {"A": "1", "B": "two", "SCONE_CONFIG_ID": "asd"}
    assert spec.node_selector == {"disk": "ssd"}
    assert spec.grace_period == 7.0
    assert spec.resources.model_dump() == {
        "cpu": "500m",
        "memory": "512Mi",
        "cpu_limit": "2",
        "memory_limit": "1Gi",
        "gpu": 1,
        "gpu_vendor": "nvidia",
    }
    assert spec.dashboard.model_dump() == {
        "enabled": False,
        "plugin": "grafana",
        "datasource": "influxdb",
        "theme": "dark",
    }
    assert (spec.control.interval, spec.monitoring.interval) == (0.5, 0.5)
    assert spec.control.settings == {"trigger_up": 0.1, "trigger_down": 0.2, "actuation_size": 3}


@pytest.mark.parametrize(
    ("control", "law", "settings"),
    [
        ({"schedule_strategy": ...}, "threshold", {"trigger_up": 1, "trigger_down": 1, "actuation_size": 1}),
        (
            {"schedule_strategy": "pid", "heuristic_options": PID},
            "pid",
            {**PID, "mode": "compatible"},
        ),
        ({"actuator": "nop"}, "nop", {}),
    ],
)
def test_strategies_become_laws(control: dict[str, Any], law: str, settings: dict[str, Any]) -> None:
    document = payload(2, URL)
    parameters = document["plugin_info"]["control_parameters"]
    parameters.update(control)
    spec = translate(
        {**document, "plugin_info": document["plugin_info"] | {"control_parameters": clean(parameters)}}
    ).spec
    assert (spec.law, dict(spec.control.settings)) == (law, settings)


def clean(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}


def test_settings_of_another_law_are_named() -> None:
    warnings = translated(control={"heuristic_options": PID}).warnings
    assert any("heuristic_options.integral_gain: means nothing under the law threshold" in line for line in warnings)


def test_every_fault_is_listed_at_once() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        translated(img=None, cmd="x", init_size=0, control={"max_rep": "3"}, monitor_info={"expected_time": "x"})
    assert {fault.field for fault in caught.value.faults} == {
        "plugin_info.img",
        "plugin_info.cmd",
        "plugin_info.init_size",
        "plugin_info.control_parameters.max_rep",
        "plugin_info.monitor_info.expected_time",
    }


def test_a_name_with_a_dot_is_no_path() -> None:
    document = payload(1, URL)
    del document["plugin_info"]["monitor_info"]
    document["plugin_info"]["monitor_info.expected_time"] = 5
    with pytest.raises(InvalidSubmission) as caught:
        translate(document)
    assert [fault.field for fault in caught.value.faults] == ["plugin_info.monitor_info.expected_time"]


def test_native_faults_are_told_in_old_words() -> None:
    told = in_old_words([Fault("workload.url", "a"), Fault("control.settings.trigger_up", "b"), Fault("keep", "c")])
    assert [fault.field for fault in told] == [
        "plugin_info.redis_workload",
        "plugin_info.control_parameters.trigger_up",
        "keep",
    ]


def test_no_native_field_has_two_old_names() -> None:
    natives = [new for _, new in FIELDS]
    assert len(natives) == len(set(natives))


def test_the_forms_are_told_apart() -> None:
    assert is_compatible({"plugin": "x"})
    assert is_compatible({"plugin_info": None})
    assert not is_compatible({"run": "x"})
    assert not is_compatible(["plugin"])


def test_the_strategy_is_told_as_the_original_would() -> None:
    def submission(translation: Translation) -> Submission:
        return Submission(id="kj-0000000", spec=translation.spec, form="compatible", created_at=0.0)

    assert old_control(submission(translated())) == ("default", None)
    pid = translated(control={"schedule_strategy": "pid", "heuristic_options": PID})
    assert old_control(submission(pid)) == ("pid", PID)


@pytest.mark.parametrize(
    ("name", "vendor"), [("nvidia.com/gpu", "nvidia"), ("amd.com/gpu", "amd"), ("gpu.intel.com/i915", "intel")]
)
@pytest.mark.parametrize("kind", ["limits", "requests"])
def test_gpus_keep_their_vendor(name: str, vendor: str, kind: str) -> None:
    spec = translated(k8s_resources_control={kind: {name: "2"}}).spec
    assert (spec.resources.gpu, spec.resources.gpu_vendor) == (2, vendor)


def test_images_of_the_original_run_as_whom_they_name() -> None:
    assert translated().spec.user == "image"


def test_the_cost_monitor_becomes_a_budget() -> None:
    cost = {"cluster_info_url": "http://prices.example/now", "desired_cost": 1.5}
    done = translated(monitor_plugin="kubejobs_cost", monitor_info=cost, control={"trigger_up": 0.1})
    spec = done.spec
    assert (spec.law, spec.control.settings, spec.budget) == ("cost", {"budget": 1.5}, 1.5)
    assert spec.monitoring.prices is not None
    assert spec.monitoring.prices.url == "http://prices.example/now"
    assert spec.deadline is None
    assert any("trigger_up: means nothing under the law cost" in warning for warning in done.warnings)
