"""Volunteers' answers about a simulated galaxy: a probability for each answer, and the votes of a number of people.

The questions and their order are those of Willett et al. (2013). The probabilities are ours: smooth functions of the
visibility of each part, that is of its strength, the inclination, and its size over the seeing.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.questions import COLUMNS, QUESTIONS, SPANS
from galaxy_triton.simulation.morphology import SEEING, Galaxy

HABIT = (0.02, 0.008, 0.016, 0.016, 0.06, 0.014, 0.002)  # weights of question 8's answers for an ordinary galaxy

Floats = NDArray[np.float64]


def answer_shares(galaxy: Galaxy) -> tuple[Floats, ...]:
    """The probabilities of each question's answers among people asked it, float64 [answers], in the tree's order."""
    weights = (
        _smooth(galaxy),
        _yes_or_no(0.03 + 0.93 * _flatness(galaxy)),  # edge-on?
        _yes_or_no(0.1 + 0.75 * _bar_sight(galaxy)),  # a bar?
        _yes_or_no(0.2 + 0.75 * _arm_sight(galaxy)),  # spiral arms?
        _ordered(log(_bulge_share(galaxy)), (log(0.035), log(0.17), log(1.1)), 0.5),  # how prominent a bulge?
        _yes_or_no(0.1 + 0.85 * (1 - float(np.prod([1 - sight for sight in _oddities(galaxy)])))),  # anything odd?
        _ordered(_apparent_axis_ratio(galaxy), (0.4, 0.78), 0.085)[::-1],  # how rounded?
        # nobody knows why some call an ordinary galaxy odd: mostly "other"
        [sight + habit for sight, habit in zip(_oddities(galaxy), HABIT, strict=True)],
        _edge_on_bulge(galaxy),
        _winding(galaxy),
        _arms(galaxy),
    )
    return tuple(map(_normalised, weights))


def true_answers(shares: Sequence[Floats]) -> Floats:
    """The answers of infinitely many volunteers, float64 [37]: those of a question sum to its parent's answer."""
    answers = np.zeros(len(COLUMNS))
    for question, span, share in zip(QUESTIONS, SPANS, shares, strict=True):
        answers[span] = share * (1.0 if question.parent is None else answers[question.parent])
    return answers


def vote(shares: Sequence[Floats], volunteers: int, rng: Generator) -> Floats:
    """Let volunteers walk the tree: float64 [37], the fraction of all volunteers who gave each answer.

    All are asked question 6, as in the challenge's table, which rescales its answers to sum to one.
    """
    counts = np.zeros(len(COLUMNS), dtype=np.int64)
    for question, span, share in zip(QUESTIONS, SPANS, shares, strict=True):
        asked = volunteers if question.parent is None else counts[question.parent]
        counts[span] = rng.multinomial(asked, share)
    return counts / volunteers


def _smooth(galaxy: Galaxy) -> Sequence[float]:
    artifact = 0.88 if galaxy.star else 0.018
    marks = (_arm_sight(galaxy), _bar_sight(galaxy), _ring_sight(galaxy), _edge_sight(galaxy), _trouble(galaxy))
    plain = float(np.prod([1 - mark for mark in marks])) * (1 - 0.3 * _disk_share(galaxy))
    features = 0.14 + 0.8 * (1 - plain)
    return (1 - artifact) * (1 - features), (1 - artifact) * features, artifact


def _edge_on_bulge(galaxy: Galaxy) -> Sequence[float]:
    bulge = _bulge_share(galaxy)
    boxy = 0.0 if galaxy.bulge is None else _logistic((galaxy.bulge.boxiness - 1.3) / 0.35)
    shown = _logistic((log(bulge) - log(0.07)) / 0.4)
    return shown * (1 - 0.7 * boxy), shown * (0.05 + 0.7 * boxy), 1 - shown + 0.04


def _winding(galaxy: Galaxy) -> Sequence[float]:
    guess = (0.46, 0.38, 0.16)
    if galaxy.arms is None:
        return guess
    return _mixed(_ordered(galaxy.arms.pitch, (16, 26), 3), guess, _arm_sight(galaxy))


def _arms(galaxy: Galaxy) -> Sequence[float]:
    guess = (0.06, 0.36, 0.08, 0.04, 0.04, 0.42)
    if galaxy.arms is None:
        return guess
    counted = np.full(6, 0.03)
    counted[galaxy.arms.number - 1] += 0.82  # number 0 is the last answer: cannot tell
    return _mixed(counted, guess, _arm_sight(galaxy))


