"""The suite on the cluster that TEST_KUBECONFIG names, with real pods: ``make test-e2e-cluster``."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from common.adapters.kubernetes_cluster import KubernetesCluster
from common.domain.cluster import SUBMISSION_LABEL, JobView, PodView
from tests.e2e.test_leaks import end, keys_of, until, users
from tests.support.cluster_stack import ClusterSettings, ClusterStack

pytestmark = pytest.mark.e2e
HTTP_WORKER = Path(__file__).resolve().parents[2] / "examples" / "http-worker" / "worker.sh"
NOTED = """sh -c 'echo "begun $ASPERATHOS_ITEM_ID" >&2; sleep {seconds}; echo done'"""
"""An item that says in its pod's log that it was begun."""
LABELLED = {
    "jobs": "/apis/batch/v1",
    "deployments": "/apis/apps/v1",
    **dict.fromkeys(("pods", "secrets", "configmaps", "services"), "/api/v1"),
}
SOON = 15.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterStack]:
    settings = ClusterSettings.from_environment()
    if settings is None:
        pytest.skip("TEST_KUBECONFIG names no cluster: NOTHING was tried on a real one")
    running = ClusterStack(tmp_path_factory.mktemp("stack"), settings)
    try:
        running.start()
        yield running
    finally:
        running.stop()


