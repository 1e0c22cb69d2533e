"""Ids of galaxies: integers stay, other names are hashed."""

import hashlib

import pytest

from galaxy_triton.galaxyzoo.ids import galaxy_id


@pytest.mark.parametrize(("name", "number"), [("100008", 100008), ("0012", 12), ("0", 0), (str(2**63 - 1), 2**63 - 1)])
def test_galaxy_id_keeps_integers(name: str, number: int) -> None:
    assert galaxy_id(name) == number


@pytest.mark.parametrize("name", ["NGC 1300", "-5", "1_000", "٣", "²", str(2**63), "9" * 5000, "été", "12a", ""])
def test_galaxy_id_hashes_other_names(name: str) -> None:
    bits = bin(int(hashlib.sha256(name.encode()).hexdigest(), 16))[2:].zfill(256)
    assert galaxy_id(name) == int(bits[:63], 2)
