"""Fine-tuning: a run begins with the weights of another one, keeps a copy, and warns of scores that are too good."""

import io
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from galaxy_triton.config.schema import Run
from galaxy_triton.evaluate.evaluate import EvaluateOptions, evaluate
from galaxy_triton.runs import checkpoint as checkpoints
from galaxy_triton.runs.folder import read_config, read_split
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Diverged, Stopped, UsageFault
from galaxy_triton.system.processes import Processes
from galaxy_triton.system.signals import REQUEUE, Stop
from galaxy_triton.train import finetune
from galaxy_triton.train.cross_validation import cross_validate
from galaxy_triton.train.finetune import Start
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions, config_of
from galaxy_triton.train.run import train
from galaxy_triton.train.session import Session
from tests.support.sessions import trainer_of

STILL = {"optimiser.lr": 1e-12, "optimiser.weight_decay": 0.0, "run.epochs": 1, "run.device": "cpu"}


@pytest.fixture
def options(run: Path, sky: Any, tmp_path: Path) -> TrainOptions:
    """Of a run that begins with the weights of `run` and hardly changes them."""
    return TrainOptions(sky.store, settings=STILL, run=tmp_path / "tuned", finetune=run)


@pytest.fixture(scope="module")
def tuned(run: Path, sky: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Such a run, validated on five galaxies that `run` was trained on; and what `train` printed."""
    folder, display = tmp_path_factory.mktemp("tuned"), quiet()
    ids = write_ids(folder / "ids.csv", np.sort(read_split(run).train)[:5])
    train(TrainOptions(sky.store, settings=STILL, run=folder / "run", finetune=run, validation_ids=ids), display)
    return folder / "run", said(display)


def quiet() -> Display:
    return Display(Console(file=io.StringIO(), width=200))


def said(display: Display) -> str:
    return str(display.console.file.getvalue())  # type: ignore[attr-defined]


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """The learned weights of a run's checkpoint, without running statistics."""
    found = checkpoints.load(folder / name).prediction_weights
    return {name: tensor for name, tensor in found.items() if name.endswith((".weight", ".bias"))}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(one[name], other[name], rtol=0, atol=1e-6) for name in one.keys() | other.keys())


def write_ids(file: Path, ids: Iterable[int]) -> Path:
    file.write_text("GalaxyID\n" + "".join(f"{number}\n" for number in ids))
    return file


def test_begins_with_the_weights_of_the_run(tuned: tuple[Path, str], run: Path) -> None:
    assert same(weights(tuned[0]), weights(run))
    assert "weights    of epoch 2 of another run, fine-tuned" in tuned[1]


def test_learns(options: TrainOptions, run: Path) -> None:
    train(replace(options, settings=STILL | {"optimiser.lr": 1e-3}), Display(quiet=True))
    assert options.run is not None
    assert not same(weights(options.run), weights(run))
    assert same(weights(options.run, "start"), weights(run))


def test_warns_of_galaxies_that_earlier_runs_were_trained_on(
    tuned: tuple[Path, str], options: TrainOptions, run: Path, sky: Any, tmp_path: Path
) -> None:
    """In the run, when it is resumed, in a run fine-tuned from it, and in its evaluation and report."""
    folder, printed = tuned
    ids, warning = np.sort(read_split(run).train), "trained on {} of the validation galaxies, which will score too well"
    assert warning.format(5) in printed
    assert not np.isin(ids[:5], read_split(folder).train).any()
    listed = write_ids(tmp_path / "ids.csv", ids[:4])
    for count, chosen in (
        (0, options),  # the same seed and fraction validate on the same galaxies
        (5, TrainOptions(sky.store, run=folder, resume=True)),
        (4, replace(options, finetune=folder, validation_ids=listed)),
    ):
        display = quiet()
        train(chosen, display, dry_run=True)
        assert warning.format(count) in said(display) if count else "too well" not in said(display)
    assert evaluate(folder, None, EvaluateOptions(views=1), Display(quiet=True)).trained_on == 5
    page = (folder / "report.html").read_text()
    assert "seed, fine-tuned" in page
    assert "5 for validation, 5 of which the initial weights were trained on" in page


class Overwriting(Processes):
    """Processes of which the first has weights of zero."""

    def copy_first(self, tensors: Iterable[torch.Tensor]) -> None:
        for tensor in tensors:
            tensor.zero_()


@pytest.mark.parametrize("averaged", [False, True])
def test_all_weights_are_those_of_the_checkpoint(
    averaged: bool, run: Path, make_session: Callable[..., Session], tmp_path: Path
) -> None:
    """Running statistics too; of averaged weights the average; and in each process those that the first has read."""
    checkpoint = checkpoints.load(run / "last")
    average = {name: tensor + 1 for name, tensor in checkpoint.weights.items()} if averaged else None
    start = Start(replace(checkpoint, average=average), {})
    session = replace(make_session(tmp_path), start=start)
    state = trainer_of(session).learner.network.state_dict()
    assert state.keys() == checkpoint.weights.keys()
    assert all(torch.equal(state[name], tensor + averaged) for name, tensor in checkpoint.weights.items())
    trainer = trainer_of(replace(session, processes=Overwriting()))
    assert all((tensor == 0).all() for tensor in trainer.learner.network.state_dict().values())


