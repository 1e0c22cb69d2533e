"""The write-up's pipeline: its batches, their sources, and what it needs."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from galaxy_triton.config.recipes import RECIPES, SEED
from galaxy_triton.config.schema import Augmentation, Config
from galaxy_triton.config.toml import override
from galaxy_triton.experiments.writeup_pipeline import ImageFiles, Labelled, differences, make_loader
from galaxy_triton.system.errors import DataFault

CPU = torch.device("cpu")


@pytest.fixture
def labelled(sky: Any) -> Labelled:
    return Labelled(sky.ids[:44], sky.answers.astype(np.float32))


@pytest.fixture
def config(tiny: dict[str, Any]) -> Config:
    return override(SEED, tiny)


@pytest.fixture
def still(config: Config) -> Config:
    """Nothing is drawn: the view is the centre of the resized image."""
    none = ("rotation", "horizontal_flip", "vertical_flip", "brightness", "contrast", "saturation", "hue")
    return override(config, {f"augmentation.{name}": 0 for name in none} | {"augmentation.crop": "centre"})


@pytest.mark.parametrize("form", ["images", "archive"])
def test_batches_hold_each_galaxy_once_an_epoch(form: str, sky: Any, labelled: Labelled, config: Config) -> None:
    loader = make_loader(getattr(sky, form), labelled, config, workers=0, device=CPU)
    batches = list(loader)
    assert [tuple(views.shape) for views, _, _ in batches] == [(12, 3, 16, 16)] * 3  # 44 = 3 * 12 + 8
    views, ids, answers = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert len(set(ids.tolist())) == 36
    np.testing.assert_array_equal(answers, labelled.answers[np.searchsorted(labelled.ids, ids.numpy())])
    assert 0 <= views.min() < views.max() <= 1


def test_views_are_the_images(sky: Any, labelled: Labelled, still: Config) -> None:
    view, number, _ = ImageFiles(sky.archive, labelled, still)[5]
    with Image.open(sky.images / f"{number}.png") as image:
        resized = np.asarray(image.resize((24, 24), Image.Resampling.BILINEAR))
    assert number == sky.ids[5]
    np.testing.assert_allclose(view.permute(1, 2, 0) * 255, resized[4:20, 4:20], atol=1e-4)


# Threads of other tests may still be there.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_worker_processes_read_the_zip(sky: Any, labelled: Labelled, still: Config) -> None:
    """Each with a handle of its own, though the parent has read too; in each epoch again."""
    here = make_loader(sky.archive, labelled, still, workers=0, device=CPU).dataset
    there = make_loader(sky.archive, labelled, still, workers=2, device=CPU)
    places = {here[place][1]: place for place in range(len(here))}
    for _ in range(2):
        for views, ids, _ in there:
            for view, number in zip(views, ids.tolist(), strict=True):
                assert torch.equal(view, here[places[number]][0])
    assert torch.equal(pickle.loads(pickle.dumps(here))[3][0], here[3][0]), "as spawned workers get it"


def test_an_absent_image_is_named(sky: Any, labelled: Labelled, config: Config) -> None:
    wanted = Labelled(np.append(labelled.ids, 7), np.append(labelled.answers, labelled.answers[:1], axis=0))
    with pytest.raises(DataFault, match="7 the first"):
        ImageFiles(sky.images, wanted, config)


def test_differences_are_named() -> None:
    of_writeup, of_best = differences(SEED.augmentation), differences(RECIPES["best"].augmentation)
    assert set(of_writeup) < set(of_best)
    assert any("zoom" in words for words in of_best)
    assert any("border" in words for words in differences(Augmentation(border="reflect")))
