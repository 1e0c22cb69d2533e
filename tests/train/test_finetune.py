"""Fine-tuning: a run begins where another one is, keeps that, and says when its score would be too good."""

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
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions, config_of
from galaxy_triton.train.run import train
from galaxy_triton.train.session import Session
from tests.support.sessions import trainer_of

STILL = {"optimiser.lr": 1e-12, "optimiser.weight_decay": 0.0, "run.epochs": 1, "run.device": "cpu"}


@pytest.fixture
def options(run: Path, sky: Any, tmp_path: Path) -> TrainOptions:
    """Of a run that goes on from `run` and as good as stays there."""
    return TrainOptions(sky.store, settings=STILL, run=tmp_path / "tuned", finetune=run)


def said(display: Display) -> str:
    return str(display.console.file.getvalue())  # type: ignore[attr-defined]


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """The learned ones of a run's checkpoint: no running statistics."""
    found = checkpoints.load(folder / name).prediction_weights
    return {name: tensor for name, tensor in found.items() if name.endswith((".weight", ".bias"))}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(one[name], other[name], rtol=0, atol=1e-6) for name in one.keys() | other.keys())


def write_ids(file: Path, ids: Iterable[int]) -> Path:
    file.write_text("GalaxyID\n" + "".join(f"{number}\n" for number in ids))
    return file


def test_begins_with_the_weights_of_the_run(options: TrainOptions, run: Path, display: Display) -> None:
    train(options, display)
    assert options.run is not None
    assert same(weights(options.run), weights(run))
    assert "weights    of epoch 2 of another run, fine-tuned" in said(display)


def test_running_statistics_are_those_of_the_run_too(
    run: Path, make_session: Callable[..., Session], tmp_path: Path
) -> None:
    session = replace(make_session(tmp_path), start=finetune.start_from(run))
    state, found = trainer_of(session).learner.network.state_dict(), checkpoints.load(run / "last").weights
    assert state.keys() == found.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in found.items())


class Overwriting(Processes):
    """Processes of which the first has weights of zero."""

    def copy_first(self, tensors: Iterable[torch.Tensor]) -> None:
        for tensor in tensors:
            tensor.zero_()


def test_all_processes_begin_as_the_first(run: Path, make_session: Callable[..., Session], tmp_path: Path) -> None:
    """Even where each has read another checkpoint: the run is still learning, or its folder is not shared."""
    session = replace(make_session(tmp_path), start=finetune.start_from(run), processes=Overwriting())
    assert all((tensor == 0).all() for tensor in trainer_of(session).learner.network.state_dict().values())


def test_a_random_start_is_another(options: TrainOptions, run: Path, tiny: dict[str, Any], display: Display) -> None:
    train(replace(options, finetune=None, settings=tiny | STILL), display)
    assert options.run is not None
    assert not same(weights(options.run), weights(run))
    assert not (options.run / "start").exists()


def test_learns(options: TrainOptions, run: Path, display: Display) -> None:
    train(replace(options, settings=STILL | {"optimiser.lr": 1e-3}), display)
    assert options.run is not None
    assert not same(weights(options.run), weights(run))
    assert same(weights(options.run, "start"), weights(run))


def test_configuration_is_of_the_run(options: TrainOptions, run: Path, tmp_path: Path) -> None:
    """Half its peak learning rate and few epochs, elsewhere chosen anew; then a TOML file, then settings."""
    before, found = read_config(run), config_of(replace(options, settings={}))
    assert found.run == replace(Run(), epochs=30, batch_size=64, validation=before.run.validation)
    assert before.run.validation != Run().validation
    assert (found.preprocess, found.augmentation, found.network) == (
        before.preprocess,
        before.augmentation,
        before.network,
    )
    assert found.optimiser == replace(before.optimiser, lr=before.optimiser.lr / 2)
    (tmp_path / "c.toml").write_text("[run]\nepochs = 7\nseed = 8\n")
    over = config_of(replace(options, config_file=tmp_path / "c.toml", settings={"run.seed": 9}))
    assert (over.run.epochs, over.run.seed) == (7, 9)


