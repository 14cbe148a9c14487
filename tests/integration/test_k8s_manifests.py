"""k8s/: each overlay builds, every object is valid, locked down, and grants what the services use."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.domain.access import NEEDS, Access
from common.settings import CommonSettings
from controller.settings import Settings as ControllerSettings
from manager.settings import Settings as ManagerSettings
from monitor.settings import Settings as MonitorSettings
from tests.support.kubernetes_schema import faults
from visualizer.grafana.provisioning import DATASOURCES, DIRECTORY, PROVIDERS, files
from visualizer.settings import Settings as VisualizerSettings

ROOT = Path(__file__).resolve().parent.parent.parent
OVERLAYS = {"kind": (), "production": ("rediss://user:secret@redis.example.com:6380/0",)}
SETTINGS: Mapping[str, type[CommonSettings]] = {
    "manager": ManagerSettings,
    "controller": ControllerSettings,
    "monitor": MonitorSettings,
    "visualizer": VisualizerSettings,
}
SECRETS = ("secrets.env", "redis.env", "influxdb.env", "grafana.env")
TOKENS = {"INFLUX_TOKEN": "of-a-test", "GRAFANA_TOKEN": "of-a-test-too"}
PORTS = {"manager": 1500, "controller": 5000, "monitor": 5001, "visualizer": 5002}
Objects = list[dict[str, Any]]


@pytest.fixture(scope="module", params=sorted(OVERLAYS))
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: secrets are made beside the overlays."""
    copy = tmp_path_factory.mktemp("k8s") / "k8s"
    shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns(*SECRETS))
    return copy


@pytest.fixture(scope="module")
def objects(tree: Path, overlay: str) -> Objects:
    make_secrets(tree, overlay, *OVERLAYS[overlay])
    return build(tree / "overlays" / overlay)


def make_secrets(tree: Path, *arguments: str) -> None:
    script = [str(tree / "make-secrets.sh"), *arguments]
    subprocess.run(script, check=True, capture_output=True, timeout=10, env={**os.environ, **TOKENS})


def build(directory: Path) -> Objects:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the kustomize overlays were NOT built")
    built = subprocess.run(
        ["kubectl", "kustomize", str(directory)], capture_output=True, text=True, timeout=60, check=False
    )
    assert built.returncode == 0, built.stderr
    return [document for document in yaml.safe_load_all(built.stdout) if document]


def of_kind(objects: Objects, *kinds: str) -> Objects:
    return [found for found in objects if found["kind"] in kinds]


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def workloads(objects: Objects) -> Objects:
    return of_kind(objects, "Deployment", "StatefulSet")


def test_every_object_is_valid(objects: Objects) -> None:
    assert len(objects) > 30
    wrong = {f"{one['kind']} {one['metadata']['name']}": faults(one) for one in objects}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_the_validation_finds_faults(objects: Objects) -> None:
    deployment = named(objects, "Deployment", "manager")
    spec = deployment["spec"]
    template = spec["template"]
    container = template["spec"]["containers"][0]

    def with_container(**fields: Any) -> dict[str, Any]:
        pod = {**template["spec"], "containers": [{**container, **fields}]}
        return {**deployment, "spec": {**spec, "template": {**template, "spec": pod}}}

    assert any("livenesProbe" in fault for fault in faults(with_container(livenesProbe={})))
    assert any("containerPort" in fault for fault in faults(with_container(ports=[{"containerPort": "1500"}])))
    assert any("ports" in fault for fault in faults(with_container(ports={"containerPort": 1500})))
    assert faults({**deployment, "spec": {name: value for name, value in spec.items() if name != "selector"}})
    assert faults({**deployment, "kind": "Deploymint"})
    assert faults({**deployment, "apiVersion": "batch/v1"})


def test_nothing_is_built_without_secrets(tree: Path, tmp_path: Path, overlay: str) -> None:
    copy = tmp_path / "k8s"
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(*SECRETS))
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    built = subprocess.run(
        ["kubectl", "kustomize", str(copy / "overlays" / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert built.returncode != 0
    assert "secrets.env" in built.stderr


def test_secrets_are_made_once_and_for_their_owner_only(objects: Objects, tree: Path, overlay: str) -> None:
    path = tree / "overlays" / overlay / "secrets.env"
    before = path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    make_secrets(tree, overlay, "redis://other")
    assert path.read_text() == before


def test_no_secret_is_in_git() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "k8s"], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert not [name for name in listed.stdout.splitlines() if name.endswith(SECRETS)]


def test_pods_are_restricted(objects: Objects) -> None:
    for workload in workloads(objects):
        pod = workload["spec"]["template"]["spec"]
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]


def test_only_services_that_use_the_cluster_get_a_token(objects: Objects) -> None:
    mounted = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in workloads(objects)}
    with_token = {name for name, pod in mounted.items() if pod["automountServiceAccountToken"]}
    assert with_token == set(NEEDS)
    for name in PORTS:
        assert mounted[name]["serviceAccountName"] == name


