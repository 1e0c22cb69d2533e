"""The write-up's input pipeline: image files, decoded by Pillow and transformed by torchvision in the workers of a
DataLoader, in every epoch again. `ablate` and the benchmarks compare with it."""

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
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
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.untrusted_files import read_entry


class Labelled(NamedTuple):
    """Images to train on: ids int64 [N], and their answers float32 [N, 37]."""

    ids: NDArray[np.int64]
    answers: NDArray[np.float32]


Sample = tuple[Tensor, int, Tensor]  # a view, an id and the answers


class ImageFiles(Dataset[Sample]):
    """Image files of a folder or zip, one at a time: (view fp32 [3, V, V], id, answers fp32 [37]).

    Raises:
        ImportError: torchvision is not installed.
        DataFault: an id without an image, or what `open_images` raises.
    """

    def __init__(self, images: Path, labelled: Labelled, config: Config) -> None:
        self.transform = transforms_of(config.preprocess, config.augmentation)
        self.ids, self.answers = labelled.ids, torch.from_numpy(np.array(labelled.answers))
        with open_images(images) as source:
            rows = rows_of(np.array([entry.id for entry in source.entries], dtype=np.int64), labelled.ids)
            if (missing := labelled.ids[rows < 0]).size:
                got = f"none for {missing.size} of them, {missing[0]} the first"
                do = "give the images that the store was packed from"
                raise DataFault(expected("an image for every galaxy of the store", got, images, do))
            self.entries = [source.entries[row] for row in rows]
            self.read = source.read if images.is_dir() else functools.partial(_read_zipped, images)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        with Image.open(io.BytesIO(self.read(self.entries[index]))) as image:
            return self.transform(image.convert("RGB")), int(self.ids[index]), self.answers[index]


def make_loader(
    images: Path, labelled: Labelled, config: Config, *, workers: int, device: torch.device
) -> DataLoader[Sample]:
    """A loader of batches of `config.run.batch_size`: views fp32 [B, 3, V, V], ids int64 [B], answers fp32 [B, 37].

    `config.run.seed` draws a new order for each epoch; its incomplete last batch is dropped.

    Raises:
        ImportError, DataFault: what `ImageFiles` raises.
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
    )


def transforms_of(preprocess: Preprocess, augmentation: Augmentation) -> Callable[[object], Tensor]:
    """The torchvision transforms that come nearest to a recipe: Pillow image -> fp32 [3, V, V] in [0, 1].

    Raises:
        ImportError: torchvision is not installed.
    """
    from torchvision import transforms as t

    a = augmentation
    bilinear, jitter = t.InterpolationMode.BILINEAR, (a.brightness, a.contrast, a.saturation, a.hue)
    if a.zoom == 1 and a.shift == 0:
        rotation = t.RandomRotation(a.rotation, bilinear)
    else:
        rotation = t.RandomAffine(a.rotation, (a.shift, a.shift), (1 / a.zoom, a.zoom), interpolation=bilinear)
    steps: Callable[[object], Tensor] = t.Compose(
        [
            *([t.CenterCrop(preprocess.crop)] if preprocess.crop < preprocess.frame else []),
            t.Resize(preprocess.size),
            rotation,
            t.RandomHorizontalFlip(a.horizontal_flip),
            t.RandomVerticalFlip(a.vertical_flip),
            t.RandomCrop(a.size) if a.crop == "random" else t.CenterCrop(a.size),
            *([t.ColorJitter(*jitter)] if any(jitter) else []),
            t.ToTensor(),
        ]
    )
    return steps


def differences(augmentation: Augmentation) -> tuple[str, ...]:
    """How the views of torchvision's transforms differ from those of the recipe, in words."""
    found = {
        "8 bits between its steps": True,
        "zoom uniform, not log-uniform": augmentation.zoom > 1,
        "shift by whole pixels": augmentation.shift > 0,
        "black border": augmentation.border != "zeros",
    }
    return tuple(words for words, holds in found.items() if holds)


def _read_zipped(path: Path, entry: Entry) -> bytes:
    return read_entry(_zip(path, os.getpid()), entry.name)


@functools.lru_cache(maxsize=1)
def _zip(path: Path, process: int) -> ZipFile:
    """The open zip of this process: a worker must not share its parent's, which has one file position."""
    return ZipFile(path)
