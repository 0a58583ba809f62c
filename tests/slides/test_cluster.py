import os
import signal
import socket
from contextlib import suppress
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

import children
from napari_uninuc.errors import DeviceError
from napari_uninuc.slides import cluster, pieces
from napari_uninuc.slides.cluster import Cluster, on_cluster, on_processes
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.slides.summary import OUTPUTS
from napari_uninuc.testing import FakeAnnotator, FakeCard, make_tile

pytest.importorskip("distributed")

FILES = ("labels", "parquet", "geojson")


def source(seconds=0.0):
    """A model that workers can make: importable there, unlike what stands in a test."""
    options = {"field_size": 160, "halo": 30, "delays": {"segment": seconds}}
    return partial(FakeAnnotator, FakeCard(), **options)


def labels_of(folder):
    return np.asarray(zarr.open_group(str(folder / OUTPUTS["labels"]), mode="r")["0"][...])


def test_a_killed_worker_changes_nothing(make_slide, opened, tmp_path):
    slide = opened(make_slide("ome-tiff", make_tile((420, 560), 250, seed=1).tile.rgb))
    here = segment_slide(slide, source(), tmp_path / "here", outputs=FILES)
    assert here.tiles > 12
    killed = []
    with on_processes(2) as own, on_cluster(own.client.scheduler.address) as cluster:
        workers = list(cluster.client.run(os.getpid).values())

        def kill_one(done, total):
            if done == 3:
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

        there = segment_slide(
            slide,
            source(0.1),
            tmp_path / "there",
            outputs=FILES,
            runner=cluster.run,
            each=cluster.each,
            progress=kill_one,
        )
        left = list(cluster.client.run(os.getpid).values())
    assert killed
    assert len(set(workers)) == 2
    assert os.getpid() not in workers
    assert workers[0] not in left
    assert there.count == here.count > 150
    assert (labels_of(tmp_path / "here") == labels_of(tmp_path / "there")).all()
    for name in FILES[1:]:
        files = [tmp_path / place / OUTPUTS[name] for place in ("here", "there")]
        if name == "parquet":
            assert pq.read_table(files[0]).equals(pq.read_table(files[1]))
        else:
            assert files[0].read_bytes() == files[1].read_bytes()


def start_no_others(own):
    """Workers that die are not replaced, as where a queue ends a job."""
    for nanny in own.client.cluster.workers.values():
        nanny.close_gracefully()


def test_a_run_whose_workers_all_died_stops_and_goes_on_later(
    make_slide, opened, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "_ALONE_S", 1)
    monkeypatch.setattr(cluster, "_LOOK_S", 0.1)
    slide = opened(make_slide("ome-tiff", make_tile((420, 560), 250, seed=1).tile.rgb))
    here = segment_slide(slide, source(), tmp_path / "here", outputs=("labels",))
    run = partial(segment_slide, slide, folder=tmp_path / "there", outputs=("labels",))
    with on_processes(2) as own:
        workers = list(own.client.run(os.getpid).values())
        start_no_others(own)

        def end_all(done, total):
            if done == 3:
                for worker in workers:
                    os.kill(worker, signal.SIGKILL)

        with pytest.raises(DeviceError, match="no worker for 1 s; tiles that were done are kept"):
            # So slow that no busy machine has done all tiles before the workers end.
            run(load=source(0.5), runner=own.run, progress=end_all)
    done = []
    there = run(load=source(), progress=lambda number, total: done.append(number))
    assert done[0] >= 3  # those of the first run are not done again
    assert there.count == here.count
    assert (labels_of(tmp_path / "here") == labels_of(tmp_path / "there")).all()


class Killing:
    """Kills workers once some pieces were put together."""

    def __init__(self, own, pids, after):
        self.own, self.pids, self.after, self.done = own, pids, after, 0

    def __call__(self, function, jobs):
        for result in self.own.each(partial(children.slowly, function), jobs):
            yield result
            self.done += 1
            if self.done == self.after:
                for pid in self.pids:
                    os.kill(pid, signal.SIGKILL)


