"""An evaluation as lines for a terminal, as JSON, and as a CSV of every galaxy's error."""

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from galaxy_triton.evaluate.evaluate import Evaluation
from galaxy_triton.evaluate.findings import Comparison, Findings, GalaxyError
from galaxy_triton.evaluate.rotation import Consistency
from galaxy_triton.evaluate.scores import LEVEL, Estimate
from galaxy_triton.galaxyzoo.questions import ID_COLUMN
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.whole_files import whole_file

VERSION = 1  # of the JSON
ERROR_COLUMNS = (ID_COLUMN, "rmse", "worst_question", "worst_question_rmse")


def lines(evaluation: Evaluation) -> Iterator[str]:
    """What a terminal shows: the score, what constants score, a row a question, consistency, and the comparison."""
    found = evaluation.findings
    low, high = found.score.interval
    yield f"RMSE {found.score.rmse:.4f}  [{low:.4f}, {high:.4f}]  {found.score.galaxies} galaxies, 37 columns"
    of = "the galaxies trained on" if found.constants.of_training else "these galaxies"
    yield f"  all zeros {found.constants.zeros:.4f}, all ones {found.constants.ones:.4f}"
    yield f"  mean answer {found.constants.mean.rmse:.4f}, of {of}"
    yield ""
    yield from _questions(found)
    if found.consistency is not None:
        yield from _consistency(found.consistency)
    if found.comparison is not None:
        yield from _comparison(found.comparison)


def warnings(evaluation: Evaluation) -> Iterator[str]:
    """What a reader must know of the figures."""
    if evaluation.trained_on:
        yield f"these weights were trained on {evaluation.trained_on} of these galaxies"
    if evaluation.chosen_on:
        yield "`best` was chosen on some of these galaxies, so the figure flatters it"
    if evaluation.unlabelled:
        yield f"{evaluation.unlabelled} galaxies of {evaluation.subject} have no label, and were not scored"
    comparison = evaluation.findings.comparison
    if comparison is not None and comparison.trained_on:
        yield f"{comparison.name} trained on {comparison.trained_on} of these galaxies"
    if comparison is not None and comparison.chosen_on:
        yield f"`best` of {comparison.name} was chosen on some of these galaxies, which flatters it"


def write_json(file: Path, evaluation: Evaluation) -> None:
    """Everything that `lines` and `warnings` say, unrounded; an interval follows its value. null: unknown.

    Raises:
        DataFault: it cannot be written.
    """
    with whole_file(file) as temporary:
        text = json.dumps(as_json(evaluation), indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """What `write_json` writes."""
    found, asked = evaluation.findings, evaluation.asked
    return {
        "version": VERSION,
        "subject": str(evaluation.subject),
        "checkpoint": None if found.views is None else asked.which,
        "views": found.views,
        "galaxies": found.score.galaxies,
        "level": LEVEL,
        "rmse": (found.score.rmse, *found.score.interval),
        "all_zeros": found.constants.zeros,
        "all_ones": found.constants.ones,
        "mean_answer": (found.constants.mean.rmse, *found.constants.mean.interval),
        "mean_answer_of": "training" if found.constants.of_training else "scored",
        "questions": _questions_json(found),
        "consistency": found.consistency and _consistency_json(found.consistency),
        "comparison": found.comparison and _comparison_json(found.comparison),
        "trained_on": evaluation.trained_on,
        "chosen_on": evaluation.chosen_on,
        "unlabelled": evaluation.unlabelled,
        "surroundings": provenance(),
    }


def write_errors(file: Path, errors: list[GalaxyError]) -> None:
    """A row a galaxy: its id or name, RMSE over its 37 answers, the question where that is largest, and its RMSE there.

    Raises:
        DataFault: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ERROR_COLUMNS)
    writer.writerows((e.name, f"{e.rmse:.7g}", e.question, f"{e.question_rmse:.7g}") for e in errors)
    with whole_file(file) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def _questions(found: Findings) -> Iterator[str]:
    yield f"  {'':<13}  {'RMSE':<6}  {f'{LEVEL:.0%} interval':<16}  mean     ECE    slope  off the tree"
    for row in found.by_question():
        calibration = f"{row.mean_answer:.4f}  {row.ece:.4f}  {row.slope:6.2f}"
        tree = f"{row.tree_mean:.4f}, at most {row.tree_largest:.4f}"
        yield f"  {row.name:<13}  {_estimate(row.rmse)}  {calibration}  {tree}"


def _consistency(found: Consistency) -> Iterator[str]:
    yield ""
    yield f"turned or mirrored, {found.galaxies} of these galaxies are answered otherwise by an RMS of"
    for views, estimate in found.by_views.items():
        yield f"  {_estimate(estimate)}  with {views} view{'s' * (views > 1)}"


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield ""
    yield f"lower than {comparison.name} by {_estimate(comparison.lower.overall)}  paired; below 0 is higher"
    for name, estimate in comparison.lower.questions.items():
        yield f"  {name:<13}  {_estimate(estimate)}"


def _estimate(estimate: Estimate) -> str:
    value, low, high = estimate
    return f"{value:.4f}  [{low:.4f}, {high:.4f}]"


def _questions_json(found: Findings) -> dict[str, dict[str, Any]]:
    rows = {row.name: row._asdict() for row in found.by_question()}
    return {
        name: {key: None if _is_nan(value) else value for key, value in row.items() if key != "name"}
        for name, row in rows.items()
    }


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _consistency_json(found: Consistency) -> dict[str, Any]:
    # 110 degrees, and not 110.00000000000001
    poses = [{"degrees": round(360 * pose.turn, 9), "mirrored": pose.mirrored} for pose in found.poses]
    return {"galaxies": found.galaxies, "poses": poses, "rms_by_views": found.by_views}


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "with": comparison.name,
        "lower": comparison.lower.overall,
        "trained_on": comparison.trained_on,
        "chosen_on": comparison.chosen_on,
    }
