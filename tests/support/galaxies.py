"""Galaxies of known structure for the tests."""

from dataclasses import replace

from galaxy_triton.simulation.morphology import Arms, Bulge, Disk, Galaxy

ROUND = Bulge(1.0, 4.0, 0.5, 0.97)
DISK = Galaxy(12, 30, 20, 0.65, bulge=Bulge(0.1, 2, 0.12, 0.9), disk=Disk(0.29, 0.9, 0.2))
ELLIPTICAL = Galaxy(8, 30, 0, 0.9, bulge=ROUND)
EDGE_ON = replace(DISK, disk=Disk(0.33, 0.03, 0.18))
TWO_ARMS = Arms(2, 18, 2.5, 0)
