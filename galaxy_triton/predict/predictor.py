"""A trained network that answers galaxies, averaged over fixed views."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.data.feed import Batch, batches
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.data.order import slices
from galaxy_triton.model import head as heads
from galaxy_triton.model.backend import Backend, choose
from galaxy_triton.model.device import keep_freed_memory
from galaxy_triton.model.views import AS_STORED, Pose, ViewMaker, fixed_affines
from galaxy_triton.predict.average import mean
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import Checkpoint, check_weights, read_checkpoint
from galaxy_triton.system.errors import DataFault, expected

Answers = NDArray[np.float32]  # [n, 37]; [n, m] where views are combined otherwise than to their mean


@dataclass(frozen=True)
class PredictOptions:
    """How a run's network answers.

    which: the checkpoint, "last" or "best". views: fixed rotations and flips to average over. batch_size: galaxies at
    a time.
    """

    which: str = run_folder.LAST
    views: int = 16
    device: str = "auto"
    batch_size: int = 256


@dataclass(frozen=True)
class Predictor:
    """A network, its head, and the views and backend that it is used with."""

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
        combine: Callable[[Tensor], Tensor] = mean,
        pose: Pose = AS_STORED,
    ) -> Answers:
        """The mean answers of galaxies over `views` fixed rotations and flips.

        Args:
            galaxies: ids on the network's device; pixels there or in the host's memory.
            rows: int64 [n], the galaxies to answer, on the network's device.
            batch_size: galaxies at a time.
            progress: called with the number of galaxies done.
            combine: maps the answers to all views of a batch, fp32 [V, B, 37], to the result [B, m].
            pose: how each galaxy is turned and mirrored before its views are made.

        Returns:
            float32 [n, m]; for the mean [n, 37], in [0, 1].
        """
        self.network.eval()
        side, size = galaxies.pixels.shape[1], self.maker.augmentation.size
        affines = fixed_affines(views, side, size, rows.device, pose)
        buffer = self.maker.empty(min(batch_size, len(rows)), rows.device)
        parts = list(slices(len(rows), batch_size))
        done = [combine(torch.empty(views, 0, 37, device=rows.device))]
        with torch.inference_mode():
            for part, batch in zip(parts, batches(galaxies, [rows[part] for part in parts]), strict=True):
                done.append(combine(torch.stack([self._answer_view(batch, affine, buffer) for affine in affines])))
                progress(part.stop)
        return torch.cat(done).cpu().numpy()

    def answer_pixels(
        self,
        pixels: NDArray[np.uint8],
        views: int,
        batch_size: int,
        combine: Callable[[Tensor], Tensor] = mean,
    ) -> Answers:
        """As `answer`, for images outside any store: uint8 [n, S, S, 4]."""
        device = self.backend.device
        rows = torch.arange(len(pixels), device=device)
        unknown = torch.full((len(pixels), 37), torch.nan, device=device)
        galaxies = Galaxies(torch.from_numpy(pixels).to(device), rows, unknown)
        return self.answer(galaxies, rows, views, batch_size, lambda done: None, combine)

    def _answer_view(self, batch: Batch, affine: Tensor, buffer: Tensor) -> Tensor:
        views = self.maker.fixed(batch, affine, buffer)
        with self.backend.autocast():
            logits = self.network(views)
        return self.head.probabilities(logits)


def load_predictor(run: Path, which: str, device: str) -> Predictor:
    """The network of a run's checkpoint `which` ("last" or "best"), on `device` ("auto", "cuda", "mps" or "cpu").

    Raises:
        DataFault: what `read_checkpoint` raises.
        UsageFault: the device is not present.
    """
    checkpoint = read_checkpoint(run, which)
    # Choose implementations again: the run may have been trained on another machine, or by several processes.
    settings = {f"run.{name}": "auto" for name in ("precision", "augment", "loss", "body", "norm", "resident")}
    off = {"run.sync_norm": False, "run.deterministic": False}  # concern training only
    config = override(checkpoint.config, {**settings, **off, "run.device": device})
    return make_predictor(checkpoint, config, choose(config))


def make_predictor(checkpoint: Checkpoint, config: Config, backend: Backend) -> Predictor:
    """The network of a checkpoint on the device of `backend`, with averaged weights where there are any.

    Raises:
        DataFault: the weights are not of the network that the checkpoint's configuration describes.
    """
    check_weights(checkpoint)
    network = heads.make_network(config.network)
    network.load_state_dict(checkpoint.prediction_weights)
    network.to(backend.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    keep_freed_memory(backend.device)
    maker = ViewMaker(config.augmentation, backend.dtype, impl=backend.augment.name)
    return Predictor(network, heads.HEADS[config.network.head], maker, backend, config)


def check_finite(answers: Answers, network: str) -> None:
    """Raise unless all answers of a network are finite. network: how the message calls it.

    Raises:
        DataFault: an answer is NaN or infinite.
    """
    if not np.isfinite(answers).all():
        do = "try --checkpoint best, or train with a lower --lr"
        raise DataFault(expected("finite answers", "nan", network, do))
