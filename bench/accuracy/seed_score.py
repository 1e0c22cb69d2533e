"""Why a network like the write-up's might score 0.1861 where predicting the mean scores 0.164.

    python -m bench.accuracy.seed_score DATA --work FOLDER --out bench/results/seed-score-cpu.json [--seeds 1 2]

Each candidate cause is put into a small form of the recipe `seed`, alone and some together. The result is a JSON file,
and a page (.md) beside it. DATA holds images_training_rev1.zip, training_solutions_rev1.csv, and a CSV of validation
galaxies with their own labels. Trainings that FOLDER holds already are not repeated. Each training has one thread.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.accuracy.seed_page import page
from bench.accuracy.trainings import file_of, option_parser, packed, paired, run_all
from bench.publish.made_with import made_with
from bench.scripts import write_result
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override, to_dict
from galaxy_triton.data.feed import Batch, batch_of
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.order import count_batches
from galaxy_triton.data.split import split_by_ids
from galaxy_triton.data.store import open_store
from galaxy_triton.experiments.training_steps import resident_steps
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.model.backend import choose
from galaxy_triton.model.device import keep_freed_memory
from galaxy_triton.model.head import AnswerNet
from galaxy_triton.model.views import fixed_affines
from galaxy_triton.system.whole_files import whole_file
from galaxy_triton.train.learner import Learner

# The recipe at half its resolution and a quarter of its widths, so that a training takes minutes on a core.
SMALL: dict[str, object] = {
    "preprocess.size": 80,
    "augmentation.size": 64,
    "network.widths": [16, 32, 64, 128, 128],
    "network.hidden": 128,
    "run.epochs": 12,
    "run.batch_size": 64,
    "run.device": "cpu",
}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
WORSE = 0.1861 / 0.1639  # the write-up's score in units of the mean answer's


@dataclass(frozen=True)
class Training:
    """settings: over SMALL. bias_at_half: the untrained network predicts 0.5, not the mean. norm: with batch norm."""

    settings: dict[str, object] = field(default_factory=dict)
    bias_at_half: bool = False
    norm: bool = True


@dataclass(frozen=True)
class Reading:
    """How the validation galaxies are predicted. training: modules left in training mode."""

    training: tuple[type[nn.Module], ...] = ()
    augmented: bool = False
    normalised: bool = False


TRAININGS: dict[str, Training] = {
    "the recipe": Training(),
    "bias at 0.5": Training(bias_at_half=True),
    "no batch norm": Training(norm=False),
    "no batch norm, bias at 0.5": Training(norm=False, bias_at_half=True),
    "learning rate 1e-2": Training({"optimiser.lr": 1e-2}),
    "learning rate 1e-4": Training({"optimiser.lr": 1e-4}),
    "learning rate 1e-4, bias at 0.5": Training({"optimiser.lr": 1e-4}, bias_at_half=True),
    "no batch norm, learning rate 1e-2": Training({"optimiser.lr": 1e-2}, norm=False),
    "1 epoch": Training({"run.epochs": 1}),
    "1 epoch, bias at 0.5": Training({"run.epochs": 1}, bias_at_half=True),
    "3 epochs": Training({"run.epochs": 3}),
    "3 epochs, no batch norm, bias at 0.5": Training({"run.epochs": 3}, norm=False, bias_at_half=True),
}
READINGS: dict[str, Reading] = {
    "in evaluation": Reading(),
    "dropout on": Reading((nn.Dropout,)),
    "augmented": Reading(augmented=True),
    "augmented, dropout on": Reading((nn.Dropout,), augmented=True),
    "normalised otherwise": Reading(normalised=True),
    "batch norm in training": Reading((nn.BatchNorm2d,)),
    "all in training, augmented": Reading((nn.Dropout, nn.BatchNorm2d), augmented=True),
}


@dataclass(frozen=True)
class Job:
    """One training: its name in TRAININGS, the store, the CSV of validation ids, the file to write."""

    name: str
    seed: int
    store: Path
    validation: Path
    file: Path


class AlteredLearner(Learner):
    """A learner whose network is altered before the first step, as a training wants it."""

    training: Training

    def _network(self, mean: Tensor) -> AnswerNet:
        network = super()._network(mean)
        if self.training.bias_at_half:
            nn.init.zeros_(network.answers.bias)
        if not self.training.norm:
            _without_norm(network)
        return network


def main() -> None:
    options = option_parser(__doc__).parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    store = packed(options.data, options.work, config_of(TRAININGS["the recipe"], 1).preprocess)
    keys = [(name, seed) for seed in options.seeds for name in TRAININGS]
    files = {key: file_of(options.work, _settings(*key)) for key in keys}
    validation = options.data / options.validation
    run_all(train, {file: Job(*key, store, validation, file) for key, file in files.items()}, options.jobs)
    rows = [row for name in TRAININGS for row in rows_of(name, [files[name, seed] for seed in options.seeds])]
    result = {
        "command": "python -m bench.accuracy.seed_score DATA --work FOLDER --out FILE",
        "made_with": made_with(torch.device("cpu")),
        "small": SMALL,
        "to_reproduce": WORSE,
        "seeds": len(options.seeds),
        "galaxies": int(np.load(files[keys[0]])["mean_answer"].size),
        "rows": rows,
    }
    write_result(options.out, result)
    with whole_file(options.out.with_suffix(".md"), replace=True) as file:
        file.write_text(page(result))
    for row in rows:
        print(f"{row['training']:<40} {row['asked']:<28} {row['rmse']:.4f}  {row['in_mean_answers']}")


def train(job: Job) -> None:
    """Train, and write the squared errors of the validation galaxies for each reading and for the mean."""
    torch.set_num_threads(1)
    training = TRAININGS[job.name]
    config = config_of(training, job.seed)
    backend, store = choose(override(config, {"run.norm": "layers"})), open_store(job.store)
    keep_freed_memory(backend.device)
    split = split_by_ids(store, read_ids(job.validation))
    galaxies = load(store, backend.device, lambda done: None)
    rows, asked = torch.from_numpy(split.train), torch.from_numpy(split.validation)
    mean = galaxies.answers[rows].mean(dim=0)
    steps = config.run.epochs * count_batches(len(rows), config.run.batch_size)
    learner_of = type("Learner", (AlteredLearner,), {"training": training})
    learner = learner_of(config, backend, mean, config.run.batch_size, steps)
    step = resident_steps(learner, galaxies, rows)
    for _ in range(steps):
        step()
    people = galaxies.answers[asked]
    squares = {name: _squares(predictions(learner, galaxies, asked, how), people) for name, how in READINGS.items()}
    with whole_file(job.file, replace=True) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **squares, mean_answer=_squares(mean.expand_as(people), people))


def config_of(training: Training, seed: int) -> Config:
    return override(RECIPES["seed"], SMALL | training.settings | {"run.seed": seed})


def _settings(name: str, seed: int) -> list[object]:
    training = TRAININGS[name]
    return [to_dict(config_of(training, seed)), training.bias_at_half, training.norm, list(READINGS)]


def predictions(learner: Learner, galaxies: Galaxies, rows: Tensor, how: Reading) -> Tensor:
    """One view of each galaxy, in batches of 64; fp32 [n, 37]. The network stays as it was."""
    network = learner.network.eval()
    before = deepcopy(network.state_dict())
    for module in network.modules():
        if isinstance(module, how.training):
            module.train()
    answers = torch.cat([_of_batch(learner, batch_of(galaxies, part), how) for part in rows.split(64)])
    network.load_state_dict(before)
    return answers


@torch.inference_mode()
def _of_batch(learner: Learner, batch: Batch, how: Reading) -> Tensor:
    maker, device = learner.maker, batch.places.device
    buffer = maker.empty(len(batch.places), device)
    if how.augmented:
        views = maker.random(batch, learner.seed, torch.tensor(10_000), buffer)
    else:
        side, size = batch.pixels.shape[1], learner.config.augmentation.size
        views = maker.fixed(batch, fixed_affines(1, side, size, device)[0], buffer)
    if how.normalised:
        mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
        views = (views - mean) / std
    return learner.head.probabilities(learner.network(views))


def rows_of(name: str, files: list[Path]) -> list[dict[str, object]]:
    kept = [np.load(file) for file in files]
    mean_answer = np.stack([each["mean_answer"] for each in kept])
    return [_row(name, asked, np.stack([each[asked] for each in kept]), mean_answer) for asked in READINGS]


def _row(name: str, asked: str, own: NDArray[np.float64], mean_answer: NDArray[np.float64]) -> dict[str, object]:
    ratio = paired(lambda own, mean: float(np.sqrt(own.mean() / mean.mean())), own, mean_answer)
    found = {"training": name, "asked": asked, "rmse": float(np.sqrt(own.mean())), "in_mean_answers": ratio}
    return found | {"reproduces": bool(ratio[1] <= WORSE <= ratio[2])}


def _squares(answers: Tensor, people: Tensor) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = (answers.double() - people.double()).square().mean(dim=1).numpy()
    return squares


def _without_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        else:
            _without_norm(child)


if __name__ == "__main__":
    main()
