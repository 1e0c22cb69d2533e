"""An evaluation as text, JSON and CSV: every figure is one of its findings, and nothing that is unknown is a number."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galaxy_triton.evaluate.evaluate import Asked, Evaluation
from galaxy_triton.evaluate.findings import Comparison, Findings
from galaxy_triton.evaluate.output import lines, warnings, write_errors, write_json
from galaxy_triton.evaluate.rotation import Consistency
from galaxy_triton.evaluate.scores import compare, constants, score
from galaxy_triton.galaxyzoo.questions import QUESTIONS
from galaxy_triton.system.errors import DataFault


@pytest.fixture
def evaluation() -> Evaluation:
    """Of 20 galaxies, beside other answers; all answers to one question are the same."""
    rng = np.random.default_rng(1)
    predicted, people, others = rng.random((3, 20, 37)).astype(np.float32)
    predicted[:, 5:7] = 0.5
    findings = Findings(
        [f"galaxy, {place}" for place in range(20)],
        predicted,
        people,
        score(predicted, people),
        constants(people, people[0].astype(np.float64)),
        views=16,
        consistency=Consistency(8, {16: (0.01, 0.005, 0.015), 1: (0.04, 0.03, 0.05)}),
        comparison=Comparison("runs/other", compare(predicted, others, people), 3, True),
    )
    return Evaluation(Path("runs/mine"), Asked(), findings, trained_on=2, chosen_on=True, unlabelled=4)


def test_lines(evaluation: Evaluation) -> None:
    text = list(lines(evaluation))
    found = evaluation.findings
    low, high = found.score.interval
    assert text[0] == f"RMSE {found.score.rmse:.4f}  [{low:.4f}, {high:.4f}]  20 galaxies, 37 columns"
    assert text[1] == f"  all zeros {found.constants.zeros:.4f}, all ones {found.constants.ones:.4f}"
    assert text[2] == f"  mean answer {found.constants.mean.rmse:.4f}, of the galaxies trained on"
    for row in found.by_question():
        (line,) = (line for line in text[:16] if line.startswith(f"  {row.name} "))
        numbers = [float(number) for number in re.findall(r"-?\d+\.\d+|nan", line)]
        want = (*row.rmse, row.mean_answer, row.ece, row.slope, row.tree_mean, row.tree_largest)
        assert numbers == pytest.approx(want, abs=6e-3, nan_ok=True)
    after = text[16:]
    assert "  0.0100  [0.0050, 0.0150]  with 16 views" in after
    assert "  0.0400  [0.0300, 0.0500]  with 1 view" in after
    assert any(
        re.fullmatch(r"lower than runs/other by -?0\.\d{4}  \[.*\]  paired; below 0 is higher", t) for t in after
    )
    assert sum(line.startswith(f"  {q.name} ") for q in QUESTIONS for line in after) == 11
    assert max(map(len, text)) <= 100


def test_the_columns_of_the_questions_stand_below_each_other(evaluation: Evaluation) -> None:
    rows = [line for line in lines(evaluation) if "at most" in line]
    assert len(rows) == 11
    assert len({line.index("[") for line in rows}) == len({line.index("at most") for line in rows}) == 1


def test_warnings(evaluation: Evaluation) -> None:
    said = list(warnings(evaluation))
    for words in ("trained on 2 of", "`best` was chosen", "4 galaxies of runs/mine", "runs/other trained on 3"):
        assert sum(words in line for line in said) == 1
    assert "`best` of runs/other was chosen on some of these galaxies, which flatters it" in said
    assert list(warnings(Evaluation(Path("x"), Asked(), Findings(**_bare(evaluation.findings))))) == []


def test_json_holds_what_was_found(evaluation: Evaluation, tmp_path: Path) -> None:
    write_json(tmp_path / "found.json", evaluation)
    values = json.loads((tmp_path / "found.json").read_text(), parse_constant=_no_constant)
    found = evaluation.findings
    assert (values["version"], values["subject"], values["checkpoint"], values["views"]) == (1, "runs/mine", "last", 16)
    assert values["rmse"] == [found.score.rmse, *found.score.interval]
    assert (values["all_zeros"], values["all_ones"]) == (found.constants.zeros, found.constants.ones)
    assert values["mean_answer"] == [found.constants.mean.rmse, *found.constants.mean.interval]
    assert values["mean_answer_of"] == "training"
    for row in found.by_question():
        of_question = values["questions"][row.name]
        assert of_question["rmse"] == list(row.rmse)
        assert of_question["lower"] == list(row.lower)
        for name in ("mean_answer", "ece", "tree_mean", "tree_largest"):
            assert of_question[name] == getattr(row, name)
        assert of_question["slope"] == (None if row.name == "bar" else row.slope)
    assert values["consistency"]["rms_by_views"] == {"16": [0.01, 0.005, 0.015], "1": [0.04, 0.03, 0.05]}
    poses = [(pose["degrees"], pose["mirrored"]) for pose in values["consistency"]["poses"]]
    assert poses == [(65, False), (110, True), (166, False), (250, True), (327, False)]
    lower = list(found.comparison.lower.overall)
    assert values["comparison"] == {"with": "runs/other", "lower": lower, "trained_on": 3, "chosen_on": True}
    assert (values["trained_on"], values["chosen_on"], values["unlabelled"]) == (2, True, 4)


def test_json_of_a_table(evaluation: Evaluation, tmp_path: Path) -> None:
    write_json(tmp_path / "f.json", Evaluation(Path("t.csv"), Asked(), Findings(**_bare(evaluation.findings))))
    values = json.loads((tmp_path / "f.json").read_text())
    unknown = ("checkpoint", "views", "consistency", "comparison")
    assert [values[name] for name in unknown] == [None] * 4


def test_errors(evaluation: Evaluation, tmp_path: Path) -> None:
    write_errors(tmp_path / "errors.csv", evaluation.findings.by_galaxy())
    with (tmp_path / "errors.csv").open(newline="") as handle:
        header, *rows = csv.reader(handle)
    assert header == ["GalaxyID", "rmse", "worst_question", "worst_question_rmse"]
    want = evaluation.findings.by_galaxy()
    assert [(row[0], row[2]) for row in rows] == [(each.name, each.question) for each in want]
    numbers = [(float(row[1]), float(row[3])) for row in rows]
    assert np.array(numbers) == pytest.approx(np.array([(e.rmse, e.question_rmse) for e in want]), rel=1e-6)
    assert numbers == sorted(numbers, key=lambda pair: -pair[0])


def test_a_place_that_cannot_be_written(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFault, match="Expected to write it whole"):
        write_json(tmp_path / "file" / "x", evaluation)
    with pytest.raises(DataFault, match="Expected to write it whole"):
        write_errors(tmp_path / "file" / "x", evaluation.findings.by_galaxy())


def _bare(found: Findings) -> dict[str, Any]:
    """As those of a table of predictions, beside nothing."""
    names = ("names", "predicted", "people", "score", "constants")
    return {name: getattr(found, name) for name in names}


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