@pytest.mark.parametrize("service", sorted(PORTS))
def test_each_service_is_complete(objects: Objects, service: str) -> None:
    deployment = named(objects, "Deployment", service)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": PORTS[service]}]
    for kind, place in (("Service", ("selector",)), ("PodDisruptionBudget", ("selector", "matchLabels"))):
        selector: Any = named(objects, kind, service)["spec"]
        for step in place:
            selector = selector[step]
        assert selector.items() <= labels.items()
    (spread,) = pod["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    named(objects, "ServiceAccount", service)


@pytest.mark.parametrize("service", sorted(PORTS))
def test_every_setting_exists(objects: Objects, service: str) -> None:
    (container,) = named(objects, "Deployment", service)["spec"]["template"]["spec"]["containers"]
    known = {f"ASPERATHOS_{name.upper()}" for name in SETTINGS[service].model_fields}
    given: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            given |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            given |= named(objects, "Secret", source["secretRef"]["name"])["data"]
    given |= {one["name"]: "" for one in container.get("env", ())}
    assert given.keys() <= known
    assert {"ASPERATHOS_REDIS_URL", "ASPERATHOS_SERVICE_TOKEN", "ASPERATHOS_NAMESPACE"} <= given.keys()


def test_every_setting_is_valid(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in of_kind(objects, "ConfigMap", "Secret"):
        for name, value in one["data"].items():
            if name.startswith("ASPERATHOS_"):
                plain = value if one["kind"] == "ConfigMap" else base64.b64decode(value).decode()
                monkeypatch.setenv(name, plain)
    for settings in SETTINGS.values():
        assert settings().bind == "0.0.0.0"
        assert settings().authenticated and settings().admin_token.get_secret_value()
    assert ManagerSettings().allow_local_files is False
    assert ManagerSettings().metric_store == "influx"
    assert VisualizerSettings().grafana_url


def test_addresses_are_services_that_exist(objects: Objects) -> None:
    settings = next(
        one["data"] for one in of_kind(objects, "ConfigMap") if "ASPERATHOS_MANAGER_URL" in one.get("data", {})
    )
    for service, port in PORTS.items():
        assert settings[f"ASPERATHOS_{service.upper()}_URL"] == f"http://{service}.asperathos.svc:{port}"
        (offered,) = named(objects, "Service", service)["spec"]["ports"]
        assert (offered["port"], offered["targetPort"]) == (port, "http")


def test_roles_grant_what_is_needed_and_nothing_else(objects: Objects) -> None:
    granted: dict[str, set[Access]] = {}
    for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", "asperathos")
        namespaced = binding["kind"] == "RoleBinding"
        if namespaced:
            assert binding["metadata"]["namespace"] == "asperathos-jobs"
        role = named(objects, binding["roleRef"]["kind"], binding["roleRef"]["name"])
        granted.setdefault(subject["name"], set()).update(
            Access(verb, *reversed_resource(resource, group), namespaced)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        )
    assert granted == NEEDS
    assert len(of_kind(objects, "Role", "ClusterRole")) == len(of_kind(objects, "RoleBinding", "ClusterRoleBinding"))


def reversed_resource(resource: str, group: str) -> tuple[str, str, str]:
    """resource, group, subresource."""
    name, _, subresource = resource.partition("/")
    return name, group, subresource


def test_network_policies_begin_with_nothing(objects: Objects) -> None:
    deny = named(objects, "NetworkPolicy", "deny-all")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    names = {one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] for one in workloads(objects)}
    policies = [one for one in of_kind(objects, "NetworkPolicy") if one["metadata"]["namespace"] == "asperathos"]
    for policy in policies:
        selector = policy["spec"]["podSelector"]
        wanted = set(selector.get("matchLabels", {}).values())
        for expression in selector.get("matchExpressions", ()):
            wanted |= set(expression["values"])
        assert wanted <= names, policy["metadata"]["name"]


def test_prometheus_is_let_in_by_its_component(tree: Path) -> None:
    overlay = tree / "overlays" / "with-prometheus"
    overlay.mkdir(exist_ok=True)
    (overlay / "kustomization.yaml").write_text("resources: [../../base]\ncomponents: [../../prometheus]\n")
    policy = named(build(overlay), "NetworkPolicy", "prometheus")
    assert faults(policy) == []
    assert policy["spec"]["podSelector"]["matchExpressions"][0]["values"] == list(PORTS)
    assert [port["port"] for port in policy["spec"]["ingress"][0]["ports"]] == sorted(PORTS.values())


def test_redis_keeps_what_it_acknowledges(tree: Path) -> None:
    make_secrets(tree, "kind")
    objects = build(tree / "overlays" / "kind")
    redis = named(objects, "StatefulSet", "redis")
    (claim,) = redis["spec"]["volumeClaimTemplates"]
    mounts = {
        mount["name"]: mount["mountPath"]
        for mount in redis["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    }
    (config,) = (one["data"]["redis.conf"] for one in of_kind(objects, "ConfigMap") if "redis.conf" in one["data"])
    lines = config.splitlines()
    assert "appendonly yes" in lines and f"dir {mounts[claim['metadata']['name']]}" in lines
    assert "maxmemory-policy noeviction" in lines
    secret = next(one for one in of_kind(objects, "Secret") if "REDIS_PASSWORD" in one["data"])
    assert "REDIS_PASSWORD" not in str(of_kind(objects, "ConfigMap")) and secret["type"] == "Opaque"


def test_production_has_doors_with_locks(tree: Path) -> None:
    overlay = "production"
    subprocess.run(
        [str(tree / "make-secrets.sh"), overlay, *OVERLAYS[overlay]], check=True, capture_output=True, timeout=10
    )
    objects = build(tree / "overlays" / overlay)
    assert not of_kind(objects, "StatefulSet")
    ingress = named(objects, "Ingress", "asperathos")
    assert {rule["host"] for rule in ingress["spec"]["rules"]} == set(ingress["spec"]["tls"][0]["hosts"])
    assert not [name for name in ingress["metadata"]["annotations"] if "/auth-" in name], "users log in at the services"
    scaler = named(objects, "HorizontalPodAutoscaler", "manager")
    assert scaler["spec"]["scaleTargetRef"]["name"] == "manager"
    assert "replicas" not in named(objects, "Deployment", "manager")["spec"]


def test_production_wants_its_tokens(tmp_path: Path) -> None:
    copy = tmp_path / "k8s"
    shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns(*SECRETS))
    script = [str(copy / "make-secrets.sh"), "production", "rediss://redis.example.com"]
    for name in TOKENS:
        given = {key: value for key, value in TOKENS.items() if key != name}
        bare = {key: value for key, value in os.environ.items() if key not in TOKENS}
        ran = subprocess.run(script, capture_output=True, text=True, timeout=10, check=False, env={**bare, **given})
        assert ran.returncode != 0 and name in ran.stderr
        assert not (copy / "overlays" / "production" / "secrets.env").exists()


def test_grafana_is_provisioned_with_what_the_code_makes(tree: Path) -> None:
    make_secrets(tree, "kind")
    objects = build(tree / "overlays" / "kind")
    pod = named(objects, "Deployment", "grafana")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    found: dict[str, str] = {}
    for volume in pod["volumes"]:
        if "configMap" in volume:
            data = named(objects, "ConfigMap", volume["configMap"]["name"])["data"]
            found |= {f"{mounts[volume['name']]}/{name}": text for name, text in data.items()}
    written = files("http://127.0.0.1:5002")
    places = {DATASOURCES: "/etc/grafana/provisioning/datasources", PROVIDERS: "/etc/grafana/provisioning/dashboards"}
    assert found == {f"{places.get(name, DIRECTORY)}/{name}": text for name, text in written.items()}
    assert all("uid" in json.loads(text) for name, text in found.items() if name.endswith(".json"))
    wanted = set(re.findall(r"\$(INFLUX_[A-Z]+)", written[DATASOURCES]))
    assert wanted == {one["name"] for one in container["env"] if one["name"].startswith("INFLUX_")}


def test_influxdb_sets_itself_up_for_the_services(tree: Path) -> None:
    make_secrets(tree, "kind")
    objects = build(tree / "overlays" / "kind")
    server = named(objects, "StatefulSet", "influxdb")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    given = {one["name"].removeprefix("DOCKER_INFLUXDB_INIT_"): one for one in container["env"]}
    settings = next(
        one["data"] for one in of_kind(objects, "ConfigMap") if "ASPERATHOS_INFLUX_URL" in one.get("data", {})
    )
    assert given["MODE"]["value"] == "setup" and given["RETENTION"]["value"] == "30d"
    assert settings["ASPERATHOS_INFLUX_URL"] == "http://influxdb.asperathos.svc:8086"
    assert settings["ASPERATHOS_INFLUX_BUCKET"] == given["BUCKET"]["value"]
    assert settings["ASPERATHOS_INFLUX_ORG"] == given["ORG"]["value"]
    reference = given["ADMIN_TOKEN"]["valueFrom"]["secretKeyRef"]
    token = named(objects, "Secret", reference["name"])["data"][reference["key"]]
    (services,) = (one["data"] for one in of_kind(objects, "Secret") if "ASPERATHOS_SERVICE_TOKEN" in one["data"])
    assert services["ASPERATHOS_INFLUX_TOKEN"] == token
    (claim,) = server["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/var/lib/influxdb2"} in container["volumeMounts"]