class Watched:
    """A submission of items that are noted, and its pods."""

    def __init__(self, stack: ClusterStack, items: int, seconds: float | str, **document: Any) -> None:
        self.stack = stack
        self.items = items
        self.cluster = KubernetesCluster(str(stack.settings.kubeconfig))
        self.id = stack.submit(
            {
                "run": NOTED.replace("{seconds}", str(seconds)),
                "workload": [f"item {number}" for number in range(items)],
                "retries": 0,
                "lease": 30,
                "grace_period": 10,
                "monitoring": {"interval": 1},
                **document,
            }
        )

    def close(self) -> None:
        requests.put(f"{self.stack.manager}/submissions/{self.id}/terminate", timeout=10)
        self.cluster.close()

    def job(self) -> JobView:
        """The newest."""
        return max(self.cluster.view(self.stack.namespace, self.id).jobs, key=lambda job: job.generation)

    def workers(self) -> list[PodView]:
        """All of them, also those that have ended."""
        return list(self.cluster.view(self.stack.namespace, self.id).workers())

    def pods(self) -> list[PodView]:
        return [pod for pod in self.workers() if not pod.ended]

    def indexes(self) -> set[int]:
        return {pod.index for pod in self.pods()}

    def running(self) -> list[PodView]:
        return [pod for pod in self.pods() if pod.running and not pod.deleting]

    def until(self, check: Callable[[], object], within: float) -> float:
        """Seconds until it held."""
        began = time.monotonic()
        while not check():
            assert time.monotonic() - began < within, f"not within {within} s: {self.pods()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def cap(self, replicas: int) -> None:
        """No more replicas than these from now on."""
        answer = requests.post(
            f"{self.stack.addresses['controller']}/setup",
            json={"actuator_plugin": "k8s_replicas", "instances_cap": {self.id: replicas}},
            headers={"Authorization": f"Bearer {self.stack.service_token}"},
            timeout=10,
        )
        assert answer.status_code == 204, answer.text

    def delete_all_pods(self, force: bool) -> set[str]:
        """As ``kubectl delete pods`` does, with ``--force`` if so; the names of those that were there."""
        there = {pod.name for pod in self.pods()}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        self.stack.api.call(
            "DELETE",
            f"/api/v1/namespaces/{self.stack.namespace}/pods",
            [("labelSelector", f"{SUBMISSION_LABEL}={self.id}")],
            body=options if force else None,
        )
        return there

    def delete_pods(self, names: set[str]) -> None:
        """With ``--force``: what they have in hand comes back when its lease ends."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        for name in names:
            self.stack.api.call("DELETE", f"/api/v1/namespaces/{self.stack.namespace}/pods/{name}", body=options)

    def completes(self, within: float = 240.0) -> list[dict[str, Any]]:
        """Exactly one result for each item, once it has completed."""
        status = self.stack.wait(self.id, within)
        assert status["state"] == "completed", status
        results = self.stack.results(self.id)
        assert sorted(int(result["id"]) for result in results) == list(range(self.items))
        return results

    def log(self) -> str:
        logs = requests.get(f"{self.stack.manager}/submissions/{self.id}/log", timeout=30).json()["pods"]
        return "".join(logs.values())

    def begun(self) -> Counter[int]:
        """How often each item was begun, by the logs of all pods, ended ones included."""
        return Counter(int(number) for number in re.findall(r"begun (\d+)", self.log()))


@pytest.fixture
def watched(stack: ClusterStack) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def start(items: int, seconds: float, **document: Any) -> Watched:
        made.append(Watched(stack, items, seconds, **document))
        return made[-1]

    yield start
    for each in made:
        each.close()


def objects(stack: ClusterStack) -> set[str]:
    """What of submissions there is in the namespace."""
    found = set()
    for kind, group in LABELLED.items():
        path = f"{group}/namespaces/{stack.namespace}/{kind}"
        listed = stack.api.call("GET", path, [("labelSelector", SUBMISSION_LABEL)]).json()
        found |= {f"{kind}/{item['metadata']['name']}" for item in listed["items"]}
    return found


def test_the_roles_suffice(stack: ClusterStack) -> None:
    checked = stack.cli("cluster", "check", "--json", check=False)
    report = json.loads(checked.stdout)
    assert [finding for finding in report["findings"] if not finding["ok"]] == []
    assert checked.returncode == 0


def test_an_unmodified_image_runs_it(stack: ClusterStack) -> None:
    items = ["plain", "two\nlines", "größe", "quotes \" and ' and $HOME"]
    id = stack.submit({"run": 'python3 -c "import sys; print(sys.argv[1][::-1])" {item}', "workload": {"items": items}})
    assert stack.wait(id, 120)["state"] == "completed"
    assert {result["result"] for result in stack.results(id)} == {item[::-1] for item in items}
    until(lambda: [name for name in objects(stack) if id in name])


def test_a_shell_and_curl_take_items_over_http(stack: ClusterStack) -> None:
    id = stack.submit(
        {
            "image": stack.settings.curl_image,
            "command": ["sh", "-c", HTTP_WORKER.read_text()],
            "env": {"HANDLE": "tr a-z A-Z"},
            "workload": {"items": [f"item {number}" for number in range(20)]},
            "replicas": {"min": 2, "max": 2},
        }
    )
    assert stack.wait(id, 120)["state"] == "completed"
    results = stack.results(id)
    assert sorted(result["result"] for result in results) == sorted(f"ITEM {number}" for number in range(20))
    assert {result["attempt"] for result in results} == {1}


def test_another_cluster_by_its_kubeconfig(stack: ClusterStack) -> None:
    """The same one under another name, as an account that has the rights of all three services."""
    kubeconfig = json.dumps(stack.kubeconfig_of("controller"))
    for service in ("manager", "monitor"):
        name = f"also-{service}"
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"asperathos-{service}"},
            "subjects": [{"kind": "ServiceAccount", "name": "controller", "namespace": stack.namespace}],
        }
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{stack.namespace}/rolebindings"
        stack.api.call("POST", path, body=binding)
    path = stack.home / "added.kubeconfig"
    path.write_text(kubeconfig)
    stack.cli("cluster", "add", "again", str(path))
    try:
        id = stack.submit({"run": "echo {item}", "workload": ["a", "b"], "cluster": "again"})
        status = stack.wait(id, 120)
        assert (status["state"], status["cluster"]) == ("completed", "again")
    finally:
        stack.wait_for(id, lambda _: not [name for name in objects(stack) if id in name])
        until(lambda: stack.cli("cluster", "remove", "again", check=False).returncode)


def test_from_none_to_thirty_the_patch_leaves_at_once(stack: ClusterStack, watched: Any) -> None:
    case = watched(
        30,
        5.0,
        replicas={"min": 0, "max": 30, "initial": 0},
        control={"law": "scripted", "interval": 1, "settings": {"steps": [[0, 0], [8, 30]]}},
    )
    sizes = SizesSeen(stack, f"{case.id}-g1")
    patched_at = sizes.wait_for(30)
    decisions = requests.get(f"{stack.addresses['controller']}/scaling/{case.id}?count=1000", timeout=10).json()
    decided_at = next(each["at"] for each in decisions["decisions"] if each["granted"] == 30)
    assert patched_at - decided_at < 1.0
    case.until(lambda: len(case.running()) == 30, 120)
    assert {result["attempt"] for result in case.completes()} == {1}
    print(f"0 to 30: the patch was seen {patched_at - decided_at:.3f} s after the decision")


class SizesSeen:
    """A Job's sizes with the times at which a watch of our own told them."""

    def __init__(self, stack: ClusterStack, name: str) -> None:
        self._stack = stack
        self._name = name
        self._seen: dict[int, float] = {}
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def wait_for(self, size: int, within: float = 60.0) -> float:
        """Unix seconds at which the Job was of that size first."""
        end = time.monotonic() + within
        while size not in self._seen:
            assert time.monotonic() < end, self._seen
            time.sleep(0.05)
        return self._seen[size]

    def _follow(self) -> None:
        path = f"/apis/batch/v1/namespaces/{self._stack.namespace}/jobs"
        for event in self._stack.api.watch(path, [("fieldSelector", f"metadata.name={self._name}")], 90.0):
            if event["type"] in ("ADDED", "MODIFIED"):
                spec = event["object"]["spec"]
                self._seen.setdefault(0 if spec.get("suspend") else spec["parallelism"], time.time())


