"""The wheel: what it holds, and that it leaves another distribution's top-level `kernels` alone."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import galaxy_triton

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "galaxy_triton", "kernels")
DUMMY = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
DUMMY += '[project]\nname = "kernels"\nversion = "9.9"\n[tool.setuptools]\npackages = ["kernels"]\n'


def pip(*arguments: object) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    command = [sys.executable, "-m", "pip", *map(str, arguments), *quiet]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def build(source: Path, out: Path) -> Path:
    """The wheel of a source tree, built with the setuptools that is here."""
    pip("wheel", source, "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out)
    (wheel,) = out.iterdir()
    return wheel


def copy_repository(folder: Path) -> Path:
    """A copy, with the link galaxy_triton/kernels."""
    for part in PARTS:
        path = REPOSITORY / part
        if path.is_dir():
            shutil.copytree(path, folder / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        elif path.is_file():
            shutil.copy(path, folder)
    return folder


def check_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    modules = {
        f"galaxy_triton/{prefix}{path.relative_to(folder).as_posix()}"
        for prefix, folder in (("", REPOSITORY / "galaxy_triton"), ("kernels/", REPOSITORY / "kernels"))
        for path in folder.rglob("*.py")
    }
    assert modules <= names
    assert {"galaxy_triton/py.typed", "galaxy_triton/kernels/augmentation/fused.py"} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"galaxy_triton", f"galaxy_triton-{galaxy_triton.__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert 'Requires-Dist: triton>=3.2; sys_platform == "linux"' in metadata


@pytest.mark.daily
def test_wheel_holds_both_packages(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    check_contents(build(copy_repository(tmp_path / "source"), tmp_path / "wheel"))


def test_wheel_leaves_a_top_level_kernels_alone(tmp_path: Path) -> None:
    """Installed beside a distribution that owns it, and uninstalled again. Some systems copy the link as nothing."""
    (tmp_path / "source").mkdir()
    source = copy_repository(tmp_path / "source")
    (source / "galaxy_triton" / "kernels").unlink()
    wheel = build(source, tmp_path / "ours")
    check_contents(wheel)
    dummy = tmp_path / "dummy"
    (dummy / "kernels").mkdir(parents=True)
    (dummy / "kernels" / "__init__.py").write_text("OWNER = 'another'\n")
    (dummy / "pyproject.toml").write_text(DUMMY)
    other = build(dummy, tmp_path / "wheel")
    home = tmp_path / "home"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (packages,) = home.glob("lib/python*/site-packages")
    before = set(packages.rglob("*"))

    pip("--python", python, "install", "--no-deps", "--no-index", "--no-compile", other, wheel)
    theirs = (packages / "kernels" / "__init__.py").read_text()
    assert theirs == "OWNER = 'another'\n"
    assert (packages / "galaxy_triton" / "kernels" / "philox.py").is_file()
    pip("--python", python, "uninstall", "--yes", "galaxy-triton")

    assert (packages / "kernels" / "__init__.py").read_text() == theirs
    left = {path.relative_to(packages).parts[0] for path in set(packages.rglob("*")) - before}
    assert left == {"kernels", "kernels-9.9.dist-info"}
