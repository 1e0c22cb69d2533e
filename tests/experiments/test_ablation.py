"""`ablate` on the tests' sky: which rows are measured and which are absent, its files, and a row that fails."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from galaxy_triton.experiments import ablation_product
from galaxy_triton.experiments.ablation import AblationOptions, ablate
from galaxy_triton.experiments.ablation_measure import Job, Record, mean_with_interval
from galaxy_triton.experiments.ablation_results import show_results
from galaxy_triton.experiments.new_process import CallFailed, in_this_process
from galaxy_triton.model.backend import choose
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.train.options import TrainOptions

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
EAGER = ("seed", "channels_last", "resident")  # on a CPU, without compiling

Call = Callable[[Any], Any]


@pytest.fixture(scope="module")
def small(sky: Any, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AblationOptions:
    """Two rows, two seeds, a step each."""
    out, train = tmp_path_factory.mktemp("ablation") / "out", TrainOptions(sky.store, settings=tiny)
    return AblationOptions(train, out, sky.archive, 1, timed=2, seeds=2, workers=0, rows=("seed", "resident"))


@pytest.fixture(scope="module")
def done(small: AblationOptions) -> Path:
    """The folder of an ablation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation_product, "SIDES", {"cpu": 64})
        ablate(small, Display(quiet=True), call=in_this_process)
    return small.out


@pytest.fixture
def options(small: AblationOptions, tmp_path: Path) -> AblationOptions:
    return replace(small, out=tmp_path / "out", rows=EAGER)


def read(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "ablation.csv").open(newline="") as handle:
        return {row["row"]: row for row in csv.DictReader(handle)}


def printed(display: Display) -> str:
    return " ".join(display.console.file.getvalue().split())  # type: ignore[attr-defined]


def figures(call: Call, argument: Any) -> Any:
    """In place of a measurement of a row or of the matrix product."""
    if not isinstance(argument, Job):
        return 1.0
    rates: Record = {"images_per_s": 2.0, "images_per_s_low": 1.0, "images_per_s_high": 3.0}
    return rates | {"speed": None, "mfu_measured": None, "rmse": 0.1} | choose(argument.config).chosen()


def test_rows_have_figures(done: Path) -> None:
    rows = read(done)
    assert tuple(rows) == ("seed", "resident")
    for row in rows.values():
        assert row["reason"] == ""
        assert 0 < float(row["images_per_s_low"]) <= float(row["images_per_s"]) <= float(row["images_per_s_high"])
        assert 8.9 < float(row["ms_a_step"]) * float(row["images_per_s"]) / 1e3 < 12.1, "batches of 9 to 12"
        assert 0 <= float(row["waiting_for_data"]) < 1
        assert float(row["mfu_measured"]) > 0
        assert float(row["rmse_low"]) <= float(row["rmse"]) <= float(row["rmse_high"])
        assert len(set(row["rmse_of_seeds"].split())) == 2, "each seed its own"
    assert float(rows["seed"]["speed"]) == 1
    assert float(rows["seed"]["waiting_for_data"]) > float(rows["resident"]["waiting_for_data"])
    whole = json.loads((done / "ablation.json").read_text())
    assert whole["config"]["run"]["batch_size"] == 12
    assert whole["product_tflops"]["fp32"] > 0
    assert [row["rmse_of_seeds"] for row in whole["rows"]] == [row["rmse_of_seeds"] for row in rows.values()]
    with Image.open(done / "ablation.png") as image:
        assert image.size[0] > 1000


def test_the_same_seed_and_steps_give_the_same_network(done: Path, options: AblationOptions, display: Display) -> None:
    """And the intervals of one seed are empty."""

    def rows_alone(call: Call, argument: Any) -> Any:
        return in_this_process(call, argument) if isinstance(argument, Job) else 1.0

    ablate(replace(options, rows=("resident",), seeds=1), display, call=rows_alone)
    row = read(options.out)["resident"]
    assert row["rmse_of_seeds"] == read(done)["resident"]["rmse_of_seeds"].split()[0]
    assert row["rmse_low"] == ""
    assert "+ resident pixels" in printed(display)


def test_a_dry_run_names_the_rows_that_cannot_run(options: AblationOptions, display: Display) -> None:
    ablate(replace(options, rows=(), images=None), display, dry_run=True)
    said = printed(display)
    assert said.count("absent:") > said.count("would be measured") > 0
    for reason in ("--images", "precision here is fp32", "its kernel needs a CUDA GPU", "CUDA graphs need a CUDA GPU"):
        assert reason in said
    assert not options.out.exists()


def test_a_row_that_fails_costs_that_row(options: AblationOptions, display: Display) -> None:
    def broken(call: Call, argument: Any) -> Any:
        if not isinstance(argument, Job):
            raise CallFailed("no products")
        if argument.variant.layout == "channels_last" and argument.variant.pixels == "files":
            raise CallFailed("RuntimeError: CUDA error")
        return figures(call, argument)

    ablate(options, display, call=broken)
    assert [row["reason"] for row in read(options.out).values()] == ["", "RuntimeError: CUDA error", ""]
    assert "absent: + channels_last: RuntimeError: CUDA error" in printed(display)


