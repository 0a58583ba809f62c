"""Bounded in bytes, by content, thread-safe enough to never answer wrongly."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.engine.cache import EmbeddingCache, EmbeddingKey

KEY = EmbeddingKey("a", (0, 0, 1, 1), (1, 1), "m", "", 1, "float32")


def key(number):
    return replace(KEY, tile_digest=str(number))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 40))), st.integers(1, 100))
def test_never_above_the_bound_save_for_one_value(asked, bound):
    sizes = {}
    cache: EmbeddingCache[int] = EmbeddingCache(bound)
    for number, size in asked:
        size = sizes.setdefault(number, size)
        value = cache.get_or_compute(key(number), lambda n=number: n, lambda _, s=size: s)
        assert value == number
        assert cache.nbytes <= bound or len(cache) == 1


def test_computed_once_and_the_least_recently_used_goes_first():
    cache: EmbeddingCache[str] = EmbeddingCache(2)
    made = []

    def ask(number):
        cache.get_or_compute(key(number), lambda: made.append(number) or str(number), lambda _: 1)

    for number in (1, 2, 1, 3, 1, 2):
        ask(number)
    assert made == [1, 2, 3, 2]


def test_every_part_of_the_key_counts():
    cache: EmbeddingCache[int] = EmbeddingCache(100)
    keys = [
        KEY,
        replace(KEY, outer_yxyx=(0, 0, 2, 1)),
        replace(KEY, content_hw=(2, 2)),
        replace(KEY, model_id="other"),
        replace(KEY, weights_sha256="1"),
        replace(KEY, preprocess_version=2),
        replace(KEY, dtype="bfloat16"),
    ]
    for value, each in enumerate(keys):
        assert cache.get_or_compute(each, lambda v=value: v, lambda _: 1) == value
    assert len(cache) == len(keys)
