"""Simulated skies: the same bytes every time, answers that obey the tree and follow structure, nothing left behind."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton import simulate as module
from galaxy_triton.errors import DataFault, UsageFault
from galaxy_triton.light import Grid, disk_profile, galaxy_light, sersic, spiral_pattern
from galaxy_triton.morphology import Arms, Bar, Bulge, Companion, Disk, Galaxy, Ring, draw_galaxy
from galaxy_triton.pack import pack
from galaxy_triton.questions import COLUMNS, SPANS
from galaxy_triton.render import add_noise, blurred, bright_star, lupton_rgb, render, survey_grid
from galaxy_triton.simulate import SimulationSummary, galaxy_ids, simulate, simulated
from galaxy_triton.store import open_store, tree_violations
from galaxy_triton.table import read_answers
from galaxy_triton.volunteers import answer_shares, true_answers, vote

COUNT, SEED, VOLUNTEERS = 5, 3, 40

ROUND = Bulge(1.0, 4.0, 0.5, 0.97)
DISK = Galaxy(12, 30, 20, 0.65, bulge=Bulge(0.1, 2, 0.12, 0.9), disk=Disk(0.29, 0.9, 0.2))
ELLIPTICAL = Galaxy(8, 30, 0, 0.9, bulge=ROUND)
EDGE_ON = replace(DISK, disk=Disk(0.33, 0.03, 0.18))
TWO_ARMS = Arms(2, 18, 2.5, 0)

# a galaxy, a question's number, the answer to it that must lead
STRUCTURES: list[tuple[Galaxy, int, int]] = [
    (ELLIPTICAL, 1, 1),
    (replace(DISK, arms=TWO_ARMS), 1, 2),
    (Galaxy(5, 200, 0, 0.7, star=True), 1, 3),
    (EDGE_ON, 2, 1),
    (DISK, 2, 2),
    (replace(DISK, bar=Bar(0.2, 0.45, 0.3, 40)), 3, 1),
    (DISK, 3, 2),
    (replace(DISK, arms=TWO_ARMS), 4, 1),
    (DISK, 4, 2),
    (replace(DISK, bulge=Bulge(0.01, 1, 0.1, 0.9)), 5, 1),
    (DISK, 5, 2),
    (replace(DISK, bulge=Bulge(0.45, 3, 0.2, 0.9)), 5, 3),
    (ELLIPTICAL, 6, 2),
    (ELLIPTICAL, 7, 1),
    (replace(ELLIPTICAL, bulge=replace(ROUND, axis_ratio=0.6)), 7, 2),
    (replace(ELLIPTICAL, bulge=replace(ROUND, axis_ratio=0.2)), 7, 3),
    (replace(DISK, ring=Ring(0.3, 0.7)), 8, 1),
    (replace(ELLIPTICAL, lens=0.08), 8, 2),
    (replace(DISK, disturbance=1.0), 8, 3),
    (replace(DISK, clumps=8), 8, 4),
    (DISK, 8, 5),
    (replace(ELLIPTICAL, companion=Companion(0.4, 0.9, 30, 0.7)), 8, 6),
    (replace(EDGE_ON, disk=Disk(0.33, 0.03, 0.18, dust=2.5)), 8, 7),
    (replace(EDGE_ON, bulge=Bulge(0.25, 2, 0.15, 0.8)), 9, 1),
    (replace(EDGE_ON, bulge=Bulge(0.25, 1, 0.15, 0.6, boxiness=3)), 9, 2),
    (replace(EDGE_ON, bulge=Bulge(0.01, 1, 0.1, 0.8)), 9, 3),
    *((replace(DISK, arms=replace(TWO_ARMS, pitch=pitch)), 10, n) for n, pitch in enumerate((9, 21, 36), start=1)),
    *((replace(DISK, arms=replace(TWO_ARMS, number=number)), 11, number) for number in range(1, 6)),
    (replace(DISK, arms=replace(TWO_ARMS, number=0)), 11, 6),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulationSummary]:
    out = tmp_path_factory.mktemp("simulated") / "sky"
    return out, simulate(out, COUNT, SEED, volunteers=VOLUNTEERS, workers=2)


def fine_grid(half: float = 3.0, side: int = 301) -> Grid:
    line = np.linspace(-half, half, side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return Grid(x, y, 2 * half / (side - 1))


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
    (_, few, some), (_, many, others) = simulated(1, 0, 10), simulated(1, 0, 1000)
    assert np.array_equal(few, many)
    assert np.array_equal(some.truth, others.truth)
    assert not np.array_equal(some.votes, others.votes)


def test_seeds_and_indices_differ() -> None:
    pictures = [simulated(seed, index, 1)[1] for seed, index in ((1, 0), (1, 1), (2, 0))]
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


def test_simulate_keeps_what_exists(tmp_path: Path) -> None:
    (tmp_path / "sky").mkdir()
    with pytest.raises(DataFault, match="Expected a new folder"):
        simulate(tmp_path / "sky", 1, 1, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["sky"]


def no_space(*args: object) -> NDArray[np.uint8]:
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "render", no_space)
    with pytest.raises(DataFault, match="No space left on device"):
        simulate(tmp_path / "sky", 4, 1, workers=2)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "sky", 4, 1, workers=2, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("galaxy", "question", "answer"), STRUCTURES, ids=[f"{q}.{a}" for _, q, a in STRUCTURES])
def test_answers_follow_structure(galaxy: Galaxy, question: int, answer: int) -> None:
    assert np.argmax(answer_shares(galaxy)[question - 1]) == answer - 1


def test_edge_on_and_two_arms_lead_their_branch() -> None:
    assert true_answers(answer_shares(EDGE_ON))[COLUMNS.index("Class2.1")] > 0.6
    spiral = true_answers(answer_shares(replace(DISK, arms=TWO_ARMS)))
    assert COLUMNS[SPANS[10].start + int(np.argmax(spiral[SPANS[10]]))] == "Class11.2"
    assert spiral[SPANS[10]].max() > 0.5


def test_seeing_and_noise_hide_arms() -> None:
    spirals = [replace(DISK, arms=TWO_ARMS, size=size, depth=depth) for size, depth in ((15, 30), (4, 30), (4, 3))]
    seen = [true_answers(answer_shares(galaxy))[COLUMNS.index("Class4.1")] for galaxy in spirals]
    assert seen[0] > seen[1] > seen[2]


def test_votes_tend_to_the_truth() -> None:
    shares = answer_shares(replace(DISK, arms=TWO_ARMS))
    errors = [
        np.sqrt(np.mean((vote(shares, number, np.random.default_rng(1)) - true_answers(shares)) ** 2))
        for number in (10, 1000, 100_000)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


@pytest.mark.parametrize("volunteers", [1, 3])
def test_few_volunteers_obey_the_tree(volunteers: int) -> None:
    rng = np.random.default_rng(2)
    votes = np.stack([vote(answer_shares(draw_galaxy(rng)), volunteers, rng) for _ in range(200)])
    assert max(tree_violations(votes.astype(np.float32)).values()) < 1e-6


def test_population_resembles_galaxy_zoo() -> None:
    rng = np.random.default_rng(5)
    mean = np.mean([true_answers(answer_shares(draw_galaxy(rng))) for _ in range(2000)], axis=0)
    # Galaxy Zoo 2's mean answers to a hundredth or two: the first six questions, the columns of the three first
    assert mean[SPANS[0]] == pytest.approx([0.43, 0.55, 0.02], abs=0.05)
    assert mean[COLUMNS.index("Class2.1")] == pytest.approx(0.12, abs=0.04)
    assert mean[COLUMNS.index("Class4.1")] == pytest.approx(0.23, abs=0.05)
    assert mean[COLUMNS.index("Class6.1")] == pytest.approx(0.22, abs=0.05)


@pytest.mark.parametrize("index", [1.0, 2.5, 4.0])
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


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
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
    wide = blurred(point, 1.5)
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


@pytest.mark.parametrize("attribute", ["bulge", "disk", "bar", "arms", "ring", "companion", "clumps", "star", "lens"])
def test_population_has_every_part(attribute: str) -> None:
    rng = np.random.default_rng(9)
    found = [bool(getattr(draw_galaxy(rng), attribute)) for _ in range(1500)]
    assert 0 < sum(found) < len(found)
