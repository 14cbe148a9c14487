"""Connections by name: made once, renewed with their record, bounded, closed; and what is sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from common.adapters.kubernetes_cluster import KubernetesCluster
from common.adapters.kubernetes_clusters import KubernetesClusters
from common.adapters.sealing import Seals
from common.domain.clusters import ClusterRecord
from common.domain.errors import ClusterError, Unavailable
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.records import MemoryRecords
from tests.support.kubeconfigs import SECRET, data, kubeconfig


class Connected(KubernetesCluster):
    """Remembers what it was made of and that it was closed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(document=document)
        self.document = document
        self.closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


class World:
    def __init__(self, secret: str = "key", **options: Any) -> None:
        self.clock = FakeClock()
        self.records: MemoryRecords[ClusterRecord] = MemoryRecords(clock=self.clock)
        self.seals = Seals(secret)
        self.default = FakeCluster(self.clock)
        self.clusters = KubernetesClusters(
            self.default, "default", self.records, self.seals, Connected, clock=self.clock, **options
        )

    def put(self, name: str, document: dict[str, Any] | None = None, **certificates: str) -> None:
        record = ClusterRecord(
            name=name,
            config=self.seals.seal(json.dumps(document or kubeconfig())),
            certificates={key.replace("_", "."): self.seals.seal(value) for key, value in certificates.items()},
            server="https://x",
            context="",
            authentication="token",
            added_at=0.0,
        )
        self.records.put(name, record)

    def at(self, name: str) -> Connected:
        cluster = self.clusters.at(name)
        assert isinstance(cluster, Connected)
        return cluster


def test_the_default_cluster_has_two_names() -> None:
    world = World()
    assert world.clusters.at("") is world.clusters.at("default") is world.default


def test_a_connection_is_kept_until_its_record_changes() -> None:
    world = World()
    world.put("east")
    first = world.at("east")
    world.clock.advance(10.0)
    assert world.at("east") is first
    world.put("east", kubeconfig({"token": "renewed"}))
    assert world.at("east") is first
    world.clock.advance(2.0)
    second = world.at("east")
    assert second is not first
    assert first.closed
    assert second.document["users"][0]["user"] == {"token": "renewed"}


def test_a_removed_cluster_is_closed() -> None:
    world = World()
    world.put("east")
    first = world.at("east")
    world.records.delete("east")
    world.clock.advance(2.0)
    with pytest.raises(ClusterError, match="no cluster named east"):
        world.clusters.at("east")
    assert first.closed


def test_a_forgotten_connection_is_made_anew_at_once() -> None:
    world = World()
    world.put("east")
    first = world.at("east")
    world.clusters.forget("east")
    assert first.closed
    assert world.at("east") is not first


def test_connections_are_bounded() -> None:
    world = World(most=2)
    for name in ("a", "b", "c"):
        world.put(name)
    first, second = world.at("a"), world.at("b")
    world.at("a")
    world.at("c")
    assert (first.closed, second.closed) == (False, True)


def test_uploaded_files_are_put_in() -> None:
    world = World()
    document = kubeconfig({"client-certificate": "/x/me.crt"})
    world.put("east", document)
    with pytest.raises(Unavailable, match=r"lacks the certificates me\.crt"):
        world.clusters.at("east")
    world.put("east", document, me_crt="certificate")
    assert world.at("east").document["users"][0]["user"] == {"client-certificate-data": data("certificate")}


def test_programs_are_not_run_even_if_a_record_names_one() -> None:
    document = kubeconfig({"exec": {"command": "touch /tmp/x"}})
    world = World()
    world.put("east", document)
    with pytest.raises(Unavailable, match="names a program"):
        world.clusters.at("east")
    allowing = World(programs=True)
    allowing.put("east", document)
    assert allowing.at("east")


def test_records_that_were_not_sealed_by_us_are_refused() -> None:
    world = World()
    for other in (Seals(""), Seals("another key")):
        world.seals = other
        world.put("east")
        with pytest.raises(Unavailable, match="cannot be read") as caught:
            world.clusters.at("east")
        assert SECRET not in caught.value.message


def test_sealing() -> None:
    seals = Seals("key")
    assert seals.open(seals.seal(SECRET)) == SECRET
    assert SECRET not in seals.seal(SECRET)
    assert Seals("").open(Seals("").seal(SECRET)) == SECRET
    with pytest.raises(Unavailable):
        Seals("").open(seals.seal(SECRET))


@pytest.mark.parametrize(
    "authority", ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_bad_certificate_is_told_without_its_content(authority: str, free_port: int, tmp_path: Path) -> None:
    document = kubeconfig(server=f"https://127.0.0.1:{free_port}", **{"certificate-authority-data": data(authority)})
    with pytest.raises(Unavailable) as caught:
        KubernetesCluster(document=document).version()
    assert SECRET not in caught.value.message
    assert authority not in caught.value.message
