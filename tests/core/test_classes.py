import pytest

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.errors import LabelsError


def test_a_new_class_takes_a_free_colour_and_says_so_where_there_is_none():
    palette = ClassPalette.of_names([*"abc"]).without(1).with_added("d")
    assert palette.alike() == ()
    for name in "efghijkl":
        palette = palette.with_added(name)
    colours = [each.colour for each in palette.classes]
    assert len(set(colours[:10])) == 10
    assert palette.alike() == (("l", palette.classes[colours.index(colours[-1])].name),)


def test_classes_keep_id_and_colour_when_others_come():
    palette = ClassPalette.of_names(["nucleus", "tumour"])
    later = palette.with_added("immune")
    assert later.names == ("nucleus", "tumour", "immune")
    assert later.colour_of(1) == palette.colour_of(1)
    assert len({later.colour_of(k) for k in range(3)}) == 3


def test_an_unknown_class_has_a_name_and_a_colour():
    palette = ClassPalette.of_names(["nucleus"])
    assert palette.name_of(7) == "class 7"
    assert palette.colour_of(7) == ClassPalette.of_names([str(k) for k in range(9)]).colour_of(7)


@pytest.mark.parametrize("names", [[], [""], ["  "], ["a", "a"]])
def test_names_must_differ_and_say_something(names):
    with pytest.raises(LabelsError, match="different names"):
        ClassPalette.of_names(names)


def test_a_name_given_twice_is_refused_and_changes_nothing():
    palette = ClassPalette.of_names(["nucleus"])
    with pytest.raises(LabelsError):
        palette.with_added(" nucleus ")
    assert palette.names == ("nucleus",)
