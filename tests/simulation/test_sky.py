"""Simulated skies: the same bytes every time, tables that obey the tree, nothing left behind."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.data.inspect import tree_violations
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import open_store
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.simulation import sky as module
from galaxy_triton.simulation.sky import SimulationSummary, galaxy_ids, simulate, simulate_galaxy
from galaxy_triton.system.errors import DataFault, UsageFault

COUNT, SEED, VOLUNTEERS = 5, 3, 40


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulationSummary]:
    out = tmp_path_factory.mktemp("simulated") / "sky"
    return out, simulate(out, COUNT, SEED, volunteers=VOLUNTEERS, workers=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_bytes_are_the_same_with_one_worker(small: tuple[Path, SimulationSummary], tmp_path: Path) -> None:
    simulate(tmp_path / "sky", COUNT, SEED, volunteers=VOLUNTEERS, workers=1)
    assert contents(tmp_path / "sky") == contents(small[0])


def test_a_galaxy_does_not_depend_on_the_count(small: tuple[Path, SimulationSummary], tmp_path: Path) -> None:
    simulate(tmp_path / "sky", 2, SEED, volunteers=VOLUNTEERS, workers=1)
    fewer, more = contents(tmp_path / "sky"), contents(small[0])
    pictures = [name for name in fewer if name.endswith(".jpg")]
    assert len(pictures) == 2
    assert all(fewer[name] == more[name] for name in pictures)
    rows = fewer["training_solutions_rev1.csv"].splitlines()
    assert set(rows) <= set(more["training_solutions_rev1.csv"].splitlines())


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


def test_tables_obey_the_tree(small: tuple[Path, SimulationSummary]) -> None:
    out, summary = small
    for name in ("training_solutions_rev1.csv", "true_probabilities.csv"):
        ids, answers = read_answers(out / name)
        assert ids.tolist() == sorted(int(file.stem) for file in summary.images.iterdir())
        assert max(tree_violations(answers).values()) < 1e-6


def test_votes_are_those_of_the_volunteers(small: tuple[Path, SimulationSummary]) -> None:
    _, votes = read_answers(small[1].labels)
    assert np.abs(votes * VOLUNTEERS - np.round(votes * VOLUNTEERS)).max() < 1e-4


def test_noise_floor_is_the_rmse_of_the_tables(small: tuple[Path, SimulationSummary]) -> None:
    out, summary = small
    (_, votes), (_, truth) = (read_answers(out / name) for name in (summary.labels.name, "true_probabilities.csv"))
    direct = np.sqrt(np.mean((votes.astype(np.float64) - truth) ** 2))
    assert summary.noise_floor == pytest.approx(direct, rel=1e-5)
    written = json.loads((out / "noise_floor.json").read_text())
    assert written == {"version": 1, "rmse": summary.noise_floor, "count": COUNT, "seed": SEED, "volunteers": 40}


def test_pictures_are_as_the_challenges(small: tuple[Path, SimulationSummary]) -> None:
    for file in small[1].images.iterdir():
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (424, 424))
            pixels = np.asarray(image).astype(float)
        # the sky is nearly black, and the target, in the middle, is not
        assert np.median(pixels) < 20
        assert pixels[202:222, 202:222].mean() > 60


def test_sky_packs(small: tuple[Path, SimulationSummary], tmp_path: Path) -> None:
    out, summary = small
    packed = pack(out, summary.labels, tmp_path / "store", size=32, workers=1)
    assert (packed.images, packed.labelled, packed.converted) == (COUNT, COUNT, {})
    assert open_store(tmp_path / "store").names is None


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    simulate(tmp_path / "sky", 3, 1, workers=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


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
