"""The command line: each command's way to success, the stop by Ctrl-C, and the help."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

import galaxy_triton
from galaxy_triton import doctor as doctor_module
from galaxy_triton.cli import main
from galaxy_triton.questions import COLUMNS
from galaxy_triton.table import read_answers

COMMANDS = ("pack", "simulate", "info", "baseline", "train", "evaluate", "predict", "doctor")

Succeed = Callable[..., str]
Options = Callable[..., list[str]]


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
    assert (store / "pixels.npy").read_bytes() == (sky.store / "pixels.npy").read_bytes()


def test_pack_leaves_out_bad_images(bad_images: Path, tmp_path: Path, succeed: Succeed) -> None:
    said = succeed("pack", bad_images, "--out", tmp_path / "s", "--skip-bad")
    assert "47 images of 160 px, 0 with labels" in said
    assert "Left out: Expected a whole JPEG" in said


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
    for part in ("galaxies   33 to train on, 11 held out", "device", "precision", "augment", "loss", "body", "memory"):
        assert part in said
    assert "epoch   1/1" in said
    assert {"config.toml", "log.txt", "split.csv", "metrics.csv", "last", "best"} <= {f.name for f in folder.iterdir()}

    assert "48 rows in" in succeed("predict", folder, sky.archive, "--out", out, "--views", 2)
    ids, answers = read_answers(out)
    assert (ids.tolist(), answers.shape) == (sky.ids.tolist(), (48, 37))

    said = succeed("evaluate", folder, sky.store, "--views", 2, "--against", out)
    score = re.search(r"^RMSE ([\d.]+)  \[([\d.]+), ([\d.]+)\]  11 galaxies, 37 columns", said, re.MULTILINE)
    value, low, high = map(float, score.groups())
    assert low < value < high
    assert len(re.findall(r"^  \w+ +[\d.]+  \[", said, re.MULTILINE)) == 11
    assert re.search(r"lower than \S+ by -?0\.0000  \[-?0\.0000, -?0\.0000\]  paired", said)
    assert "Warning" not in said
    assert "Warning: the run trained on 33 of these" in succeed("evaluate", folder, sky.store, "--ids", sky.labels)


def test_train_resumes_a_finished_run(sky: Any, run: Path, tmp_path: Path, succeed: Succeed) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    before = (folder / "last" / "weights.safetensors").read_bytes()
    succeed("train", sky.store, "--resume", "--run", folder)
    assert (folder / "last" / "weights.safetensors").read_bytes() == before
    assert (folder / "metrics.csv").read_text() == (run / "metrics.csv").read_text()
    assert len((folder / "log.txt").read_text()) > len((run / "log.txt").read_text())


def test_train_reads_fields_from_a_file(sky: Any, tmp_path: Path, succeed: Succeed, tiny_options: Options) -> None:
    """Options go before the file, the file before the recipe."""
    (tmp_path / "c.toml").write_text("[run]\nepochs = 1\nbatch_size = 40\n[optimiser]\nlr = 0.5\n")
    options = ("--config", tmp_path / "c.toml", "--lr", 0.25, "--run", tmp_path / "run")
    succeed("train", sky.store, *tiny_options("run.epochs", "run.batch_size"), *options)
    text = (tmp_path / "run" / "config.toml").read_text()
    assert "\nlr = 0.25\n" in text
    assert "\nbatch_size = 40\n" in text
    assert "\nhue = 0.05\n" in text  # the seed recipe's


def test_train_holds_out_a_list(sky: Any, tmp_path: Path, succeed: Succeed, tiny_options: Options) -> None:
    """Ids beyond the store's labelled ones hold out nothing, a warning counts them; further columns are ignored."""
    rows = "".join(f"{number},x,0.5\n" for number in [*sky.ids[40:], 17])
    table = tmp_path / "held_out.csv"
    table.write_text(f"GalaxyID,what,ever\n{rows}")
    said = succeed("train", sky.store, *tiny_options(), "--validation", table, "--run", tmp_path / "r")
    assert "40 to train on, 4 held out" in said
    assert "Warning: 5 ids of" in said
    parts = [line.split(",") for line in (tmp_path / "r" / "split.csv").read_text().splitlines()]
    assert parts[0] == ["GalaxyID", "part"]
    assert [int(number) for number, part in parts[1:] if part == "validation"] == sky.ids[40:44].tolist()