def test_from_twenty_to_two_no_item_is_lost_or_done_twice(watched: Any) -> None:
    case = watched(
        160,
        2.0,
        replicas={"min": 1, "max": 20, "initial": 20},
        control={"law": "scripted", "interval": 1, "settings": {"steps": [[0, 20]]}},
    )
    case.until(lambda: len(case.running()) == 20, 120)
    case.cap(2)
    case.until(lambda: len(case.pods()) == 2, 60)
    assert {pod.index for pod in case.pods()} == {0, 1}
    case.cap(16)
    assert {result["attempt"] for result in case.completes()} == {1}
    assert case.begun() == Counter(range(160))


def test_who_is_idle_beside_the_last_items_leaves_and_others_come_when_items_do(
    stack: ClusterStack, watched: Any
) -> None:
    """Who ends well leaves the Job as it is. Its index runs no more, so others are asked for when items come back."""
    replicas, swift = 20, 4
    case = watched(
        replicas + swift,
        f"$(if [ $JOB_COMPLETION_INDEX -lt {swift} ]; then echo 8; else echo 90; fi)",
        retries=3,
        lease=10,
        replicas={"min": 1, "max": replicas, "initial": replicas},
        control={"law": "scripted", "interval": 1, "drain_timeout": 300, "settings": {"steps": [[0, replicas]]}},
    )
    case.until(lambda: len(case.running()) == replicas, 120)
    case.until(lambda: stack.status(case.id)["counts"]["ready"] == 0, 60)
    case.cap(2)
    took = case.until(lambda: not case.indexes() & {2, 3}, 30)
    print(f"the idle ones below busy ones were gone {took:.1f} s after the count was lowered")
    there = case.indexes()
    assert {0, 1} < there
    assert {(pod.index, pod.exit_code) for pod in case.workers() if pod.ended} >= {(2, 0), (3, 0)}
    keep = min(there - {0, 1})
    case.until(lambda: case.job().succeeded == max(there) + 1 - len(there), 20)
    assert (case.job().requested, case.job().ended) == (max(there) + 1, "")
    # Items come back: all but one of the busy workers die.
    killed = {pod.name for pod in case.pods() if pod.index > keep}
    case.delete_pods(killed)
    case.until(lambda: case.job().requested == keep + 1, 40)
    case.cap(keep + 4)
    took = case.until(lambda: len(case.running()) == keep + 4, 60)
    print(f"{keep + 4} pods were running {took:.1f} s after the count was raised")
    assert not case.indexes() & set(range(2, keep))
    assert len(case.pods()) <= keep + 4
    assert case.job().generation == 1
    case.completes()
    # Nobody but the killed ones has lost an item. One that is handed back has a further attempt, but has not failed.
    lost = requests.get(f"{stack.manager}/submissions/{case.id}/errors", timeout=10).json()
    assert len(lost) == len(killed)
    assert all("lease expired" in error and any(name in error for name in killed) for error in lost), lost