def test_averaged_weights_are_the_start(
    options: TrainOptions, sky: Any, tiny: dict[str, Any], tmp_path: Path, display: Display
) -> None:
    averaged = tmp_path / "averaged"
    train(TrainOptions(sky.store, settings=tiny | {"optimiser.average": 0.9}, run=averaged), display)
    train(replace(options, finetune=averaged), display)
    assert options.run is not None
    plain = checkpoints.load(averaged / "last")
    assert plain.average is not None
    assert same(weights(options.run), weights(averaged))
    torch.testing.assert_close(
        checkpoints.load(options.run / "last").weights["answers.weight"], plain.average["answers.weight"]
    )
    assert not torch.equal(plain.average["answers.weight"], plain.weights["answers.weight"])


@pytest.mark.parametrize("settings", [{"network.widths": (8, 32)}, {"network.head": "tree"}, {"network.hidden": 0}])
def test_refuses_another_network(options: TrainOptions, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageFault, match="Expected the network to be fine-tuned"):
        train(replace(options, settings=STILL | settings), Display(quiet=True), dry_run=True)


def test_dropout_may_differ(options: TrainOptions) -> None:
    assert config_of(replace(options, settings={"network.dropout": 0.1})).network.dropout == 0.1


def test_the_network_is_that_of_the_weights(options: TrainOptions, run: Path, tmp_path: Path) -> None:
    """Whatever somebody wrote into the other run's config.toml."""
    edited = tmp_path / "edited"
    shutil.copytree(run, edited)
    text = (edited / "config.toml").read_text()
    (edited / "config.toml").write_text(text.replace('head = "sigmoid"', 'head = "tree"'))
    assert read_config(edited).network.head == "tree"
    with pytest.raises(UsageFault, match="Expected the network to be fine-tuned"):
        train(replace(options, finetune=edited), Display(quiet=True), dry_run=True)


def test_refuses_a_recipe_beside_it(options: TrainOptions, tmp_path: Path) -> None:
    """On the command line, or in a TOML file, which would lose the configuration of the run."""
    (tmp_path / "c.toml").write_text('recipe = "seed"')
    for other in ({"recipe": "best"}, {"config_file": tmp_path / "c.toml"}):
        with pytest.raises(UsageFault, match="Expected the configuration of the run to be fine-tuned"):
            config_of(replace(options, **other))  # type: ignore[arg-type]


def test_wants_a_store(options: TrainOptions) -> None:
    with pytest.raises(UsageFault, match="Expected a STORE to fine-tune on, got none"):
        config_of(replace(options, store=None))


