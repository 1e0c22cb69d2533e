"""The step: gradients of a batch in parts, and nothing that would make the host wait for a GPU."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.data.feed import Batch
from galaxy_triton.kernels import augmentation
from galaxy_triton.kernels.augmentation import parameters
from galaxy_triton.kernels.norm_pool import closed_form
from galaxy_triton.model.backend import choose
from galaxy_triton.train.learner import Learner
from galaxy_triton.train.optimiser import Average

# What reads a value on the host, or gives a shape that depends on one: on a GPU each waits until all before it is done.
WAITS = {"aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.is_nonzero", "aten.masked_select"}
WAITS |= {"aten.unique_dim", "aten._unique2", "aten.repeat_interleave.Tensor"}


def learner_of(config: Config) -> Learner:
    return Learner(config, choose(config), torch.full((37,), 0.3), 12, 10)


def batch_of(count: int, side: int, seed: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (20, side, side, 4), dtype=torch.uint8, generator=generator)
    places = torch.randperm(20, generator=generator)[:count]
    return Batch(pixels, places, places + 100, torch.rand(count, 37, generator=generator))


class Waits(TorchDispatchMode):
    """Notes the ops that would make the host wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.looking = True

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(op).removesuffix(".default")
        by_mask = name.startswith("aten.index") and any(
            isinstance(each, Tensor) and each.dtype == torch.bool
            for each in (args[1] if len(args) > 1 else [])
            if isinstance(args[1], list | tuple)
        )
        if self.looking and (name in WAITS or by_mask):
            self.seen.append(name)
        return op(*args, **(kwargs or {}))

    def aside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, unwatched."""

        def call(*given: Any) -> Any:
            self.looking = False
            try:
                return function(*given)
            finally:
                self.looking = True

        return call


def look_away_from_the_cpu(monkeypatch: pytest.MonkeyPatch, waits: Waits) -> None:
    """Integers and the signs of a batch norm are looked at on the CPU alone."""
    for module in (augmentation, parameters):
        monkeypatch.setattr(module, "require_within", waits.aside(module.require_within))
    monkeypatch.setattr(closed_form, "_all_positive", lambda weight: False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimiser.average": 0.9, "optimiser.clip": 1.0},
        {"run.accumulate": 3},
        {"network.head": "tree"},
        {"run.norm": "torch"},
    ],
    ids=["plain", "average-and-clip", "parts", "tree", "closed-form"],
)
def test_step_waits_for_nothing(
    settings: dict[str, Any], tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The torch path without colours, which choose their rows on the host; the other paths have none to choose."""
    jitter = {f"augmentation.{name}": 0 for name in ("brightness", "contrast", "saturation", "hue")}
    config = override(SEED, {**tiny, **jitter, "run.norm": "layers", **settings})
    learner, batch, epoch, waits = learner_of(config), batch_of(11, 24), torch.tensor(0), Waits()
    learner.step(batch, epoch, 0)  # the optimiser makes its moments
    look_away_from_the_cpu(monkeypatch, waits)
    with waits:
        for number in range(1, 4):
            learner.step(batch, epoch, number)
    assert waits.seen == []


@pytest.mark.parametrize(("decay", "kept"), [(0.9, (0, 1 / 10, 2 / 11, 3 / 12)), (0.15, (0, 0.1, 0.15, 0.15))])
def test_averages_forget_the_first_weights(decay: float, kept: tuple[float, ...]) -> None:
    network = nn.BatchNorm1d(1)
    average, wanted = Average(network, decay), 0.0
    for value, part in zip((1.0, 5.0, -2.0, 3.0), kept, strict=True):
        nn.init.constant_(network.weight, value)
        network.running_var.fill_(value)  # type: ignore[union-attr]
        network.num_batches_tracked += 1  # type: ignore[operator]
        average.update(network)
        wanted = part * wanted + (1 - part) * value
    assert average.module.weight.item() == pytest.approx(wanted, rel=1e-6)
    assert average.module.running_var.item() == pytest.approx(wanted, rel=1e-6)
    assert average.module.num_batches_tracked.item() == 4


