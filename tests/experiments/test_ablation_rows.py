"""The ladder as data: one change a row, and nothing in the place of what cannot run."""

import itertools
from dataclasses import asdict

import pytest

from galaxy_triton.config.recipes import SEED
from galaxy_triton.experiments.ablation_rows import KEYS, PARTS, Way, compiled_alone, ladder, minus_one, way_of

FULL = way_of(PARTS)


def changed(before: Way, after: Way) -> set[str]:
    return {name for name, value in asdict(before).items() if getattr(after, name) != value}


def test_each_rung_changes_what_its_part_says_alone() -> None:
    rows = ladder({})
    assert rows[0].way == Way()
    assert rows[-1].way == FULL == Way("resident", "run", "channels_last", "triton", "triton", "graph", "triton")
    for before, after in itertools.pairwise(rows):
        assert changed(before.way, after.way) == set(PARTS[after.key].change) - (
            {"layout"} if after.key == "resident" else set()
        )


def test_a_part_that_cannot_run_is_absent_and_not_replaced() -> None:
    rows = {row.key: row for row in ladder({"augment": "no GPU", "graph": "no GPU"})}
    assert (rows["augment"].way, rows["augment"].reason) == (None, "no GPU")
    assert rows["loss"].way == Way("resident", "run", "channels_last", "torch", "triton", "compile", "torch")
    without = {row.key: row for row in minus_one({"augment": "no GPU"})}
    assert without["minus-augment"].reason == "no GPU"


def test_full_minus_one() -> None:
    rows = {row.key.removeprefix("minus-"): row for row in minus_one({})}
    assert {name for name, row in rows.items() if row.reason} == {"channels_last"}
    assert changed(FULL, rows["autocast"].way) == {"precision"}
    assert changed(FULL, rows["loss"].way) == {"loss"}
    assert rows["graph"].way.body == "compile"
    assert rows["compile"].way.body == "eager", "a graph is of a compiled body"
    assert changed(FULL, rows["resident"].way) == {"pixels", "augment"}, "files are augmented by the seed's pipeline"


def test_torch_compile_alone_has_no_kernel_of_ours() -> None:
    for mode, way in compiled_alone().items():
        assert (way.pixels, way.augment, way.loss, way.body) == ("resident", "compile", "compile", mode)


def test_keys_are_those_of_the_rows() -> None:
    assert tuple(row.key for row in [*ladder({}), *minus_one({})]) == KEYS[:-1]


@pytest.mark.parametrize(("precision", "becomes"), [("fp32", "fp32"), ("run", "auto")])
def test_a_way_configures_a_run(precision: str, becomes: str) -> None:
    run = Way(precision=precision, body="compile").configured(SEED).run
    assert (run.precision, run.augment, run.loss, run.body) == (becomes, "torch", "torch", "compile")
