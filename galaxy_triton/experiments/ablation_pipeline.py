"""The input pipeline that this project began with: image files, decoded by Pillow and transformed by torchvision in the
worker processes of a DataLoader, each epoch anew. What `ablate` and the benchmarks compare with."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from galaxy_triton.config.schema import Augmentation, Config, Preprocess
from galaxy_triton.data.images import Entry, open_images
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.untrusted_files import read_entry

MODELS_EXTRA = "pip install '.[models]'"


class Labelled(NamedTuple):
    """Which images to train on: ids int64 [N], and their answers float32 [N, 37]."""

    ids: NDArray[np.int64]
    answers: NDArray[np.float32]


class SeedBatch(NamedTuple):
    """views fp32 [B, 3, V, V] in [0, 1], ids int64 [B], answers fp32 [B, 37]; on the CPU."""

    views: Tensor
    ids: Tensor
    answers: Tensor


Sample = tuple[Tensor, int, Tensor]


class ImageFiles(Dataset[Sample]):
    """Image files of a folder or zip, one at a time: (view fp32 [3, V, V], id, answers fp32 [37]).

    Raises:
        UsageFault: torchvision is not installed.
        DataFault: what `open_images` raises; an id without an image.
    """

    def __init__(self, images: Path, labelled: Labelled, config: Config) -> None:
        self.transform = transforms_of(config.preprocess, config.augmentation)
        self.answers = torch.from_numpy(np.array(labelled.answers))
        with open_images(images) as source:
            self.entries = _entries(source.entries, labelled.ids, images)
            self.read = source.read if images.is_dir() else _ZipReader(images)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        with Image.open(io.BytesIO(self.read(entry))) as image:
            return self.transform(image.convert("RGB")), entry.id, self.answers[index]


def make_loader(
    images: Path, labelled: Labelled, config: Config, *, workers: int, device: torch.device
) -> DataLoader[Sample]:
    """A loader of SeedBatches of `config.run.batch_size`, in an order drawn anew each epoch from `config.run.seed`;
    what is left over at the end of an epoch is dropped.

    Raises:
        UsageFault, DataFault: as `ImageFiles`.
    """
    return DataLoader(
        ImageFiles(images, labelled, config),
        batch_size=min(config.run.batch_size, len(labelled.ids)),
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        generator=torch.Generator().manual_seed(config.run.seed),
        collate_fn=_collate,
    )


def endless(loader: DataLoader[Sample]) -> Iterator[SeedBatch]:
    """The batches of one epoch after the other."""
    while True:
        yield from loader


def transforms_of(preprocess: Preprocess, augmentation: Augmentation) -> Callable[[object], Tensor]:
    """torchvision's transforms that come nearest to a recipe, from a Pillow image to fp32 [3, V, V] in [0, 1].

    Raises:
        UsageFault: torchvision is not installed.
    """
    t = _torchvision_transforms()
    a, jitter = augmentation, _jitter(augmentation)
    composed: Callable[[object], Tensor] = t.Compose(
        [
            *([t.CenterCrop(preprocess.crop)] if preprocess.crop < preprocess.frame else []),
            t.Resize(preprocess.size),
            _turned(t, a),
            t.RandomHorizontalFlip(a.horizontal_flip),
            t.RandomVerticalFlip(a.vertical_flip),
            t.RandomCrop(a.size) if a.crop == "random" else t.CenterCrop(a.size),
            *([t.ColorJitter(*jitter)] if any(jitter) else []),
            t.ToTensor(),
        ]
    )
    return composed


def differences(augmentation: Augmentation) -> tuple[str, ...]:
    """What torchvision's transforms do otherwise than the recipe asks, in words."""
    zoom, shift = augmentation.zoom > 1, augmentation.shift > 0
    found = {
        "8 bits between its steps": True,
        "zoom uniform, not log-uniform": zoom,
        "shift by whole pixels": shift,
        "black border": augmentation.border != "zeros",
    }
    return tuple(words for words, holds in found.items() if holds)


def _turned(t: ModuleType, a: Augmentation) -> Callable[[object], object]:
    """The rotation, with zoom and shift in the same interpolation where the recipe has them."""
    bilinear = t.InterpolationMode.BILINEAR
    turned: Callable[[object], object]
    if a.zoom == 1 and a.shift == 0:
        turned = t.RandomRotation(a.rotation, bilinear)
    else:
        turned = t.RandomAffine(a.rotation, (a.shift, a.shift), (1 / a.zoom, a.zoom), interpolation=bilinear)
    return turned


def _jitter(a: Augmentation) -> tuple[float, float, float, float]:
    return a.brightness, a.contrast, a.saturation, a.hue


def _collate(samples: list[Sample]) -> SeedBatch:
    views, ids, answers = zip(*samples, strict=True)
    return SeedBatch(torch.stack(views), torch.tensor(ids), torch.stack(answers))


def _entries(entries: tuple[Entry, ...], ids: NDArray[np.int64], images: Path) -> list[Entry]:
    """The entry of each id, in the order of the ids."""
    rows = rows_of(np.array([entry.id for entry in entries], dtype=np.int64), ids)
    if (missing := ids[rows < 0]).size:
        got = f"none for {missing.size} of them, {missing[0]} the first"
        do = "give the images it was packed from"
        raise DataFault(expected("an image for every galaxy of the store", got, images, do))
    return [entries[row] for row in rows]


class _ZipReader:
    """Reads the entries of a zip, with a handle of its own in each process: a handle has one file position."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handles: dict[int, ZipFile] = {}  # by process

    def __call__(self, entry: Entry) -> bytes:
        if os.getpid() not in self.handles:
            self.handles = {os.getpid(): ZipFile(self.path)}
        return read_entry(self.handles[os.getpid()], entry.name)

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "handles": {}}


def _torchvision_transforms() -> ModuleType:
    try:
        from torchvision import transforms
    # RuntimeError: one that was built for another torch
    except (ImportError, RuntimeError) as error:
        want = "torchvision for the seed's pipeline"
        raise UsageFault(expected(want, "none that works", error, MODELS_EXTRA)) from error
    found: ModuleType = transforms
    return found
