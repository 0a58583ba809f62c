"""Journals that are cut and damaged at every byte, full disks, and files that are none."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.errors import SessionError
from napari_uninuc.journal import framing
from napari_uninuc.journal.framing import NO_CHECK, JournalReader, JournalWriter

PAYLOADS = [b"first", b"", b"third" * 9, bytes(range(40))]


def written(path, payloads, carries_on_from=NO_CHECK):
    writer = JournalWriter(path, carries_on_from)
    for payload in payloads:
        writer.append(payload)
    writer.sync()
    writer.close()
    return writer


def read(path):
    reader = JournalReader(path)
    return list(reader.records()), reader


@given(
    payloads=st.lists(st.binary(max_size=300), max_size=8), start=st.binary(min_size=8, max_size=8)
)
def test_what_is_appended_is_read(tmp_path_factory, payloads, start):
    path = tmp_path_factory.mktemp("journal") / "journal-0001"
    writer = written(path, payloads, start)
    records, reader = read(path)
    assert records == payloads
    assert reader.damage is None
    assert reader.carries_on_from == start
    assert (reader.check, path.stat().st_size) == (writer.check, writer.size)


def ends(payloads):
    """Where the header and each record end."""
    places, end = [], 24
    for payload in [b"", *payloads]:
        places.append(end if not places else end + 12 + len(payload))
        end = places[-1]
    return places


def test_cut_anywhere_all_whole_records_before_are_kept(tmp_path):
    path = tmp_path / "journal-0001"
    written(path, PAYLOADS)
    whole, boundaries = path.read_bytes(), ends(PAYLOADS)
    assert boundaries[-1] == len(whole)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        records, reader = read(path)
        kept = sum(end <= size for end in boundaries) - 1
        assert records == PAYLOADS[: max(kept, 0)]
        assert (reader.damage is None) == (size in boundaries)
        if reader.damage is not None:
            assert reader.damage.at_byte == (boundaries[kept] if kept >= 0 else 0)


def test_flipped_anywhere_all_records_before_are_kept_and_none_after(tmp_path):
    path = tmp_path / "journal-0001"
    written(path, PAYLOADS)
    whole, boundaries = path.read_bytes(), ends(PAYLOADS)
    for place in range(len(whole)):
        for bit in (1, 128):
            flipped = bytearray(whole)
            flipped[place] ^= bit
            path.write_bytes(flipped)
            records, reader = read(path)
            assert records == PAYLOADS[: max(sum(end <= place for end in boundaries) - 1, 0)]
            assert reader.damage is not None
            assert reader.damage.size == len(whole)


def test_a_journal_of_a_version_to_come_is_refused(tmp_path):
    path = tmp_path / "journal-0001"
    path.write_bytes(framing._header(NO_CHECK, b"UNINUCJ\x02"))
    with pytest.raises(SessionError, match="expected a journal of version 1, got version 2"):
        JournalReader(path)


def test_records_moved_or_taken_from_another_journal_are_noticed(tmp_path):
    path = tmp_path / "journal-0001"
    written(path, [b"aaaa", b"bbbb", b"cccc"])
    whole = path.read_bytes()
    head, parts = whole[:24], [whole[24 + 16 * k : 40 + 16 * k] for k in range(3)]
    for order in ([1, 0, 2], [0, 2], [0, 0, 1]):
        path.write_bytes(head + b"".join(parts[k] for k in order))
        records, reader = read(path)
        assert records == ([b"aaaa"] if order[0] == 0 else [])
        assert reader.damage.reason == "a record is damaged"


def test_a_length_beyond_the_file_reads_nothing(tmp_path):
    path = tmp_path / "journal-0001"
    written(path, [b"good"])
    with path.open("ab") as file:
        file.write(b"\xff\xff\xff\x7f" + bytes(8))
    records, reader = read(path)
    assert records == [b"good"]
    assert "cut short" in reader.damage.reason


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "journal-0001"
    writer = JournalWriter(path)
    writer.append(b"before")
    writer._file = _Full(writer._file, room=7)
    with pytest.raises(OSError, match="No space") as caught:
        writer.append(b"too much for what is left")
    assert caught.value.errno == errno.ENOSPC
    assert read(path)[0] == [b"before"]
    assert read(path)[1].damage is None
    writer._file.room = 1000
    writer.append(b"after")
    writer.close()
    assert read(path)[0] == [b"before", b"after"]


class _Full:
    """A file on a disk with little room: what fits is written, then the error comes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        fits = bytes(data[: self.room])
        if not fits:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(fits)
        return self.file.write(fits)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_journal_is_never_written_over(tmp_path):
    written(tmp_path / "journal-0001", [b"old"])
    with pytest.raises(FileExistsError):
        JournalWriter(tmp_path / "journal-0001")
    assert read(tmp_path / "journal-0001")[0] == [b"old"]


def test_a_record_too_long_for_reading_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(framing, "MAX_RECORD_BYTES", 10)
    writer = JournalWriter(tmp_path / "journal-0001")
    with pytest.raises(SessionError, match="at most 10 bytes"):
        writer.append(bytes(11))
    writer.append(bytes(10))
    writer.close()
    assert read(tmp_path / "journal-0001")[0] == [bytes(10)]


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "nothing"])
def test_only_files_are_read(tmp_path, kind):
    path = tmp_path / "journal-0001"
    if kind == "link":
        written(tmp_path / "elsewhere", [b"x"])
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes in folders here")
        os.mkfifo(path)
    with pytest.raises(SessionError, match=str(path)):
        JournalReader(path)
