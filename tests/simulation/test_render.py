"""Pictures of simulated galaxies: the light of each part, and what seeing, noise and colour make of it."""

from dataclasses import replace

import numpy as np
import pytest

from galaxy_triton.simulation.light import Grid, disk_profile, galaxy_light, sersic, spiral_pattern
from galaxy_triton.simulation.morphology import Arms, Bar, Bulge, Companion, Disk, Galaxy, Ring
from galaxy_triton.simulation.render import add_noise, blur, bright_star, lupton_rgb, render, survey_grid
from tests.support.galaxies import DISK, ELLIPTICAL, TWO_ARMS


def fine_grid(half: float = 3.0, side: int = 301) -> Grid:
    line = np.linspace(-half, half, side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return Grid(x, y, 2 * half / (side - 1))


@pytest.mark.parametrize("index", [1.0, 4.0])
def test_sersic_holds_half_its_light_within_its_radius(index: float) -> None:
    grid = fine_grid()
    light = sersic(Bulge(1.0, index, 0.2, 1.0), grid)
    assert light.sum() == pytest.approx(1, rel=1e-4)
    assert light[grid.radius < 0.2].sum() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("cosine", "thickness"), [(1.0, 0.2), (0.6, 0.2), (0.0, 0.15)])
def test_disk_is_as_flat_as_it_says(cosine: float, thickness: float) -> None:
    disk, grid = Disk(0.3, cosine, thickness), fine_grid()
    shape = disk_profile(disk, grid)
    flatness = np.sqrt((shape * grid.y**2).sum() / (shape * grid.x**2).sum())
    assert flatness == pytest.approx(disk.axis_ratio, rel=0.1)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_spiral_pattern_has_its_arms(number: int) -> None:
    angle = np.linspace(0, 2 * np.pi, 256, endpoint=False).astype(np.float32)
    circle = Grid(0.6 * np.cos(angle)[None], 0.6 * np.sin(angle)[None], 0.01)
    pattern = spiral_pattern(Arms(number, 20, 1, 30), circle, 0.15, np.random.default_rng(0))[0]
    assert 0 <= pattern.min() < 0.1 * pattern.max()
    assert np.argmax(np.abs(np.fft.rfft(pattern))[1:]) + 1 == number


@pytest.mark.parametrize(
    "change",
    [
        {"bar": Bar(0.2, 0.45, 0.3, 40)},
        {"arms": TWO_ARMS},
        {"arms": replace(TWO_ARMS, number=0)},
        {"ring": Ring(0.3, 0.7)},
        {"companion": Companion(0.4, 0.9, 30, 0.7)},
        {"clumps": 5},
        {"disturbance": 1.0},
        {"lens": 0.08},
        {"bulge": Bulge(0.3, 1, 0.2, 0.7, boxiness=3)},
        {"disk": Disk(0.33, 0.03, 0.18, dust=2.5)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_shows(change: dict[str, object]) -> None:
    grid, fields = survey_grid(DISK.size), {**vars(DISK), **change}
    plain, changed = (galaxy_light(galaxy, grid, np.random.default_rng(0)) for galaxy in (DISK, Galaxy(**fields)))
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert np.abs(changed - plain).sum() > 0.05


def test_spirals_are_bluer_than_ellipticals() -> None:
    red, blue = (
        galaxy_light(galaxy, survey_grid(8), np.random.default_rng(0)).sum(axis=(1, 2))
        for galaxy in (ELLIPTICAL, replace(DISK, arms=TWO_ARMS))
    )
    assert red[2] / red[0] < 0.75 * blue[2] / blue[0]


def test_render_is_a_function_of_its_generator() -> None:
    first, second, other = (render(DISK, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (first.shape, first.dtype) == ((424, 424, 3), np.uint8)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_blurred_keeps_the_light_and_widens_it() -> None:
    point = np.zeros((3, 31, 31), dtype=np.float32)
    point[:, 15, 15] = 1
    wide = blur(point, 1.5)
    assert wide.sum(axis=(1, 2)) == pytest.approx([1, 1, 1], rel=1e-5)
    second_moment = (wide[0] * (np.arange(31) - 15) ** 2).sum()
    assert np.sqrt(second_moment) == pytest.approx(1.5, rel=0.05)


def test_add_noise_grows_with_the_light() -> None:
    levels = [add_noise(np.full((3, 100, 100), level, dtype=np.float32), np.random.default_rng(0)) for level in (0, 75)]
    spread = [level.std(axis=(1, 2)) for level in levels]
    assert spread[0][1] == pytest.approx(1, rel=0.05)
    # in r, 75 units of light are 75/25 units of variance beside the sky's one
    assert spread[1][1] == pytest.approx(2, rel=0.05)


def test_lupton_rgb_keeps_the_colour() -> None:
    levels = np.array([0, 10, 200, 1e6], dtype=np.float32)
    light = levels * np.array([2, 1, 0.5], dtype=np.float32)[:, None]
    rgb = lupton_rgb(light[:, None])[0].astype(float)
    assert rgb[0].tolist() == [0, 0, 0]
    assert rgb[3].max() == 255
    assert (np.diff(rgb[:, 0]) > 0).all()
    assert rgb[2] / rgb[2, 0] == pytest.approx(rgb[3] / rgb[3, 0], abs=0.02)


def test_bright_star_has_spikes() -> None:
    grid = survey_grid(8)
    light = bright_star(grid, 1e5, 0.5)[1]
    middle, away = len(grid.x) // 2, len(grid.x) // 2 + 20
    assert light[middle, away] > 2 * light[middle + 14, middle + 14]
