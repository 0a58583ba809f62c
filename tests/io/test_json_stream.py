import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.errors import LabelsError
from napari_uninuc.io import json_stream
from napari_uninuc.io.json_stream import stream_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    head=st.dictionaries(st.text(max_size=4), VALUES, max_size=3),
    items=st.lists(VALUES, max_size=6),
    chunk=st.integers(1, 9),
    indent=st.sampled_from([None, 1]),
)
def test_every_member_and_element_comes_whatever_the_chunks(
    head, items, chunk, indent, tmp_path_factory
):
    head = {name: value for name, value in head.items() if name not in ("many", "last")}
    path = tmp_path_factory.getbasetemp() / "property.json"
    path.write_text(json.dumps({**head, "many": items, "last": 1}, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        found = list(stream_json(path, {"many"}))
    assert found == [*head.items(), *(("many", each) for each in items), ("last", 1)]


def test_lists_text_marks_and_gzip(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf [1, 2.5e1 , [3]]\n")
    assert list(stream_json(path, ())) == [("", 1), ("", 25.0), ("", [3])]
    path.write_bytes(gzip.compress(b'{"a": [], "b": {}}'))
    assert list(stream_json(path, {"a"})) == [("b", {})]


@pytest.mark.parametrize(
    "text",
    [
        b"7",
        b" ",
        b"{",
        b'{"a"}',
        b'{"a": }',
        b'{"a": 1',
        b'{"a": 1]',
        b"{1: 2}",
        b'{"a": [1, 2',
        b'{"a": [1 2]}',
        b"[1, 2",
        b"[1, 2,",
        b"[1] [2]",
        b"[1, nope]",
        b'["\xff"]',
        b"[" * 100_000,
        b'{"a": ' * 100_000,
        b"[1" + b"0" * 10_000 + b"]",
        b"\x1f\x8b nothing packed",
        gzip.compress(b"[1, 2, 3]" * 50, mtime=0)[:-20],  # the same name in each process
    ],
)
def test_what_is_not_json_is_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(LabelsError, match="expected") as caught:
        list(stream_json(path, {"a"}))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_text_and_elements_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b"[" + b"1," * 500_000 + b"1]"))
    assert path.stat().st_size < 5_000
    monkeypatch.setattr(json_stream, "MAX_TEXT_BYTES", 2**17)
    with pytest.raises(LabelsError, match="at most 131072 bytes"):
        list(stream_json(path, ()))
    monkeypatch.undo()
    monkeypatch.setattr(json_stream, "_CHUNK", 64)
    monkeypatch.setattr(json_stream, "MAX_ELEMENT_CHARS", 1000)
    path.write_text('["' + "a" * 5000 + '"]', encoding="utf-8")
    with pytest.raises(LabelsError, match="more than 1000 characters"):
        list(stream_json(path, ()))


def test_a_long_list_takes_no_more_memory_than_its_longest_element(tmp_path):
    import tracemalloc

    path = tmp_path / "a.json"
    path.write_text(json.dumps([[k] * 20 for k in range(60_000)]), encoding="utf-8")
    tracemalloc.start()
    try:
        assert sum(1 for _ in stream_json(path, ())) == 60_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 7_000_000
    assert peak < 6_000_000
