"""The command line: each command's way to success, the stop by Ctrl-C, and the help."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import galaxy_triton
from galaxy_triton.cli.main import main
from galaxy_triton.evaluate.evaluate import ScoreOptions
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.model import doctor as doctor_module

PIPELINE = ["simulate", "pack", "train", "evaluate", "predict", "check"]
HEADINGS = ("Configuration", "Galaxies", "What is learned", "Augmentation", "Optimiser", "Where and how", "Folder")

Succeed = Callable[..., str]
Options = Callable[..., list[str]]


def next_command(said: str) -> list[str]:
    """The words of the command that is to be given next, without `galaxy-triton`."""
    return shlex.split(re.search(r"^next:? +galaxy-triton (.*)$", said, re.MULTILINE).group(1))


@pytest.fixture
def bad_images(sky: Any, tmp_path: Path) -> Path:
    """The sky's images, one of them no image."""
    shutil.copytree(sky.images, tmp_path / "images")
    sorted((tmp_path / "images").iterdir())[3].write_bytes(b"no image")
    return tmp_path / "images"


def test_pack(sky: Any, tmp_path: Path, succeed: Succeed) -> None:
    store = tmp_path / "store"
    said = succeed("pack", sky.archive, "--labels", sky.labels, "--out", store, "--size", 24, "--workers", 1)
    assert f"48 images of 24 px, 44 with labels, in {store}" in said
    assert "Warning: 4 images have no label" in said
    assert next_command(said) == ["info", str(store)]  # too small to train seed on
    assert (store / "pixels.npy").read_bytes() == (sky.store / "pixels.npy").read_bytes()


