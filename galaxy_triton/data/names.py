"""Names of galaxies: how a user calls each galaxy of a store, of a set of images or of a table."""

from pathlib import Path

from galaxy_triton.data.images import is_image, open_images
from galaxy_triton.data.store import MANIFEST, Store, labelled_rows, open_store
from galaxy_triton.galaxyzoo.ids import galaxy_id
from galaxy_triton.galaxyzoo.tables import read_names, shown
from galaxy_triton.system.console import Display
from galaxy_triton.system.untrusted_files import open_zip, visible_names


def names_of(store: Store) -> list[str]:
    """The name of each galaxy of a store, by row: its file's stem."""
    names = store.ids if store.names is None else store.names
    return [str(name) for name in names.tolist()]


def read_galaxies(path: Path) -> dict[int, str]:
    """The ids and names in a store, in a folder or zip of images, or in a table, in the order there.

    Raises:
        DataFault: `path` is none of these.
    """
    if (path / MANIFEST).is_file():
        store = open_store(path)
        return dict(zip(store.ids.tolist(), names_of(store), strict=True))
    if path.is_dir() or _holds_images(path):
        with open_images(path) as source:
            return {entry.id: entry.stem for entry in source.entries}
    return {galaxy_id(name): name for name in read_names(path)}


def warn_of_unknown(table: Path, store: Store, display: Display) -> None:
    """Warn of the ids in a table that are no labelled galaxies of a store."""
    known = set(store.ids[labelled_rows(store)].tolist())
    if unknown := [name for name in read_names(table) if galaxy_id(name) not in known]:
        first = f"{shown(unknown[0])} the first"
        display.warn(f"{len(unknown)} ids of {table} are no labelled galaxies of the store, {first}")


def _holds_images(path: Path) -> bool:
    if path.suffix.lower() != ".zip":
        return False
    with open_zip(path) as archive:
        return any(map(is_image, visible_names(archive)))
