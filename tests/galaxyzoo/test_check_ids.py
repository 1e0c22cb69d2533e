"""The rules of `check` about ids: their order, and those of other tables, images and stores."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.data.pack import pack
from galaxy_triton.galaxyzoo.check import Asked, check
from galaxy_triton.system.errors import DataFault
from tests.support.checked import Table, broken, put, the_one, tree_rules


def test_the_number_of_kaggles_rows(table: Callable[..., Path]) -> None:
    assert the_one(check(table(), Asked(kind="submission")))[:3] == (
        "rows: 79,975, as in Kaggle's test set",
        1,
        ("44",),
    )
    assert check(table(), Asked(kind="submission")).faults == 0


def test_ids_out_of_order(table: Callable[..., Path], sky: Any) -> None:
    """A note: rows are found by their ids."""

    def swap(rows: Table) -> None:
        rows[5], rows[6] = rows[6], rows[5]

    finding = the_one(check(table(swap), Asked()))
    assert (finding.rule, finding.mark, finding.examples) == (
        "ids: ascending",
        "note",
        (f"line 7, GalaxyID {sky.ids[4]}",),
    )


@pytest.mark.parametrize("form", ["images", "archive", "store", "table", "zipped"])
def test_ids_like_others(form: str, table: Callable[..., Path], sigmoid: Path, sky: Any, tmp_path: Path) -> None:
    """44 of the 48 have labels: four are missing; and one is renamed."""
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        archive.write(sigmoid, "folder/zipped.csv")
    others = {"table": sigmoid, "zipped": tmp_path / "zipped.zip"}
    other = others.get(form) or getattr(sky, form)
    found = broken(check(table(put(4, 0, "7")), Asked(like=other)))
    missing, extra = found[f"ids: all of {other}"], found[f"ids: none but those of {other}"]
    assert (missing.mark, missing.broken, missing.examples[:2]) == (
        "FAULT",
        5,
        (f"without {sky.ids[2]}", f"without {sky.ids[44]}"),
    )
    assert (extra.mark, extra.broken, extra.examples) == ("FAULT", 1, ("line 4, GalaxyID 7",))
    assert len(found) == 2
    assert broken(check(sigmoid, Asked(like=other))).keys() == {
        rule.rule for rule in tree_rules(check(sigmoid, Asked()))
    }


def test_ids_like_names(table: Callable[..., Path], sky: Any, tmp_path: Path) -> None:
    """Images that are called by no number are named as they are."""
    (tmp_path / "images").mkdir()
    for stem in ("NGC 1300", "NGC 7", *sky.ids[:44]):
        (tmp_path / "images" / f"{stem}.png").write_bytes(next(iter(sky.images.iterdir())).read_bytes())
    pack(tmp_path / "images", None, tmp_path / "store", size=24, workers=1)
    for other in (tmp_path / "images", tmp_path / "store"):
        finding = broken(check(table(lambda rows: rows.append(["NGC 7", *rows[3][1:]])), Asked(like=other)))
        assert finding[f"ids: all of {other}"].examples == ("without NGC 1300",)
        assert f"ids: none but those of {other}" not in finding


def test_ids_in_the_order_of_others(table: Callable[..., Path], sky: Any) -> None:
    """Of those that both have; what ascends elsewhere is not asked then."""
    other = table(lambda rows: rows.__setitem__(slice(1, None), rows[:0:-1]), "other.csv")
    finding = the_one(check(table(), Asked(like=other)))
    assert (finding.rule, finding.mark, finding.broken) == (f"ids: in the order of {other}", "note", 44)
    assert finding.examples[0] == f"line 2, GalaxyID {sky.ids[0]}: for {sky.ids[43]}"
    assert broken(check(other, Asked(like=other))) == {}


def test_like_nothing(table: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFault, match="TIFF images, got none"):
        check(table(), Asked(like=tmp_path / "empty"))
    with pytest.raises(DataFault, match="each id once"):
        check(table(), Asked(like=table(lambda rows: rows.append(rows[3]), "twice.csv")))