def _oddities(galaxy: Galaxy) -> tuple[float, ...]:
    """The visibility of question 8's answers: ring, lens or arc, disturbed, irregular, other, merger, dust lane."""
    irregular = _logistic((galaxy.clumps - 3.5) / 0.8)
    disturbed = _logistic((galaxy.disturbance - 0.55) / 0.1)
    merger = 0.0
    if galaxy.companion is not None:
        merger = 0.95 * _logistic((galaxy.companion.fraction - 0.13) / 0.04)
    dust = 0.0 if galaxy.disk is None else _logistic((galaxy.disk.dust - 1.3) / 0.25) * _resolved(galaxy, 0.2)
    return (
        0.75 * _ring_sight(galaxy),
        0.8 * _logistic((galaxy.lens - 0.03) / 0.006),
        0.75 * disturbed * (1 - 0.7 * merger) * (1 - 0.5 * irregular),
        0.8 * irregular,
        0.75 * float(galaxy.star),
        merger,
        0.6 * dust * _flatness(galaxy),
    )


def _arm_sight(galaxy: Galaxy) -> float:
    if galaxy.arms is None:
        return 0.0
    strength = galaxy.arms.contrast * _disk_share(galaxy) * _resolved(galaxy, 0.22) * _depth(galaxy)
    return _logistic((log(strength) - log(0.3)) / 0.45) * (1 - _flatness(galaxy))


def _bar_sight(galaxy: Galaxy) -> float:
    if galaxy.bar is None:
        return 0.0
    # a bar is seen by the part that reaches beyond the bulge
    strength = galaxy.bar.fraction * galaxy.bar.length * _resolved(galaxy, 0.2) / (0.05 + _bulge_share(galaxy))
    return _logistic((log(strength) - log(0.1)) / 0.4) * (1 - _flatness(galaxy))


def _ring_sight(galaxy: Galaxy) -> float:
    if galaxy.ring is None:
        return 0.0
    strength = galaxy.ring.fraction * _resolved(galaxy, 0.25) * _depth(galaxy)
    return _logistic((log(strength) - log(0.08)) / 0.4) * (1 - _flatness(galaxy))


def _edge_sight(galaxy: Galaxy) -> float:
    return 0.95 * _flatness(galaxy) * _resolved(galaxy, 0.25)


def _trouble(galaxy: Galaxy) -> float:
    """From 0 to 1: how strongly clumps, tails or a companion keep people from calling a galaxy smooth."""
    _, _, disturbed, irregular, _, merger, _ = _oddities(galaxy)
    return max(0.6 * disturbed, 0.85 * irregular, 0.3 * merger)


def _flatness(galaxy: Galaxy) -> float:
    """From 0 to 1: how clearly a disk is seen edge-on."""
    if galaxy.disk is None or galaxy.clumps:
        return 0.0
    return _logistic((0.32 - galaxy.disk.axis_ratio) / 0.04) * _logistic((_disk_share(galaxy) - 0.3) / 0.06)


def _apparent_axis_ratio(galaxy: Galaxy) -> float:
    """The mean axis ratio weighted by light; seeing makes small galaxies rounder."""
    bulge = 1.0 if galaxy.bulge is None else galaxy.bulge.axis_ratio
    disk = 1.0 if galaxy.disk is None else galaxy.disk.axis_ratio
    own = (1 - _disk_share(galaxy)) * bulge + _disk_share(galaxy) * disk
    blur = (0.5 * SEEING / galaxy.size) ** 2
    return float(np.sqrt((own**2 + blur) / (1 + blur)))


def _disk_share(galaxy: Galaxy) -> float:
    return 0.0 if galaxy.disk is None else 1 - _bulge_share(galaxy)


def _bulge_share(galaxy: Galaxy) -> float:
    return 0.01 if galaxy.bulge is None else galaxy.bulge.fraction


def _resolved(galaxy: Galaxy, width: float) -> float:
    """From 0 to 1: the contrast after seeing of a detail `width` R90 wide."""
    return 1 / (1 + (0.6 * SEEING / (width * galaxy.size)) ** 2)


def _depth(galaxy: Galaxy) -> float:
    """From 0 to 1: the visibility of faint details above the noise."""
    return galaxy.depth / (galaxy.depth + 3)


def _yes_or_no(yes: float) -> tuple[float, float]:
    return yes, 1 - yes


def _ordered(value: float, edges: Sequence[float], width: float) -> list[float]:
    """Ordered logit (McCullagh 1980): the probabilities of the classes that ascending edges divide."""
    above = [1.0, *(_logistic((value - edge) / width) for edge in edges), 0.0]
    return [upper - lower for upper, lower in pairwise(above)]


def _mixed(seen: Sequence[float] | Floats, guess: Sequence[float], sight: float) -> list[float]:
    """Answers of a fraction `sight` who see the part and answer `seen`; the others answer `guess`."""
    return [sight * yes + (1 - sight) * no for yes, no in zip(seen, guess, strict=True)]


def _normalised(weights: Sequence[float]) -> Floats:
    exact = np.asarray(weights, dtype=np.float64)
    return np.asarray(exact / exact.sum())


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-max(-60.0, min(60.0, value))))
