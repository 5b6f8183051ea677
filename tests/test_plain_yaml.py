"""Texts from strangers: plain values are read as PyYAML reads them, everything that could hurt is refused."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jsnas.errors import InputError
from jsnas.plain_yaml import read_yaml

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    max_leaves=20,
)


@given(TREES)
def test_plain_values_are_read_as_pyyaml_reads_them(tree: object) -> None:
    for text in (yaml.safe_dump(tree), json.dumps(tree)):
        try:
            expected = yaml.safe_load(text)
        except yaml.YAMLError:  # such as the key '=', which PyYAML writes and does not read
            with pytest.raises(InputError):
                read_yaml(text)
        else:
            assert read_yaml(text) == expected


@given(st.text())
def test_any_text_is_read_or_refused_in_a_clause(text: str) -> None:
    try:
        read_yaml(text)
    except InputError as error:
        assert str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: [*x, *x]", "aliases"),
        ("&x [*x]", "aliases"),
        ("a: 1\na: 2", "twice"),
        ("[" * 100_000, "deeply"),
        ("- " * 100_000, "deeply"),
        ("x" * (1 << 21), "characters"),
        ("!!python/object/apply:os.system [id]", "constructor"),
        ("2001-99-99", "month"),
        ("a: [", "expected"),
    ],
)
def test_what_could_hurt_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_yaml(text)
