"""The page of a report: one HTML file that asks for nothing outside itself and runs no code."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jinja2
import numpy as np

from galaxy_triton.evaluate.calibration import BINS, calibration_of
from galaxy_triton.evaluate.figures import Picture, plain
from galaxy_triton.evaluate.findings import Findings
from galaxy_triton.evaluate.reliability_plot import FEW
from galaxy_triton.evaluate.scores import LEVEL
from galaxy_triton.galaxyzoo.tree import gaps

TEMPLATE = "report.html.jinja"
WORST = 20  # galaxies in the table


@dataclass(frozen=True)
class Content:
    """What the page shows. Every text may come from a stranger.

    findings: None when no galaxies were held out. chosen_on: whether those held out chose the checkpoint.
    facts: of the run, by name. ran_on: where and with what, by name.
    pictures: by the names the template gives a place to.
    """

    name: str
    findings: Findings | None
    chosen_on: bool
    facts: dict[str, str]
    ran_on: dict[str, str]
    pictures: dict[str, Picture]


class Table(NamedTuple):
    """Texts in rows; the first of a row names it."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def page_of(content: Content) -> str:
    """The HTML of a page; all texts escaped, all pictures inside."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("galaxy_triton.evaluate", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"base64": _base64, "percent": _percent}
    found = content.findings
    known: dict[str, Any] = {"bins": BINS, "few": FEW, "level": LEVEL}
    if found is not None:
        known["verdict"] = verdict(found.score.rmse, found.constants.mean.rmse, found.noise_floor)
        known |= {"questions": _by_question(found), "differences": _differences(found), "worst": _worst(found)}
    return environment.get_template(TEMPLATE).render(content=content, **known)


def verdict(rmse: float, mean_answer: float, noise_floor: float | None) -> str:
    """What a score means beside the mean answer's and the noise floor, in a sentence."""
    if mean_answer == 0:
        return "The mean answer is right for every galaxy held out."
    below = 1 - rmse / mean_answer
    sentence = f"{_percent(abs(below))} {'below' if below >= 0 else 'above'} the mean answer"
    if noise_floor is not None and max(rmse, noise_floor) < mean_answer:
        way = (mean_answer - rmse) / (mean_answer - noise_floor)
        sentence += f"; {_percent(way)} of the way from the mean answer to the noise floor"
    return sentence + "."


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _by_question(found: Findings) -> Table:
    """A row for all questions, then one each."""
    everything, off = calibration_of(found.predicted, found.people), gaps(found.predicted)
    tree = (float(off.mean()), float(np.max(off)))
    rows = [("all", found.score.rmse, found.constants.mean.rmse, *everything, *tree)]
    for row in found.by_question():
        tree = (row.tree_mean, row.tree_largest)
        rows.append((row.name, row.rmse[0], row.mean_answer, row.ece, row.slope, *tree))
    head = ("question", "RMSE", "mean answer", "ECE", "slope", "off the tree", "at most")
    return Table(head, [(plain(name), *map(_decimals, values)) for name, *values in rows])


def _differences(found: Findings) -> Table | None:
    """By how much lower the RMSE is than that of the answers compared with."""
    if found.comparison is None:
        return None
    lower = {"all": found.comparison.lower.overall, **found.comparison.lower.questions}
    rows = [
        (plain(name), _signed(value), f"{_signed(low)} to {_signed(high)}")
        for name, (value, low, high) in lower.items()
    ]
    return Table(("question", "lower by", f"{_percent(LEVEL)} interval"), rows)


def _worst(found: Findings) -> Table:
    rows = [(e.name, _decimals(e.rmse), plain(e.question), _decimals(e.question_rmse)) for e in found.by_galaxy()]
    return Table(("galaxy", "RMSE", "worst at", "RMSE there"), rows[:WORST])


def _decimals(value: float) -> str:
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
