from pathlib import Path

import pytest

from napari_uninuc.errors import CheckpointError, OutputError
from napari_uninuc.network.download import download

BODY = bytes(range(256)) * 20_000  # 5 MB: several reads


def test_whole_file_arrives_and_progress_ends_at_its_size(range_server, tmp_path: Path) -> None:
    range_server.body = BODY
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "file.pt"
    download(range_server.url, target, lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert seen == sorted(seen)
    assert list(target.parent.iterdir()) == [target]


def test_interrupted_download_goes_on_where_it_stopped(range_server, tmp_path: Path) -> None:
    range_server.body, range_server.drop_after = BODY, 3_000_000
    target = tmp_path / "file.pt"
    with pytest.raises(CheckpointError, match=r"run the same command again") as caught:
        download(range_server.url, target)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    (left,) = tmp_path.iterdir()
    size = left.stat().st_size
    assert 0 < size <= 3_000_000
    range_server.drop_after = None
    download(range_server.url, target)
    assert range_server.asked == [None, f"bytes={size}-"]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("fault", ["no ranges", "other range", "file became shorter"])
def test_starts_again_where_it_cannot_go_on(range_server, tmp_path: Path, fault: str) -> None:
    range_server.body, range_server.drop_after = BODY, 3_000_000
    target = tmp_path / "file.pt"
    with pytest.raises(CheckpointError):
        download(range_server.url, target)
    range_server.drop_after = None
    range_server.ranges = fault != "no ranges"
    range_server.wrong_range = fault == "other range"
    if fault == "file became shorter":
        range_server.body = BODY[:1000]
    download(range_server.url, target)
    assert target.read_bytes() == range_server.body
    assert list(tmp_path.iterdir()) == [target]


def test_parts_of_files_at_different_addresses_are_not_joined(range_server, tmp_path: Path) -> None:
    range_server.body, range_server.drop_after = BODY, 3_000_000
    target = tmp_path / "file.pt"
    with pytest.raises(CheckpointError):
        download(range_server.url + "/one", target)
    range_server.drop_after = None
    download(range_server.url + "/other", target)
    assert range_server.asked == [None, None]


def test_server_that_announces_no_length(range_server, tmp_path: Path) -> None:
    range_server.body, range_server.announce_length = BODY, False
    totals = set()
    download(range_server.url, tmp_path / "f", lambda _, total: totals.add(total))
    assert (tmp_path / "f").read_bytes() == BODY
    assert totals == {None}


def test_refusal_and_silence_are_one_line(range_server, tmp_path: Path) -> None:
    range_server.status = 404
    with pytest.raises(CheckpointError, match="404") as refused:
        download(range_server.url, tmp_path / "f")
    with pytest.raises(CheckpointError, match="not reachable") as silent:
        download("http://127.0.0.1:9/nobody-listens", tmp_path / "f")
    assert "\n" not in f"{refused.value}{silent.value}"
    assert not list(tmp_path.iterdir())


def test_target_that_cannot_be_written(range_server, tmp_path: Path) -> None:
    range_server.body = b"x"
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        download(range_server.url, tmp_path / "file" / "below")
