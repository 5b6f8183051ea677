"""JSNet-Bench: the table of all trainings of genotypes, one small file each, added whole or not at all.

A row is found by what it is the result of: the protocol (everything that fixes a training but genotype, seed and
length), the genotype, the seed and the iterations. The same training is therefore never in the table twice, may be
looked up instead of run, and any number of processes and machines may add to one folder. For others the table is
written as CSV or Parquet.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError, unknown_name
from jsnas.genotype import Genotype

SUFFIXES = (".csv", ".parquet")
_MOST_BYTES = 1 << 28  # of a table as one file


@dataclass(frozen=True)
class Row:
    """One training.

    Attributes:
        protocol: Identity of the protocol, as ``Bench.add_protocol`` gives it.
        genotype: What was trained.
        seed: Of weights and patches.
        iterations: Length of the training.
        psnr_db: On the images that the protocol scores; NaN if the training failed.
        parameters: Of the network.
        multiply_adds: For a 1280 x 720 output.
        latency_seconds: For an input of 128 x 128, batch 1, as the network stands, on ``machine``.
        seconds: Time the training took.
        machine: Where it ran.
        failed: Why the training failed; empty if it did not.
    """

    protocol: str
    genotype: Genotype
    seed: int
    iterations: int
    psnr_db: float
    parameters: int
    multiply_adds: int
    latency_seconds: float
    seconds: float
    machine: str
    failed: str = ""

    @property
    def key(self) -> str:
        """What the row is found by."""
        return row_key(self.protocol, self.genotype, self.seed, self.iterations)


def row_key(protocol: str, genotype: Genotype, seed: int, iterations: int) -> str:
    """What the row of a training is found by: a hash of all that it is the result of."""
    return _hash([protocol, genotype.to_dict(), seed, iterations])


class Bench:
    """A table in a folder.

    Args:
        folder: It is made when the first row is added.

    Raises:
        InputError: If the path is a file.
    """

    def __init__(self, folder: Path) -> None:
        if folder.is_file():
            raise InputError(
                f"'{folder}' is a file, and a table that is added to is a folder; make one of it with "
                f"`jsnas bench import {folder} FOLDER`."
            )
        self.folder = folder

    def add_protocol(self, protocol: Mapping[str, Any]) -> str:
        """Keeps what a protocol says, and gives its identity."""
        identity = _identity(protocol)
        path = self.folder / "protocols" / f"{identity}.json"
        if not path.is_file():
            _write(path, json.dumps(protocol, indent=2) + "\n")
        return identity

    def add(self, row: Row) -> None:
        """Keeps a row; it is on the disk when this returns."""
        _write(self.folder / "rows" / f"{row.key}.json", json.dumps(_to_dict(row)) + "\n")

    def find(self, protocol: str, genotype: Genotype, seed: int, iterations: int) -> Row | None:
        """The row of a training, or ``None`` if it has not been run.

        Raises:
            InputError: If the row's file is damaged.
        """
        path = self.folder / "rows" / f"{row_key(protocol, genotype, seed, iterations)}.json"
        if not path.is_file():
            return None
        row = _read_row(path)
        if row.key != path.stem:
            raise InputError(f"'{path}' holds another training than its name says; remove it, and it is run again.")
        return row

    def rows(self) -> list[Row]:
        """All rows, in the order of protocol, iterations, genotype and seed.

        Raises:
            InputError: If a file is damaged.
        """
        return _sorted(_read_row(path) for path in (self.folder / "rows").glob("*.json"))

    def protocols(self) -> dict[str, dict[str, Any]]:
        """What each protocol says, by its identity."""
        return {path.stem: _read_json(path) for path in sorted((self.folder / "protocols").glob("*.json"))}


def load_table(path: Path) -> tuple[list[Row], dict[str, dict[str, Any]]]:
    """The rows and protocols of a table, in whatever form: a folder, a CSV or a Parquet file.

    Raises:
        InputError: If there is no table, it is of another form, or damaged.
    """
    if path.is_dir():
        bench = Bench(path)
        rows, protocols = bench.rows(), bench.protocols()
    elif path.is_file():
        if path.suffix not in SUFFIXES:
            raise unknown_name("form of a table", path.suffix or path.name, SUFFIXES)
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(
                f"'{path}' holds {path.stat().st_size:,} bytes; a table of ours has at most {_MOST_BYTES:,}."
            )
        records = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
        rows = [_row_of(record, f"Row {k} of '{path}'") for k, record in enumerate(records, start=1)]
        protocols = _read_json(_beside(path))
        if not all(isinstance(protocol, dict) for protocol in protocols.values()):
            raise InputError(f"'{_beside(path)}' is damaged; each protocol should be a mapping.")
    else:
        raise InputError(f"There is no table '{path}'; give the folder, or the .csv or .parquet file, of a table.")
    if not rows:
        raise InputError(f"The table '{path}' is empty; fill it with `jsnas bench fill`.")
    if lost := sorted({row.protocol for row in rows} - set(protocols)):
        raise InputError(
            f"The table '{path}' does not say what protocol '{lost[0]}' is; its file of protocols is incomplete."
        )
    return _sorted(rows), protocols


def export_table(rows: Iterable[Row], protocols: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Writes a table for others, and ``NAME.protocols.json`` beside it.

    Args:
        rows: The rows.
        protocols: What each protocol says.
        out: A ``.csv`` or ``.parquet`` file.

    Raises:
        InputError: If the suffix is another, the file cannot be written, or Parquet lacks its package.
    """
    if out.suffix not in SUFFIXES:
        raise unknown_name("form of a table", out.suffix or out.name, SUFFIXES)
    records = [{**_to_dict(row), "genotype": json.dumps(row.genotype.to_dict())} for row in rows]
    if out.suffix == ".csv":
        with atomic_file(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)
    else:
        arrow, parquet = _parquet()
        with atomic_file(out) as temporary:
            parquet.write_table(arrow.Table.from_pylist(records), temporary)
    with atomic_file(_beside(out)) as temporary:
        temporary.write_text(json.dumps(protocols, indent=2) + "\n", encoding="utf-8")


