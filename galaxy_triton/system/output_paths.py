"""Where a command may write: checks, before long work, of the files and folders that it is to make."""

import os
from pathlib import Path

from galaxy_triton.system.errors import UsageFault, expected, reason

# Endings that no folder may have: a file's ending is a promise.
FILES = ".csv .json .toml .txt .html .zip .gz .tar .tgz .npy .npz .h5 .hdf5 .parquet .fits .pt .pth .pt2 .png .jpg"


def check_file(file: Path, option: str, endings: tuple[str, ...], overwrite: bool | None = None) -> None:
    """Raise unless a command may write this file, as a check before long work.

    Args:
        option: the command-line option that names the file.
        endings: of file names, those that the content keeps: a file's ending is a promise.
        overwrite: whether an existing file may be replaced; None: no, and the command has no --overwrite.

    Raises:
        UsageFault: another ending, an existing file, a folder or a device, or a place that cannot be written.
    """
    do = f"choose another {option}"
    if file.exists() and not file.is_file():
        raise UsageFault(expected("a file to write", "a folder or a device", file, do))
    if not file.name.endswith(endings):
        such = f"choose another name, such as {file.stem.removesuffix(endings[0])}{endings[0]}"
        raise UsageFault(expected(f"a file named {' or '.join(endings)}", file.name, option, such))
    if os.path.lexists(file) and not overwrite:
        or_else = ", or add --overwrite" * (overwrite is not None)
        raise UsageFault(expected("a new file", "one that exists", file, do + or_else))
    above = next(folder for folder in file.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UsageFault(expected("a folder to write in", f"the file {above}", file, do))
    if not os.access(above, os.W_OK):
        raise UsageFault(expected("a folder to write in", f"{above}, which is read-only to you", file, do))


def require_new_folder(folder: Path, option: str, do: str | None = None) -> None:
    """Raise unless `folder` is absent or empty, and named as a folder.

    Args:
        option: the command-line option that names the folder.
        do: what to do if the folder is in use; None for "choose another" of that option.

    Raises:
        UsageFault: the folder holds something, cannot be read, is a file, or has the name of one.
    """
    if got := content_of(folder):
        raise UsageFault(expected("a new or empty folder", got, folder, do or f"choose another {option}"))
    require_folder_name(folder, option)


def require_folder_name(folder: Path, option: str) -> None:
    """Raise if a new folder has no name of its own, or one that ends as that of a file does.

    Raises:
        UsageFault: it does.
    """
    if folder.name in ("", ".."):
        raise UsageFault(expected("the name of a new folder", str(folder), option, f"choose another {option}"))
    if folder.name.endswith(tuple(FILES.split())):
        do = f"choose another name, such as {folder.name.partition('.')[0] or 'out'}"
        raise UsageFault(expected("the name of a folder", f"one of a {folder.suffix} file", f"{option} {folder}", do))


def content_of(folder: Path) -> str | None:
    """What is in the place of a new folder, for messages; None: nothing, or an empty folder."""
    try:
        return "one with files" if any(folder.iterdir()) else None
    except FileNotFoundError:
        return "a link to nothing" if folder.is_symlink() else None
    except OSError as error:
        return reason(error)