def test_step_averages_weights(tiny: dict[str, Any]) -> None:
    """a <- d a + (1 - d) w, beginning with the weights after the first step; evaluation uses the averages."""
    learner, seen = learner_of(override(SEED, {**tiny, "optimiser.average": 0.08})), []
    for number in range(2):
        learner.step(batch_of(11, 24), torch.tensor(0), number)
        seen.append(learner.network.answers.weight.detach().double().clone())
    assert learner.average is not None
    want = 0.08 * seen[0] + 0.92 * seen[1]
    assert torch.allclose(learner.average.module.answers.weight.double(), want, rtol=0, atol=1e-7)
    assert learner.predictor().network is learner.average.module


@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_step_clips_the_gradient(clip: float, tiny: dict[str, Any]) -> None:
    """After one step AdamW's first moment is 0.1 of the gradient, whose norm is the clip's."""
    learner = learner_of(override(SEED, {**tiny, "optimiser.clip": clip}))
    learner.step(batch_of(11, 24), torch.tensor(0), 0)
    moments = [state["exp_avg"].double() for state in learner.optimiser.state.values()]
    norm = 10 * math.sqrt(sum(float(moment.square().sum()) for moment in moments))
    assert norm == pytest.approx(clip, rel=1e-3) if clip else norm > 2e-3


def test_waits_are_seen() -> None:
    """The watcher is code too."""
    waits, values = Waits(), torch.arange(3.0)
    with waits:
        values.max().item()
        values[values > 1]
        bool(values[0] == 1)
        values.nonzero()
    assert waits.seen == ["aten._local_scalar_dense", "aten.index.Tensor", "aten._local_scalar_dense", "aten.nonzero"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("settings", [{}, {"run.accumulate": 2}, {"optimiser.average": 0.9}], ids=str)
def test_step_waits_for_nothing_on_a_gpu(settings: dict[str, Any], tiny: dict[str, Any]) -> None:
    """By torch's own watch: an error at whatever makes the host wait."""
    config = override(SEED, {**tiny, **settings, "run.device": "cuda", "run.body": "eager"})
    learner, epoch = learner_of(config), torch.tensor(0, device="cuda")
    batch = Batch(*(each.cuda() if isinstance(each, Tensor) else each for each in batch_of(11, 24)))
    learner.step(batch, epoch, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(1, 4):
            learner.step(batch, epoch, number)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("parts", [3, 50])
def test_gradient_of_a_batch_in_parts(parts: int, tiny: dict[str, Any]) -> None:
    """Where nothing depends on the batch around a galaxy, parts give the batch's loss and gradient within rounding."""
    fixed = {"network.dropout": 0}
    one, several = (learner_of(override(SEED, {**tiny, **fixed, "run.accumulate": n})) for n in (1, parts))
    results = []
    for learner in (one, several):
        learner.network.eval()  # batch norm by its running statistics
        gradients: list[Tensor] = []
        learner._update = lambda learner=learner, kept=gradients: kept.extend(  # type: ignore[method-assign]
            parameter.grad.clone() for parameter in learner.network.parameters()
        )
        results.append((learner.step(batch_of(11, 24), torch.tensor(0), 0), gradients))
    assert float(results[0][0]) == pytest.approx(float(results[1][0]), rel=1e-5)
    for want, got in zip(results[0][1], results[1][1], strict=True):
        assert (got - want).norm() <= 1e-5 * want.norm()


def test_parts_share_one_buffer(tiny: dict[str, Any]) -> None:
    """What a batch in parts is for: memory for the largest part."""
    assert len(learner_of(override(SEED, {**tiny, "run.accumulate": 5})).buffer) == 3  # of 12


def test_learn_is_a_step_on_views_that_are_there(tiny: dict[str, Any]) -> None:
    config = override(SEED, tiny)
    stepping, learning, batch = learner_of(config), learner_of(config), batch_of(11, 24)
    want = stepping.step(batch, torch.tensor(0), 0)
    views = learning.maker.random(batch, learning.seed, torch.tensor(0), learning.buffer)
    assert torch.equal(learning.learn(views, batch.answers, 0), want)
    for got, wanted in zip(learning.network.parameters(), stepping.network.parameters(), strict=True):
        assert torch.equal(got, wanted)