def import_table(source: Path, bench: Bench) -> int:
    """Adds all rows of another table; what is there already stays.

    Returns:
        How many rows were new.

    Raises:
        InputError: If the source cannot be read.
    """
    rows, protocols = load_table(source)
    for name, protocol in protocols.items():
        if _identity(protocol) != name:
            raise InputError(f"The protocol '{name}' of '{source}' was altered; the table cannot be trusted.")
    for protocol in protocols.values():
        bench.add_protocol(protocol)
    new = 0
    for row in rows:
        if bench.find(row.protocol, row.genotype, row.seed, row.iterations) is None:
            bench.add(row)
            new += 1
    return new


def _to_dict(row: Row) -> dict[str, Any]:
    psnr_db = row.psnr_db if math.isfinite(row.psnr_db) else None
    return {**asdict(row), "genotype": row.genotype.to_dict(), "psnr_db": psnr_db}


def _row_of(content: Any, where: str) -> Row:
    names = {field.name for field in fields(Row)}
    if not isinstance(content, dict) or set(content) != names:
        raise InputError(f"{where} does not hold {', '.join(sorted(names))}; it is damaged, or of another version.")
    try:
        text = {name: _text(content[name]) for name in ("protocol", "machine", "failed")}
        whole = {name: _whole(content[name]) for name in ("seed", "iterations", "parameters", "multiply_adds")}
        real = {name: _real(content[name]) for name in ("latency_seconds", "seconds")}
        psnr_db = math.nan if content["psnr_db"] in (None, "") else _real(content["psnr_db"])
        genotype = content["genotype"]
        genotype = Genotype.from_dict(json.loads(genotype) if isinstance(genotype, str) else genotype)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{where} is damaged ({error}).") from error
    return Row(genotype=genotype, psnr_db=psnr_db, **text, **whole, **real)  # type: ignore[arg-type]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    value.encode()  # half a character cannot be written anywhere
    return value


def _whole(value: Any) -> int:
    number = int(value) if isinstance(value, str) else value
    if type(number) is not int or not 0 <= number < 1 << 63:
        raise ValueError(f"{str(value)[:40]} is no whole number from 0 on")
    return number


def _real(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{str(value)[:40]} is no finite number")
    return number


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.protocol, row.iterations, str(row.genotype), row.seed))


def _read_row(path: Path) -> Row:
    return _row_of(_read_json(path), f"'{path}'")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"'{path}' is missing; it belongs to the table beside it.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is damaged ({error}); remove it, and what it held is made again.") from error
    if not isinstance(content, dict):
        raise InputError(f"'{path}' holds a {type(content).__name__}; a mapping was expected.")
    return content


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a mark before the text
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' is no CSV ({error}); give a table of `jsnas bench export`.") from error


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    arrow, parquet = _parquet()
    try:
        records: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError, ValueError) as error:  # ValueError: bytes that are no text
        raise InputError(f"'{path}' is no Parquet table ({error}); give one of `jsnas bench export`.") from error
    return records


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow; `pip install jsnas[bench]`, or use .csv.") from error
    return pyarrow, pyarrow.parquet


def _beside(table: Path) -> Path:
    return table.with_suffix(".protocols.json")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _identity(protocol: Mapping[str, Any]) -> str:
    return _hash(protocol)[:12]


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
