"""Files and folders appear whole or not at all."""

from pathlib import Path

import pytest

from galaxy_triton.system.errors import UsageFault
from galaxy_triton.system.whole_files import require_new_folder


def test_a_new_folder_is_absent_or_empty(tmp_path: Path) -> None:
    require_new_folder(tmp_path / "absent", "--run")
    require_new_folder(tmp_path, "--run")
    (tmp_path / "notes").write_text("precious")
    for folder, got in ((tmp_path, "one with files"), (tmp_path / "notes", "Not a directory")):
        with pytest.raises(UsageFault, match=f"got {got} .*--run"):
            require_new_folder(folder, "--run")