@pytest.mark.parametrize("force", [False, True], ids=["in grace", "by force"])
def test_all_pods_deleted_three_times_are_back_soon(watched: Any, force: bool) -> None:
    """With as many replicas as there may be, so that no other index can be asked for."""
    replicas = 8
    case = watched(
        400,
        1.0,
        replicas={"min": replicas, "max": replicas, "initial": replicas},
        control={"law": "nop", "interval": 5},
        # Items of workers that are killed come back as failed attempts when their leases end.
        **({"retries": 3, "lease": 10} if force else {}),
    )
    case.until(lambda: len(case.running()) == replicas, 120)
    took = []
    for _ in range(3):
        time.sleep(2.0)
        gone = case.delete_all_pods(force)
        assert len(gone) == replicas

        def are_back(gone: set[str] = gone) -> bool:
            running = case.running()
            return len(running) == replicas and not gone & {pod.name for pod in running}

        took.append(case.until(are_back, SOON))
    # In grace no retry is needed: what was in hand is finished, or goes back before it is begun.
    case.completes()
    print("all pods were back after", ", ".join(f"{seconds:.1f}" for seconds in took), "s")


def test_a_silent_cluster_pauses_control_and_stops_no_work(stack: ClusterStack, watched: Any) -> None:
    case = watched(
        200,
        1.0,
        replicas={"min": 2, "max": 4, "initial": 2},
        control={"law": "scripted", "interval": 1, "settings": {"steps": [[0, 4]]}},
    )
    case.until(lambda: len(case.running()) == 4, 60)
    stack.relay.cut()
    try:
        cut_at = time.monotonic()
        paused = stack.wait_for(case.id, lambda now: "the work goes on" in now["reason"], within=40)
        assert "does not answer" in paused["reason"]
        case.cap(2)
        time.sleep(max(0.0, cut_at + 60.0 - time.monotonic()))
        still = stack.status(case.id)
        assert still["counts"]["done"] > paused["counts"]["done"] + 100
        assert "the work goes on" in still["reason"]
        assert len(case.running()) == 4
    finally:
        stack.relay.mend()
    stack.wait_for(case.id, lambda now: not now["reason"], within=40)
    case.until(lambda: len(case.pods()) == 2, 40)
    assert {result["attempt"] for result in case.completes()} == {1}
    assert case.begun() == Counter(range(200))