@pytest.mark.parametrize("sides", [("--size", 40), ("--crop", 30, "--size", 200)], ids=str)
def test_the_command_after_pack_can_train(
    sides: tuple[object, ...], sky: Any, tmp_path: Path, succeed: Succeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a store of any side, at a path with a space."""
    monkeypatch.chdir(tmp_path)
    said = succeed("pack", sky.archive, "--labels", sky.labels, "--out", tmp_path / "my store", *sides)
    assert "Would train epochs 1 to 30" in succeed(*next_command(said), "--dry-run")
    assert next_command(succeed("pack", sky.archive, "--out", "unlabelled", *sides)) == ["info", "unlabelled"]


def test_info(sky: Any, tmp_path: Path, succeed: Succeed) -> None:
    said = succeed("info", sky.store, "--verify", "--montage", tmp_path / "m.png", "--count", 10)
    assert re.search(r"images +48, 24 x 24 px", said)
    assert re.search(r"labelled +44", said)
    assert said.count("sums are off by") == 11
    assert "every block matches its hash" in said
    with Image.open(tmp_path / "m.png") as montage:
        assert montage.size == (8 * 24, 2 * 24)


def test_baseline(sky: Any, succeed: Succeed) -> None:
    said = succeed("baseline", sky.store)
    scores = {name: float(score) for name, score in re.findall(r"^  (\w+(?: \w+)?) +([\d.]+)$", said, re.MULTILINE)}
    assert "RMSE over 44 galaxies and 37 columns" in said
    assert list(scores) == ["zeros", "ones", "mean", "central pixel"]
    assert scores["zeros"] == pytest.approx(np.sqrt((sky.answers**2).mean()), abs=6e-5)
    assert scores["ones"] == pytest.approx(np.sqrt(((1 - sky.answers) ** 2).mean()), abs=6e-5)


def test_train_then_ask(sky: Any, tmp_path: Path, succeed: Succeed, tiny_options: Options) -> None:
    """The README's way: train, evaluate, predict, and compare with what was predicted."""
    folder, out = tmp_path / "run", tmp_path / "out.csv"
    options = tiny_options("run.epochs")
    said = succeed("train", sky.store, *options, "--run", folder, "--seed", 7, "--epochs", 1)
    for part in ("33 to train on, 11 to validate", "device", "precision", "augment", "loss", "body", "memory"):
        assert part in said
    assert "epoch   1/1" in said
    assert {"config.toml", "log.txt", "split.csv", "metrics.csv", "last", "best"} <= {f.name for f in folder.iterdir()}

    said = succeed("predict", folder, sky.archive, "--out", out, "--views", 2)
    assert "48 rows in" in said
    assert "sound; 48 rows" in succeed(*next_command(said))
    ids, answers = read_answers(out)
    assert (ids.tolist(), answers.shape) == (sky.ids.tolist(), (48, 37))

    said = succeed("evaluate", folder, sky.store, "--views", 2, "--against", out)
    score = re.search(r"^RMSE ([\d.]+)  \[([\d.]+), ([\d.]+)\]  11 galaxies, 37 columns", said, re.MULTILINE)
    value, low, high = map(float, score.groups())
    assert low < value < high
    assert len(re.findall(r"^\w+ +[\d.]+  \[.* -?[\d.]+$", said, re.MULTILINE)) == 11
    assert re.search(r"lower by -?0\.0000  \[-?0\.0000, -?0\.0000\]  than \S+; negative", said)
    assert "when 11 galaxies are turned or mirrored" in said
    assert "Warning: the network" not in said
    said = succeed("evaluate", folder, sky.store, "--ids", sky.labels, "--views", 1, "--consistency", 0)
    assert "Warning: the network was trained on 33 of these" in said


def test_evaluate_writes_what_it_says(run: Path, sky: Any, tmp_path: Path, succeed: Succeed) -> None:
    """The figures as JSON, each galaxy's error as CSV; a table of the same answers scores the same."""
    found, errors, out = tmp_path / "found.json", tmp_path / "errors.csv", tmp_path / "out.csv"
    said = succeed("evaluate", run, "--views", 2, "--json", found, "--errors", errors, "--consistency", 3)
    values = json.loads(found.read_text())
    assert f"RMSE {values['rmse'][0]:.4f}  " in said
    assert (values["galaxies"], values["consistency"]["galaxies"]) == (11, 3)
    assert len(errors.read_text().splitlines()) == 12
    succeed("predict", run, sky.store, "--views", 2, "--out", out)
    held_out = tmp_path / "ids.csv"
    held_out.write_text("\n".join(line.split(",")[0] for line in errors.read_text().splitlines()) + "\n")
    for labels in ((sky.store,), ("--labels", sky.labels)):
        of_table = succeed("evaluate", out, *labels, "--ids", held_out)
        assert of_table.splitlines()[0] == said.splitlines()[0]
        assert "turned" not in of_table
    assert "turned" not in succeed("evaluate", run, "--views", 1, "--consistency", 0)


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_the_command_line_asks_as_the_functions_do(command: str) -> None:
    defaults = {option.name: option.default for option in main.commands[command].params}
    asked = {name: value for name, value in asdict(ScoreOptions()).items() if value is not None}
    assert asked == {name: defaults[name] for name in asked}


def test_simulate_packs(tmp_path: Path, succeed: Succeed) -> None:
    sky, store = tmp_path / "sky", tmp_path / "store"
    said = succeed("simulate", sky, "--count", 3, "--volunteers", 5)
    assert "3 galaxies in" in said
    assert "noise floor" in said
    labels = sky / "training_solutions_rev1.csv"
    assert "3 images of 32 px, 3 with labels" in succeed("pack", sky, "--labels", labels, "--size", 32, "--out", store)


def test_bad_images_are_left_out(run: Path, bad_images: Path, tmp_path: Path, succeed: Succeed) -> None:
    left_out = "Warning: left out: Expected a whole JPEG"
    said = succeed("pack", bad_images, "--out", tmp_path / "store", "--skip-bad")
    assert "47 images of 160 px, 0 with labels" in said
    assert left_out in said
    said = succeed("predict", run, bad_images, "--out", tmp_path / "out.csv", "--skip-bad", "--views", 1)
    assert "47 rows in" in said
    assert left_out in said


def test_predict_dry_run(run: Path, sky: Any, tmp_path: Path, succeed: Succeed) -> None:
    """Images and stores are counted, nothing is written, and what cannot be is a fault already."""
    out = tmp_path / "out.csv"
    for source in (sky.images, sky.archive, sky.store):
        said = succeed("predict", run, source, "--out", out, "--dry-run")
        assert "48 images" in said
        assert f"Would write {out}, a new file" in said
    assert not out.exists()
    out.write_text("precious")
    said = succeed("predict", run, sky.store, "--out", out, "--dry-run", "--quiet", "--overwrite")
    assert "replacing the file there" in said
    assert out.read_text() == "precious"


def test_report_and_evaluate_know_the_store(run: Path, sky: Any, tmp_path: Path, succeed: Succeed) -> None:
    """Asked from anywhere: the run knows where its galaxies lay; both give one score."""
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink(missing_ok=True)
    assert f"report  {tmp_path / 'run' / 'report.html'}" in succeed("report", tmp_path / "run", "--views", 2)
    value = re.search(r"^RMSE ([\d.]+)", succeed("evaluate", run, "--views", 2), re.MULTILINE).group(1)
    assert value in (tmp_path / "run" / "report.html").read_text()
    assert succeed("evaluate", run, "--views", 2) == succeed("evaluate", run, sky.store, "--views", 2)


def test_a_missing_package_is_named(sky: Any, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("rich.console", "PIL"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("system.console", "data.pack", "data.images"):
        monkeypatch.delitem(sys.modules, f"galaxy_triton.{module}")
    result = call("info", sky.store)
    assert result.exit_code == 1
    assert f"Expected the package rich, got none ({sys.executable}): pip install rich\n" in result.output
    assert "Expected the package PIL, got none" in (said := call("pack", sky.images, "--out", "new").output)
    assert said.endswith(": pip install pillow\n")
    assert isinstance(result.exception, SystemExit)


def test_doctor(succeed: Succeed, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    said = succeed("doctor")
    assert f"galaxy-triton {galaxy_triton.__version__}" in said
    assert re.search(r"^loss +torch +runs here$", said, re.MULTILINE)
    assert "FAULT" not in said
    monkeypatch.setattr(doctor_module, "PACKAGES", ("torch", "no-such-package"))
    result = call("doctor")
    assert result.exit_code == 1
    assert re.search(r"^FAULT no-such-package +missing: pip install no-such-package$", result.output, re.MULTILINE)


def test_help_lists_commands_in_the_order_of_the_pipeline(succeed: Succeed) -> None:
    listed = re.findall(r"^  (\w+)  ", succeed("--help").partition("Commands:")[2], re.MULTILINE)
    assert sorted(PIPELINE, key=listed.index) == PIPELINE


@pytest.mark.parametrize("name", main.commands)
def test_help_of_a_command(name: str, succeed: Succeed) -> None:
    """An example, and of every option a description and, where it is no switch, its default."""
    assert f"Example:\n    galaxy-triton {name}" in succeed(name, "--help")
    command = main.commands[name]
    context = click.Context(command, info_name=name)
    for option in command.params:
        if isinstance(option, click.Option) and not option.required:
            assert option.help, option.name
            switch = option.is_flag and not option.secondary_opts
            assert switch or "default: " in option.get_help_record(context)[1], option.name


@pytest.mark.parametrize("name", ["sweep", "ablate"])
def test_help_speaks_of_what_the_command_takes(name: str, succeed: Succeed) -> None:
    assert "without STORE" not in " ".join(succeed(name, "--help").split())


def test_help_of_train_has_headings(succeed: Succeed) -> None:
    """An option's default is the recipe's, and its range is shown."""
    said = succeed("train", "--help")
    assert [line[:-1] for line in said.splitlines() if line[:-1] in HEADINGS] == list(HEADINGS)
    rate = " ".join(re.search(r"--lr (.*?)--", said, re.DOTALL).group(1).split())
    assert "seed 0.001" in rate
    assert "best 0.004" in rate
    assert "[x>0]" in rate
