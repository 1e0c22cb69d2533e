"""Captured in a CUDA graph and replayed with other numbers in the same memory: the bits of a call outside one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from galaxy_triton.galaxyzoo.questions import PARENTS, SIZES
from galaxy_triton.kernels import AugmentDraw, RandomView, Ranges, Tree, augment, sigmoid_mse, tree_mse
from tests.kernels.scenes import SIDE, SIZE, SOURCE, VIEW, scenes

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")

LIVELY = Ranges(180, 0.5, 0.5, 1.2, 2.0, True, 0.3, 0.3, 0.3, 0.1)
LOSSES = {"sigmoid": sigmoid_mse, "tree": partial(tree_mse, tree=Tree(SIZES, PARENTS))}
WARM_UP = 3


def captured(step: Callable[[], Any]) -> tuple[torch.cuda.CUDAGraph, Any]:
    """The graph of a step, and what the step returned, whose memory each replay writes again."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    return graph, result


@pytest.mark.parametrize("border", ["zeros", "reflect"])
def test_augment(border: str, device: torch.device) -> None:
    """Another seed, epoch, galaxies and rows of the store."""
    pixels, options = scenes(SIDE, device), {"size": SIZE, "border": border, "impl": "triton"}
    seed, epoch = torch.tensor(0, device=device), torch.tensor(0, device=device)
    index, ids = torch.zeros(6, dtype=torch.int64, device=device), torch.arange(6, device=device)
    draw = AugmentDraw(seed, epoch, ids, LIVELY)
    out = torch.empty((6, 3, SIZE, SIZE), device=device, memory_format=torch.channels_last)
    graph, views = captured(lambda: augment(pixels, index, draw, out=out, **options))
    seen = []
    for number in range(3):
        seed.fill_(2**40 * number + 1)
        epoch.fill_(number)
        ids.add_(2**33)
        index.copy_(torch.arange(6) * number % 4)
        views.fill_(torch.nan)
        graph.replay()
        seen.append(views.clone())
        assert torch.equal(seen[-1], augment(pixels, index, draw, **options))
    assert (seen[0] != seen[1]).flatten(1).any(1).all()
    assert (seen[1] != seen[2]).flatten(1).any(1).all()


def test_random_view_counts_replays(device: torch.device) -> None:
    batch = torch.randint(0, 256, (4, 3, *SOURCE), dtype=torch.uint8, device=device)
    ids = torch.arange(4, device=device)
    view = RandomView(VIEW, 180, (0.5, 0.5), jitter=(0.4, 0.4, 0.4, 0.2), impl="triton").to(device)
    graph, views = captured(lambda: view(batch))
    for call in range(WARM_UP, WARM_UP + 3):
        graph.replay()
        assert torch.equal(views, view(batch, ids, call))
        assert view.step == call + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("rows", [256, 2**16])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str, rows: int, dtype: torch.dtype, device: torch.device) -> None:
    """Value and gradient, by one program and by many; other logits, targets and upstream factor."""
    logits = torch.zeros(rows, 37, dtype=dtype, device=device, requires_grad=True)
    targets, factor = torch.zeros(rows, 37, device=device), torch.ones((), device=device)

    def step() -> tuple[Tensor, Tensor]:
        loss = LOSSES[name](logits, targets, impl="triton")
        return loss, torch.autograd.grad(loss * factor, logits)[0]

    graph, result = captured(step)
    for number in range(3):
        generator = torch.Generator(device).manual_seed(number)
        logits.detach().normal_(generator=generator).mul_(3)
        targets.uniform_(generator=generator)
        factor.fill_(2.0**number)
        graph.replay()
        replayed = [one.clone() for one in result]
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(replayed, step(), strict=True))
