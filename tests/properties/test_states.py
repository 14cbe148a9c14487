from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.domain.states import TRANSITIONS, Intent, State, may_follow

_states = st.sampled_from(State)
TERMINAL = {State.COMPLETED, State.FAILED, State.STOPPED, State.TERMINATED, State.ERROR}


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)
    assert set().union(*TRANSITIONS.values()) | {State.CREATED} == set(State)


def test_the_terminal_states_are_the_last_five() -> None:
    assert {state for state in State if state.terminal} == set(list(State)[-5:]) == TERMINAL


@given(st.lists(_states, max_size=30))
def test_whatever_is_asked_for_a_life_ends_once_and_stays_ended(wanted: list[State]) -> None:
    life = [State.CREATED]
    for state in wanted:
        if may_follow(life[-1], state):
            life.append(state)
    ends = [place for place, state in enumerate(life) if state.terminal]
    assert ends in ([], [len(life) - 1])
    assert len(set(life)) == len(life)
    assert life == sorted(life, key=list(State).index)


@given(_states, _states)
def test_terminal_states_never_change_and_nothing_follows_itself(old: State, new: State) -> None:
    if old.terminal or old is new:
        assert not may_follow(old, new)


@given(_states)
def test_every_unfinished_life_can_be_ended_in_each_way_a_user_or_fault_may(state: State) -> None:
    if not state.terminal:
        assert all(may_follow(state, end) for end in (State.STOPPED, State.TERMINATED, State.ERROR))


def test_every_state_leads_to_an_end() -> None:
    ended = set(TERMINAL)
    for state in reversed(list(State)):
        if TRANSITIONS[state] & ended:
            ended.add(state)
    assert ended == set(State)


def test_failure_needs_work_to_have_been_done() -> None:
    assert [state for state in State if may_follow(state, State.FAILED)] == [State.ONGOING]


def test_intents_rise_in_urgency() -> None:
    assert [intent.rank for intent in (Intent.NONE, Intent.STOP, Intent.TERMINATE)] == [0, 1, 2]
    assert len(Intent) == 3
