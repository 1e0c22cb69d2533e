"""Training: it learns, from the galaxies it should, and stops where a loss is no number."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from galaxy_triton.config.schema import Optimiser
from galaxy_triton.data.split import Split
from galaxy_triton.kernels.augmentation import fused as augmentation
from galaxy_triton.kernels.availability import require_triton
from galaxy_triton.kernels.sigmoid_loss import fused as sigmoid_loss
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import WEIGHTS, load
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from galaxy_triton.system.signals import Stop
from galaxy_triton.train.learner import step_seed
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.optimiser import make_optimiser, one_cycle
from galaxy_triton.train.session import Session
from tests.support.sessions import split_of, trainer_of

MakeSession = Callable[..., Session]
ReadMetrics = Callable[[Path], list[dict[str, str]]]


def last_weights(folder: Path) -> bytes:
    return (folder / run_folder.LAST / WEIGHTS).read_bytes()


def test_fit_learns_and_keeps_the_best(
    make_session: MakeSession, read_metrics: ReadMetrics, tmp_path: Path, display: Display
) -> None:
    """A network without dropout learns 33 galaxies better than any constant answers them."""
    epochs = 14
    session = make_session(tmp_path, **{"run.epochs": epochs, "network.dropout": 0, "optimiser.lr": 0.05})
    trainer_of(session).fit(display, Stop())
    table = read_metrics(tmp_path)
    losses, errors = ([float(row[name]) for row in table] for name in ("train_loss", "validation_rmse"))
    labels = session.galaxies.answers[torch.from_numpy(split_of(session).train)].double()
    assert losses[-1] < 0.9 * labels.var(0, unbiased=False).mean().item()
    assert losses[-1] < 0.9 * losses[0]
    for epoch, row in enumerate(table, 1):
        assert row["epoch"] == str(epoch)
        assert errors[epoch - 1] ** 2 == pytest.approx(float(row["validation_loss"]), rel=1e-5)
        rate = one_cycle(3 * epoch - 1, 3 * epochs, session.config.optimiser)
        assert float(row["learning_rate"]) == pytest.approx(rate, rel=1e-6)
    assert any(later > earlier for earlier, later in pairwise(errors)), "the lowest of all, not of two in a row"
    best, last = (load(tmp_path / name).progress for name in (run_folder.BEST, run_folder.LAST))
    assert best.epoch == 1 + errors.index(min(errors))
    assert last.best_rmse == best.best_rmse == pytest.approx(min(errors), rel=1e-6)


def test_fit_uses_the_galaxies_to_train_on_alone(make_session: MakeSession, tmp_path: Path, display: Display) -> None:
    """Pixels and answers of the others, for validation or unlabelled, leave no trace in the weights."""
    weights = []
    for fill in (None, 200):
        session = make_session(tmp_path / str(fill), **{"run.epochs": 1})
        others = torch.from_numpy(np.setdiff1d(np.arange(48), split_of(session).train))
        assert len(others) == 11 + 4
        if fill:
            session.galaxies.pixels[others] = fill
            session.galaxies.answers[others] = torch.nan
        trainer_of(session).fit(display, Stop())
        weights.append(last_weights(session.folder))
    assert weights[0] == weights[1]


class AfterFirstEpoch(Display):
    """Does something when the first epoch is said and saved."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act

    def say(self, line: str = "") -> None:
        if " train " in line and line.split()[1].startswith("1/"):
            self.act()