@pytest.mark.parametrize(
    ("missing", "named"),
    [("config.toml", "a run's config.toml"), ("last", "the checkpoint last"), ("split.csv", "the run's split.csv")],
)
def test_refuses_half_a_run(
    options: TrainOptions, run: Path, missing: str, named: str, tmp_path: Path, display: Display
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    shutil.rmtree(broken / missing) if missing == "last" else (broken / missing).unlink()
    with pytest.raises(DataFault, match=f"Expected {named}, got "):
        train(replace(options, finetune=broken), display)
    assert options.run is not None
    assert not options.run.exists()


def test_refuses_weights_of_another_network(options: TrainOptions, run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    checkpoint = checkpoints.load(run / "last")
    cut = {name: tensor[:1] if name == "answers.bias" else tensor for name, tensor in checkpoint.weights.items()}
    checkpoints.save(broken / "last", replace(checkpoint, weights=cut))
    with pytest.raises(DataFault, match=r"Expected the weights of galaxy-vgg, got answers\.bias"):
        train(replace(options, finetune=broken), Display(quiet=True))


def test_warns_of_galaxies_that_the_run_has_seen(
    options: TrainOptions, run: Path, sky: Any, tmp_path: Path, display: Display
) -> None:
    """None as it is: the same seed and fraction hold out the same."""
    train(options, display, dry_run=True)
    assert "will score too well" not in said(display)
    seen = write_ids(tmp_path / "ids.csv", np.sort(read_split(run).train)[:3])
    train(replace(options, validation_ids=seen), display, dry_run=True)
    assert "trained on 3 of the galaxies held out, which will score too well" in said(display)


def test_knows_what_the_run_before_the_run_has_seen(
    options: TrainOptions, run: Path, sky: Any, tmp_path: Path, display: Display
) -> None:
    """A run that was fine-tuned is so again, on galaxies that only the very first was trained on."""
    ids = np.sort(read_split(run).train)
    train(replace(options, validation_ids=write_ids(tmp_path / "ids.csv", ids[:5])), display)
    assert options.run is not None
    assert not np.isin(ids[:5], read_split(options.run).train).any()
    second = replace(options, finetune=options.run, run=tmp_path / "second")
    again = Display(Console(file=io.StringIO(), width=200))
    train(replace(second, validation_ids=write_ids(tmp_path / "more.csv", ids[:4])), again, dry_run=True)
    assert "trained on 4 of the galaxies held out" in said(again)
    resumed = Display(Console(file=io.StringIO(), width=200))
    train(TrainOptions(run=options.run, store=sky.store, resume=True), resumed, dry_run=True)
    assert "trained on 5 of the galaxies held out" in said(resumed)
    evaluation = evaluate(options.run, None, EvaluateOptions(views=1), Display(quiet=True))
    assert evaluation.trained_on == 5
    told = (options.run / "report.html").read_text()
    assert "seed, fine-tuned" in told
    assert "5 for validation, 5 of which the initial weights were trained on" in told


def test_a_stopped_run_goes_on_without_the_other(
    options: TrainOptions, run: Path, sky: Any, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its first checkpoint, with the other run gone, it still begins there."""
    other = tmp_path / "other"
    shutil.copytree(run, other)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", _killed)
        with pytest.raises(Diverged):
            train(replace(options, finetune=other), display)
    shutil.rmtree(other)
    train(TrainOptions(run=options.run, resume=True), display)
    assert options.run is not None
    assert same(weights(options.run), weights(run))


def test_each_fold_begins_there(
    options: TrainOptions, run: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are begun after a stop too."""
    request = replace(options, folds=2)
    with monkeypatch.context() as patch:
        patch.setattr("galaxy_triton.train.cross_validation.stop_between_steps", _stops_at_once)
        with pytest.raises(Stopped):
            cross_validate(request, display)
    cross_validate(TrainOptions(run=options.run, resume=True), display)
    assert options.run is not None
    for fold in ("fold-1", "fold-2"):
        assert same(weights(options.run / fold), weights(run))
    seen = len(read_split(run).train)
    assert f"trained on {seen} of the galaxies held out, which will score too well" in said(display)
    evaluation = evaluate(options.run, None, EvaluateOptions(against=options.run), Display(quiet=True))
    assert evaluation.trained_on == seen
    assert evaluation.findings.comparison is not None
    assert evaluation.findings.comparison.trained_on == seen


def test_refuses_a_cross_validation(options: TrainOptions, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folds"
    shutil.copytree(run, folder)
    (folder / "folds.csv").write_text("GalaxyID,fold\n")
    with pytest.raises(DataFault, match="Expected the folder of one run, got a cross-validation's"):
        train(replace(options, finetune=folder), Display(quiet=True))


def test_start_is_read_as_it_was_saved(run: Path, tmp_path: Path) -> None:
    assert finetune.read_start(tmp_path) is None
    finetune.save_start(tmp_path, None)
    assert finetune.read_start(tmp_path) is None
    finetune.save_start(tmp_path, finetune.start_from(run))
    found = finetune.read_start(tmp_path)
    assert found is not None
    assert found.checkpoint.config == read_config(run)
    assert found.checkpoint.state == {}
    assert found.seen.tolist() == sorted(read_split(run).train)


def _killed(trainer: Trainer, *rest: object) -> None:
    raise Diverged("killed")


@contextmanager
def _stops_at_once() -> Iterator[Stop]:
    """Asked to stop before the first step is done."""
    stop = Stop()
    stop.code = REQUEUE
    yield stop
