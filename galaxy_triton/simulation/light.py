"""The light of a simulated galaxy: its parts on a grid of pixels, each in its colour.

Light is float32 [3, n, n] in SDSS's bands i, r, g, which become red, green and blue; the shape of a part is [n, n].
"""

from dataclasses import dataclass, replace
from math import exp, pi

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from galaxy_triton.simulation.morphology import Arms, Bar, Bulge, Companion, Disk, Galaxy, Ring

EXTINCTION = (0.75, 1.0, 1.4)  # of i, r, g over that of r

Light = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Grid:
    """Coordinates of the pixels in the galaxy's frame, float32 [n, n]: x along its major axis, y across it, in R90."""

    x: Light
    y: Light
    pixel: float  # side of a pixel, R90

    @property
    def radius(self) -> Light:
        """Distance from the centre."""
        return np.hypot(self.x, self.y)

    def turn(self, angle: float) -> "Grid":
        """The same pixels in a frame turned by `angle` degrees."""
        sine, cosine = np.float32(np.sin(np.radians(angle))), np.float32(np.cos(np.radians(angle)))
        return replace(self, x=self.x * cosine + self.y * sine, y=self.y * cosine - self.x * sine)

    def move(self, x: float, y: float) -> "Grid":
        """The same pixels in a frame whose origin lies at (x, y)."""
        return replace(self, x=self.x - np.float32(x), y=self.y - np.float32(y))

    def tilt(self, ratio: float) -> "Grid":
        """The same pixels on a plane that is seen with this axis ratio."""
        return replace(self, y=self.y / np.float32(ratio))


def galaxy_light(galaxy: Galaxy, grid: Grid, rng: Generator) -> Light:
    """The light of a galaxy and its companion before seeing and noise, float32 [3, n, n]; its sum in r is about one."""
    bent = _bent(grid, galaxy.disturbance)
    light = np.zeros((3, *grid.x.shape), dtype=np.float32)
    if galaxy.bulge is not None:
        # the bulges of disks are as old as ellipticals, irregulars' are not
        colour = galaxy.colour if galaxy.disk is None or galaxy.clumps else max(galaxy.colour, 0.8)
        light += galaxy.bulge.fraction * tint(sersic(galaxy.bulge, bent), colour)
    if galaxy.disk is not None:
        light += _disk_light(galaxy, galaxy.disk, bent, rng)
        light *= _dust(galaxy.disk, bent)
    if galaxy.clumps:
        light += 0.6 * tint(_clumps(galaxy, bent, rng), 0.15)
    if galaxy.disturbance:
        light += 0.2 * galaxy.disturbance * tint(_tail(grid), galaxy.colour - 0.2)
    if galaxy.lens:
        light += galaxy.lens * tint(_lens(grid), 0.1)
    if galaxy.companion is not None:
        light += _companion_light(galaxy, galaxy.companion, grid)
    return light


def sersic(bulge: Bulge, grid: Grid) -> Light:
    """Sersic's (1963) profile exp(-b (r/re)^(1/n)), normalised: [n, n]. b after Ciotti & Bertin (1999)."""
    n = bulge.index
    b = 2 * n - 1 / 3 + 4 / (405 * n)
    x, y = np.abs(grid.x), np.abs(grid.y) / np.float32(bulge.axis_ratio)
    if bulge.boxiness:
        power = np.float32(2 + bulge.boxiness)
        radius = (x**power + y**power) ** (1 / power)
    else:
        # softened at the centre, as a pixel averages over the cusp
        radius = np.sqrt(x * x + y * y + np.float32((0.35 * grid.pixel) ** 2))
    return normalise(np.exp(-np.float32(b) * (radius / np.float32(bulge.radius)) ** np.float32(1 / n)))


def disk_profile(disk: Disk, grid: Grid) -> Light:
    """An exponential disk (Freeman 1970) of any inclination, not normalised: [n, n].

    Edge-on it is (R/h) K1(R/h) sech^2(z / 2 hz) (van der Kruit & Searle 1981), with K1 by its asymptotes.
    """
    edge_on = _edge_on(disk)
    h, ratio = np.float32(disk.scale_length), np.float32(disk.axis_ratio)
    shape = np.zeros_like(grid.x)
    if edge_on < 0.99:
        shape += (1 - edge_on) * np.exp(-grid.tilt(disk.axis_ratio).radius / h)
    if edge_on > 0.01:
        along, across = np.abs(grid.x) / h, np.abs(grid.y) / (2 * h * ratio)
        height = np.cosh(np.minimum(across, np.float32(20)))
        shape += edge_on * np.exp(-along) * np.sqrt(1 + np.float32(pi / 2) * along) / (height * height)
    return shape


