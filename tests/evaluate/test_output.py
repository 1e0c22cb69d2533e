"""An evaluation as text, JSON and CSV: every figure is one of its findings, and an unknown one is no number."""

import csv
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from galaxy_triton.evaluate.evaluate import EvaluateOptions, Evaluation
from galaxy_triton.evaluate.findings import Comparison, Findings, four_decimals
from galaxy_triton.evaluate.output import lines, warnings, write_errors, write_json
from galaxy_triton.evaluate.rotation import RotationConsistency
from galaxy_triton.evaluate.scores import Estimate, compare, constant_scores, score
from galaxy_triton.galaxyzoo.questions import QUESTIONS
from galaxy_triton.system.errors import DataFault


@pytest.fixture
def evaluation() -> Evaluation:
    """Of 20 galaxies, beside other predictions; all predictions of one question are the same."""
    rng = np.random.default_rng(1)
    predicted, people, others = rng.random((3, 20, 37)).astype(np.float32)
    predicted[:, 5:7] = 0.5
    findings = Findings(
        [f"galaxy, {place}" for place in range(20)],
        predicted,
        people,
        score(predicted, people),
        constant_scores(people, people[0].astype(np.float64)),
        views=16,
        rotation=RotationConsistency(8, {16: Estimate(0.01, 0.005, 0.015), 1: Estimate(0.04, 0.03, 0.05)}),
        comparison=Comparison("runs/other", compare(predicted, others, people), 3, True),
    )
    return Evaluation(Path("runs/mine"), EvaluateOptions(), findings, trained_on=2, chosen_on=True, unlabelled=4)


@pytest.fixture
def of_table(evaluation: Evaluation) -> Evaluation:
    """As of a table of predictions, beside nothing."""
    findings = replace(evaluation.findings, views=None, rotation=None, comparison=None)
    return Evaluation(Path("t.csv"), EvaluateOptions(), findings)


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+|nan", text)]


def test_lines(evaluation: Evaluation) -> None:
    text, found = list(lines(evaluation)), evaluation.findings
    assert max(map(len, text)) <= 80
    assert "20 galaxies" in text[0]
    assert numbers_in(text[0]) == pytest.approx([found.score.rmse, *found.score.interval], abs=6e-5)
    constants = found.constants
    assert numbers_in(text[1] + text[2]) == pytest.approx(
        [constants.zeros, constants.ones, constants.mean.rmse], abs=6e-5
    )
    head = text.index(next(line for line in text if "tree gap" in line))
    rows = text[head + 1 : head + 12]
    assert len({line.index("[") for line in rows}) == len({len(line) for line in [text[head], *rows]}) == 1
    for row, line in zip(found.by_question(), rows, strict=True):
        assert line.split()[0] == row.name
        want = (*row.rmse, row.mean_answer, row.ece, row.slope, row.tree_mean, row.tree_largest)
        assert numbers_in(line) == pytest.approx(want, abs=6e-3, nan_ok=True)
    turned = text.index(next(line for line in text if "8 galaxies are turned" in line))
    assert [numbers_in(line) for line in text[turned + 1 : turned + 3]] == [[0.01, 0.005, 0.015], [0.04, 0.03, 0.05]]
    compared = text.index(next(line for line in text if "runs/other" in line))
    assert numbers_in(text[compared]) == pytest.approx(list(found.comparison.lower.overall), abs=6e-5)
    assert [line.split()[0] for line in text[compared + 1 :]] == [question.name for question in QUESTIONS]


def test_a_gap_of_any_size_says_something(evaluation: Evaluation) -> None:
    assert [four_decimals(value) for value in (0.25, 5e-5, 4.9e-5, 6e-8, 0)] == [
        "0.2500",
        "0.0001",
        "5e-05",
        "6e-08",
        "0",
    ]


def test_warnings(evaluation: Evaluation, of_table: Evaluation) -> None:
    said = list(warnings(evaluation))
    assert len(said) == 5
    for words in ("trained on 2 of", "4 galaxies of runs/mine", "runs/other was trained on 3", "best of runs/other"):
        assert sum(words in line for line in said) == 1
    found = of_table.findings
    swapped = replace(found, score=found.constants.mean, constants=replace(found.constants, mean=found.score))
    worse = f"RMSE {swapped.score.rmse:.4f} is worse than that of the mean answer, {found.score.rmse:.4f}"
    assert list(warnings(replace(of_table, findings=swapped))) == [worse]


def test_json_holds_the_findings(evaluation: Evaluation, tmp_path: Path) -> None:
    write_json(tmp_path / "found.json", evaluation)
    values = json.loads((tmp_path / "found.json").read_text(), parse_constant=refuse_constant)
    found = evaluation.findings
    assert (values["version"], values["subject"], values["checkpoint"], values["views"]) == (1, "runs/mine", "last", 16)
    assert values["rmse"] == [found.score.rmse, *found.score.interval]
    assert (values["all_zeros"], values["all_ones"]) == (found.constants.zeros, found.constants.ones)
    assert values["mean_answer"] == [found.constants.mean.rmse, *found.constants.mean.interval]
    assert values["mean_answer_of"] == "training"
    for row in found.by_question():
        want = {**asdict(row), "rmse": list(row.rmse), "lower": list(row.lower)}
        want |= {"slope": None} if row.name == "bar" else {}
        assert {"name": row.name, **values["questions"][row.name]} == want
    assert values["consistency"]["rms_by_views"] == {"16": [0.01, 0.005, 0.015], "1": [0.04, 0.03, 0.05]}
    poses = [(pose["degrees"], pose["mirrored"]) for pose in values["consistency"]["poses"]]
    assert poses == [(65, False), (110, True), (166, False), (250, True), (327, False)]
    lower = list(found.comparison.lower.overall)
    assert values["comparison"] == {"with": "runs/other", "lower": lower, "trained_on": 3, "chosen_on": True}
    assert (values["trained_on"], values["chosen_on"], values["unlabelled"]) == (2, True, 4)


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_json_of_a_table(of_table: Evaluation, tmp_path: Path) -> None:
    write_json(tmp_path / "f.json", of_table)
    values = json.loads((tmp_path / "f.json").read_text())
    assert [values[name] for name in ("checkpoint", "views", "consistency", "comparison")] == [None] * 4


def test_errors(evaluation: Evaluation, tmp_path: Path) -> None:
    write_errors(tmp_path / "errors.csv", evaluation.findings.by_galaxy())
    with (tmp_path / "errors.csv").open(newline="") as handle:
        header, *rows = csv.reader(handle)
    assert header == ["GalaxyID", "rmse", "worst_question", "worst_question_rmse"]
    for row, want in zip(rows, evaluation.findings.by_galaxy().itertuples(index=False), strict=True):
        assert row == [want[0], f"{want[1]:.7g}", want[2], f"{want[3]:.7g}"]


def test_a_place_that_cannot_be_written(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFault):
        write_json(tmp_path / "file" / "x", evaluation)
    with pytest.raises(DataFault):
        write_errors(tmp_path / "file" / "x", evaluation.findings.by_galaxy())
