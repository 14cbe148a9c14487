"""The workers' own user of the shared Redis, from launch to clean-up."""

from __future__ import annotations

import base64

from common.domain.states import Intent, State
from tests.support.manager_stage import ID, Stage


def url_in_secret(stage: Stage) -> str:
    return base64.b64decode(stage.cluster.secrets["default", f"{ID}-redis"]["data"]["url"]).decode()


def test_the_pods_get_a_user_of_their_own() -> None:
    stage = Stage()
    stage.submit()
    stage.run(2)
    password = stage.access.passwords[ID]
    assert len(password) >= 32
    assert url_in_secret(stage) == f"redis://asp-{ID}:{password}@127.0.0.1:6379/0"


def test_each_submission_has_another_password() -> None:
    passwords = set()
    for _ in range(2):
        stage = Stage()
        stage.submit()
        stage.run(2)
        passwords.add(stage.access.passwords[ID])
    assert len(passwords) == 2


def test_a_crash_at_launch_keeps_the_password_that_pods_may_have() -> None:
    stage = Stage()
    stage.submit()
    stage.cluster.refusal = "quota"
    stage.run(1)
    password = stage.now.queue_password
    assert password
    stage.restart()
    stage.cluster.refusal = ""
    stage.run(5)
    assert stage.now.state is State.ONGOING
    assert stage.access.passwords == {ID: password}
    assert password in url_in_secret(stage)


def test_a_user_that_redis_has_forgotten_is_there_again_at_the_next_look() -> None:
    stage = Stage()
    stage.submit()
    stage.run(2)
    password = stage.access.passwords.pop(ID)
    stage.run(1.5)
    assert stage.access.passwords == {ID: password}


def test_the_user_goes_with_the_job_not_before() -> None:
    stage = Stage()
    stage.submit(job_lifetime=30)
    stage.run(2)
    stage.work()
    stage.run(10)
    assert stage.now.state is State.COMPLETED
    assert ID in stage.access.passwords
    stage.run(31)
    assert stage.now.job_deleted
    assert stage.access.passwords == {}


def test_nobody_keeps_a_user_after_terminate_and_delete() -> None:
    stage = Stage()
    stage.submit()
    stage.run(2)
    stage.intend(Intent.TERMINATE)
    stage.run(5)
    assert stage.now.state is State.TERMINATED
    assert stage.access.passwords == {}


def test_the_user_is_removed_though_redis_was_away_at_first() -> None:
    stage = Stage()
    stage.submit()
    stage.run(2)
    stage.intend(Intent.TERMINATE)
    stage.access.down = True
    stage.step_through(5)
    stage.access.down = False
    stage.step_through(5)
    assert stage.access.passwords == {}


def test_a_redis_whose_users_may_not_be_managed_is_named() -> None:
    stage = Stage()
    stage.access.refusal = "set ASPERATHOS_REDIS_ACL=false"
    stage.submit()
    stage.run(3)
    assert stage.now.state is State.ERROR
    assert "ASPERATHOS_REDIS_ACL" in stage.now.reason
    assert not stage.cluster.jobs


def test_switched_off_the_pods_get_the_suites_access() -> None:
    stage = Stage()
    stage.access_offered = False
    stage.restart()
    stage.submit()
    stage.run(2)
    assert stage.now.state is State.ONGOING
    assert url_in_secret(stage) == "redis://127.0.0.1:6379/0"
    assert stage.now.queue_password == ""


def test_a_dedicated_queue_needs_no_user() -> None:
    stage = Stage()
    stage.submit(queue="dedicated")
    stage.run(4)
    assert stage.now.state is State.ONGOING
    assert stage.access.passwords == {}
