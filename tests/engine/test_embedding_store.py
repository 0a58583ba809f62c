"""Embeddings on disk: the same numbers back, bounded, and never in the way."""

import os
import stat
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import children
from napari_uninuc.engine import embedding_store as module
from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.engine.embedding_store import EmbeddingStore, default_store

KEY = EmbeddingKey("a", (0, 0, 8, 8), (8, 8), "m", "f" * 64, 1, "torch.float32")
MAPS = {
    "exact": torch.arange(64, dtype=torch.float32).reshape(1, 4, 4, 4),
    "fine": torch.linspace(0, 1, 64).reshape(1, 4, 4, 4),
    "low": torch.linspace(0, 1, 8).to(torch.bfloat16),
}


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "embeddings", 10**6)


def numbered(number):
    return replace(KEY, tile_digest=str(number))


def files(store):
    return sorted(store.folder.glob("*.embedding"))


def test_what_is_written_is_read_to_the_last_bit(store):
    assert store.write(KEY, MAPS)
    back = store.read(KEY)
    assert back.keys() == MAPS.keys()
    for name, tensor in MAPS.items():
        assert torch.equal(back[name].float(), tensor.float())
    assert back["exact"].dtype == torch.bfloat16  # it fits, in half the bytes
    assert back["fine"].dtype == torch.float32


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_no_number_is_rounded(values):
    tensor = torch.tensor(values)
    assert torch.equal(module._slim(tensor).float(), tensor)


def test_every_part_of_the_key_counts(store):
    store.write(KEY, MAPS)
    for other in (
        replace(KEY, outer_yxyx=(0, 0, 8, 9)),
        replace(KEY, weights_sha256="e" * 64),
        replace(KEY, preprocess_version=2),
        replace(KEY, dtype="torch.bfloat16"),
    ):
        assert store.read(other) is None


def test_weights_without_a_name_are_not_kept(store):
    assert not store.write(replace(KEY, weights_sha256=""), MAPS)
    assert not store.folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_only_the_owner_may_look(store):
    store.write(KEY, MAPS)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in files(store)] == [0o600]


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_noticed_and_the_file_deleted(tmp_path_factory, place, change):
    store = EmbeddingStore(tmp_path_factory.mktemp("store"), 10**6)
    store.write(KEY, MAPS)
    (path,) = files(store)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= change
    path.write_bytes(content)
    assert store.read(KEY) is None
    assert not files(store)
    assert store.write(KEY, MAPS)
    assert store.read(KEY) is not None


@pytest.mark.parametrize("kept", [0, 10, 51, 200])
def test_a_half_written_file_is_deleted(store, kept):
    store.write(KEY, MAPS)
    (path,) = files(store)
    path.write_bytes(path.read_bytes()[:kept])
    assert store.read(KEY) is None
    assert not files(store)


def test_the_least_recently_used_goes_first(store):
    for number in range(3):
        store.write(numbered(number), MAPS)
        os.utime(store._path(numbered(number)), (number, number))
    store.max_bytes = store.state().nbytes  # exactly these three
    store.read(numbered(0))
    store.write(numbered(3), MAPS)
    assert [store.read(numbered(n)) is not None for n in range(4)] == [True, False, True, True]


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 6))
def test_never_above_its_bound(tmp_path_factory, written, room):
    store = EmbeddingStore(tmp_path_factory.mktemp("store"), 10**9)
    store.write(KEY, MAPS)
    store.max_bytes = store.state().nbytes * room
    store.clear()
    for number in written:
        store.write(numbered(number), MAPS)
        assert store.state().nbytes <= store.max_bytes


def test_a_full_disk_means_no_store_and_one_line(store, monkeypatch, caplog):
    usage = module.shutil.disk_usage(store.folder.parent)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert store.state().limit_bytes == 100
    assert [store.write(numbered(n), MAPS) for n in range(3)] == [False] * 3
    assert len(caplog.records) == 1
    assert not files(store)


