"""Files and folders appear whole or not at all, and replace nothing unasked."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from galaxy_triton.system.errors import DataFault
from galaxy_triton.system.whole_files import partials, whole_file, whole_folder

Whole = Callable[..., AbstractContextManager[Path]]


def write(whole: Whole, target: Path, text: str, replace: bool = False, then: Callable[[], object] = bool) -> None:
    """Write a file, or a folder with a file in it; call `then` before it is put into its place."""
    with whole(target, replace=replace) as temporary:
        (temporary if whole is whole_file else temporary / "file").write_text(text)
        then()


def text(target: Path) -> str:
    return (target / "file" if target.is_dir() else target).read_text()


def no_links(*arguments: object) -> None:
    raise OSError(errno.EPERM, "no links")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_nothing_is_replaced_unasked(
    whole: Whole, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what is there nor what appears meanwhile; also on a file system without hard links."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    target = tmp_path / "deep" / "target"
    with pytest.raises(DataFault, match="Expected a new name, got one that exists"):
        write(whole, target, "late", then=lambda: write(whole, target, "first"))
    with pytest.raises(DataFault, match="Expected a new name, got one"):
        write(whole, target, "late")
    assert text(target) == "first"
    write(whole, target, "last", True, then=lambda: write(whole, target, "second", True))
    assert text(target) == "last"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_leftovers_of_the_dead_alone_are_removed(whole: Whole, replace: bool, tmp_path: Path) -> None:
    """And no other name that is like theirs."""
    target, mine = tmp_path / "target", [tmp_path / name for name in ("target.partial", "target.old.partial", "a.txt")]
    for file in (*mine, tmp_path / "target.0123abcd.partial"):
        file.write_text("half")
    (tmp_path / "target.89abcdef.partial" / "deep").mkdir(parents=True)

    def look() -> None:
        (own,) = partials(target)
        write(whole, target, "first", replace)
        assert partials(target) == [own]

    if replace:
        write(whole, target, "last", replace, look)
    else:
        with pytest.raises(DataFault):
            write(whole, target, "last", replace, look)
    assert sorted(tmp_path.iterdir()) == sorted([target, *mine])


def test_a_link_to_nothing_is_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for whole in (whole_file, whole_folder):
        with pytest.raises(DataFault, match="Expected a new name"):
            write(whole, tmp_path / "link", "text")
