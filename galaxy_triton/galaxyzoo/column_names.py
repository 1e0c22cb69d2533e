"""What the 37 columns are called: by Kaggle, by us, by Galaxy Zoo 2's catalogue and by galaxy-datasets."""

from galaxy_triton.galaxyzoo.questions import COLUMNS, QUESTIONS
from galaxy_triton.system.errors import UsageFault, expected

READABLE: tuple[str, ...] = tuple(f"{question.name}_{answer}" for question in QUESTIONS for answer in question.answers)


SPREADS: tuple[str, ...] = tuple(f"{name}_spread" for name in READABLE)  # of the readable columns of a prediction


# The catalogue's columns, without the endings _count, _weight, _fraction, _weighted_fraction, _debiased and _flag: from
# SkyServer's schema (GalaxyZoo2Tables.sql, 2013); Hart et al. 2016 (gz2_hart16.csv) kept them.
GZ2: tuple[str, ...] = (
    "t01_smooth_or_features_a01_smooth",
    "t01_smooth_or_features_a02_features_or_disk",
    "t01_smooth_or_features_a03_star_or_artifact",
    "t02_edgeon_a04_yes",
    "t02_edgeon_a05_no",
    "t03_bar_a06_bar",
    "t03_bar_a07_no_bar",
    "t04_spiral_a08_spiral",
    "t04_spiral_a09_no_spiral",
    "t05_bulge_prominence_a10_no_bulge",
    "t05_bulge_prominence_a11_just_noticeable",
    "t05_bulge_prominence_a12_obvious",
    "t05_bulge_prominence_a13_dominant",
    "t06_odd_a14_yes",
    "t06_odd_a15_no",
    "t07_rounded_a16_completely_round",
    "t07_rounded_a17_in_between",
    "t07_rounded_a18_cigar_shaped",
    "t08_odd_feature_a19_ring",
    "t08_odd_feature_a20_lens_or_arc",
    "t08_odd_feature_a21_disturbed",
    "t08_odd_feature_a22_irregular",
    "t08_odd_feature_a23_other",
    "t08_odd_feature_a24_merger",
    "t08_odd_feature_a38_dust_lane",
    "t09_bulge_shape_a25_rounded",
    "t09_bulge_shape_a26_boxy",
    "t09_bulge_shape_a27_no_bulge",
    "t10_arms_winding_a28_tight",
    "t10_arms_winding_a29_medium",
    "t10_arms_winding_a30_loose",
    "t11_arms_number_a31_1",
    "t11_arms_number_a32_2",
    "t11_arms_number_a33_3",
    "t11_arms_number_a34_4",
    "t11_arms_number_a36_more_than_4",
    "t11_arms_number_a37_cant_tell",
)


# galaxy-datasets' (galaxy_datasets/shared/label_metadata.py), put in our order: theirs has the bulge's sizes from
# dominant to none, spiral before bar, and no question 8. `gz2_pairs`, as here, is in earlier versions and in zoobot's;
# `gz2_ortho_pairs` has -gz2 after the question.
GZ2_PAIRS: tuple[str | None, ...] = (
    "smooth-or-featured_smooth",
    "smooth-or-featured_featured-or-disk",
    "smooth-or-featured_artifact",
    "disk-edge-on_yes",
    "disk-edge-on_no",
    "bar_yes",
    "bar_no",
    "has-spiral-arms_yes",
    "has-spiral-arms_no",
    "bulge-size_no",
    "bulge-size_just-noticeable",
    "bulge-size_obvious",
    "bulge-size_dominant",
    "something-odd_yes",
    "something-odd_no",
    "how-rounded_round",
    "how-rounded_in-between",
    "how-rounded_cigar",
    None,
    None,
    None,
    None,
    None,
    None,
    None,
    "bulge-shape_round",
    "bulge-shape_boxy",
    "bulge-shape_no-bulge",
    "spiral-winding_tight",
    "spiral-winding_medium",
    "spiral-winding_loose",
    "spiral-arm-count_1",
    "spiral-arm-count_2",
    "spiral-arm-count_3",
    "spiral-arm-count_4",
    "spiral-arm-count_more-than-4",
    "spiral-arm-count_cant-tell",
)


# What to call the 37 columns, each in the order of COLUMNS. None: the scheme has no such answer.
SCHEMES: dict[str, tuple[str | None, ...]] = {
    "kaggle": COLUMNS,
    "readable": READABLE,
    "gz2": GZ2,
    "gz2_pairs": GZ2_PAIRS,
    "gz2_ortho_pairs": tuple(name and name.replace("_", "-gz2_") for name in GZ2_PAIRS),
}


def renamed(name: str, source: str, target: str) -> str | None:
    """What a column of one scheme is called in another: `renamed("bar_yes", "readable", "gz2")` is "t03_bar_a06_bar".

    Names only; values differ. Kaggle's are cumulative. The fractions of GZ2's catalogue are of those who were asked the
    question, as are those that `predict --layout conditional` writes under our readable names. galaxy-datasets has
    numbers of votes, and takes "featured" for the parent of bar, spiral and bulge, where Kaggle has "not edge-on".

    Args:
        name: of a column. source, target: keys of SCHEMES: ours are "kaggle" and "readable"; "gz2" is the catalogue's
            (Willett et al. 2013, Hart et al. 2016), "gz2_pairs" and "gz2_ortho_pairs" galaxy-datasets' and zoobot's.

    Returns:
        None where the target has no such answer: question 8, what is odd, is not in galaxy-datasets' lists.

    Raises:
        UsageFault: no such scheme, or no such name in it.
    """
    for scheme in (source, target):
        if scheme not in SCHEMES:
            raise UsageFault(expected(f"one of {', '.join(SCHEMES)}", repr(scheme), "a scheme of names", "choose one"))
    if name not in SCHEMES[source]:
        do = f"see galaxy_triton.galaxyzoo.questions.SCHEMES[{source!r}]"
        raise UsageFault(expected(f"a column's name in {source}", repr(name), "a column to rename", do))
    return SCHEMES[target][SCHEMES[source].index(name)]