def test_hours_are_warned_of(options: AblationOptions, display: Display) -> None:
    """By a few steps of the first row, before its trainings."""
    seeds = []

    def slow(call: Call, argument: Any) -> Any:
        seeds.extend([argument.seeds] if isinstance(argument, Job) else [])
        return figures(call, argument) | {"ms_a_step": 2500} if isinstance(argument, Job) else 1.0

    ablate(replace(options, steps=500, rows=("seed", "resident")), display, call=slow)
    assert "Warning: about 1 h 23 min for these rows, by the first steps of one. Less time: some" in printed(display)
    assert seeds == [0, 2, 2]


@pytest.mark.parametrize(("width", "tables"), [(80, 2), (120, 1)])
def test_no_digit_is_cut_on_a_terminal(width: int, tables: int) -> None:
    display = Display(Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False))
    columns = {"images_per_s": 12345.6, "speed": 12.34, "ms_a_step": 1234.5, "waiting_for_data": 0.123}
    columns |= {"peak_memory_mib": 12345.6, "mfu_measured": 0.456}
    scores = {"rmse": 0.135741, "rmse_low": 0.13, "rmse_high": 0.14}
    label = "full minus block ends in closed form"
    show_results([{"label": label, "short": label, **columns, **scores, "reason": ""}], display)
    lines = display.console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    rows = [line.removeprefix(label) for line in lines if line.startswith(label)]
    assert len(rows) == tables
    assert " ".join(" ".join(rows).split()) == "12,346 12.34 1234.5 12.3% 12,346 45.6% 0.1357 [0.1300, 0.1400]"


def test_results_are_written_after_each_row(options: AblationOptions, display: Display) -> None:
    """Stopped in the second row: the first is in the table, the others say why they are not."""

    def stopped(call: Call, argument: Any) -> Any:
        if isinstance(argument, Job) and argument.variant.layout == "channels_last":
            raise KeyboardInterrupt
        return figures(call, argument)

    with pytest.raises(KeyboardInterrupt):
        ablate(options, display, call=stopped)
    assert [row["reason"] for row in read(options.out).values()] == ["", "not reached", "not reached"]


def test_equal_variants_are_measured_once(options: AblationOptions, display: Display) -> None:
    jobs = []

    def counting(call: Call, argument: Any) -> Any:
        jobs.extend([argument] if isinstance(argument, Job) else [])
        return figures(call, argument)

    ablate(replace(options, rows=("closed", "compile", "minus-compile", "compile-only")), display, call=counting)
    rows = read(options.out)
    if any(row["reason"] for row in rows.values()):
        pytest.skip("no compiler here")
    assert [(job.variant.body, job.variant.augment, job.seeds) for job in jobs] == [
        ("eager", "torch", 2),
        ("compile", "torch", 2),
        ("compile", "compile", 0),
        ("compile", "compile", 2),
    ]
    assert rows["compile-only"]["label"] == "torch.compile alone: compile"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"run.augment": "triton"}}, "run.augment"),
        ({"settings": {"run.validation": 0}}, "--validation"),
        ({"recipe": "best", "settings": {}}, "a store of"),
    ],
)
def test_impossible_options_are_refused(
    change: dict[str, Any], message: str, options: AblationOptions, display: Display
) -> None:
    merged = {**change, "settings": {**(options.train.settings if change["settings"] else {}), **change["settings"]}}
    with pytest.raises((UsageFault, DataFault), match=message):
        ablate(replace(options, train=replace(options.train, **merged)), display, dry_run=True)


def test_unknown_ids_are_named(sky: Any, options: AblationOptions, display: Display, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text(f"{sky.ids[0]}\nNGC 7\n")
    train = replace(options.train, validation_ids=tmp_path / "ids.csv")
    ablate(replace(options, train=train), display, dry_run=True)
    assert "no labelled galaxies of the store, NGC 7 the first" in printed(display)


def test_a_folder_in_use_is_left_alone(options: AblationOptions, display: Display) -> None:
    options.out.mkdir()
    (options.out / "mine.txt").write_text("mine")
    with pytest.raises(UsageFault, match="--out"):
        ablate(options, display, call=figures)
    assert [file.name for file in options.out.iterdir()] == ["mine.txt"]


@pytest.mark.process
def test_command_line_in_processes_of_their_own(
    sky: Any, tmp_path: Path, succeed: Callable[..., str], tiny_options: Callable[..., list[str]]
) -> None:
    out = tmp_path / "out"
    words = (*tiny_options("run.epochs"), "--steps", 1, "--seeds", 1, "--timed-steps", 2, "--rows", "resident")
    assert "+ resident pixels" in succeed("ablate", sky.store, "--out", out, *words)
    assert {file.name for file in out.iterdir()} == {"ablation.csv", "ablation.json", "ablation.png"}


def test_interval_is_of_students_t() -> None:
    assert mean_with_interval([1.0, 2.0, 3.0]) == pytest.approx((2, 2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)))
