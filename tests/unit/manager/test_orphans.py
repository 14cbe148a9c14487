"""What Redis has lost does not go on in the cluster."""

from __future__ import annotations

import dataclasses

import pytest

from manager.loop import ORPHANS
from manager.orphans import GRACE, REMEMBERED, installation_of
from tests.fakes.cluster import FakeCluster
from tests.support.manager_stage import ID, Stage


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.submit()
    stage.run(3)
    return stage


def kept_version(stage: Stage) -> int:
    kept = stage.records.get(ID)
    assert kept is not None
    return kept.version


def sweep(stage: Stage, seconds: float) -> None:
    end = stage.clock.now() + seconds
    while stage.clock.now() < end:
        stage.clock.advance(stage.loop.step(ORPHANS))


def test_a_job_without_a_record_is_removed_after_the_grace_with_all_that_belongs_to_it(stage: Stage) -> None:
    sweep(stage, 60)
    assert stage.cluster.running(ID)
    stage.records.delete(ID)
    stage.loop.step(ORPHANS)
    stage.clock.advance(GRACE / 2)
    stage.loop.step(ORPHANS)
    assert stage.cluster.running(ID)
    sweep(stage, GRACE + 15)
    assert not stage.cluster.jobs
    assert not stage.cluster.running(ID)
    assert not stage.cluster.secrets


def test_a_record_that_is_put_back_in_time_keeps_its_job(stage: Stage) -> None:
    kept = stage.now
    stage.records.delete(ID)
    stage.loop.step(ORPHANS)
    stage.clock.advance(GRACE / 2)
    stage.records.create(ID, kept)
    sweep(stage, 60)
    assert stage.cluster.running(ID)


@pytest.mark.parametrize("cluster", ["", "far"])
def test_a_job_is_looked_for_wherever_submissions_were_seen(cluster: str) -> None:
    stage = Stage()
    stage.clusters.others["far"] = far = FakeCluster(stage.clock)
    submission = stage.submit(namespace="elsewhere")
    stage.records.update(ID, submission.model_copy(update={"cluster": cluster}), 1)
    stage.run(3)
    there = far if cluster else stage.cluster
    assert there.running(ID)
    stage.records.delete(ID)
    sweep(stage, GRACE + 15)
    assert (there.jobs, there.running(ID), there.secrets) == ({}, [], {})


def test_a_cluster_that_is_away_hinders_no_other(stage: Stage) -> None:
    stage.clusters.others["far"] = far = FakeCluster(stage.clock)
    stage.loop.step(ID)
    stage.records.update(ID, stage.now.model_copy(update={"cluster": "far"}), kept_version(stage))
    stage.loop.step(ID)
    far.down = True
    stage.records.delete(ID)
    sweep(stage, GRACE + 15)
    assert not stage.cluster.jobs


def test_a_place_is_forgotten_when_nothing_was_seen_there_for_long(stage: Stage) -> None:
    orphans = stage.orphans()
    orphans.note("gone", "elsewhere")
    asked: list[str] = []
    at = stage.clusters.at
    stage.clusters.at = lambda name: asked.append(name) or at(name)  # type: ignore[func-returns-value,method-assign]
    orphans.sweep()
    stage.clock.advance(REMEMBERED + 1)
    orphans.sweep()
    assert asked.count("gone") == 1


def test_another_installations_jobs_are_left_alone(stage: Stage) -> None:
    stage.records.delete(ID)
    stage.manifests = dataclasses.replace(stage.manifests, installation=installation_of("another"))
    stage.restart()
    sweep(stage, 60)
    assert stage.cluster.running(ID)


def test_a_user_of_redis_without_a_record_is_removed_too(stage: Stage) -> None:
    assert stage.access.granted() == [ID]
    sweep(stage, 60)
    assert stage.access.granted() == [ID]
    stage.access.grant("kj-lost000", "secret")
    sweep(stage, GRACE + 15)
    assert stage.access.granted() == [ID]


def test_a_redis_that_does_not_tell_its_users_hinders_nothing(stage: Stage) -> None:
    stage.access.refusal = "no"
    stage.records.delete(ID)
    stage.loop.step(ORPHANS)
    assert stage.cluster.running(ID)


def test_without_a_key_nothing_is_taken_for_ours(stage: Stage) -> None:
    assert installation_of("") == ""
    stage.records.delete(ID)
    stage.manifests = dataclasses.replace(stage.manifests, installation="")
    stage.restart()
    sweep(stage, 60)
    assert stage.cluster.running(ID)


def test_the_installations_name_is_a_label_and_does_not_tell_the_key() -> None:
    assert len(installation_of("key")) == 16
    assert installation_of("key") != installation_of("yek")


def test_a_cluster_that_is_away_is_asked_again_later(stage: Stage) -> None:
    stage.records.delete(ID)
    stage.cluster.down = True
    sweep(stage, 60)
    stage.cluster.down = False
    assert stage.cluster.running(ID)
    sweep(stage, GRACE + 15)
    assert not stage.cluster.running(ID)