def spiral_pattern(arms: Arms, plane: Grid, start: float, rng: Generator) -> Light:
    """Logarithmic spiral arms in the plane of the disk, 0 between to 1 on the ridge: [n, n]; they begin at `start`."""
    radius = plane.radius + np.float32(0.02)
    angle = np.arctan2(plane.y, plane.x) - np.float32(np.radians(arms.phase))
    wound = np.log(radius / np.float32(start))
    if arms.number:
        uneven = 1 + np.float32(0.3) * np.cos(angle - np.float32(rng.uniform(0, 2 * pi)))
        pattern = uneven * _ridge(arms.number, angle, wound, arms.pitch)
    else:
        pattern = _patches(angle, wound, arms.pitch, rng)
    rise = 1 - np.exp(-((radius / np.float32(start)) ** 4))
    return np.asarray(pattern * rise, dtype=np.float32)


def tint(shape: Light, colour: float) -> Light:
    """Light [n, n] in r -> light in i, r, g [3, n, n] for a colour g - r; r - i follows it as in SDSS's galaxies."""
    # beyond the reddest galaxies come the coolest stars, along which r - i rises and g - r hardly does
    red = 0.05 + 0.36 * colour + 1.4 * max(colour - 1.15, 0)
    bands = (10 ** (0.4 * red), 1.0, 10 ** (-0.4 * colour))
    return shape * np.array(bands, dtype=np.float32)[:, None, None]


def normalise(shape: Light) -> Light:
    """The same light, scaled to the sum one."""
    return np.asarray(shape / shape.sum())


def _disk_light(galaxy: Galaxy, disk: Disk, grid: Grid, rng: Generator) -> Light:
    """The light of the disk, and of the bar, ring and arms in its plane."""
    plane, outside = grid.tilt(disk.axis_ratio), 1.0 if galaxy.bulge is None else 1 - galaxy.bulge.fraction
    share = outside * (1 - sum(part.fraction for part in (galaxy.bar, galaxy.ring) if part is not None))
    light = share * tint(normalise(disk_profile(disk, grid)), galaxy.colour - 0.13)
    if galaxy.bar is not None:
        light += outside * galaxy.bar.fraction * tint(_bar(galaxy.bar, plane), galaxy.colour + 0.1)
    if galaxy.ring is not None:
        light += outside * galaxy.ring.fraction * tint(_ring(galaxy.ring, plane), galaxy.colour - 0.15)
    if galaxy.arms is not None:
        young, knots = _arms(galaxy.arms, galaxy.bar, disk, grid, rng)
        light += share * (tint(young, galaxy.colour - 0.3) + tint(knots, 0.0))
    return light


def _bar(bar: Bar, plane: Grid) -> Light:
    frame = plane.turn(bar.angle)
    across = frame.y / np.float32(bar.axis_ratio)
    squared = (frame.x * frame.x + across * across) / np.float32(bar.length**2)
    return normalise(np.exp(-squared * squared))


def _ring(ring: Ring, plane: Grid) -> Light:
    offset = (plane.radius - np.float32(ring.radius)) / np.float32(0.15 * ring.radius)
    return normalise(np.exp(np.float32(-0.5) * offset * offset))


def _dust(disk: Disk, grid: Grid) -> Light:
    """The fraction of light behind the dust lane of an edge-on disk, [3, n, n]; off centre if not quite edge-on."""
    height = disk.scale_length * disk.thickness
    offset = (grid.y - np.float32(0.5 * disk.scale_length * disk.cos_inclination)) / np.float32(0.5 * height)
    lane = np.exp(np.float32(-0.5) * offset * offset - np.abs(grid.x) / np.float32(2 * disk.scale_length))
    depth = np.array(EXTINCTION, dtype=np.float32)[:, None, None] * np.float32(disk.dust * _edge_on(disk))
    return np.asarray(np.exp(-depth * lane), dtype=np.float32)