@pytest.fixture
def no_gpus(stack: ClusterStack) -> Iterator[None]:
    """A quota of the namespace that allows no GPU."""
    path = f"/api/v1/namespaces/{stack.namespace}/resourcequotas"
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-gpus"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
    }
    stack.api.call("POST", path, body=quota)
    # A quota holds once it has been counted.
    until(lambda: not stack.api.call("GET", f"{path}/no-gpus").json().get("status", {}).get("hard"))
    yield
    stack.api.call("DELETE", f"{path}/no-gpus")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        pytest.param({"image": "registry.invalid/none:1"}, ("ErrImagePull|ImagePullBackOff", "none:1"), id="image"),
        pytest.param({"node_selector": {"no-such": "node"}}, ("Unschedulable", "node"), id="place"),
        # In Kubernetes' words, or in the arbiter's, which knows what all nodes have.
        pytest.param(
            {"resources": {"cpu": 100000}}, ("[Ii]nsufficient cpu|none fits, each asks for 100000 cores",), id="size"
        ),
        pytest.param({"env": {"X": {"secret": "none", "key": "k"}}}, ("ConfigError", "none"), id="secret"),
        pytest.param({"volumes": [{"path": "/x", "claim": "none"}]}, ("Unschedulable", "none"), id="claim"),
        pytest.param({"resources": {"gpu": 1}}, ("exceeded quota.*no-gpus|no replica is granted.*0 GPUs",), id="quota"),
        pytest.param(
            {"volumes": [{"path": "/x", "host_path": "/var/log"}]}, ("violates PodSecurity", "hostPath"), id="admission"
        ),
        pytest.param({"namespace": "kube-system"}, ("refuses the Job", "forbidden"), id="rights"),
        pytest.param({"service_account": "none"}, ("serviceaccount", "none"), id="account"),
        pytest.param(
            {"run": None, "command": ["/no/such/program"], "replicas": {"min": 1}},
            ("no such file", "/no/such/program"),
            id="command",
        ),
    ],
)
def test_what_cannot_start_says_why(
    stack: ClusterStack, no_gpus: None, document: dict[str, Any], said: tuple[str, ...]
) -> None:
    whole = {"run": "true {item}", "workload": ["a"], **document}
    id = stack.submit({name: value for name, value in whole.items() if value is not None})
    try:
        status = stack.wait_for(id, lambda now: bool(now["reason"]), within=SOON)
        for words in said:
            assert re.search(words, status["reason"]), status["reason"]
    finally:
        end(stack, id, "terminate")
        until(lambda: [name for name in objects(stack) if id in name])


def test_nothing_is_left_of_submissions_of_all_kinds(stack: ClusterStack) -> None:
    common = {"keep": 2, "job_lifetime": 1, "grace_period": 1}
    slow = {"run": "sleep 600", "workload": ["a", "b"], **common}
    ids = {
        "good": stack.submit({"run": "echo {item}", "workload": [str(n) for n in range(20)], **common}),
        "failing": stack.submit({"run": "false", "workload": ["x"], "retries": 0, **common}),
        "broken": stack.submit({"command": ["no-such-program"], "workload": ["x"], **common}),
        "empty": stack.submit({"run": "true", "workload": [], **common}),
        "stream": stack.submit({"run": "echo {item}", "target": {"latency": 5}, **common}),
        "stopped": stack.submit(slow),
        "terminated": stack.submit(slow),
        # Whether its Service can be reached from here is the cluster's matter; it is made, and it goes.
        "dedicated": stack.submit({"command": ["sleep", "600"], "queue": "dedicated", "workload": ["a"], **common}),
        "deleted": stack.submit({"run": "true", "workload": ["a"], **common, "keep": "1d", "job_lifetime": "1d"}),
    }
    for kind in ("stream", "stopped", "terminated"):
        stack.wait_for(ids[kind], lambda now: now["state"] == "ongoing", within=120)
    until(lambda: {"deployments", "services"} - {name.split("/")[0] for name in objects(stack)})
    end(stack, ids["dedicated"], "terminate")
    end(stack, ids["stream"], "stop")
    end(stack, ids["stopped"], "stop")
    end(stack, ids["terminated"], "terminate")
    stack.wait(ids["deleted"], within=120)
    assert requests.delete(f"{stack.manager}/submissions/{ids['deleted']}", timeout=10).status_code == 204
    with stack.redis.client() as client:
        until(lambda: set(ids.values()) & set(requests.get(f"{stack.manager}/submissions", timeout=10).json()), 240)
        until(lambda: [name for name in objects(stack) if any(id in name for id in ids.values())])
        until(lambda: [user for user in users(client) if any(id in user for id in ids.values())])
        until(lambda: keys_of(client, ids.values()))


def test_the_services_were_refused_nothing(stack: ClusterStack) -> None:
    """Last: all of the above went by the roles of the base, but for what was meant to be refused."""
    refused = [line for line in stack.logs().splitlines() if "orbidden" in line and "kube-system" not in line]
    assert [line for line in refused if "exceeded quota" not in line and "PodSecurity" not in line] == []
