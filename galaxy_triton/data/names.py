"""What the user calls each galaxy."""

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.data.store import Store


def names_of(store: Store) -> NDArray[np.str_]:
    """What a user calls each galaxy: its id, or its file's stem where that is no integer."""
    return store.ids.astype(np.str_) if store.names is None else store.names
