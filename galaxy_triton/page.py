"""The page of a report: one HTML file that asks for nothing outside itself and runs no code."""

import base64
from dataclasses import dataclass

import jinja2

from galaxy_triton.evaluate import LEVEL
from galaxy_triton.figures import FEW, Picture
from galaxy_triton.findings import Findings

TEMPLATE = "report.html.jinja"


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


def page_of(content: Content) -> str:
    """The HTML of a page; all texts escaped, all pictures inside."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("galaxy_triton", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"base64": _base64, "percent": _percent}
    found = content.findings
    sentence = None if found is None else verdict(found.score.rmse, found.mean_answer.rmse, found.noise_floor)
    return environment.get_template(TEMPLATE).render(content=content, verdict=sentence, level=LEVEL, few=FEW)


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


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
