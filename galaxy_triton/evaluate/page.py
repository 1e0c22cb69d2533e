"""The page of a report: one HTML file that needs nothing else and runs no code."""

import base64
import math
from typing import Any

import jinja2
import numpy as np

from galaxy_triton.evaluate.calibration import BINS, calibration_error, calibration_slope
from galaxy_triton.evaluate.figures import FEW, Picture, plain
from galaxy_triton.evaluate.findings import Comparison, Findings, four_decimals
from galaxy_triton.evaluate.scores import LEVEL
from galaxy_triton.galaxyzoo.tree import gaps

TEMPLATE = "report.html.jinja"
WORST = 20  # galaxies in the table


Table = list[tuple[str, ...]]  # texts in rows, the head first; the first text of a row names it


def page_of(
    run: str,
    findings: Findings | None,
    pictures: dict[str, Picture],
    *,
    chosen_on: bool,
    facts: dict[str, str],
    ran_on: dict[str, str],
) -> str:
    """The HTML of a report; every text is escaped, as any may come from a stranger, and every picture is inside.

    Args:
        run: its name. findings: None without validation galaxies. pictures: by their names in the template.
        chosen_on: whether the validation galaxies chose the checkpoint.
        facts, ran_on: about the run and its machine, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("galaxy_triton.evaluate", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"base64": lambda png: base64.b64encode(png).decode(), "percent": _percent}
    values: dict[str, Any] = {"run": run, "found": findings, "pictures": pictures, "chosen_on": chosen_on}
    values |= {"facts": facts, "ran_on": ran_on, "bins": BINS, "few": FEW, "level": LEVEL}
    if findings is not None:
        score, mean = findings.score.rmse, findings.constants.mean.rmse
        values |= {"verdict": verdict(score, mean, findings.noise_floor), "questions": _questions(findings)}
        values |= {"worst": _worst(findings), "differences": findings.comparison and _differences(findings.comparison)}
    return environment.get_template(TEMPLATE).render(values)


def verdict(rmse: float, mean_answer: float, noise_floor: float | None) -> str:
    """A sentence that sets a score beside the mean answer's and the noise floor."""
    if mean_answer == 0:
        return "The mean answer is right for every validation galaxy."
    below = 1 - rmse / mean_answer
    sentence = f"{_percent(abs(below))} {'below' if below >= 0 else 'above'} the mean answer"
    if noise_floor is not None and max(rmse, noise_floor) < mean_answer:
        way = (mean_answer - rmse) / (mean_answer - noise_floor)
        sentence += f"; {_percent(way)} of the way from the mean answer to the noise floor"
    return sentence + "."


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _questions(found: Findings) -> Table:
    """A row for all questions, then one for each."""
    answers, off = (found.predictions, found.labels), gaps(found.predictions)
    overall = (calibration_error(*answers), calibration_slope(*answers), float(np.mean(off)), float(np.max(off)))
    rows: dict[str, tuple[float, ...]] = {"all": (found.score.rmse, found.constants.mean.rmse, *overall)}
    for row in found.by_question():
        rows[row.name] = (row.rmse.value, row.mean_answer, row.ece, row.slope, row.tree_mean, row.tree_largest)
    head = ("question", "RMSE", "mean answer", "ECE", "slope", "tree gap", "at most")
    return [head, *((plain(name), *map(_decimals, values)) for name, values in rows.items())]


def _differences(comparison: Comparison) -> Table:
    """How much lower the RMSE is than that of the predictions compared with."""
    lower = {"all": comparison.lower.overall, **comparison.lower.questions}
    rows = (
        (plain(name), _signed(each.value), f"{_signed(each.low)} to {_signed(each.high)}")
        for name, each in lower.items()
    )
    return [("question", "lower by", f"{_percent(LEVEL)} interval"), *rows]


def _worst(found: Findings) -> Table:
    rows = found.by_galaxy()[:WORST].itertuples(index=False, name=None)
    texts = ((name, _decimals(rmse), plain(question), _decimals(worst)) for name, rmse, question, worst in rows)
    return [("galaxy", "RMSE", "worst question", "RMSE there"), *texts]


def _decimals(value: float) -> str:
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.3f}" if abs(value) >= 5e-4 else four_decimals(value)


def _signed(value: float) -> str:
    return f"{value:.4f}".replace("-", "\N{MINUS SIGN}")
