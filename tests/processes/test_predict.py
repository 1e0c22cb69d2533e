"""Several processes predict as one: the same bytes, each from its own images, and one ends as all do."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from galaxy_triton.cli.main import main
from galaxy_triton.data import store as store_module
from galaxy_triton.data.pack import pack
from galaxy_triton.predict import submission as predict
from tests.processes import predict_job
from tests.support import processes

BAD = (4, 23)  # places of the bad images, in parts of different processes
COUNT = 3  # processes; torchrun starts two
OPTIONS = ("--views", "2", "--device", "cpu")


class Found(NamedTuple):
    """Exit code, output and images read of a command in one process."""

    code: int
    said: str
    read: list[str]


@pytest.fixture(scope="module", autouse=True)
def small_parts() -> Iterator[None]:
    """As predict_job has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "CHUNK", predict_job.CHUNK)
        patch.setattr(store_module, "BLOCK_BYTES", predict_job.BLOCK_ROWS * 24 * 24 * 4)
        yield


@pytest.fixture(scope="module")
def sources(sky: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Images to predict: the sky in every form, few of it, and with bad images and a damaged block."""
    folder = tmp_path_factory.mktemp("sources")
    store, few, bad, damaged = (folder / name for name in ("store", "few", "bad", "damaged"))
    pack(sky.images, None, store, size=24, workers=1)
    shutil.copytree(sky.images, bad)
    files = sorted(bad.iterdir())
    for place in BAD:
        files[place].write_bytes(files[place].read_bytes()[:500])
    few.mkdir()
    for file in files[-2:]:
        shutil.copy(file, few)
    shutil.copytree(store, damaged)
    content = bytearray((damaged / "pixels.npy").read_bytes())
    content[-1] ^= 1
    (damaged / "pixels.npy").write_bytes(content)
    return {"images": sky.images, "archive": sky.archive, "store": store, "few": few, "bad": bad, "damaged": damaged}


@pytest.fixture(scope="module")
def commands(run: Path, sources: dict[str, Path]) -> dict[str, list[str]]:
    """By name; each prediction writes the file of that name."""
    asked = {name: [str(run), str(source)] for name, source in sources.items()}
    asked["skipped"] = [*asked["bad"], "--skip-bad"]
    asked["die"] = asked["images"]
    predicted = {name: ["predict", *words, *OPTIONS, "--out", f"{name}.csv"] for name, words in asked.items()}
    others = {name: [name, str(run)] for name in ("evaluate", "report")}
    return {**others, "dry": [*predicted["images"], "--dry-run"], **predicted, "die": ["die", *predicted["die"]]}


@pytest.fixture(scope="module")
def folder(commands: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where three processes have carried out all commands, "die" the last."""
    where = tmp_path_factory.mktemp("several")
    ports: set[int] = set()
    while len(ports) < len(commands):
        ports.add(processes.free_port())
    asked = [[port, *words] for port, words in zip(ports, commands.values(), strict=True)]
    (where / "commands.json").write_text(json.dumps(asked))
    ends = processes.together(COUNT, [sys.executable, predict_job.__file__, "commands.json", "found"], where)
    assert [ended.code for ended in ends] == [0, 9] + [0] * (COUNT - 2), ends
    return where


@pytest.fixture
def found(folder: Path, commands: dict[str, list[str]]) -> dict[str, list[Found]]:
    """The records of each process, by command; for "die" without the one that died."""
    ends = [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(COUNT)]
    return {
        name: [Found(*process[place]) for process in ends if place < len(process)]
        for place, name in enumerate(commands)
    }


def alone(words: list[str], folder: Path) -> tuple[str, bytes]:
    """Output and file of the same command in this one process."""
    out = folder / words[words.index("--out") + 1]
    result = CliRunner().invoke(main, [str(out) if word == out.name else word for word in words])
    assert result.exit_code == 0, result.output
    return result.output.replace(f"{folder}/", ""), out.read_bytes()


@pytest.mark.parametrize("name", ["archive", "store", "few", "skipped"])
def test_bytes_of_one_process(
    name: str, found: dict[str, list[Found]], folder: Path, commands: dict[str, list[str]], tmp_path: Path
) -> None:
    """Also where there are fewer parts than processes, and where bad images are left out; one process speaks."""
    said, written = alone(commands[name], tmp_path)
    assert (folder / f"{name}.csv").read_bytes() == written
    assert [each.code for each in found[name]] == [0] * len(found[name])
    assert [each.said for each in found[name]] == [said] + [""] * (len(found[name]) - 1)
    assert said.count("left out") == len(BAD) * (name == "skipped")


@pytest.mark.parametrize(("name", "size"), [("images", predict_job.CHUNK), ("store", 1)])
def test_each_reads_its_own(name: str, size: int, found: dict[str, list[Found]], sky: Any) -> None:
    """Every n-th part of the images, or every n-th block of the store, and nothing else."""
    names = list(map(str, range(7) if name == "store" else sky.ids))
    parts = [names[start : start + size] for start in range(0, len(names), size)]
    want = [[name for part in parts[rank::COUNT] for name in part] for rank in range(COUNT)]
    assert [each.read for each in found[name]] == want


def test_a_bad_image_ends_all(found: dict[str, list[Found]], folder: Path, sky: Any) -> None:
    """Whoever met with it, all say the same, and what they say is of the first bad image."""
    assert [each.code for each in found["bad"]] == [1] * len(found["bad"])
    assert len({each.said for each in found["bad"]}) == 1
    said = " ".join(found["bad"][0].said.split())
    assert "Expected a whole JPEG, PNG or TIFF image, got 500 bytes that do not decode" in said
    assert f"({sky.ids[BAD[0]]}.png)" in said
    assert not list(folder.glob("bad.csv*"))


def test_a_damaged_block_ends_all(found: dict[str, list[Found]], folder: Path) -> None:
    assert [each.code for each in found["damaged"]] == [1] * len(found["damaged"])
    assert "block 6, rows 42 to 47" in found["damaged"][0].said
    assert not list(folder.glob("damaged.csv*"))


def test_a_process_that_is_gone_ends_all(found: dict[str, list[Found]], folder: Path) -> None:
    assert [each.code for each in found["die"]] == [1] * (COUNT - 1)
    for each in found["die"]:
        assert f"Expected all {COUNT} processes to go on, got" in " ".join(each.said.split())
        assert "Traceback" not in each.said
    assert not list(folder.glob("die.csv*"))


@pytest.mark.parametrize("name", ["evaluate", "report"])
def test_commands_that_need_one_process(name: str, found: dict[str, list[Found]]) -> None:
    """Answering in one of them would let the others' GPUs lie idle unseen."""
    for each in found[name]:
        assert each.code == 2
        assert f"Expected one process for `{name}`, got {COUNT} (WORLD_SIZE): start it without torchrun" in " ".join(
            each.said.split()
        )


def test_one_process_prints_the_dry_run(found: dict[str, list[Found]]) -> None:
    first, *others = found["dry"]
    assert "48 images" in first.said
    assert [(each.code, each.said) for each in others] == [(0, "")] * len(others)


def test_under_torchrun(sky: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command line says it, with parts of their own size: one process has nothing to answer."""
    monkeypatch.setattr(predict, "CHUNK", 512)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    words = ["predict", str(run), str(sky.images), *OPTIONS, "--out", "out.csv"]
    port = f"--master-port={processes.free_port()}"
    ended = processes.end(processes.start([*torchrun, port, "-m", "galaxy_triton", *words], tmp_path))
    assert ended.code == 0, ended.said
    assert ended.said.count("48 rows in out.csv") == 1
    assert (tmp_path / "out.csv").read_bytes() == alone([*words[:-1], "alone.csv"], tmp_path)[1]
