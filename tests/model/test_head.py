"""The heads: their loss in float64 from the questions alone, answers that obey the tree, a start at the mean."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from galaxy_triton.config.schema import Network
from galaxy_triton.galaxyzoo.questions import PARENTS, SIZES, SPANS
from galaxy_triton.model.head import HEADS, AnswerNet, make_network, training_bytes

NETWORK = Network(widths=(4, 8), convs=1, hidden=0)
# The compiler is tried in a process of its own.
LOSSES = [(name, impl) for name in HEADS for impl in ("torch", "triton")]


def ancestors() -> Tensor:
    """A, float64 [37, 37]: a one at each answer itself and at every answer that leads to it."""
    question_of = np.repeat(np.arange(len(SIZES)), SIZES)
    matrix = torch.zeros(37, 37, dtype=torch.float64)
    for column in range(37):
        place: int | None = column
        while place is not None:
            matrix[column, place] = 1
            place = PARENTS[question_of[place]]
    return matrix


def probabilities(name: str, logits: Tensor) -> Tensor:
    """The formula of the head in float64."""
    if name == "sigmoid":
        return 1 / (1 + torch.exp(-logits.double()))
    logs = torch.cat([torch.log_softmax(logits.double()[:, span], dim=1) for span in SPANS], dim=1)
    return torch.exp(logs @ ancestors().T)


def logits(rows: int = 7, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(rows, 37, generator=torch.Generator().manual_seed(6))


def test_ancestors() -> None:
    """The oracle itself: the longest way is features, no edge, spiral, so many arms."""
    matrix = ancestors()
    assert matrix[31:37].sum(1).tolist() == [4.0] * 6
    assert matrix[33].nonzero()[:, 0].tolist() == [1, 4, 7, 33]
    assert int(matrix.sum()) == 37 + (2 + 3 + 7) + 2 * (2 + 2 + 4 + 3) + 3 * (3 + 6)


@pytest.mark.parametrize("name", HEADS)
def test_probabilities(name: str) -> None:
    got = HEADS[name].probabilities(logits())
    assert got.dtype == torch.float32
    assert got.double().numpy() == pytest.approx(probabilities(name, logits()).numpy(), abs=1e-6)


def test_tree_probabilities_obey_the_tree() -> None:
    """Whatever the logits, each question sums to the answer it hangs from, or to one."""
    answers = HEADS["tree"].probabilities(logits(scale=30)).double()
    for span, parent in zip(SPANS, PARENTS, strict=True):
        above = torch.ones(7).double() if parent is None else answers[:, parent]
        assert torch.allclose(answers[:, span].sum(1), above, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "impl"), LOSSES)
def test_loss(name: str, impl: str, device: torch.device) -> None:
    """Value and gradient against float64 and autograd."""
    answers = torch.rand(7, 37, generator=torch.Generator().manual_seed(8))
    exact = logits().double().requires_grad_()
    want = (probabilities(name, exact) - answers).square().mean()
    want.backward()
    leaf = logits().to(device).requires_grad_()
    loss = HEADS[name].loss(leaf, answers.to(device), impl)
    loss.backward()
    assert (loss.dtype, loss.shape) == (torch.float32, ())
    assert loss.item() == pytest.approx(want.item(), abs=1e-6)
    scale = exact.grad.abs().max()
    assert torch.allclose(leaf.grad.cpu().double() / scale, exact.grad / scale, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", HEADS)
def test_start_at(name: str, sky: Any) -> None:
    """Where the features are nothing, an untrained network answers the mean."""
    mean = torch.from_numpy(sky.answers.mean(axis=0)).float()
    network = AnswerNet(nn.Identity(), 5)
    network.start_at(mean, HEADS[name])
    answers = HEADS[name].probabilities(network(torch.zeros(2, 5)))
    assert torch.allclose(answers, mean.expand(2, 37), rtol=1e-5, atol=1e-6)
    assert network.answers.bias.requires_grad


@pytest.mark.parametrize("name", HEADS)
def test_start_at_takes_certain_answers(name: str) -> None:
    """A mean of zero or one has no logit: the start is near it, and finite."""
    mean = torch.zeros(37)
    mean[[span.start for span in SPANS]] = 1
    network = AnswerNet(nn.Identity(), 5)
    network.start_at(mean, HEADS[name])
    assert network.answers.bias.isfinite().all()
    answers = HEADS[name].probabilities(network.answers.bias[None])
    assert (answers - mean).abs()[0, :3].max() < 3e-3


def test_make_network() -> None:
    torch.manual_seed(1)
    network = make_network(NETWORK)
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 37)
    assert network.answers.weight.shape == (37, 8)


def test_training_bytes() -> None:
    """Sixteen bytes a weight, and the outputs of the layers: here counted by hand."""
    weights = 9 * 3 * 4 + 2 * 4 + 9 * 4 * 8 + 2 * 8 + 37 * 9
    # Of an image of 16 pixels a side: each block's convolution, norm (ReLU in place) and pooling, dropout, answers.
    outputs = 2 * 4 * 256 + 4 * 64 + 2 * 8 * 64 + 8 * 16 + 8 + 37
    for batch, element in ((1, 4), (10, 4), (10, 2)):
        assert training_bytes(NETWORK, batch, 16, element) == 16 * weights + element * batch * outputs