def test_configuration_is_that_of_the_run(options: TrainOptions, run: Path, tmp_path: Path) -> None:
    """With half its peak learning rate and few epochs; then a TOML file, then settings."""
    before, found = read_config(run), config_of(replace(options, settings={}))
    assert found.run == replace(Run(), epochs=30, batch_size=64, validation=before.run.validation)
    assert before.run.validation != Run().validation
    assert found.optimiser == replace(before.optimiser, lr=before.optimiser.lr / 2)
    assert replace(found, run=before.run, optimiser=before.optimiser) == before
    (tmp_path / "c.toml").write_text("[run]\nepochs = 7\nseed = 8\n")
    over = config_of(replace(options, config_file=tmp_path / "c.toml", settings={"run.seed": 9}))
    assert (over.run.epochs, over.run.seed) == (7, 9)


def test_refuses_options_that_contradict(options: TrainOptions, tmp_path: Path) -> None:
    """A recipe, also in a TOML file, would lose the configuration of the run; and there must be a store."""
    (tmp_path / "c.toml").write_text('recipe = "seed"')
    for other in ({"recipe": "best"}, {"config_file": tmp_path / "c.toml"}):
        with pytest.raises(UsageFault, match="Expected the configuration of the run to be fine-tuned"):
            config_of(replace(options, **other))  # type: ignore[arg-type]
    with pytest.raises(UsageFault, match="Expected a STORE to fine-tune on, got none"):
        config_of(replace(options, store=None))


def test_refuses_another_network(options: TrainOptions, run: Path, tmp_path: Path) -> None:
    """Than that of the checkpoint, whatever somebody wrote into the run's config.toml; dropout may differ."""
    edited = tmp_path / "edited"
    shutil.copytree(run, edited)
    text = (edited / "config.toml").read_text()
    (edited / "config.toml").write_text(text.replace('head = "sigmoid"', 'head = "tree"'))
    for other in ({"finetune": edited}, {"settings": STILL | {"network.widths": (8, 32)}}):
        with pytest.raises(UsageFault, match="Expected the network to be fine-tuned"):
            train(replace(options, **other), Display(quiet=True), dry_run=True)  # type: ignore[arg-type]
    train(replace(options, settings={"network.dropout": 0.1}), Display(quiet=True), dry_run=True)


@pytest.mark.parametrize(
    ("missing", "named"),
    [("config.toml", "a run's config.toml"), ("last", "the checkpoint last"), ("split.csv", "the run's split.csv")],
)
def test_refuses_half_a_run(options: TrainOptions, run: Path, missing: str, named: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    shutil.rmtree(broken / missing) if missing == "last" else (broken / missing).unlink()
    with pytest.raises(DataFault, match=f"Expected {named}, got "):
        train(replace(options, finetune=broken), Display(quiet=True), dry_run=True)


def test_refuses_a_cross_validation(options: TrainOptions, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folds"
    shutil.copytree(run, folder)
    (folder / "folds.csv").write_text("GalaxyID,fold\n")
    with pytest.raises(DataFault, match="Expected the folder of one run, got a cross-validation's"):
        train(replace(options, finetune=folder), Display(quiet=True), dry_run=True)


def test_a_stopped_run_goes_on_without_the_other(
    options: TrainOptions, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its first checkpoint, with the other run gone, it still begins there."""
    other = tmp_path / "other"
    shutil.copytree(run, other)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", _killed)
        with pytest.raises(Diverged):
            train(replace(options, finetune=other), Display(quiet=True))
    shutil.rmtree(other)
    train(TrainOptions(run=options.run, resume=True), Display(quiet=True))
    assert options.run is not None
    assert same(weights(options.run), weights(run))


def test_each_fold_begins_there(
    options: TrainOptions, run: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the folds that begin after a stop."""
    with monkeypatch.context() as patch:
        patch.setattr("galaxy_triton.train.cross_validation.stop_between_steps", _stop_at_once)
        with pytest.raises(Stopped):
            cross_validate(replace(options, folds=2), display)
    cross_validate(TrainOptions(run=options.run, resume=True), display)
    assert options.run is not None
    for fold in ("fold-1", "fold-2"):
        assert same(weights(options.run / fold), weights(run))
    seen = len(read_split(run).train)
    assert f"trained on {seen} of the validation galaxies, which will score too well" in said(display)
    evaluation = evaluate(options.run, None, EvaluateOptions(against=options.run), Display(quiet=True))
    assert evaluation.trained_on == seen
    assert evaluation.findings.comparison is not None
    assert evaluation.findings.comparison.trained_on == seen


def test_start_is_read_as_it_was_saved(run: Path, tmp_path: Path) -> None:
    assert finetune.read_start(tmp_path) is None
    finetune.save_start(tmp_path, None)
    assert finetune.read_start(tmp_path) is None
    config = read_config(run)
    finetune.save_start(tmp_path, finetune.start_from(run, config.network))
    found = finetune.read_start(tmp_path)
    assert found is not None
    assert found.checkpoint.config == config
    assert found.checkpoint.state == {}
    assert list(found.seen) == sorted(read_split(run).train)


def _killed(trainer: Trainer, *rest: object) -> None:
    raise Diverged("killed")


@contextmanager
def _stop_at_once(say: object) -> Iterator[Stop]:
    """A stop that is requested before the first step."""
    stop = Stop()
    stop.code = REQUEUE
    yield stop
