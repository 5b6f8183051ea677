"""The table of trainings: what goes in comes out in every form, twice the same is once, damage is said."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jsnas.bench import Bench, Row, export_table, import_table, load_table
from jsnas.candidates import ALL_OPERATIONS
from jsnas.errors import InputError
from jsnas.genotype import Genotype

OPERATIONS = [name for name in ALL_OPERATIONS if name != "none"]
GENOTYPES = st.builds(
    lambda operations, attention: Genotype.from_names("sr", operations, [attention], 2),
    st.lists(st.sampled_from(OPERATIONS), min_size=3, max_size=3),
    st.sampled_from(["skip", "ca", "esa"]),
)
FLOATS = st.floats(0, 1e6, allow_nan=False)
ROWS = st.builds(
    Row,
    protocol=st.just("x"),
    genotype=GENOTYPES,
    seed=st.integers(0, 9),
    iterations=st.integers(1, 10**6),
    psnr_db=st.one_of(FLOATS, st.just(math.nan)),
    parameters=st.integers(0, 10**9),
    multiply_adds=st.integers(0, 10**15),
    latency_seconds=FLOATS,
    seconds=FLOATS,
    machine=st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=20),
    failed=st.sampled_from(["", 'The loss is "nan", at step 3; stop.', "zwei\nZeilen"]),
)


def row(**changes: object) -> Row:
    genotype = Genotype.from_names("sr", ["skip"], ["ca"], 2)
    made = Row("x", genotype, 0, 100, 30.5, 1000, 10**9, 0.01, 2.0, "here")
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def same(a: list[Row], b: list[Row]) -> bool:
    """Whether rows are equal, NaN being NaN."""
    return list(map(repr, a)) == list(map(repr, b))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(rows=st.lists(ROWS, min_size=1, max_size=6, unique_by=lambda row: row.key))
def test_a_table_survives_every_form(suffix: str, rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bench")
    bench = Bench(folder / "a")
    protocol = bench.add_protocol({"task": "x", "betas": [0.9, 0.999]})
    rows = [dataclasses.replace(made, protocol=protocol) for made in rows]
    for made in rows:
        bench.add(made)
    table = folder / f"table{suffix}"
    export_table(bench.rows(), bench.protocols(), table)
    loaded, protocols = load_table(table)
    assert same(loaded, bench.rows()) and protocols == bench.protocols()
    assert {made.key for made in loaded} == {made.key for made in rows}
    other = Bench(folder / "b")
    assert import_table(table, other) == len(rows)
    assert import_table(table, other) == 0
    assert same(other.rows(), bench.rows())


def test_a_training_is_found_by_what_it_is_the_result_of(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench")
    bench.add(row())
    bench.add(row())
    assert len(bench.rows()) == 1
    assert bench.find("x", row().genotype, 0, 100) == row()
    for other in (("y", row().genotype, 0, 100), ("x", row().genotype, 1, 100), ("x", row().genotype, 0, 99)):
        assert bench.find(*other) is None
    assert bench.find("x", Genotype.from_names("sr", ["skip"], ["pa"], 2), 0, 100) is None


def test_protocols_that_differ_have_other_identities(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench")
    a, b = bench.add_protocol({"lr": 0.1}), bench.add_protocol({"lr": 0.2})
    assert a != b and a == bench.add_protocol({"lr": 0.1})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", r"is empty; fill it"),
        ("t.csv", "protocol,seed\nx,1\n", r"Row 1 .* damaged, or of another version"),
        ("t.csv", b"\xff\xfe\x00", r"is no CSV"),
        ("t.parquet", "no", r"is no Parquet table"),
        ("t.txt", "x", r"Unknown form of a table '\.txt'"),
    ],
)
def test_what_is_no_table_is_said(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.with_suffix(".protocols.json").write_text("{}")
    with pytest.raises(InputError, match=message):
        load_table(path)


def test_bytes_that_are_no_text_are_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "a")
    bench.add(row(protocol=bench.add_protocol({}), machine="a machine"))
    table = tmp_path / "t.parquet"
    export_table(bench.rows(), bench.protocols(), table)
    data = table.read_bytes()
    assert b"a machine" in data
    table.write_bytes(data.replace(b"a machine", b"a machin\xff"))
    with pytest.raises(InputError, match="is no Parquet table"):
        load_table(table)


def test_damage_and_loss_are_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench")
    bench.add(row())
    with pytest.raises(InputError, match=r"does not say what protocol 'x' is"):
        load_table(tmp_path / "bench")
    file = next((tmp_path / "bench" / "rows").iterdir())
    file.write_text(file.read_text()[:-20])
    with pytest.raises(InputError, match=r"is damaged .*what it held is made again"):
        bench.rows()
    with pytest.raises(InputError, match=r"There is no table"):
        load_table(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"is a file, and a table that is added to is a folder"):
        Bench(file)
    export_table([row()], {"x": {"lr": 1}}, tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"protocol 'x' .* was altered"):
        import_table(tmp_path / "t.csv", Bench(tmp_path / "other"))
