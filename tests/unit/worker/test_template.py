from __future__ import annotations

import shlex

import pytest
from asperathos_worker.errors import BadTemplate
from asperathos_worker.template import parse_template
from hypothesis import given
from hypothesis import strategies as st

VALUES = {"item": "a b", "id": "7", "attempt": "2"}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("measure.py {item}", ("measure.py", "a b")),
        ("x --name={item}.txt '{id}: {attempt}'", ("x", "--name=a b.txt", "7: 2")),
        ("awk '{{print $1}}'", ("awk", "{print $1}")),
        ("x {{item}} {{{item}}}", ("x", "{item}", "{a b}")),
        ("x {item}{item}", ("x", "a ba b")),
        ("x ''", ("x", "")),
        ('sh -c "cat \\"$ASPERATHOS_ITEM\\" | wc"', ("sh", "-c", 'cat "$ASPERATHOS_ITEM" | wc')),
    ],
)
def test_arguments(text: str, arguments: tuple[str, ...]) -> None:
    assert parse_template(text).fill(VALUES) == arguments


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("'' x", "empty"),
        ("x 'open", "quotation"),
        ("x {itme}", "write {{itme}}"),
        ("x {", "write {{"),
        ("awk '{print}'", "write {{print}}"),
        ("x }", "write }}"),
        ("x \0", "NUL"),
    ],
)
def test_faults_say_what_to_write(text: str, said: str) -> None:
    with pytest.raises(BadTemplate, match=said.replace("{", r"\{").replace("}", r"\}")):
        parse_template(text)


@given(st.text())
def test_an_item_is_never_more_than_its_place_in_one_argument(item: str) -> None:
    filled = parse_template("prog --in={item} last").fill({**VALUES, "item": item})
    assert filled == ("prog", "--in=" + item, "last")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_doubled_braces_and_shell_quoting_reach_every_literal_argument(words: list[str]) -> None:
    words[0] = "prog" + words[0]
    text = " ".join(shlex.quote(word.replace("{", "{{").replace("}", "}}")) for word in words)
    assert parse_template(text).fill(VALUES) == tuple(words)


def test_what_a_template_tells_about_itself() -> None:
    template = parse_template('sh -c "echo $ASPERATHOS_ITEM" {id}')
    assert template.uses("id") and not template.uses("item")
    assert template.mentions("ASPERATHOS_ITEM")
    assert template.command == "sh"
    assert parse_template("./{id}.sh").command is None
