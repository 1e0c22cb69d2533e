"""The kernels compile for every GPU that is supported, without spilling, as the committed table says: without a GPU."""

import csv
from pathlib import Path

import pytest

from tests.kernels.variants import COMPILED_ONLY, GATE, OPTIONS, daily, full
from tests.support.processes import compile_python

TABLE = Path(__file__).resolve().parents[2] / "bench" / "results" / "compile.csv"
AGAIN = "if it should be: python -m tests.kernels.compile_ahead full --out bench/results/compile.csv"

# 8 warps at 80 registers or less leave a multiprocessor (65,536 registers) three programs at a time, at 128 two: views
# of a batch of planes get three but on sm_100. sigmoid_mse is one program.
REGISTERS = {"draw": 80, "params": 80, "planes": 104, "sigmoid_mse": 96, "tree_mse": 128}
# Those of norm_relu_pool have 4 warps: at 128 registers four programs at a time, at 96 five; one variant takes 130.
REGISTERS |= {"norm_pool_extrema": 132, "norm_pool_moments": 128, "norm_pool_gradient": 96}
REGISTERS |= dict.fromkeys(("norm_pool_activate", "norm_pool_sums", "norm_pool_totals"), 72)

Row = dict[str, str]


def _compile_ahead(table: str) -> list[Row]:
    """In a process of its own, since here the kernels may have been imported for the interpreter."""
    done = compile_python("-W", "error", "-m", "tests.kernels.compile_ahead", table)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(done.stdout.splitlines()))


@pytest.fixture(scope="module")
def tabled() -> list[Row]:
    with TABLE.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_the_daily_variants_are_some_of_all() -> None:
    assert set(daily()) < set(full())
    assert len(set(full())) == len(list(full()))


@pytest.mark.parametrize(
    "variants",
    [
        pytest.param("daily", marks=pytest.mark.process),
        pytest.param("full", marks=pytest.mark.slow),  # a quarter of an hour on two cores
    ],
)
def test_kernels_compile_within_their_registers_as_the_table_says(variants: str, tabled: list[Row]) -> None:
    rows = _compile_ahead(variants)
    _require_within_registers(rows)
    _require_as_tabled(rows, tabled)


def test_the_table_is_of_every_variant_and_none_spills(tabled: list[Row]) -> None:
    assert [_variant(row) for row in tabled] == [tuple(variant.cells.values()) for variant in full()]
    assert {row["target"] for row in tabled} == {*GATE, *COMPILED_ONLY}
    assert [row for row in tabled if row["skipped"]] == []
    _require_within_registers(tabled)


def _require_within_registers(rows: list[Row]) -> None:
    print(*{f"{row['target']}: {row['skipped']}" for row in rows if row["skipped"]}, sep="\n")
    rows = [row for row in rows if not row["skipped"]]
    assert {row["target"] for row in rows} >= {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90"}
    assert [row for row in rows if row["spilled"] != "0"] == []
    assert [row for row in rows if int(row["registers"]) > _budget(row)] == [], "over the budget"


def _budget(row: Row) -> int:
    return REGISTERS[row["kernel"] if row["pixels"] in ("", "words") else "planes"]


def _require_as_tabled(rows: list[Row], tabled: list[Row]) -> None:
    """If the table is of this Triton."""
    if rows[0]["triton"] == tabled[0]["triton"]:
        expected = {_variant(row): row for row in tabled}
        assert [row for row in rows if row != expected[_variant(row)]] == [], f"not as in the table; {AGAIN}"


def _variant(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in OPTIONS)
