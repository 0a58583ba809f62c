"""What texts mean, and what they are never taken to mean."""

import pytest

from napari_uninuc.core.names import ALSO, NUCLEUS, Name, plain, region_of

TYPES = ("epithelial", "spindle", "inflammatory", "miscellaneous")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("inflammatory", "inflammatory"),
        ("Inflammatory nuclei", "inflammatory"),
        ("  SPINDLE   cells ", "spindle"),
        ("spindle-shaped nuclei", "spindle"),
        ("epithelium", "epithelial"),
        ("nuclei", NUCLEUS),
        ("all nuclei", NUCLEUS),
        ("nucleus", NUCLEUS),
    ],
)
def test_ways_to_write_a_name(text, meant):
    assert plain(text, (*TYPES, NUCLEUS)) == meant


@pytest.mark.parametrize(
    "text", ["cancer", "lymphocytes", "tumour nuclei", "", "  ", "cells of it"]
)
def test_what_is_not_known_is_not_guessed(text):
    assert plain(text, TYPES) is None


def test_no_other_way_to_write_a_name_means_two_names():
    ways = [way for name, also in ALSO.items() for way in (name, *also)]
    assert len(set(ways)) == len(ways)


def test_the_sentence_is_the_papers():
    name = Name("neoplastic", region="colon")
    assert name.levels[-1] == "nuclei-level neoplastic in colon pathology"
    assert name.levels[:3] == ("colon", "nuclei", "neoplastic")
    assert Name("neoplastic").levels[-1] == "nuclei-level neoplastic"


def test_regions():
    assert region_of("nuinsseg", "human_salivory_12") == "salivory"
    assert region_of("nuinsseg", "train/mouse_muscle_tibia_3") == "muscle tibia"
    assert region_of("pannuke", "fold_1_7", "Bile_duct") == "bile duct"
    assert region_of("consep-train", "train_3") == "colon"
    assert region_of("mine", "picture") == ""