def test_fit_stops_at_a_loss_that_is_not_finite(make_session: MakeSession, tmp_path: Path) -> None:
    session = make_session(tmp_path)
    spoilt = int(split_of(session).train[7])
    kept: list[bytes] = []

    def spoil() -> None:
        kept.append(last_weights(tmp_path))
        session.galaxies.answers[spoilt, 3] = torch.nan

    with pytest.raises(DataFault, match="Expected a finite loss, got nan on the galaxies") as fault:
        trainer_of(session).fit(AfterFirstEpoch(spoil), Stop())
    assert str(fault.value).endswith("with an --lr below 0.001; the checkpoint of epoch 1 is whole")
    listed = str(fault.value).split("galaxies ")[1].split(" (")[0].split(", ")
    assert str(session.galaxies.ids[spoilt].item()) in listed
    assert len(listed) == 11  # the batch and no other
    assert load(tmp_path / run_folder.LAST).progress.epoch == 1
    assert last_weights(tmp_path) == kept[0]


class Counting:
    """Stands for a Triton kernel and notes its launches."""

    def __init__(self, name: str, kernel: Any, launches: list[str]) -> None:
        self.name, self.kernel, self.launches = name, kernel, launches

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        self.launches.append(self.name)
        return self.kernel[grid]


def test_fit_with_kernels_and_without_validation(
    device: torch.device,
    make_session: MakeSession,
    read_metrics: ReadMetrics,
    tmp_path: Path,
    display: Display,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each kernel is launched once a step, and two steps give the weights of the torch path."""
    settings: dict[str, Any] = {"run.epochs": 1, "run.batch_size": 4, "network.dropout": 0}
    settings |= {"run.device": device.type, "run.precision": "fp32", "run.body": "eager", "augmentation.size": 8}
    launches: dict[str, list[str]] = {"torch": [], "triton": []}
    require_triton(device)  # looks at a kernel once, before it is replaced
    for impl, noted in launches.items():
        session = make_session(tmp_path / impl, **settings, **{"run.augment": impl, "run.loss": impl})
        with monkeypatch.context() as patch:
            for module in (augmentation, sigmoid_loss):
                for name in [name for name in vars(module) if name.endswith("_kernel")]:
                    patch.setattr(module, name, Counting(name, getattr(module, name), noted))
            Trainer(session, Split(np.arange(8), np.arange(0)), session.folder).fit(display, Stop())
    assert launches == {"torch": [], "triton": ["_draw_kernel", "_sigmoid_mse_kernel"] * 2}
    weights = {impl: load(tmp_path / impl / run_folder.LAST).weights for impl in launches}
    for name, want in weights["torch"].items():
        assert torch.allclose(weights["triton"][name], want, rtol=1e-3, atol=2e-5), name
    assert read_metrics(tmp_path / "torch")[0]["validation_rmse"] == "nan"
    assert not (tmp_path / "torch" / run_folder.BEST).exists()


@pytest.mark.parametrize("warmup", [0.0, 0.25, 0.9])
def test_one_cycle(warmup: float) -> None:
    steps, options = 40, Optimiser(lr=2.0, warmup=warmup)
    rates = [one_cycle(step, steps, options) for step in range(steps)]
    warm = round(warmup * steps)
    assert rates[:warm] == pytest.approx(np.linspace(2 / 25, 2, warm + 1)[:-1])
    assert rates[warm:] == pytest.approx(1 + np.cos(np.pi * np.arange(steps - warm) / (steps - warm)))
    assert min(rates) > 0
    assert all(one > other for one, other in pairwise(rates[warm:]))


def test_step_seed() -> None:
    """No two steps of a run, nor steps of runs with neighbouring seeds, share a seed; torch takes every one."""
    seeds = {step_seed(seed, step) for seed in (0, 1, 2, 2**63 - 1) for step in range(2000)}
    assert len(seeds) == 4 * 2000
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    torch.manual_seed(max(seeds))


def test_make_optimiser() -> None:
    """Weight decay acts on matrices and kernels, and on nothing else."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    groups = make_optimiser(network, Optimiser(weight_decay=0.3), torch.device("cpu")).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] == 0.3 for p in group["params"]}
    plain = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    assert decayed == {id(network[0].weight), id(network[2].weight)}
    assert decayed | plain == {id(p) for p in network.parameters()}
