"""Simulated skies: the same bytes every time, tables that obey the tree, nothing left behind."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.galaxyzoo.tree import gaps
from galaxy_triton.simulation import sky as module
from galaxy_triton.simulation.sky import IMAGES, NOISE_FLOOR, TRUTH, VOTES, galaxy_ids, simulate, simulate_galaxy
from galaxy_triton.system.errors import DataFault, UsageFault

COUNT, SEED, VOLUNTEERS = 4, 3, 40


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calls: list[tuple[int, int]] = []
    out = tmp_path_factory.mktemp("simulated") / "sky"
    rmse = simulate(out, COUNT, SEED, volunteers=VOLUNTEERS, workers=2, progress=lambda *at: calls.append(at))
    assert calls == [(done, COUNT) for done in range(1, COUNT + 1)]
    assert json.loads((out / NOISE_FLOOR).read_text())["rmse"] == rmse
    return out


def test_a_galaxy_does_not_depend_on_count_or_workers(small: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "sky", 2, SEED, volunteers=VOLUNTEERS, workers=1)
    pictures = list((tmp_path / "sky" / IMAGES).iterdir())
    assert len(pictures) == 2
    assert all(file.read_bytes() == (small / IMAGES / file.name).read_bytes() for file in pictures)
    for name in (VOTES, TRUTH):
        rows = (tmp_path / "sky" / name).read_text().splitlines()
        assert set(rows) < set((small / name).read_text().splitlines())


def test_volunteers_change_votes_alone() -> None:
    (_, few, some), (_, many, others) = simulate_galaxy(1, 0, 10), simulate_galaxy(1, 0, 1000)
    assert np.array_equal(few, many)
    assert np.array_equal(some.truth, others.truth)
    assert not np.array_equal(some.votes, others.votes)


def test_seeds_and_indices_differ() -> None:
    pictures = [simulate_galaxy(seed, index, 1)[1] for seed, index in ((1, 0), (1, 1), (2, 0))]
    assert not any(np.array_equal(a, b) for a, b in zip(pictures, [*pictures[1:], pictures[0]], strict=True))


def test_galaxy_ids_are_kaggle_like() -> None:
    ids = galaxy_ids(7, 900_000)
    assert np.array_equal(np.sort(ids), np.arange(100_000, 1_000_000))
    assert np.array_equal(galaxy_ids(7, 10), ids[:10])


def test_tables_obey_the_tree(small: Path) -> None:
    """Fractions of so many volunteers, the probabilities behind them, and the RMSE between the two."""
    (ids, votes), (same, truth) = (read_answers(small / name) for name in (VOTES, TRUTH))
    assert ids.tolist() == same.tolist() == sorted(int(file.stem) for file in (small / IMAGES).iterdir())
    assert gaps(np.concatenate((votes, truth))).max() < 1e-6
    assert np.abs(votes * VOLUNTEERS - np.round(votes * VOLUNTEERS)).max() < 1e-4
    rmse = np.sqrt(np.mean((votes.astype(np.float64) - truth) ** 2))
    written = json.loads((small / NOISE_FLOOR).read_text())
    assert written.pop("rmse") == pytest.approx(rmse, rel=1e-5)
    assert written == {"version": 1, "count": COUNT, "seed": SEED, "volunteers": VOLUNTEERS}


def test_pictures_are_as_the_challenges(small: Path) -> None:
    for file in (small / IMAGES).iterdir():
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (424, 424))
            pixels = np.asarray(image).astype(float)
        # the sky is nearly black, and the target, in the middle, is not
        assert np.median(pixels) < 20
        assert pixels[202:222, 202:222].mean() > 60


@pytest.mark.parametrize(
    "wrong",
    [{"count": 0}, {"count": 900_001}, {"seed": -1}, {"seed": 2**63}, {"volunteers": 0}, {"workers": 0}],
    ids=str,
)
def test_simulate_refuses(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=f"Expected {next(iter(wrong))} "):
        simulate(tmp_path / "sky", **{"count": 1, "seed": 1, "workers": 1, **wrong})
    assert list(tmp_path.iterdir()) == []


def no_space(*args: object) -> NDArray[np.uint8]:
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "render", no_space)
    with pytest.raises(DataFault, match="No space left on device"):
        simulate(tmp_path / "sky", 4, 1, workers=2)
    assert list(tmp_path.iterdir()) == []