def _arms(arms: Arms, bar: Bar | None, disk: Disk, grid: Grid, rng: Generator) -> tuple[Light, Light]:
    """The young light along the arms, in units of the disk's, and the knots in it: [n, n] each."""
    start = 0.15 if bar is None else bar.length
    if bar is not None:
        # two arms begin at the ends of the bar
        arms = replace(arms, phase=bar.angle)
    shape = disk_profile(replace(disk, scale_length=1.15 * disk.scale_length), grid)
    pattern = spiral_pattern(arms, grid.tilt(disk.axis_ratio), start, rng)
    young = np.float32(1.3 * arms.contrast) * normalise(shape) * pattern
    return young, np.float32(0.025 * arms.contrast) * _knots(young, rng)


def _knots(young: Light, rng: Generator) -> Light:
    """Star-forming regions drawn from the young light, at most one a pixel: [n, n], with a sum of about one."""
    count = int(rng.integers(5, 40))
    places = np.searchsorted(np.cumsum(young), rng.uniform(0, young.sum(), count).astype(np.float32))
    knots = np.zeros(young.size, dtype=np.float32)
    knots[np.minimum(places, young.size - 1)] = rng.exponential(1 / count, count)
    return knots.reshape(young.shape)


def _clumps(galaxy: Galaxy, grid: Grid, rng: Generator) -> Light:
    light = np.zeros_like(grid.x)
    for _ in range(galaxy.clumps):
        x, y = rng.normal(0, 0.4, 2)
        spot = Bulge(1.0, 0.7, float(rng.uniform(0.06, 0.22)), float(rng.uniform(0.5, 1)))
        light += np.float32(rng.exponential(1)) * sersic(spot, grid.move(x, 0.7 * y))
    return normalise(light)


def _bent(grid: Grid, disturbance: float) -> Grid:
    """Coordinates in which a disturbed galaxy would be regular: warped and lopsided outside, unmoved at the centre."""
    if not disturbance:
        return grid
    pull = np.float32(0.25 * disturbance)
    outer = np.minimum(grid.x * grid.x + grid.y * grid.y, np.float32(2))
    return replace(grid, x=grid.x + pull * outer * np.float32(0.6), y=grid.y + pull * grid.x * np.abs(grid.x))


def _tail(grid: Grid) -> Light:
    """A tidal tail: one open arm that leaves the galaxy."""
    radius, angle = grid.radius + np.float32(0.02), np.arctan2(grid.y, grid.x)
    ridge = _ridge(1, angle, np.log(radius), 35.0) ** 2
    return normalise(ridge * np.exp(-(((radius - np.float32(1.1)) / np.float32(0.6)) ** 2)))


def _lens(grid: Grid) -> Light:
    """A thin arc around the centre."""
    offset = (grid.radius - np.float32(0.9)) / np.float32(0.05)
    side = np.arctan2(grid.y, grid.x) / np.float32(0.7)
    return normalise(np.exp(np.float32(-0.5) * (offset * offset + side * side)))


def _companion_light(galaxy: Galaxy, companion: Companion, grid: Grid) -> Light:
    angle = np.radians(companion.angle)
    place = grid.move(companion.distance * np.cos(angle), companion.distance * np.sin(angle))
    other = Bulge(1.0, 1.8, 0.3 * np.sqrt(companion.fraction + 0.3), companion.axis_ratio)
    bent = _bent(place.turn(3 * companion.angle), 0.6 * galaxy.disturbance)
    return companion.fraction / (1 - companion.fraction) * tint(sersic(other, bent), galaxy.colour)


def _patches(angle: Light, wound: Light, pitch: float, rng: Generator) -> Light:
    """Short pieces of arms: where ridges of different number and pitch meet."""
    ridges = [
        _ridge(number, angle + np.float32(rng.uniform(0, 2 * pi)), wound, pitch * rng.uniform(*stretch))
        for number, stretch in ((3, (0.8, 1.2)), (5, (1.5, 2.5)), (4, (0.8, 1.2)), (7, (1.5, 2.5)))
    ]
    return ridges[0] * ridges[1] + ridges[2] * ridges[3]


def _ridge(number: int, angle: Light, wound: Light, pitch: float) -> Light:
    phase = np.float32(number) * (angle - wound / np.float32(np.tan(np.radians(pitch))))
    return np.asarray(np.exp(np.float32(2.5) * (np.cos(phase) - 1)), dtype=np.float32)


def _edge_on(disk: Disk) -> float:
    """The weight, from 0 to 1, of an edge-on disk's profile against that of an inclined disk."""
    return 1 / (1 + exp((disk.axis_ratio - 0.3) / 0.03))
