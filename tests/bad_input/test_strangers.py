"""A store, run or checkpoint from a stranger runs no code of theirs: every payload here works where it is unpickled."""

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from tests.bad_input import damage
from tests.bad_input.damage import rehash
from tests.bad_input.world import World, make_world

PROTOCOLS = (0, 4)

world = pytest.fixture(make_world)


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return eval, (f"__import__('os').mkdir({self.trace!r})",)


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    """One that has been seen to work."""
    trace = tmp_path / "trace"
    payload = Payload(trace)
    for content in (*(pickle.dumps(payload, protocol) for protocol in PROTOCOLS), whole_pickle(payload)):
        (pickle.loads if content[:2] != b"PK" else unsafe)(content)
        assert trace.is_dir()
        trace.rmdir()
    return payload


def whole_pickle(payload: object) -> bytes:
    """As torch saves a state."""
    file = io.BytesIO()
    torch.save({"optimiser": payload, "scaler": {}}, file)
    return file.getvalue()


def unsafe(content: bytes) -> object:
    return torch.load(io.BytesIO(content), weights_only=False)


def zipped_pickle(payload: object) -> bytes:
    """An .npz: `numpy.load` opens one by what its first bytes are, whatever it is called."""
    file, array = io.BytesIO(), io.BytesIO()
    np.save(array, np.array([payload], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("ids.npy", array.getvalue())
    return file.getvalue()


@pytest.fixture
def asked(world: World, call: Callable[..., Result], payload: Payload) -> Callable[[Path, Path], None]:
    """asked(run, store): both readers of checkpoints and stores end with a fault, and the payload was not run."""

    def ask(run: Path, store: Path) -> None:
        for arguments in (
            ("predict", run, store, "--out", world.new / "out.csv"),
            ("train", store, "--run", run, "--resume"),
        ):
            result = call(*arguments)
            assert isinstance(result.exception, SystemExit), repr(result.exception)
            assert (result.exit_code, "Traceback" in result.output) == (1, False), result.output
        assert not Path(payload.trace).exists()
        assert not (world.new / "out.csv").exists()

    return ask


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors"])
@pytest.mark.parametrize("form", [*PROTOCOLS, "torch"])
def test_a_checkpoint(name: str, form: int | str, world: World, payload: Payload, asked: Any) -> None:
    content = whole_pickle(payload) if form == "torch" else pickle.dumps({"optimiser": payload}, int(form))
    asked(damage.run(world, f"last/{name}", rehash(damage.write(content))), world.store)


@pytest.mark.parametrize("name", ["ids.npy", "labels.npy", "names.npy"])
def test_a_store_of_objects(name: str, world: World, payload: Payload, asked: Any) -> None:
    asked(world.run, damage.forge_store(world, {name: np.array([payload] * 48, dtype=object)}))


@pytest.mark.parametrize("make", [zipped_pickle, pickle.dumps])
def test_a_store_of_another_kind(make: Callable[[object], bytes], world: World, payload: Payload, asked: Any) -> None:
    store = damage.forge_store(world)
    (store / "ids.npy").write_bytes(make(payload))
    asked(world.run, damage.seal(store, "ids.npy"))


def test_a_link_in_a_strangers_run_is_not_written_through(
    run: Path, tmp_path: Path, call: Callable[..., Result]
) -> None:
    """A run can come with links where leftovers and logs lie; what they lead to is the user's."""
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "log.txt").unlink()
    for name in ("report.html.partial", "metrics.csv.partial", "log.txt"):
        (tmp_path / "run" / name).symlink_to(mine)
    for arguments in (("report", tmp_path / "run", "--views", 1), ("train", "--resume", "--run", tmp_path / "run")):
        result = call(*arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        assert mine.read_text() == "precious"
