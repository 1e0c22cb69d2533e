"""Answers about simulated galaxies: they follow structure, obey the tree, and tend to what the population is like."""

from dataclasses import replace

import numpy as np
import pytest

from galaxy_triton.galaxyzoo.questions import COLUMNS, SPANS
from galaxy_triton.galaxyzoo.tree import gaps
from galaxy_triton.simulation.morphology import Bar, Bulge, Companion, Disk, Galaxy, Ring, draw_galaxy
from galaxy_triton.simulation.volunteers import answer_shares, true_answers, vote
from tests.support.galaxies import DISK, EDGE_ON, ELLIPTICAL, ROUND, TWO_ARMS

# a galaxy, a question's number, the answer to it that must lead
STRUCTURES: list[tuple[Galaxy, int, int]] = [
    (ELLIPTICAL, 1, 1),
    (replace(DISK, arms=TWO_ARMS), 1, 2),
    (Galaxy(5, 200, 0, 0.7, star=True), 1, 3),
    (EDGE_ON, 2, 1),
    (DISK, 2, 2),
    (replace(DISK, bar=Bar(0.2, 0.45, 0.3, 40)), 3, 1),
    (DISK, 3, 2),
    (replace(DISK, arms=TWO_ARMS), 4, 1),
    (DISK, 4, 2),
    (replace(DISK, bulge=Bulge(0.01, 1, 0.1, 0.9)), 5, 1),
    (DISK, 5, 2),
    (replace(DISK, bulge=Bulge(0.45, 3, 0.2, 0.9)), 5, 3),
    (ELLIPTICAL, 6, 2),
    (ELLIPTICAL, 7, 1),
    (replace(ELLIPTICAL, bulge=replace(ROUND, axis_ratio=0.6)), 7, 2),
    (replace(ELLIPTICAL, bulge=replace(ROUND, axis_ratio=0.2)), 7, 3),
    (replace(DISK, ring=Ring(0.3, 0.7)), 8, 1),
    (replace(ELLIPTICAL, lens=0.08), 8, 2),
    (replace(DISK, disturbance=1.0), 8, 3),
    (replace(DISK, clumps=8), 8, 4),
    (DISK, 8, 5),
    (replace(ELLIPTICAL, companion=Companion(0.4, 0.9, 30, 0.7)), 8, 6),
    (replace(EDGE_ON, disk=Disk(0.33, 0.03, 0.18, dust=2.5)), 8, 7),
    (replace(EDGE_ON, bulge=Bulge(0.25, 2, 0.15, 0.8)), 9, 1),
    (replace(EDGE_ON, bulge=Bulge(0.25, 1, 0.15, 0.6, boxiness=3)), 9, 2),
    (replace(EDGE_ON, bulge=Bulge(0.01, 1, 0.1, 0.8)), 9, 3),
    *((replace(DISK, arms=replace(TWO_ARMS, pitch=pitch)), 10, n) for n, pitch in enumerate((9, 21, 36), start=1)),
    *((replace(DISK, arms=replace(TWO_ARMS, number=number)), 11, number) for number in range(1, 6)),
    (replace(DISK, arms=replace(TWO_ARMS, number=0)), 11, 6),
]


def test_answers_follow_structure() -> None:
    led = [(question, 1 + np.argmax(answer_shares(galaxy)[question - 1])) for galaxy, question, _ in STRUCTURES]
    assert led == [(question, answer) for _, question, answer in STRUCTURES]


def test_seeing_and_noise_hide_arms() -> None:
    spirals = [replace(DISK, arms=TWO_ARMS, size=size, depth=depth) for size, depth in ((15, 30), (4, 30), (4, 3))]
    seen = [true_answers(answer_shares(galaxy))[COLUMNS.index("Class4.1")] for galaxy in spirals]
    assert seen[0] > seen[1] > seen[2]


def test_votes_tend_to_the_truth() -> None:
    shares = answer_shares(replace(DISK, arms=TWO_ARMS))
    errors = [
        np.sqrt(np.mean((vote(shares, number, np.random.default_rng(1)) - true_answers(shares)) ** 2))
        for number in (10, 1000, 100_000)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_few_volunteers_obey_the_tree() -> None:
    rng = np.random.default_rng(2)
    votes = np.stack([vote(answer_shares(draw_galaxy(rng)), 3, rng) for _ in range(200)])
    assert gaps(votes).max() < 1e-6


def test_population_resembles_galaxy_zoo() -> None:
    rng = np.random.default_rng(5)
    galaxies = [draw_galaxy(rng) for _ in range(2000)]
    mean = np.mean([true_answers(answer_shares(galaxy)) for galaxy in galaxies], axis=0)
    # Galaxy Zoo 2's mean answers to a hundredth or two: the first six questions, the columns of the three first
    assert mean[SPANS[0]] == pytest.approx([0.43, 0.55, 0.02], abs=0.05)
    assert mean[COLUMNS.index("Class2.1")] == pytest.approx(0.12, abs=0.04)
    assert mean[COLUMNS.index("Class4.1")] == pytest.approx(0.23, abs=0.05)
    assert mean[COLUMNS.index("Class6.1")] == pytest.approx(0.22, abs=0.05)
    for part in ("bulge", "disk", "bar", "arms", "ring", "companion", "clumps", "star", "lens"):
        assert 0 < sum(bool(getattr(galaxy, part)) for galaxy in galaxies) < len(galaxies)