def test_a_write_that_fails_leaves_nothing(store, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    assert not store.write(KEY, MAPS)
    assert not store.write(KEY, MAPS)
    assert not list(store.folder.iterdir())
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_a_folder_that_is_a_file_is_no_store(tmp_path, caplog):
    (tmp_path / "taken").write_text("")
    store = EmbeddingStore(tmp_path / "taken", 10**6)
    assert store.read(KEY) is None
    assert not store.write(KEY, MAPS)
    assert len(caplog.records) == 1


def test_what_a_crash_left_is_deleted_once_it_is_old(store):
    store.write(KEY, MAPS)
    old, new = store.folder / ".a.1.part", store.folder / ".b.2.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert store.state().count == 1
    assert (old.exists(), new.exists()) == (False, True)


_OTHER = """
import sys, torch
from pathlib import Path
from dataclasses import replace
from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.engine.embedding_store import EmbeddingStore
store = EmbeddingStore(Path(sys.argv[1]), 200_000)
key = EmbeddingKey("a", (0, 0, 8, 8), (8, 8), "m", "f" * 64, 1, "torch.float32")
wrong = 0
for turn in range(60):
    each = replace(key, tile_digest=str(turn % 10))
    value = torch.full((1, 4, 32, 32), turn % 10 + 0.1)
    back = store.read(each)
    wrong += back is not None and not torch.equal(back["map"], value)
    wrong += not store.write(each, {"map": value})
print(wrong)
"""


def test_two_processes_share_it(tmp_path):
    with ExitStack() as stack:
        both = [stack.enter_context(children.start(_OTHER, tmp_path / "shared")) for _ in range(2)]
        assert [each.communicate(timeout=1800)[0].strip() for each in both] == ["0", "0"]
    assert not list((tmp_path / "shared").glob("*.part"))


@pytest.mark.parametrize(
    ("told", "asked", "bound"),
    [
        (None, None, 2e9),
        ("0.5", None, 0.5e9),
        ("0", None, None),
        ("0", 4, None),  # what IT switches off stays off
        ("1", 0, None),
        (None, 4, 4e9),
        ("much", None, None),
    ],
)
def test_how_much_is_kept(monkeypatch, tmp_path, told, asked, bound):
    monkeypatch.setenv("UNINUC_CACHE", str(tmp_path))
    if told is None:
        monkeypatch.delenv("UNINUC_EMBEDDINGS_GB")
    else:
        monkeypatch.setenv("UNINUC_EMBEDDINGS_GB", told)
    store = default_store(asked)
    assert (None if store is None else store.max_bytes) == bound
    assert store is None or store.folder == tmp_path / "embeddings"


_FULL_DISK = """
import resource, sys, logging
import torch
from pathlib import Path
from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.engine.embedding_store import EmbeddingStore
logging.basicConfig(stream=sys.stdout, format="%(message)s")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
store = EmbeddingStore(Path(sys.argv[1]), 10**9)
key = EmbeddingKey("a", (0, 0, 8, 8), (8, 8), "m", "f" * 64, 1, "torch.float32")
print([store.write(key, {"map": torch.rand(1, 4, 64, 64)}) for _ in range(2)], store.read(key))
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_disk_that_is_full_in_the_middle_of_a_file_keeps_no_half(tmp_path):
    folder = tmp_path / "full"
    done = children.run(_FULL_DISK, folder)
    assert done.returncode == 0, done.stderr
    told, answer = done.stdout.strip().splitlines()
    assert "File too large" in told
    assert answer == "[False, False] None"
    assert not list(folder.iterdir())


_WRITER = """
import sys, torch
from pathlib import Path
from dataclasses import replace
from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.engine.embedding_store import EmbeddingStore
store = EmbeddingStore(Path(sys.argv[1]), 10**9)
key = EmbeddingKey("a", (0, 0, 8, 8), (8, 8), "m", "f" * 64, 1, "torch.float32")
print("ready", flush=True)
for turn in range(100_000):
    each = replace(key, tile_digest=str(turn % 5))
    store.write(each, {"map": torch.full((1, 4, 256, 256), turn % 5 + 0.1)})
"""


def test_what_a_killed_process_was_writing_is_never_read(tmp_path):
    store = EmbeddingStore(tmp_path / "killed", 10**9)
    with children.start(_WRITER, store.folder) as writer:
        assert writer.stdout.readline() == "ready\n"
        while store.state().count < 3:
            assert writer.poll() is None
            time.sleep(0.01)
        writer.kill()
    whole = {number: store.read(numbered(number)) for number in range(5)}
    kept = {number: back["map"] for number, back in whole.items() if back is not None}
    assert len(kept) >= 3
    for number, values in kept.items():
        assert torch.equal(values, torch.full((1, 4, 256, 256), number + 0.1))
    assert len(files(store)) == len(kept)
    assert store.write(numbered(7), MAPS)
    assert store.read(numbered(7)) is not None
