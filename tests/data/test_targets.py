"""Labels that are means of classes are moved away from the mean; all others stay."""

import numpy as np
import pytest
import torch

from galaxy_triton.data.targets import SHARED, targets
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS

CLASSES = torch.rand(3, 37, generator=torch.Generator().manual_seed(1))
ALONE = torch.rand(4, 37, generator=torch.Generator().manual_seed(2))


def test_class_means_are_moved_and_others_stay() -> None:
    answers = torch.cat((CLASSES.repeat(SHARED + 1, 1), ALONE, torch.full((1, 37), torch.nan)))
    rows = torch.arange(len(answers) - 1)
    moved = targets(answers, rows, 1.5)
    mean = answers[rows].mean(dim=0)
    many = 3 * (SHARED + 1)
    torch.testing.assert_close(moved[:many] - mean, 1.5 * (answers[:many] - mean))
    assert torch.equal(moved[many:-1], ALONE)
    assert moved[-1].isnan().all()
    assert torch.equal(answers[: len(CLASSES)], CLASSES)  # not in place


def test_labels_that_few_training_galaxies_share_stay() -> None:
    """Validation galaxies do not count."""
    few = torch.cat((CLASSES.repeat(SHARED, 1), ALONE))
    assert torch.equal(targets(few, torch.arange(len(few)), 1.5), few)
    half_held_out = CLASSES[:1].repeat(2 * SHARED, 1)
    assert torch.equal(targets(half_held_out, torch.arange(SHARED), 1.5), half_held_out)


def test_a_stretch_of_one_changes_nothing() -> None:
    answers = CLASSES.repeat(SHARED + 1, 1)
    assert targets(answers, torch.arange(len(answers)), 1.0) is answers


def test_sums_of_the_tree_hold(sky_answers: torch.Tensor) -> None:
    answers = sky_answers[:3].repeat(SHARED + 1, 1)
    moved = targets(answers, torch.arange(len(answers)), 1.4)
    for question, span in zip(QUESTIONS, SPANS, strict=True):
        whole = torch.ones(len(moved)) if question.parent is None else moved[:, question.parent]
        torch.testing.assert_close(moved[:, span].sum(dim=1), whole, atol=1e-5, rtol=0)


def test_it_undoes_what_classes_take_away() -> None:
    """Answers and images jointly normal, labels the means of two classes: the slope of what is learned on the truth."""
    rng = np.random.default_rng(1)
    answer = rng.normal(0.5, 0.1, 20_000)
    image = answer + rng.normal(0, 0.1, 20_000)
    upper = answer > 0.5
    label = np.where(upper, answer[upper].mean(), answer[~upper].mean())
    stretch = answer.var() / label.var()
    columns = torch.tensor(label, dtype=torch.float32)[:, None].expand(-1, 37).contiguous()
    taught = targets(columns, torch.arange(len(columns)), stretch)[:, 0].numpy()
    slopes = [np.polyfit(image, target, 1)[0] for target in (answer, label, taught)]
    assert slopes[1] < 0.75 * slopes[0]
    assert slopes[2] == pytest.approx(slopes[0], rel=0.03)


@pytest.fixture
def sky_answers(sky: object) -> torch.Tensor:
    return torch.from_numpy(sky.answers).float()  # type: ignore[attr-defined]