def test_simulate_packs(tmp_path: Path, succeed: Succeed) -> None:
    sky, store = tmp_path / "sky", tmp_path / "store"
    said = succeed("simulate", sky, "--count", 3, "--volunteers", 5)
    assert "3 galaxies in" in said
    assert "noise floor" in said
    labels = sky / "training_solutions_rev1.csv"
    assert "3 images of 32 px, 3 with labels" in succeed("pack", sky, "--labels", labels, "--size", 32, "--out", store)


def test_train_stops_politely(sky: Any, tmp_path: Path, succeed: Succeed, tiny_options: Options) -> None:
    """Ctrl-C: the run is saved, the message says how to go on, and going on finishes it."""
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "galaxy_triton", "train", str(sky.store), "--run", str(folder)]
    small = [*tiny_options(), "--set", "run.batch_size=1", "--set", "run.epochs=8"]
    # Not in a clone's root, where `-m` would find the package without its kernels.
    running = subprocess.Popen(
        [*command, *small], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_for(lambda: (folder / "metrics.csv").exists() or running.poll() is not None, seconds=120)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert f"galaxy-triton train {sky.store} --run {folder} --resume" in " ".join(said.split())
    done = len((folder / "metrics.csv").read_text().splitlines()) - 1
    assert 1 <= done < 8

    assert "epoch   8/8" in succeed("train", sky.store, "--run", folder, "--resume")
    assert len((folder / "metrics.csv").read_text().splitlines()) - 1 == 8


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_predict_leaves_out_bad_images(run: Path, bad_images: Path, tmp_path: Path, succeed: Succeed) -> None:
    out = tmp_path / "out.csv"
    said = succeed("predict", run, bad_images, "--out", out, "--skip-bad", "--views", 1)
    assert "47 rows in" in said
    assert "Left out: Expected a whole JPEG" in said
    assert out.read_text().splitlines()[0] == ",".join(("GalaxyID", *COLUMNS))


def test_doctor(succeed: Succeed) -> None:
    said = succeed("doctor")
    assert f"galaxy-triton {galaxy_triton.__version__}" in said
    assert f"torch        {torch.__version__.split('+')[0]}" in said
    for what in (
        "compiler     ",
        "augment      torch    runs here",
        "loss sigmoid torch    runs here",
        "loss tree    ",
    ):
        assert what in said
    assert "FAULT" not in said


def test_doctor_finds_a_missing_package(call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "PACKAGES", ("torch", "no-such-package"))
    result = call("doctor")
    assert result.exit_code == 1
    assert re.search(r"^FAULT no-such-package +missing: pip install no-such-package$", result.output, re.MULTILINE)


def test_version(succeed: Succeed) -> None:
    assert succeed("--version") == f"galaxy-triton, version {galaxy_triton.__version__}\n"


def test_help_lists_every_command(succeed: Succeed) -> None:
    said = succeed("--help")
    assert tuple(main.commands) == COMMANDS
    assert all(re.search(rf"^  {name} ", said, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name: str, succeed: Succeed) -> None:
    """An example, and at every option that may be left out its default."""
    said = succeed(name, "--help")
    assert f"Example:\n    galaxy-triton {name}" in said
    command = main.commands[name]
    context = click.Context(command, info_name=name)
    for option in command.params:
        if isinstance(option, click.Option) and not option.required:
            assert "default: " in option.get_help_record(context)[1], option.name


def test_help_needs_no_torch(tmp_path: Path) -> None:
    """Torch takes seconds to import: neither it nor NumPy may be loaded to answer `--help`."""
    code = """
import sys
from galaxy_triton.cli import main
for arguments in (["--help"], ["train", "--help"], ["--version"]):
    try:
        main(arguments)
    except SystemExit as done:
        assert done.code == 0
heavy = {"torch", "numpy", "pandas", "matplotlib", "PIL", "rich"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
