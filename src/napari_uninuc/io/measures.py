"""What each column of a table of nuclei is, and how QuPath and ImageJ call and define it."""

from typing import NamedTuple

__all__ = ["MEASURES", "Measure", "data_dictionary"]


class Measure(NamedTuple):
    """One column, or the same one in several units.

    Attributes
    ----------
    columns : their names
    meaning : definition, with unit and range
    elsewhere : the name it has in QuPath (Q) and ImageJ (I), and what differs there; "" where
        neither has it
    """

    columns: tuple[str, ...]
    meaning: str
    elsewhere: str = ""


def _both(name: str) -> tuple[str, str]:
    return f"{name}_px", f"{name}_um"


_SAME = "Same number for the outlines we export"

MEASURES: tuple[Measure, ...] = (
    Measure(("id",), "Number in the label image"),
    Measure(("class",), "Name of the class", "Q: Classification; I: group"),
    Measure(("score",), "Of the detector, 0 to 1; empty where unknown"),
    Measure(("status",), "automatic, edited or reviewed; empty where unknown"),
    Measure(
        ("centroid_y_px", "centroid_x_px", "centroid_y_um", "centroid_x_um"),
        "Mean place of its pixels; the centre of the picture's first pixel is 0",
        "Q: Centroid X, Y; I: X, Y. Both count from the corner of that pixel: theirs = ours + "
        "0.5 px",
    ),
    Measure(("area_px", "area_um2"), "Number of pixels", f"Q, I: Area. {_SAME}"),
    Measure(
        _both("perimeter"),
        "Length of a smoothed outline, from the kinds of its border pixels (Benkrid and Crookes "
        "2000; `perimeter` of scikit-image)",
        "Q: Length and Perimeter, which are outline_px here, 23 % more; I: Perim. = outline_px - "
        "(2 - sqrt 2) x corners, a corner being one of two steps of 1 px that follow each other: "
        "2.6 % more than ours in the median of 60 nuclei",
    ),
    Measure(
        _both("outline"),
        "Number of pixel sides at which it ends, with those of its holes",
        f"Q: Length (Add shape features), Perimeter (its own lists). {_SAME}; I: see perimeter_px",
    ),
    Measure(
        ("circularity",),
        "4 pi area_px / perimeter_px^2, at most 1",
        "Q: Circularity = 4 pi area_px / outline_px^2, which is 0.62 for a disc of pixels; of a "
        "nucleus with holes both are those of its outer ring alone, and one of several pieces has "
        "none. I: Circ. Our formula with its perimeter",
    ),
    Measure(
        ("solidity",),
        "area_px / area of the convex hull of the pixels' corners, above 0, at most 1",
        f"Q, I: Solidity. {_SAME}. scikit-image takes the hull of pixels instead",
    ),
    Measure(
        ("eccentricity",),
        "Of the ellipse with the same second moments: 0 is a circle, towards 1 a line",
    ),
    Measure(
        _both("feret"),
        "Largest distance of two corners of its pixels",
        f"I: Feret; Q: Max caliper, in cells it has found itself. {_SAME}. Q: Max diameter is that "
        "of the smallest circle around it: the same up to 15 % more, 0.6 % in the median of 36 "
        "nuclei",
    ),
    Measure(
        _both("min_feret"),
        "Smallest distance of two parallel lines around it",
        f"Q: Min diameter, Min caliper; I: MinFeret. {_SAME}",
    ),
    Measure(_both("nearest"), "Distance of centroids to the nearest nucleus; empty where alone"),
    Measure(
        ("neighbours_50um",),
        "Other nuclei whose centroid is at most 50 um away; empty without a pixel size",
    ),
    Measure(
        ("density_50um_per_mm2",),
        "Nuclei within 50 um, itself among them, by the area of that disc that lies in the "
        "picture; empty without a pixel size",
    ),
    Measure(
        ("class_probability",),
        "How likely the class is, 0 to 1, where a classifier gave it; empty where a person did. "
        "Only where classes were learnt from examples, or painted by a dense decoder",
    ),
    Measure(
        ("class_by",),
        "Who gave the class: person, examples (derived from them), map or words (a dense decoder) "
        "or model. With class_probability",
    ),
    Measure(
        ("stain_said",),
        "How brown a person has called it, 0 to 3, whatever is measured; empty where nobody did",
    ),
    Measure(
        ("slide_y_px", "slide_x_px", "slide_y_um", "slide_x_um"),
        "Centroid on the slide at full resolution; the centre of its first pixel is 0. Only of a "
        "picture that was cut from a slide",
        "Q: Centroid X, Y, from the corner of that pixel",
    ),
    Measure(
        ("mean_red", "mean_green", "mean_blue"),
        "Mean colour, 0 to 255. Only with the picture",
        "Q: Red, Green, Blue: Mean; I: Mean of a channel",
    ),
    Measure(
        ("mean_haematoxylin_od", "mean_eosin_od", "mean_dab_od"),
        "Mean optical density of a stain, -log10(max(value, 1) / 255) along the vectors of Ruifrok "
        "and Johnston 2001 (`skimage.color`), all three at once, each pixel at least 0. Only with "
        "the picture",
        "Q: Hematoxylin OD mean, and so on: same optical density with two vectors of the image and "
        "what is left over, by default (0.651, 0.701, 0.29) and (0.216, 0.801, 0.558) or for DAB "
        "(0.269, 0.568, 0.778), and not cut at 0. Of scikit-image's brown tile ours is 2 % (DAB) "
        "and 0.04 (haematoxylin) more",
    ),
    Measure(("y0", "x0", "y1", "x1"), "Box in px; y1 and x1 are the first beyond it"),
    Measure(
        ("found_y0", "found_x0", "found_y1", "found_x1"),
        "The detector's box in px, not rounded. Only where it is known",
    ),
)
"""In the order of the table."""


def data_dictionary() -> str:
    """Write `MEASURES` as a Markdown table."""
    lines = ["| column | what | QuPath (Q), ImageJ (I) |", "|---|---|---|"]
    for each in MEASURES:
        names = ", ".join(f"`{name}`" for name in each.columns)
        lines.append(f"| {names} | {each.meaning} | {each.elsewhere} |")
    return "\n".join(lines) + "\n"
