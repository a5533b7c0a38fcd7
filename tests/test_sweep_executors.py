"""The same sweep wherever it is trained, and what is lost with a worker is made again."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest
import xarray as xr
from small_views import small_views

from pnpfuse import run_sweep
from pnpfuse.executors import Kept, Processes, cores, executor_for, kept, received
from pnpfuse.sweep import SweepError
from pnpfuse.sweep import run as sweep_run
from pnpfuse.sweep.reading import read_sweep
from pnpfuse.sweep.run import _elsewhere
from pnpfuse.sweep.store import Store

GRID = {"n": [1, 2], "b": [0.3, 0.7], "seeds": 2, "epochs": 2, "engine": "single"}


@pytest.fixture(scope="module")
def views():
    return small_views()


@pytest.fixture(scope="module")
def here(views):
    return run_sweep(views, **GRID)


def kill_after(monkeypatch, blocks, victim):
    """Kill the process that `victim` names once so many blocks have been kept."""
    put, count = Store.put, iter(range(1, 1000))

    def counted(store, block, results):
        put(store, block, results)
        if next(count) == blocks:
            os.kill(victim(), signal.SIGKILL)

    monkeypatch.setattr(Store, "put", counted)


def a_child():
    return next(p.pid for p in multiprocessing.active_children() if p.is_alive())


def test_threads(views, here):
    with ThreadPoolExecutor(2) as pool:
        xr.testing.assert_identical(run_sweep(views, **GRID, executor=pool), here)


@pytest.mark.slow
def test_processes_one_of_them_killed(views, here, tmp_path, monkeypatch):
    kill_after(monkeypatch, 3, a_child)
    with executor_for(2) as pool:
        found = run_sweep(views, **GRID, executor=pool, out=tmp_path / "s.zarr")
        assert pool._left == 4
    xr.testing.assert_identical(found, here)
    xr.testing.assert_identical(read_sweep(tmp_path / "s.zarr"), here)


@pytest.mark.slow
def test_a_broken_pool_of_the_users_loses_nothing(views, here, tmp_path, monkeypatch):
    out = tmp_path / "s.zarr"
    with monkeypatch.context() as patch:
        kill_after(patch, 2, a_child)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            with pytest.raises(SweepError, match="lost its workers.* the same call") as told:
                run_sweep(views, **GRID, executor=pool, out=out)
    done = int((told.value.dataset.outcome == 1).sum())
    assert 2 <= done < 8 and f"{done} of 8 points are kept in {out}" in str(told.value)
    xr.testing.assert_identical(run_sweep(views, **GRID, out=out), here)


@pytest.mark.slow
def test_dask_one_of_two_workers_killed(views, here, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        kill_after(monkeypatch, 2, lambda: next(iter(client.run(os.getpid).values())))
        executor = client.get_executor()
        found = run_sweep(views, **GRID, executor=executor, out=tmp_path / "s.zarr")
    xr.testing.assert_identical(found, here)
    xr.testing.assert_identical(read_sweep(tmp_path / "s.zarr"), here)


def test_data_go_to_a_worker_once(views, here):
    class Watched(Processes):
        """Does the work at once, with what a worker would have been given at its start."""

        def submit(self, fn, task, value, points):
            assert isinstance(value, Kept)
            done = Future()
            done.set_result(fn(task, self._kept, points))
            return done

    with Watched(1) as pool:
        xr.testing.assert_identical(run_sweep(views, **GRID, executor=pool), here)
    assert received(3) == 3


class Immediate(ThreadPoolExecutor):
    """Counts the tasks that are under way."""

    most, now, lock = 0, 0, threading.Lock()

    def submit(self, fn, /, *args, **kwargs):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        future = super().submit(fn, *args, **kwargs)
        return future

    def finished(self):
        with self.lock:
            self.now -= 1


def test_tasks_are_handed_out_a_bounded_number_at_a_time(monkeypatch, views):
    from pnpfuse.sweep.grid import make_grid
    from pnpfuse.sweep.plan import make_plan
    from pnpfuse.sweep.task import Task

    monkeypatch.setattr(sweep_run, "IN_FLIGHT", 5)
    monkeypatch.setattr(sweep_run, "work", lambda task, views, points: points)
    plan = make_plan(
        views, make_grid([1, 2], [0.2, 0.4, 0.6], 7),
        Task("rpmr", {}, 1, "each", 1, {}), 20.0, "single",
    )  # fmt: skip
    blocks, seen = plan.blocks(), []
    with Immediate(2) as pool:
        for block, points in _elsewhere(plan, blocks, pool):
            pool.finished()
            assert points == plan.grid.points(block)
            seen.append(block)
    assert set(seen) == set(blocks) and len(seen) == len(blocks) == 42
    assert pool.most <= 5
    assert [block.n for block in blocks] == [1] * 21 + [0] * 21  # the largest first


def test_failures_are_told_after_the_rest_is_finished(views, here, tmp_path, monkeypatch):
    out, work = tmp_path / "s.zarr", sweep_run.work

    def sometimes(task, views, points):
        if points[0][:2] == (1.0, 0.7):
            raise MemoryError
        return work(task, views, points)

    with monkeypatch.context() as patch:
        patch.setattr(sweep_run, "work", sometimes)
        for executor in (None, ThreadPoolExecutor(1)):
            with pytest.raises(
                SweepError, match="2 blocks of points failed: .*n=1, b=0.7, seed=0: MemoryError"
            ) as told:
                run_sweep(views, **GRID, out=out, executor=executor)
            assert (told.value.dataset.outcome == 1).sum() == 6
    xr.testing.assert_identical(run_sweep(views, **GRID, out=out), here)


def test_an_executor_that_gives_up_is_told_at_once(views, here, tmp_path):
    class Left(ThreadPoolExecutor):
        """Takes two tasks, and cancels what comes after, as Dask does without its scheduler."""

        taken = 0

        def submit(self, *arguments):
            self.taken += 1
            if self.taken <= 2:
                return super().submit(*arguments)
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    out = tmp_path / "s.zarr"
    with Left(1) as pool, pytest.raises(SweepError, match="given the work up.* of 8 .* new ex"):
        run_sweep(views, **GRID, executor=pool, out=out)
    xr.testing.assert_identical(run_sweep(views, **GRID, out=out), here)


def test_cores_and_jobs():
    assert 1 <= cores() <= os.cpu_count()
    with executor_for(1) as here:
        assert here is None
    with pytest.raises(ValueError, match="jobs must be"), executor_for(0):
        pass


def test_a_renewed_pool_has_an_end(views, monkeypatch):
    class Broken:
        def submit(self, *_):
            raise BrokenProcessPool("a worker is gone")

    begun = []
    monkeypatch.setattr(Processes, "_running", lambda pool: begun.append(pool) or Broken())
    with Processes(1) as pool, pytest.raises(SweepError, match="a worker is gone.* 0 of 8"):
        run_sweep(views, **GRID, executor=pool)
    assert len(begun) == 2


class DaskLike:
    """A client as `kept` sees one."""

    def submit(self, fn, value, *, pure):
        assert fn is received and pure is False
        return "future"


def test_dask_holds_the_data_as_a_task_which_it_can_do_again(views):
    executor = SimpleNamespace(_client=DaskLike(), submit=None)
    assert kept(executor, views) == "future"
    assert kept(None, views) is views
