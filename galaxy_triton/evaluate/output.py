"""An evaluation as text for a terminal, as JSON, and as a CSV of every galaxy's error."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from galaxy_triton.evaluate.evaluate import Evaluation
from galaxy_triton.evaluate.findings import Comparison, Findings, four_decimals
from galaxy_triton.evaluate.rotation import RotationConsistency
from galaxy_triton.evaluate.scores import LEVEL, Estimate, worse_than_mean
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.whole_files import whole_file

VERSION = 1  # of the JSON


def lines(evaluation: Evaluation) -> Iterator[str]:
    """Lines for a terminal: the score, constant predictions, each question, rotation consistency, the comparison."""
    found = evaluation.findings
    constants, of = found.constants, "training" if found.constants.of_training else "scored"
    score = _estimate(Estimate(found.score.rmse, *found.score.interval))
    yield f"RMSE {score}  {found.score.galaxies} galaxies, 37 columns"
    yield f"  all zeros {constants.zeros:.4f}, all ones {constants.ones:.4f}"
    yield f"  mean answer {constants.mean.rmse:.4f} (mean label of the {of} galaxies)"
    yield ""
    yield f"{'':<13}  RMSE    {f'{LEVEL:.0%} interval':<16}  mean    ECE      slope  tree gap   max"
    for row in found.by_question():
        calibration = f"{row.mean_answer:.4f}  {row.ece:.4f}  {row.slope:6.2f}"
        gap = f"{four_decimals(row.tree_mean):>6}  {four_decimals(row.tree_largest):>6}"
        yield f"{row.name:<13}  {_estimate(row.rmse)}  {calibration}  {gap}"
    if found.rotation is not None:
        turned = found.rotation.galaxies
        yield ""
        yield f"rotation consistency: RMS change when {turned} galaxies are turned or mirrored"
        for views, estimate in found.rotation.by_views.items():
            yield f"  {_estimate(estimate)}  with {views} view{'s' * (views > 1)}"
    if found.comparison is not None:
        lower = found.comparison.lower
        yield ""
        yield f"RMSE lower by {_estimate(lower.overall)}  than {found.comparison.name}; negative: higher"
        for name, estimate in lower.questions.items():
            yield f"  {name:<13}  {_estimate(estimate)}"


def warnings(evaluation: Evaluation) -> Iterator[str]:
    """Whatever makes a figure look better than it is, or leaves galaxies out, and predictions of no use."""
    if worse := worse_than_mean(evaluation.findings.score.rmse, evaluation.findings.constants.mean.rmse):
        yield worse
    if evaluation.trained_on:
        yield f"the network was trained on {evaluation.trained_on} of these galaxies"
    if evaluation.chosen_on:
        yield "checkpoint best was chosen on some of these galaxies, so expect a higher RMSE on new ones"
    if evaluation.unlabelled:
        yield f"{evaluation.unlabelled} galaxies of {evaluation.subject} have no label and were not scored"
    comparison = evaluation.findings.comparison
    if comparison is not None and comparison.trained_on:
        yield f"{comparison.name} was trained on {comparison.trained_on} of these galaxies"
    if comparison is not None and comparison.chosen_on:
        yield f"checkpoint best of {comparison.name} was chosen on some of these galaxies"


def write_json(file: Path, evaluation: Evaluation, *, replace: bool = False) -> None:
    """Write everything that `lines` and `warnings` say, unrounded, each interval after its value; null: unknown.

    Raises:
        DataFault: it cannot be written.
    """
    with whole_file(file, replace=replace) as temporary:
        temporary.write_text(json.dumps(_as_json(evaluation), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_errors(file: Path, errors: pd.DataFrame, *, replace: bool = False) -> None:
    """Write the table of `Findings.by_galaxy` as CSV.

    Raises:
        DataFault: it cannot be written.
    """
    with whole_file(file, replace=replace) as temporary:
        errors.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.value:.4f}  [{estimate.low:.4f}, {estimate.high:.4f}]"


def _as_json(evaluation: Evaluation) -> dict[str, Any]:
    found = evaluation.findings
    return {
        "version": VERSION,
        "subject": str(evaluation.subject),
        "checkpoint": None if found.views is None else evaluation.options.which,
        "views": found.views,
        "galaxies": found.score.galaxies,
        "level": LEVEL,
        "rmse": (found.score.rmse, *found.score.interval),
        "all_zeros": found.constants.zeros,
        "all_ones": found.constants.ones,
        "mean_answer": (found.constants.mean.rmse, *found.constants.mean.interval),
        "mean_answer_of": "training" if found.constants.of_training else "scored",
        "questions": _questions_json(found),
        "consistency": found.rotation and _rotation_json(found.rotation),
        "comparison": found.comparison and _comparison_json(found.comparison),
        "trained_on": evaluation.trained_on,
        "chosen_on": evaluation.chosen_on,
        "unlabelled": evaluation.unlabelled,
        "surroundings": provenance(),
    }


def _questions_json(found: Findings) -> dict[str, dict[str, Any]]:
    rows = {row.name: asdict(row) for row in found.by_question()}
    for row in rows.values():
        del row["name"]
        row["slope"] = None if math.isnan(row["slope"]) else row["slope"]
    return rows


def _rotation_json(found: RotationConsistency) -> dict[str, Any]:
    # 110 degrees, and not 110.00000000000001
    poses = [{"degrees": round(360 * pose.turn, 9), "mirrored": pose.mirrored} for pose in found.poses]
    return {"galaxies": found.galaxies, "poses": poses, "rms_by_views": found.by_views}


def _comparison_json(found: Comparison) -> dict[str, Any]:
    seen = {"trained_on": found.trained_on, "chosen_on": found.chosen_on}
    return {"with": found.name, "lower": found.lower.overall, **seen}