def test_a_worker_killed_while_tiles_are_put_together_changes_nothing(
    make_slide, opened, tmp_path, monkeypatch
):
    monkeypatch.setattr(pieces, "_LEAST", 10)
    slide = opened(make_slide("ome-tiff", make_tile((420, 560), 250, seed=1).tile.rgb))
    here = segment_slide(slide, source(), tmp_path / "here", outputs=FILES)
    with on_processes(2) as own:
        workers = list(own.client.run(os.getpid).values())
        killing = Killing(own, workers[:1], after=3)
        there = segment_slide(slide, source(), tmp_path / "there", outputs=FILES, each=killing)
    assert killing.done > 6
    assert there.count == here.count
    assert (labels_of(tmp_path / "here") == labels_of(tmp_path / "there")).all()
    for name in FILES[1:]:
        files = [tmp_path / place / OUTPUTS[name] for place in ("here", "there")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_whose_workers_all_died_while_tiles_are_put_together_goes_on_later(
    make_slide, opened, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "_ALONE_S", 1)
    monkeypatch.setattr(cluster, "_LOOK_S", 0.1)
    monkeypatch.setattr(pieces, "_LEAST", 10)
    slide = opened(make_slide("ome-tiff", make_tile((420, 560), 250, seed=1).tile.rgb))
    here = segment_slide(slide, source(), tmp_path / "here", outputs=FILES)
    run = partial(segment_slide, slide, folder=tmp_path / "there", outputs=FILES)
    with on_processes(2) as own:
        workers = list(own.client.run(os.getpid).values())
        start_no_others(own)
        with pytest.raises(DeviceError, match="no worker for 1 s; tiles that were done are kept"):
            run(load=source(), each=Killing(own, workers, after=2))
    left = [path.name for path in (tmp_path / "there").iterdir()]
    assert sorted(left) == ["run.json", "tiles"]
    done = []
    there = run(load=source(), progress=lambda number, total: done.append((number, total)))
    assert done[0][0] == done[0][1]  # no tile is done again
    assert there.count == here.count
    assert (labels_of(tmp_path / "here") == labels_of(tmp_path / "there")).all()
    for name in FILES[1:]:
        files = [tmp_path / place / OUTPUTS[name] for place in ("here", "there")]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.fixture
def port_of_dask():
    """Take the port that dask's own page has, unless somebody has it already."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            taken.bind(("0.0.0.0", 8787))
            taken.listen()
        yield


def test_two_at_once_on_one_machine(port_of_dask):
    """Nothing is said of a port that another dask has: pytest makes a warning an error."""
    with on_processes(1) as first, on_processes(1) as second:
        addresses = {each.client.scheduler.address for each in (first, second)}
        assert len(addresses) == 2
        assert [each.client.submit(abs, -2).result() for each in (first, second)] == [2, 2]
        assert all(8787 not in _ports(each.client) for each in (first, second))


def _ports(client):
    return set(client.scheduler_info()["services"].values())


def test_a_scheduler_that_is_not_there(monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE_S", 1)
    with (
        pytest.raises(DeviceError, match=r"expected a dask scheduler at tcp://127.0.0.1:9, got"),
        on_cluster("tcp://127.0.0.1:9"),
    ):
        pytest.fail("there is none")
    with pytest.raises(DeviceError, match="expected a dask scheduler"), on_cluster("nonsense://x"):
        pytest.fail("there is none")


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(DeviceError, match=r"--workers needs .*napari-uninuc\[cluster\]"),
        on_processes(2),
    ):
        pytest.fail("it is not there")


class Broken:
    """A task whose result is an error of the cluster's."""

    def __init__(self, error):
        self.error = error

    def result(self, timeout):
        raise self.error


def test_what_a_cluster_may_do_is_said_in_one_line():
    import distributed

    for error, said in [
        (distributed.CancelledError("gone"), "run the same command again"),
        (distributed.KilledWorker("tile", None, 3), "too little memory"),
    ]:
        with pytest.raises(DeviceError, match=said):
            Cluster(None)._result(Broken(error))
