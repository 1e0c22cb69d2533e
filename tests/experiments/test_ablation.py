"""`ablate` on the tests' sky: which rows are measured and which are absent, its files, and a row that fails."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result as Called
from PIL import Image

from galaxy_triton.experiments.ablation import AblationOptions, ablate
from galaxy_triton.experiments.ablation_measure import Job, Measurement
from galaxy_triton.experiments.ablation_results import mean_with_interval
from galaxy_triton.experiments.new_process import CallFailed, in_this_process
from galaxy_triton.model.backend import choose
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.train.options import TrainOptions

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
EAGER = ("seed", "channels_last", "resident")  # on a CPU, without compiling

Call = Callable[[Any], Any]


@pytest.fixture
def options(sky: Any, tiny: dict[str, Any], tmp_path: Path) -> AblationOptions:
    train = TrainOptions(sky.store, settings=tiny)
    return AblationOptions(train, tmp_path / "out", sky.archive, steps=2, timed=10, seeds=2, workers=0, rows=EAGER)


def read(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "ablation.csv").open(newline="") as handle:
        return {row["row"]: row for row in csv.DictReader(handle)}


def printed(display: Display) -> str:
    return " ".join(display.console.file.getvalue().split())


def figures(job: Job) -> Measurement:
    """In place of a measurement."""
    rmse = (0.1,) * job.seeds
    return Measurement((1.0, 2.0, 3.0), 12, 0.1, 0.0, 10.0, {"loss": 0.4}, choose(job.config).chosen(), rmse)


def test_rows_have_figures(options: AblationOptions, display: Display) -> None:
    ablate(options, display, call=in_this_process)
    rows = read(options.out)
    assert tuple(rows) == EAGER
    for row in rows.values():
        assert row["reason"] == ""
        assert 0 < float(row["images_per_s_low"]) <= float(row["images_per_s"]) <= float(row["images_per_s_high"])
        assert float(row["ms_a_step"]) == pytest.approx(1e3 * 11 / float(row["images_per_s"]), rel=0.2)
        assert 0 <= float(row["waiting_for_data"]) < 1
        assert float(row["mfu_measured"]) > 0
        assert float(row["rmse_low"]) <= float(row["rmse"]) <= float(row["rmse_high"])
        assert len(set(row["rmse_of_seeds"].split())) == 2, "each seed its own"
        shares = [float(value) for name, value in row.items() if name.startswith("share: ") and value]
        assert sum(shares) == pytest.approx(1, abs=0.02)
    assert float(rows["seed"]["speed"]) == 1
    assert float(rows["seed"]["waiting_for_data"]) > float(rows["resident"]["waiting_for_data"])
    assert rows["seed"]["share: augmentation"] == "", "in the loader"
    assert float(rows["resident"]["share: augmentation"]) > 0
    assert "seed's pipeline, fp32" in printed(display)
    whole = json.loads((options.out / "ablation.json").read_text())
    assert whole["config"]["run"]["batch_size"] == 12
    assert whole["product_tflops"]["fp32"] > 0
    assert [row["rmse_of_seeds"] for row in whole["rows"]] == [row["rmse_of_seeds"] for row in rows.values()]
    with Image.open(options.out / "ablation.png") as image:
        assert image.size[0] > 1000


def test_the_same_seeds_and_steps_give_the_same_network(options: AblationOptions, display: Display) -> None:
    rmse = []
    for name in ("first", "second"):
        out = options.out / name
        ablate(replace(options, rows=("resident",), out=out, timed=2), display, call=in_this_process)
        rmse.append(read(out)["resident"]["rmse_of_seeds"])
    assert rmse[0] == rmse[1]


def test_a_dry_run_says_what_cannot_run_and_writes_nothing(options: AblationOptions, display: Display) -> None:
    ablate(replace(options, rows=(), images=None), display, dry_run=True)
    said = printed(display)
    assert said.count("absent:") > said.count("would be measured") > 0
    for reason in ("--images", "precision here is fp32", "its kernel needs a CUDA GPU", "CUDA graphs need a CUDA GPU"):
        assert reason in said
    assert not options.out.exists()


def test_a_row_that_fails_costs_that_row(options: AblationOptions, display: Display) -> None:
    def broken(call: Call, argument: Any) -> Any:
        if not isinstance(argument, Job):
            raise CallFailed("no ceilings")
        if argument.variant.layout == "channels_last" and argument.variant.pixels == "files":
            raise CallFailed("RuntimeError: CUDA error")
        return figures(argument)

    ablate(options, display, call=broken)
    assert [row["reason"] for row in read(options.out).values()] == ["", "RuntimeError: CUDA error", ""]
    assert "absent: + channels_last: RuntimeError: CUDA error" in printed(display)


def test_results_are_written_after_each_row(options: AblationOptions, display: Display) -> None:
    """Stopped in the second row: the first is in the table, the others say why they are not."""

    def stopped(call: Call, argument: Any) -> Any:
        if isinstance(argument, Job) and argument.variant.layout == "channels_last":
            raise KeyboardInterrupt
        return figures(argument) if isinstance(argument, Job) else in_this_process(call, argument)

    with pytest.raises(KeyboardInterrupt):
        ablate(options, display, call=stopped)
    assert [row["reason"] for row in read(options.out).values()] == ["", "not reached", "not reached"]


def test_equal_variants_are_measured_once(options: AblationOptions, display: Display) -> None:
    jobs = []

    def counting(call: Call, argument: Any) -> Any:
        jobs.extend([argument] if isinstance(argument, Job) else [])
        return figures(argument) if isinstance(argument, Job) else in_this_process(call, argument)

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


def test_a_folder_in_use_is_left_alone(options: AblationOptions, display: Display) -> None:
    options.out.mkdir()
    (options.out / "mine.txt").write_text("mine")
    with pytest.raises(UsageFault, match="--out"):
        ablate(options, display, call=in_this_process)
    assert [file.name for file in options.out.iterdir()] == ["mine.txt"]


@pytest.mark.process
def test_command_line_in_processes_of_their_own(
    sky: Any, tmp_path: Path, succeed: Callable[..., str], tiny_options: Callable[..., list[str]]
) -> None:
    out = tmp_path / "out"
    words = (*tiny_options("run.epochs"), "--steps", 1, "--seeds", 1, "--timed-steps", 2, "--rows", "resident")
    assert "would be measured" in succeed("ablate", sky.store, "--out", out, *words, "--dry-run")
    assert not out.exists()
    assert "+ resident pixels" in succeed("ablate", sky.store, "--out", out, *words)
    assert read(out)["resident"]["rmse_low"] == ""
    assert {file.name for file in out.iterdir()} == {"ablation.csv", "ablation.json", "ablation.png"}


def test_an_option_that_rows_set_is_a_usage_error(sky: Any, tmp_path: Path, call: Callable[..., Called]) -> None:
    assert call("ablate", sky.store, "--out", tmp_path / "out", "--set", "run.body=eager").exit_code == 2


def test_interval_is_of_students_t() -> None:
    assert mean_with_interval([1.0, 2.0, 3.0]) == pytest.approx((2, 2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)))
    assert mean_with_interval([1.0]) == (1, None, None)
