"""A network and what it takes to ask it: answers averaged over fixed views."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config, Preprocess
from galaxy_triton.config.toml import override
from galaxy_triton.data.feed import Batch, batches
from galaxy_triton.data.folds import FOLDS
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.data.order import slices
from galaxy_triton.model import head as heads
from galaxy_triton.model.backend import Backend, choose
from galaxy_triton.model.device import keep_freed_memory
from galaxy_triton.model.views import AS_STORED, Pose, ViewMaker, fixed_affines
from galaxy_triton.predict.average import mean
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import Checkpoint, load
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.whole_files import find_whole

Answers = NDArray[np.float32]  # [n, 37], unless something else than the mean over views is asked for


@dataclass(frozen=True)
class Asking:
    """How a run's network is asked. which: the checkpoint, "last" or "best". views: fixed views averaged."""

    which: str = run_folder.LAST
    views: int = 16
    device: str = "auto"
    batch_size: int = 256


@dataclass(frozen=True)
class Predictor:
    """A network with what it takes to ask it."""

    network: nn.Module
    head: heads.Head
    maker: ViewMaker
    backend: Backend
    config: Config

    def answer(
        self,
        galaxies: Galaxies,
        rows: Tensor,
        views: int,
        batch_size: int,
        progress: Callable[[int], None],
        of_views: Callable[[Tensor], Tensor] = mean,
        pose: Pose = AS_STORED,
    ) -> Answers:
        """The mean answers over `views` fixed rotations and flips, or what else is made of them.

        Args:
            galaxies: their ids on the network's device, their pixels there or in the host's memory.
            rows: int64 [n], on that device too.
            views: how many.
            batch_size: galaxies at a time.
            progress: takes the galaxies done so far.
            of_views: the answers to all views of some galaxies, fp32 [V, B, 37] -> what to return of them, [B, m].
            pose: how the galaxies are turned and mirrored first.

        Returns:
            float32 [n, m]; of the mean [n, 37], in [0, 1].
        """
        self.network.eval()
        side, size = galaxies.pixels.shape[1], self.maker.augmentation.size
        affines = fixed_affines(views, side, size, rows.device, pose)
        buffer = self.maker.empty(min(batch_size, len(rows)), rows.device)
        parts = list(slices(len(rows), batch_size))
        done = [of_views(torch.empty(views, 0, 37, device=rows.device))]
        with torch.inference_mode():
            for part, batch in zip(parts, batches(galaxies, [rows[part] for part in parts]), strict=True):
                done.append(of_views(torch.stack([self._ask(batch, affine, buffer) for affine in affines])))
                progress(part.stop)
        return torch.cat(done).cpu().numpy()

    def answer_pixels(
        self,
        pixels: NDArray[np.uint8],
        views: int,
        batch_size: int,
        of_views: Callable[[Tensor], Tensor] = mean,
    ) -> Answers:
        """As `answer`, of images that are in no store: uint8 [n, S, S, 4]."""
        device = self.backend.device
        rows = torch.arange(len(pixels), device=device)
        none = torch.full((len(pixels), 37), torch.nan, device=device)
        galaxies = Galaxies(torch.from_numpy(pixels).to(device), rows, none)
        return self.answer(galaxies, rows, views, batch_size, lambda done: None, of_views)

    def _ask(self, batch: Batch, affine: Tensor, buffer: Tensor) -> Tensor:
        views = self.maker.fixed(batch, affine, buffer)
        with self.backend.autocast():
            logits = self.network(views)
        return self.head.probabilities(logits)


def open_run(run: Path, which: str, device: str) -> Predictor:
    """The network of a run's checkpoint `which` ("last" or "best"), on `device` ("auto", "cuda", "mps" or "cpu").

    Raises:
        DataFault: no run or checkpoint there, or weights that are not of the network it describes.
        UsageFault: no such device here.
    """
    checkpoint = checkpoint_of(run, which)
    # Implementations are chosen anew: a run trained on one machine, or by several processes, is asked on another.
    settings = {f"run.{name}": "auto" for name in ("precision", "augment", "loss", "body", "norm", "resident")}
    off = {"run.sync_norm": False, "run.deterministic": False}  # of training alone
    config = override(checkpoint.config, {**settings, **off, "run.device": device})
    return make_predictor(checkpoint, config, choose(config))


def checkpoint_of(run: Path, which: str) -> Checkpoint:
    """A run's checkpoint `which`, "last" or "best".

    Raises:
        DataFault: no run or checkpoint there, or a cross-validation, which has a run for each fold.
    """
    run_folder.read_config(run)
    if (run / FOLDS).is_file():
        do = f"name a fold's, such as {run / 'fold-1'}"
        raise DataFault(expected("the folder of one run", "a cross-validation's", run, do))
    if not find_whole(run / which).exists():
        first = f"go on with galaxy-triton train --run {run} --resume"
        do = first if which == run_folder.LAST else "ask for --checkpoint last"
        raise DataFault(expected(f"the checkpoint {which}", "a run without it", run, do))
    return load(run / which)


def make_predictor(checkpoint: Checkpoint, config: Config, backend: Backend) -> Predictor:
    """The network of a checkpoint, ready to be asked on this machine.

    Raises:
        DataFault: the weights are not of the network that the configuration describes.
    """
    check_weights(checkpoint)
    network = heads.make_network(config.network)
    network.load_state_dict(checkpoint.prediction_weights)
    network.to(backend.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    keep_freed_memory(backend.device)
    maker = ViewMaker(config.augmentation, backend.dtype, impl=backend.augment.name)
    return Predictor(network, heads.HEADS[config.network.head], maker, backend, config)


def check_weights(checkpoint: Checkpoint) -> None:
    """Raise unless the weights of a checkpoint are of the network that it describes.

    Raises:
        DataFault: they are of another.
    """
    network = checkpoint.config.network
    try:
        heads.check_shapes(network, checkpoint.prediction_weights)
    except RuntimeError as error:
        got, do = str(error).splitlines()[-1].strip(), "use the checkpoint of this run"
        raise DataFault(expected(f"the weights of {network.name}", got, "the checkpoint", do)) from error


def check_finite(answers: Answers, network: str) -> None:
    """Raise unless all answers of a network, called `network`, are numbers.

    Raises:
        DataFault: one is none.
    """
    if not np.isfinite(answers).all():
        do = "train with a lower --lr; an earlier checkpoint may be whole"
        raise DataFault(expected("finite answers", "nan", network, do))


def check_preprocess(wanted: Preprocess, store: Preprocess, where: object) -> None:
    """Raise unless a store was packed as a run needs it.

    Raises:
        DataFault: the two differ; both are named.
    """
    if wanted != store:
        pack = f"pack with --crop {wanted.crop} --size {wanted.size}"
        fits = [f"--recipe {name}" for name, config in RECIPES.items() if config.preprocess == store]
        do = f"{pack}, or train on this store with {' or '.join(fits) or '--set ' + _differing(store, wanted)}"
        raise DataFault(expected(f"a store of {wanted}", store, where, do))


def _differing(store: Preprocess, wanted: Preprocess) -> str:
    names = [name for name in ("frame", "crop", "size") if getattr(store, name) != getattr(wanted, name)]
    return " --set ".join(f"preprocess.{name}={getattr(store, name)}" for name in names)
