"""The first run: without a store a sky is drawn, kept, used again, trained on and reported."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.runs.folder import read_split
from galaxy_triton.simulation import cache, first_run
from galaxy_triton.system.errors import DataFault

COUNT = 24
SMALL = ("--epochs", 1, "--width", "4,8", "--set", "preprocess.size=24", "--set", "augmentation.size=16")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, somewhere else than the user's; the sky is small."""
    monkeypatch.setattr(cache, "user_cache_path", lambda *name, **options: tmp_path / "cache" / "galaxy-triton")
    monkeypatch.setattr(first_run, "COUNT", COUNT)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "galaxy-triton"


def test_first_run(kept: Path, tmp_path: Path, succeed: Callable[..., str]) -> None:
    said = succeed("train", *SMALL, "--run", "first")
    assert f"24 simulated galaxies, drawn once and kept in {kept}" in said
    assert "recipe     demo: galaxy-vgg, 1 epochs" in said
    assert (tmp_path / "first" / "report.html").is_file()
    floor = float(said.split("noise floor")[1].split()[0])
    assert floor == pytest.approx(noise_floor_of(kept, tmp_path / "first"), abs=6e-5)

    drawn = {file: file.stat().st_mtime_ns for file in kept.rglob("*.*")}
    said = succeed("train", *SMALL, "--run", "second")
    assert f"24 simulated galaxies, kept in {kept}" in said
    assert {file: file.stat().st_mtime_ns for file in kept.rglob("*.*")} == drawn
    weights = [(tmp_path / run / "last" / "weights.safetensors").read_bytes() for run in ("first", "second")]
    assert weights[0] == weights[1]

    # the cache may be cleared at any time: the sky is a function of its seed
    succeed("cache", "--clear")
    (tmp_path / "first" / "report.html").unlink()
    assert "drawn once" in succeed("train", "--run", "first", "--resume")
    assert (tmp_path / "first" / "report.html").is_file()


def noise_floor_of(kept: Path, run: Path) -> float:
    """From the tables and the split, as a reader would."""
    (sky,) = kept.glob("sky-*/training_solutions_rev1.csv")
    tables = [dict(zip(*read_answers(sky.with_name(n)), strict=True)) for n in (sky.name, "true_probabilities.csv")]
    votes, truth = ([table[number] for number in read_split(run).validation] for table in tables)
    return rmse(np.array(truth), np.array(votes))


def test_dry_run_draws_nothing(kept: Path, tmp_path: Path, succeed: Callable[..., str]) -> None:
    said = succeed("train", *SMALL, "--dry-run")
    assert "Would draw and pack 24 simulated galaxies" in said
    assert "Would train epochs 1 to 1, 1 steps each; would draw the report in runs/demo-" in said
    assert list(tmp_path.iterdir()) == []


def test_every_recipe_has_its_store(kept: Path) -> None:
    """One sky, packed as each recipe wants it."""
    skies = [first_run.demo_sky(Preprocess(*sides)) for sides in ((424, 424, 160), (424, 207, 160), (424, 424, 69))]
    assert len({sky.folder for sky in skies}) == 1
    assert len({sky.store for sky in skies}) == 3


def test_cache(kept: Path, succeed: Callable[..., str]) -> None:
    assert f"Nothing is kept in {kept}" in succeed("cache")
    assert not kept.exists()
    (kept / "sky-1" / "images").mkdir(parents=True)
    (kept / "sky-1" / "images" / "1.jpg").write_bytes(bytes(3 * 2**20))
    (kept / "sky-2.partial").mkdir()  # of a process that was killed
    said = succeed("cache")
    assert f"3.0 MiB  {kept / 'sky-1'}" in said
    assert str(kept / "sky-2.partial") in said
    assert succeed("cache", "--clear").count("removed") == 2
    assert f"Nothing is kept in {kept}" in succeed("cache")


def test_one_process_changes_the_cache_at_a_time(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two first runs on a shared disk draw one sky; the second of them waits."""
    kept.mkdir(parents=True)
    monkeypatch.setattr(cache, "WAIT", 0)
    with FileLock(kept / cache.LOCK), pytest.raises(DataFault, match="Expected a free cache"):
        cache.clear_cache()
    assert cache.clear_cache() == []


def test_folds_of_the_sky(kept: Path, tmp_path: Path, succeed: Callable[..., str]) -> None:
    """Without a store the simulated sky is cross-validated: said before it is drawn, trained on after."""
    said = succeed("train", *SMALL, "--folds", 2, "--dry-run")
    assert "Would draw and pack 24 simulated galaxies" in said
    assert "Would train 2 folds, 1 epochs each, in runs/demo-folds-" in said
    assert list(tmp_path.iterdir()) == []
    said = succeed("train", *SMALL, "--folds", 2, "--run", "cv")
    assert "fold       2 of 2: 12 to train on, 12 to validate on" in said
    assert "validation galaxies: 24, views: 16" in said
