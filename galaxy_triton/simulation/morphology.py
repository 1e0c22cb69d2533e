"""The structure of simulated galaxies: their parts' parameters, and a population roughly like Galaxy Zoo 2's.

Lengths are in units of the galaxy's Petrosian radius R90 and angles in degrees, unless said otherwise. Colours are
g - r in magnitudes, as SDSS measures them.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

SEEING = 1.3  # of the survey, full width at half maximum, arcseconds; SDSS's median in r


@dataclass(frozen=True)
class Bulge:
    """A spheroid with Sersic's (1963) profile; alone, it is an elliptical."""

    fraction: float  # of the galaxy's light
    index: float  # Sersic's n: 1 exponential, 4 de Vaucouleurs
    radius: float  # effective, half of the light within
    axis_ratio: float  # apparent minor / major
    boxiness: float = 0.0  # isophotes are superellipses of exponent 2 + boxiness


@dataclass(frozen=True)
class Disk:
    """An exponential disk (Freeman 1970) of some thickness; it has the light that is left by the other parts."""

    scale_length: float
    cos_inclination: float  # 1 face-on, 0 edge-on
    thickness: float  # scale height / scale length
    dust: float = 0.0  # optical depth in r of the dust lane across an edge-on disk

    @property
    def axis_ratio(self) -> float:
        """Apparent minor / major of an oblate spheroid (Hubble 1926)."""
        sine = np.sqrt(1 - self.cos_inclination**2)
        return float(np.hypot(self.cos_inclination, self.thickness * sine))


@dataclass(frozen=True)
class Bar:
    """A flat ellipse in the plane of the disk."""

    fraction: float  # of the light outside the bulge
    length: float  # half the length of the ellipse
    axis_ratio: float
    angle: float  # in the plane of the disk, from its line of nodes


@dataclass(frozen=True)
class Arms:
    """Logarithmic spirals: r = r0 exp(theta tan(pitch))."""

    number: int  # 0: flocculent, many short pieces that nobody can count
    pitch: float
    contrast: float  # amplitude over the disk below
    phase: float  # in the plane of the disk


@dataclass(frozen=True)
class Ring:
    """A circle in the plane of the disk."""

    fraction: float  # of the light outside the bulge
    radius: float


@dataclass(frozen=True)
class Companion:
    """The other galaxy of a merger."""

    fraction: float  # of the light of both
    distance: float
    angle: float
    axis_ratio: float


@dataclass(frozen=True)
class Galaxy:
    """One target of the survey; a part that is None is absent."""

    size: float  # Petrosian R90, arcseconds
    depth: float  # mean surface brightness within R90 over the sky's noise in an SDSS pixel, in r
    angle: float  # of the major axis
    colour: float  # g - r of the old stars
    bulge: Bulge | None = None
    disk: Disk | None = None
    bar: Bar | None = None
    arms: Arms | None = None
    ring: Ring | None = None
    companion: Companion | None = None
    clumps: int = 0  # star-forming blobs away from the centre, which make an irregular
    disturbance: float = 0.0  # 0 none to 1: a warped outline and a tidal tail
    lens: float = 0.0  # fraction of the light in a gravitational arc
    star: bool = False  # not a galaxy but a bright star in the catalogue


def draw_galaxy(rng: Generator) -> Galaxy:
    """Draw a galaxy of the population; the families' shares roughly give Galaxy Zoo 2's mean answers."""
    families = (_elliptical, _disk_galaxy, _irregular, _merger, _star)
    family = families[rng.choice(len(families), p=(0.33, 0.575, 0.04, 0.045, 0.01))]
    return family(rng)


def _elliptical(rng: Generator) -> Galaxy:
    # few ellipticals are flatter than E7; most are rounder than E4
    axis_ratio = float(np.clip(1.0 - abs(rng.normal(0, 0.33)), 0.22, 1))
    bulge = Bulge(1.0, float(rng.uniform(1.6, 4.5)), float(0.44 / np.sqrt(axis_ratio)), axis_ratio)
    lens = float(rng.uniform(0.02, 0.08)) if rng.random() < 0.015 else 0.0
    size, depth, angle = _appearance(rng)
    return Galaxy(size, 1.1 * depth, angle, float(rng.normal(0.88, 0.1)), bulge=bulge, lens=lens)


