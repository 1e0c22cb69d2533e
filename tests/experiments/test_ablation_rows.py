"""The rows as data: one change a row, and no stand-in for a part that cannot run."""

import itertools
from dataclasses import asdict

import pytest

from galaxy_triton.config.recipes import SEED
from galaxy_triton.experiments.ablation_rows import COMPILED_MODES, KEYS, PARTS, Variant, rows_of_parts, variant_of

FULL = variant_of(PARTS)


def changed(before: Variant, after: Variant) -> set[str]:
    return {name for name, value in asdict(before).items() if getattr(after, name) != value}


def test_each_row_adds_its_part_alone() -> None:
    rows = rows_of_parts({})
    assert tuple(row.key for row in rows) == KEYS[:-1]
    added = rows[: 1 + len(PARTS)]
    assert (added[0].variant, added[-1].variant) == (Variant(), FULL)
    assert (
        added[-1].variant == FULL == Variant("resident", "run", "channels_last", "triton", "triton", "graph", "triton")
    )
    for before, after in itertools.pairwise(added):
        already = {"layout"} if after.key == "resident" else set()
        assert changed(before.variant, after.variant) == set(PARTS[after.key].change) - already


def test_a_part_that_cannot_run_is_in_no_row() -> None:
    rows = {row.key: row for row in rows_of_parts({"augment": "no GPU", "graph": "no GPU"})}
    assert {key for key, row in rows.items() if row.reason == "no GPU"} == {
        "augment",
        "graph",
        "minus-augment",
        "minus-graph",
    }
    assert rows["loss"].variant == Variant("resident", "run", "channels_last", "torch", "triton", "compile", "torch")
    assert all(row.variant.augment == "torch" and row.variant.body != "graph" for row in rows.values())


def test_rows_without_one_part() -> None:
    rows = {row.key.removeprefix("minus-"): row for row in rows_of_parts({}) if row.key.startswith("minus-")}
    assert {name for name, row in rows.items() if row.reason} == {"channels_last"}
    assert changed(FULL, rows["autocast"].variant) == {"precision"}
    assert changed(FULL, rows["loss"].variant) == {"loss"}
    assert rows["graph"].variant.body == "compile"
    assert rows["compile"].variant.body == "eager", "a graph is of a compiled body"
    assert changed(FULL, rows["resident"].variant) == {"pixels", "augment"}, "torchvision augments files"


def test_torch_compile_alone_uses_no_kernel_of_this_package() -> None:
    for mode, variant in COMPILED_MODES.items():
        assert (variant.pixels, variant.augment, variant.loss, variant.body) == ("resident", "compile", "compile", mode)
        assert variant.norm == "layers"


@pytest.mark.parametrize(("precision", "becomes"), [("fp32", "fp32"), ("run", "auto")])
def test_a_variant_configures_a_run(precision: str, becomes: str) -> None:
    run = Variant(precision=precision, body="compile").apply(SEED).run
    assert (run.precision, run.augment, run.loss, run.body) == (becomes, "torch", "torch", "compile")
