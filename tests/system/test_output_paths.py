"""The checks of what a command is to write."""

from pathlib import Path

import pytest

from galaxy_triton.system.errors import UsageFault
from galaxy_triton.system.output_paths import require_new_folder


def test_a_new_folder_is_absent_or_empty(tmp_path: Path) -> None:
    require_new_folder(tmp_path / "absent", "--run")
    require_new_folder(tmp_path, "--run")
    (tmp_path / "notes").write_text("precious")
    for folder, got in ((tmp_path, "one with files"), (tmp_path / "notes", "Not a directory")):
        with pytest.raises(UsageFault, match=f"got {got} .*--run"):
            require_new_folder(folder, "--run")


def test_a_new_folder_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", "", "gz.csv"):
        with pytest.raises(UsageFault, match="the name of a"):
            require_new_folder(Path(name), "--out")