def _disk_galaxy(rng: Generator) -> Galaxy:
    concentration = float(np.clip(rng.lognormal(np.log(0.16), 0.75), 0.005, 0.75))
    cosine = float(rng.uniform(0, 1))
    # R90 is measured in circles, in which an inclined disk fills little
    shrink = 0.88 + 0.12 * cosine
    disk = Disk(0.285 / shrink, cosine, float(rng.uniform(0.11, 0.22)), float(rng.exponential(0.5)))
    bar = _bar(rng) if rng.random() < 0.4 else None
    size, depth, angle = _appearance(rng)
    return Galaxy(
        size,
        depth,
        angle,
        # early types are redder
        colour=float(rng.normal(0.62 + 0.45 * min(concentration, 0.5), 0.13)),
        bulge=_bulge(rng, concentration, cosine),
        disk=disk,
        bar=bar,
        arms=_arms(rng, concentration) if rng.random() < 0.75 else None,
        ring=Ring(float(rng.uniform(0.08, 0.3)), float(rng.uniform(0.45, 0.85))) if rng.random() < 0.09 else None,
        disturbance=float(rng.uniform(0.2, 1)) if rng.random() < 0.07 else 0.0,
    )


def _bulge(rng: Generator, fraction: float, cosine: float) -> Bulge:
    flat = float(rng.uniform(0.6, 0.9))
    boxiness = float(rng.uniform(1, 3)) if rng.random() < 0.15 else 0.0
    radius = 0.08 + 0.35 * fraction
    return Bulge(fraction, float(rng.uniform(1, 3.5)), radius, flat + (1 - flat) * cosine, boxiness)


def _bar(rng: Generator) -> Bar:
    length, angle = rng.uniform(0.25, 0.55), rng.uniform(0, 180)
    return Bar(float(rng.uniform(0.03, 0.2)), float(length), float(rng.uniform(0.2, 0.4)), float(angle))


def _arms(rng: Generator, concentration: float) -> Arms:
    number = int(rng.choice([0, 1, 2, 3, 4, 5], p=(0.22, 0.05, 0.5, 0.12, 0.06, 0.05)))
    # late types are wound loosely (Kennicutt 1981)
    pitch = float(np.clip(rng.normal(21 - 16 * concentration, 7), 7, 42))
    return Arms(number, pitch, float(rng.lognormal(np.log(1.1), 0.6)), float(rng.uniform(0, 360)))


def _irregular(rng: Generator) -> Galaxy:
    disk = Disk(0.33, float(rng.uniform(0.35, 1)), 0.3)
    bulge = Bulge(float(rng.uniform(0.005, 0.05)), 1.0, 0.1, 0.8)
    size, depth, angle = _appearance(rng)
    clumps, disturbance = int(rng.integers(3, 10)), float(rng.uniform(0.2, 0.9))
    colour = float(rng.normal(0.42, 0.08))
    return Galaxy(size, 0.8 * depth, angle, colour, bulge, disk, clumps=clumps, disturbance=disturbance)


def _merger(rng: Generator) -> Galaxy:
    companion = Companion(
        fraction=float(rng.uniform(0.15, 0.5)),
        distance=float(rng.uniform(0.5, 1.5)),
        angle=float(rng.uniform(0, 360)),
        axis_ratio=float(rng.uniform(0.4, 1)),
    )
    first = _elliptical(rng) if rng.random() < 0.4 else _disk_galaxy(rng)
    return replace(first, companion=companion, disturbance=float(rng.uniform(0.1, 1)))


def _star(rng: Generator) -> Galaxy:
    size, depth, angle, colour = (float(rng.uniform(*span)) for span in ((3, 8), (60, 400), (0, 180), (0.2, 1.3)))
    return Galaxy(size, depth, angle, colour, star=True)


def _appearance(rng: Generator) -> tuple[float, float, float]:
    """Size in arcseconds, depth, angle."""
    size = float(np.clip(rng.lognormal(np.log(7.5), 0.4), 3.5, 22))
    return size, float(rng.lognormal(np.log(28), 0.45)), float(rng.uniform(0, 180))
