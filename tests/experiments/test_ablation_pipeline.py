"""The seed's pipeline: its batches, where they come from, and what it needs."""

import builtins
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from galaxy_triton.config.recipes import RECIPES, SEED
from galaxy_triton.config.schema import Augmentation, Config
from galaxy_triton.config.toml import override
from galaxy_triton.experiments.ablation_pipeline import ImageFiles, Labelled, differences, endless, make_loader
from galaxy_triton.system.errors import DataFault, UsageFault

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
    assert [tuple(batch.views.shape) for batch in batches] == [(12, 3, 16, 16)] * 3  # 44 = 3 * 12 + 8
    ids = torch.cat([batch.ids for batch in batches]).numpy()
    assert len(set(ids)) == 36
    rows = np.searchsorted(labelled.ids, ids)
    np.testing.assert_array_equal(torch.cat([batch.answers for batch in batches]), labelled.answers[rows])
    assert all(0 <= batch.views.min() < batch.views.max() <= 1 for batch in batches)


def test_views_are_the_images(sky: Any, labelled: Labelled, still: Config) -> None:
    view, number, _ = ImageFiles(sky.archive, labelled, still)[5]
    with Image.open(sky.images / f"{number}.png") as image:
        resized = np.asarray(image.resize((24, 24), Image.Resampling.BILINEAR))
    assert number == sky.ids[5]
    np.testing.assert_allclose(view.permute(1, 2, 0) * 255, resized[4:20, 4:20], atol=1e-4)


# Threads of other tests may still be there.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_worker_processes_read_the_zip(sky: Any, labelled: Labelled, still: Config) -> None:
    """Each with a handle of its own, though the parent has read too; and one epoch follows the other."""
    alone = make_loader(sky.archive, labelled, still, workers=0, device=CPU)
    assert pickle.loads(pickle.dumps(alone.dataset))[3][1] == alone.dataset[3][1], "as spawned workers take it"
    batches, others = endless(alone), endless(make_loader(sky.archive, labelled, still, workers=2, device=CPU))
    for _ in range(5):
        ours, theirs = next(batches), next(others)
        assert len(ours.ids) == len(theirs.ids) == 12
    assert theirs.views.isfinite().all()


def test_an_absent_image_is_named(sky: Any, labelled: Labelled, config: Config) -> None:
    wanted = Labelled(np.append(labelled.ids, 7), np.append(labelled.answers, labelled.answers[:1], axis=0))
    with pytest.raises(DataFault, match="none for 1 of them, 7 the first"):
        ImageFiles(sky.images, wanted, config)


def test_torchvision_is_asked_for(
    sky: Any, labelled: Labelled, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("torchvision"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageFault, match=r"pip install '\.\[models\]'"):
        ImageFiles(Path(sky.images), labelled, config)


def test_differences_are_named() -> None:
    assert differences(SEED.augmentation) == ("8 bits between its steps",)
    of_best = differences(RECIPES["best"].augmentation)
    assert {"zoom uniform, not log-uniform", "shift by whole pixels"} < set(of_best)
    assert "black border" in differences(Augmentation(border="reflect"))
