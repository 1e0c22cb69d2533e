"""Names of the 37 columns: Kaggle's, ours, the Galaxy Zoo 2 catalogue's and galaxy-datasets'."""

from galaxy_triton.galaxyzoo.questions import COLUMNS, QUESTIONS
from galaxy_triton.system.errors import UsageFault, expected

READABLE: tuple[str, ...] = tuple(f"{question.name}_{answer}" for question in QUESTIONS for answer in question.answers)
SPREADS: tuple[str, ...] = tuple(f"{name}_spread" for name in READABLE)  # columns of `predict --layout wide`


def _names(table: str) -> tuple[str, ...]:
    """The names in a table that has a line for each question: its name, then its answers."""
    lines = (line.split() for line in table.strip().splitlines())
    return tuple(f"{question}_{answer}" for question, *answers in lines for answer in answers)


# The Galaxy Zoo 2 catalogue, without the endings _count, _weight, _fraction, _weighted_fraction, _debiased and _flag:
# from SkyServer's schema (GalaxyZoo2Tables.sql, 2013); Hart et al. 2016 (gz2_hart16.csv) kept the names.
GZ2 = _names("""
    t01_smooth_or_features a01_smooth a02_features_or_disk a03_star_or_artifact
    t02_edgeon a04_yes a05_no
    t03_bar a06_bar a07_no_bar
    t04_spiral a08_spiral a09_no_spiral
    t05_bulge_prominence a10_no_bulge a11_just_noticeable a12_obvious a13_dominant
    t06_odd a14_yes a15_no
    t07_rounded a16_completely_round a17_in_between a18_cigar_shaped
    t08_odd_feature a19_ring a20_lens_or_arc a21_disturbed a22_irregular a23_other a24_merger a38_dust_lane
    t09_bulge_shape a25_rounded a26_boxy a27_no_bulge
    t10_arms_winding a28_tight a29_medium a30_loose
    t11_arms_number a31_1 a32_2 a33_3 a34_4 a36_more_than_4 a37_cant_tell
""")

# galaxy-datasets (galaxy_datasets/shared/label_metadata.py), in our order: theirs has the bulge's sizes from dominant
# to none, spiral before bar, and no question 8. `gz2_pairs`, as here, is in earlier versions and in zoobot;
# `gz2_ortho_pairs` has -gz2 after the question.
_PAIRS = _names("""
    smooth-or-featured smooth featured-or-disk artifact
    disk-edge-on yes no
    bar yes no
    has-spiral-arms yes no
    bulge-size no just-noticeable obvious dominant
    something-odd yes no
    how-rounded round in-between cigar
    bulge-shape round boxy no-bulge
    spiral-winding tight medium loose
    spiral-arm-count 1 2 3 4 more-than-4 cant-tell
""")
GZ2_PAIRS = (*_PAIRS[:18], *[None] * 7, *_PAIRS[18:])

# Scheme -> its names of the 37 columns, in the order of COLUMNS. None: the scheme has no such answer.
SCHEMES: dict[str, tuple[str | None, ...]] = {
    "kaggle": COLUMNS,
    "readable": READABLE,
    "gz2": GZ2,
    "gz2_pairs": GZ2_PAIRS,
    "gz2_ortho_pairs": tuple(name and name.replace("_", "-gz2_") for name in GZ2_PAIRS),
}


def renamed(name: str, source: str, target: str) -> str | None:
    """Translate a column's name: `renamed("bar_yes", "readable", "gz2")` is "t03_bar_a06_bar".

    Names only; the values differ. Kaggle's fractions are cumulative. The fractions in GZ2's catalogue, and those that
    `predict --layout conditional` writes under our readable names, are among the people who were asked the question.
    galaxy-datasets has numbers of votes, and its parent of bar, spiral and bulge is "featured", where Kaggle's is "not
    edge-on".

    Args:
        name: a column in the scheme `source`.
        source, target: keys of SCHEMES. "kaggle" and "readable" are ours; "gz2" is the catalogue's (Willett et al.
            2013, Hart et al. 2016); "gz2_pairs" and "gz2_ortho_pairs" are galaxy-datasets' and zoobot's.

    Returns:
        None where the target has no such answer: galaxy-datasets leaves out question 8, the odd feature.

    Raises:
        UsageFault: no such scheme, or no such name in it.
    """
    for scheme in (source, target):
        if scheme not in SCHEMES:
            raise UsageFault(expected(f"one of {', '.join(SCHEMES)}", repr(scheme), "a scheme of names", "choose one"))
    if name not in SCHEMES[source]:
        do = f"see galaxy_triton.galaxyzoo.column_names.SCHEMES[{source!r}]"
        raise UsageFault(expected(f"a column's name in {source}", repr(name), "a column to rename", do))
    return SCHEMES[target][SCHEMES[source].index(name)]
