"""Predictions: the same by every way in, in Kaggle's form, whole or not at all."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from galaxy_triton.data.pack import pack
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tables import read_answers, read_names
from galaxy_triton.predict import submission as predict_module
from galaxy_triton.predict.predictor import Predictor
from galaxy_triton.predict.submission import SubmissionOptions, predict
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import train

OPTIONS = SubmissionOptions(views=2, device="cpu", batch_size=16, overwrite=True)

Predict = Callable[..., str]


@pytest.fixture
def ask(run: Path, tmp_path: Path, display: Display) -> Predict:
    """ask(source, chunk=512, **fields of SubmissionOptions): the text of the CSV."""

    def call(source: Path, chunk: int = 512, **fields: Any) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(predict_module, "CHUNK", chunk)
            predict(run, source, tmp_path / "out.csv", replace(OPTIONS, **fields), display)
        return (tmp_path / "out.csv").read_text()

    return call


@pytest.fixture
def bad_images(sky: Any, tmp_path: Path) -> Path:
    """The sky's images, the fourth of them half."""
    shutil.copytree(sky.images, tmp_path / "images")
    bad = sorted((tmp_path / "images").iterdir())[3]
    bad.write_bytes(bad.read_bytes()[:500])
    return tmp_path / "images"


def values(text: str) -> np.ndarray[Any, Any]:
    return np.array([line.split(",")[1:] for line in text.splitlines()[1:]], dtype=np.float64)


def test_predict_is_the_same_from_any_source_in_any_chunk_or_batch(ask: Predict, sky: Any) -> None:
    """A batch's size may change the last bits of a sum; a chunk of whole batches changes nothing."""
    whole = ask(sky.images)
    assert {ask(source, chunk=chunk) for source in (sky.store, sky.images, sky.archive) for chunk in (16, 512)} == {
        whole
    }
    for chunk, size in ((5, 16), (48, 48), (48, 1)):
        assert values(ask(sky.images, chunk=chunk, batch_size=size)) == pytest.approx(values(whole), abs=2e-6)


def test_predict_holds_a_chunk_at_a_time(ask: Predict, sky: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network answers no more at a time, and no chunk is read before the last one is answered."""
    events: list[tuple[str, int]] = []
    decode, answer = predict_module.decode_images, Predictor.answer

    def reading(*arguments: Any) -> Any:
        for image in decode(*arguments):
            events.append(("read", 1))
            yield image

    def answering(self: Any, galaxies: Any, *arguments: Any) -> Any:
        events.append(("answered", len(galaxies.pixels)))
        return answer(self, galaxies, *arguments)

    monkeypatch.setattr(predict_module, "decode_images", reading)
    monkeypatch.setattr(Predictor, "answer", answering)
    ask(sky.images, chunk=10)
    want = [event for size in (10, 10, 10, 10, 8) for event in [("read", 1)] * size + [("answered", size)]]
    assert events == want


def test_predict_writes_kaggles_form(ask: Predict, sky: Any) -> None:
    lines = ask(sky.archive).splitlines()
    assert lines[0] == ",".join(("GalaxyID", *COLUMNS))
    assert [int(line.split(",")[0]) for line in lines[1:]] == sky.ids.tolist()
    assert all(len(line.split(",")) == 38 for line in lines)
    answers = values("\n".join(lines))
    assert ((answers >= 0) & (answers <= 1)).all()
    assert len(np.unique(answers.round(6), axis=0)) == 48


def test_spreads_are_over_views(ask: Predict, sky: Any) -> None:
    """Those of one view are unknown, so their cells are empty."""
    one, two = (pandas.read_csv(io.StringIO(ask(sky.images, layout="conditional", views=views))) for views in (1, 2))
    assert one.filter(like="_spread").isna().all(axis=None)
    assert one["smooth_smooth"].notna().all()
    assert two["smooth_smooth_spread"].mean() > 1e-5


@pytest.mark.parametrize("layout", ["kaggle", "conditional"])
def test_predict_refuses_an_answer_that_is_nan(
    layout: str, ask: Predict, sky: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every layout: an empty cell means that too few were asked, not that the network failed."""
    answer = Predictor.answer

    def failing(*arguments: Any) -> Any:
        found = answer(*arguments)
        found[3, 5] = np.nan
        return found

    monkeypatch.setattr(Predictor, "answer", failing)
    with pytest.raises(DataFault, match=f"{sky.ids[3]}, Class3.1"):
        ask(sky.images, layout=layout)
    assert not (tmp_path / "out.csv").exists()


def test_predict_uses_averages_when_there_are_any(
    sky: Any, tmp_path: Path, display: Display, tiny: dict[str, Any]
) -> None:
    """With a decay of nearly one the averages stay at the first step's weights; the CSV must follow them."""
    folder, averaging = tmp_path / "run", {"optimiser.average": 0.999, "optimiser.lr": 0.05}
    train(TrainOptions(sky.store, settings={**tiny, **averaging}, run=folder), display)
    predict(folder, sky.store, tmp_path / "averaged.csv", OPTIONS, display)
    shutil.copy(folder / "last" / "weights.safetensors", folder / "last" / "average.safetensors")
    manifest = folder / "last" / "checkpoint.json"
    saved = json.loads(manifest.read_text())
    saved["hashes"]["average.safetensors"] = saved["hashes"]["weights.safetensors"]
    manifest.write_text(json.dumps(saved))
    predict(folder, sky.store, tmp_path / "plain.csv", OPTIONS, display)
    averaged, plain = ((tmp_path / name).read_text() for name in ("averaged.csv", "plain.csv"))
    assert np.abs(values(averaged) - values(plain)).max() > 1e-3


def test_predict_leaves_out_bad_images(run: Path, bad_images: Path, sky: Any, tmp_path: Path, display: Display) -> None:
    found = predict(run, bad_images, tmp_path / "out.csv", replace(OPTIONS, skip_bad=True), display)
    assert found.rows == 47
    assert [str(sky.ids[3]) in message for message in found.skipped] == [True]
    ids, _ = read_answers(tmp_path / "out.csv")
    assert ids.tolist() == np.delete(sky.ids, 3).tolist()


def test_predict_names_images_as_their_files(run: Path, sky: Any, tmp_path: Path, display: Display) -> None:
    """From images and from their store alike, and so that every reader takes the table."""
    shutil.copytree(sky.images, tmp_path / "images")
    names = ("NGC 1300", f"00{sky.ids[1]}", "150.1234")
    for file, name in zip(sorted((tmp_path / "images").iterdir()), names, strict=False):
        file.rename(tmp_path / "images" / f"{name}.png")
    pack(tmp_path / "images", None, tmp_path / "s", size=24, workers=1)
    texts = []
    for source in (tmp_path / "images", tmp_path / "s"):
        predict(run, source, tmp_path / "out.csv", OPTIONS, display)
        texts.append((tmp_path / "out.csv").read_text())
    assert texts[0] == texts[1]
    assert set(names) < set(read_names(tmp_path / "out.csv"))
    assert len(read_answers(tmp_path / "out.csv")[0]) == 48
