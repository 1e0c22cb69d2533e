"""The noise floor of the galaxies that a run on a simulated sky validates on."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.accuracy.sky import noise_floor
from galaxy_triton.data.pack import pack
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import open_store
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.simulation.sky import IMAGES, NOISE_FLOOR, VOTES, simulate


def test_noise_floor_is_of_the_galaxies_held_out(tmp_path: Path) -> None:
    """Of all of them it is what `simulate` says; of two parts their mean square is."""
    simulate(tmp_path / "sky", 12, 1, workers=1)
    pack(tmp_path / "sky" / IMAGES, tmp_path / "sky" / VOTES, tmp_path / "store", size=24, workers=1)
    rows, store = np.arange(12), open_store(tmp_path / "store")

    def floor(held_out: np.ndarray) -> float:
        run_folder.write_split(tmp_path, store, Split(np.setdiff1d(rows, held_out), held_out))
        return noise_floor(tmp_path / "sky", tmp_path / "store", tmp_path)

    whole, parts = floor(rows), [floor(rows[:5]), floor(rows[5:])]
    assert whole == pytest.approx(json.loads((tmp_path / "sky" / NOISE_FLOOR).read_text())["rmse"], rel=1e-4)
    assert parts[0] != pytest.approx(parts[1], rel=1e-3)
    assert whole**2 == pytest.approx((5 * parts[0] ** 2 + 7 * parts[1] ** 2) / 12)
