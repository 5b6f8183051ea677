"""The exchange format: what is written is read back equal, and everything else is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from any_genotype import genotypes
from hypothesis import given
from hypothesis import strategies as st

from jsnas.errors import InputError
from jsnas.genotype import Genotype, edge_list
from jsnas.sample import genotype_from_sample, sample_from_genotype


@given(genotypes())
def test_json_and_yaml_are_read_back_equal(genotype: Genotype) -> None:
    assert Genotype.from_text(genotype.to_json()) == genotype
    assert Genotype.from_text(genotype.to_yaml()) == genotype
    assert hash(Genotype.from_text(genotype.to_json())) == hash(genotype)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_other_content_is_refused_by_a_sentence(content: object) -> None:
    with pytest.raises(InputError):
        Genotype.from_dict(content)


@given(st.text())
def test_any_text_is_a_genotype_or_refused(text: str) -> None:
    with pytest.raises(InputError):
        Genotype.from_text(text)


def test_released_genotype_is_the_one_of_the_checkpoints() -> None:
    genotype = Genotype.load("jsnet-sr")
    assert [name for _, name in genotype.operations] == [
        "rdb_common", "rdb_light", "rdb_common", "rdb_common", "rdb_shallow", "rdb_common",
    ]  # fmt: skip
    assert [name for _, name in genotype.attentions] == ["esa", "cea", "cea", "esa", "skip", "cea"]
    assert [edge for edge, _ in genotype.operations] == [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]


def valid() -> dict[str, object]:
    return Genotype.load("jsnet-sr").to_dict()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "jsnas-genotype/2"}, "jsnas-genotype/2"),
        ({"taks": "sr"}, "did you mean 'task'"),
        ({"task": "sharpen"}, "Unknown task"),
        ({"scale": 5}, "scale 5"),
        ({"scale": True}, "scale is True"),
        ({"scale": "2"}, "'2'"),
        ({"operations": ["skip"]}, "are a list"),
        ({"operations": {"1>0": "skip"}}, "leads back"),
        ({"operations": {"0-1": "skip"}}, "'0-1' is no edge"),
        ({"operations": {"0>1": 3}}, "holds 3"),
        ({"operations": {"0>2": "skip"}}, "Node 1"),
        ({"attentions": {"0>999999999": "skip"}}, "is no edge"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Genotype.from_dict({**valid(), **change})


def test_a_key_given_twice_and_an_alias_are_refused() -> None:
    with pytest.raises(InputError, match="given twice"):
        Genotype.from_text('{"task": "sr", "task": "sr"}')
    with pytest.raises(InputError, match="aliases"):
        Genotype.from_text("a: &x {}\nb: *x\n")


def test_a_missing_file_names_what_is_shipped(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="jsnet-sr"):
        Genotype.load(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="not a text file"):
        Genotype.load(tmp_path / "binary.json")


def test_files_round_trip(tmp_path: Path) -> None:
    genotype = Genotype.load("jsnet-sr").with_scale(4)
    for name in ("g.json", "g.yaml"):
        genotype.save(tmp_path / name)
        assert Genotype.load(tmp_path / name) == genotype
    assert json.loads((tmp_path / "g.json").read_text())["scale"] == 4


@given(genotypes())
def test_a_sample_of_nni_names_the_same_genotype(genotype: Genotype) -> None:
    assert genotype_from_sample(sample_from_genotype(genotype), genotype.task, genotype.scale) == genotype


def test_a_sample_with_chosen_inputs_prunes_the_other_edges() -> None:
    sample = {f"operation_{i}_{j}": "skip" for i, j in edge_list(4)} | {"operation_inputs_3": [0, 2]}
    genotype = genotype_from_sample(sample, "sr")
    assert [edge for edge, _ in genotype.operations] == [(0, 1), (0, 2), (1, 2), (0, 3), (2, 3)]


@pytest.mark.parametrize(
    "sample", [{"edge": "skip"}, {"operation_0_1": 3}, {"operation_x_1": "skip"}, {"pooling_0_1": "skip"}]
)
def test_a_foreign_sample_is_refused(sample: dict[str, object]) -> None:
    with pytest.raises(InputError, match="label"):
        genotype_from_sample(sample, "sr")
