"""A sweep that is stopped, at whatever moment and in whatever way, goes on from there."""

import ast
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small_views import small_views

from pnpfuse import Views, run_sweep
from pnpfuse.lock import Lock
from pnpfuse.sweep import run as sweep_run
from pnpfuse.sweep.reading import read_sweep
from pnpfuse.sweep.store import Store
from pnpfuse.trainer import TrainingError

HARNESS = Path(__file__).with_name("kill_sweep.py")
GRID = {"n": [1, 2], "b": [0.25, 0.5, 0.75], "seeds": 2}


@pytest.fixture(scope="module")
def views():
    return small_views()


def sweep(views, out=None, **more):
    return run_sweep(views, **{**GRID, "epochs": 2, "engine": "single", "out": out, **more})


@pytest.fixture(scope="module")
def whole(views):
    return sweep(views)


@pytest.fixture
def half(views, tmp_path):
    """A store with 5 of 12 points, and what it says."""
    out = tmp_path / "sweep.zarr"
    interrupted(views, out, 5)
    return out


def interrupted(views, out, points, stop=KeyboardInterrupt, **more):
    with pytest.MonkeyPatch.context() as patch:
        put, count = Store.put, iter(range(100))

        def few(store, block, results):
            if next(count) == points:
                raise stop
            put(store, block, results)

        patch.setattr(Store, "put", few)
        with pytest.raises(stop) as told:
            sweep(views, out, **more)
    return told.value


def counted(monkeypatch):
    """The points that are trained from now on."""
    points, work = [], sweep_run.work

    def noted(task, views, some):
        points.extend(some)
        return work(task, views, some)

    monkeypatch.setattr(sweep_run, "work", noted)
    return points


def check_kills(folder):
    whole, killed = (xr.open_zarr(folder / f"{name}.zarr").load() for name in ("whole", "killed"))
    xr.testing.assert_identical(killed, whole)
    assert (whole.outcome == 1).all() and not whole.accuracy.isnull().any()
    kept, again = set(), []
    for line in (folder / "killed.log").read_text().splitlines():
        word, _, point = line.partition(" ")
        point = ast.literal_eval(point)
        if word == "kept":
            kept.add(point)
        elif point in kept:
            again.append(point)
    assert not again  # no finished point is trained a second time
    assert not list(folder.glob(".*")) and not list(folder.glob("*/*/*.partial"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its sweeps by fork")
@pytest.mark.slow
def test_killed_ten_times_at_random_moments_it_ends_with_the_same_dataset(tmp_path):
    grid = ["1,2", "0.1,0.5,0.9", "8", "4"]
    subprocess.run([sys.executable, HARNESS, tmp_path, "10", "small", *grid], check=True)
    check_kills(tmp_path)


def test_what_is_finished_is_not_trained_again(views, whole, half, monkeypatch):
    points = counted(monkeypatch)
    assert int((read_sweep(half).outcome == 1).sum()) == 5
    found = sweep(views, half)
    assert len(points) == 7
    xr.testing.assert_identical(found, whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_zarr(half) as stored:
            xr.testing.assert_identical(stored.load(), whole)
    xr.testing.assert_identical(sweep(views, half), whole)
    assert len(points) == 7


def test_an_interruption_says_what_is_kept(views, tmp_path):
    out = tmp_path / "sweep.zarr"
    said = str(interrupted(views, out, 4))
    assert f"4 of 12 points are kept in {out}: the same call goes on from there" in said
    assert "kept nowhere" in str(interrupted(views, None, 4))


def test_stacked_blocks_are_the_same_after_a_stop(views, tmp_path, monkeypatch):
    out = tmp_path / "sweep.zarr"
    expected = sweep(views, engine="stacked")
    interrupted(views, out, 1, engine="auto")
    with pytest.raises(ValueError, match="engine was 'stacked' .* and is 'single' now"):
        sweep(views, out, engine="single")
    # What is recommended elsewhere does not count any more.
    monkeypatch.setattr("pnpfuse.sweep.plan.ENOUGH", 1)
    xr.testing.assert_identical(sweep(views, out, engine="auto"), expected)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"epochs": 3}, "epochs was 2 .* and is 3 now"),
        ({"n": [1, 3]}, r"n was \[1.0, 2.0\] .* and is \[1.0, 3.0\]"),
        ({"b": [0.25, 0.5]}, "b was"),
        ({"seeds": 3}, r"seeds was \[0, 1\]"),
        ({"lr": 0.01}, "lr was 0.001 .* and is 0.01 now"),
        ({"schedule": lambda share: 1.0}, "schedule was 'cosine'"),
        ({"options": {"dropout": 0.5}}, "dropout was 0.2"),
        ({"model": "spmr"}, "model was 'rpmr'"),
        ({"missing": "none"}, "missing was 'each'"),
        ({"voltage": 5}, "voltage was 20.0"),
        ({"threads": 2}, "threads was 1"),
        ({"engine": "stacked"}, "engine was 'single'"),
    ],
)
def test_a_changed_setting_is_refused(views, half, change, said):
    before = {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=f"{said}.*give the same, another out, or resume=False"):
        sweep(views, half, **change)
    assert before == {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}


def test_changed_data_are_refused_and_another_name_is_not(views, whole, half):
    labels = views.labels.copy()
    labels[np.flatnonzero(views.split == 1)[0]] += 1  # of a row that only measures
    with pytest.raises(ValueError, match="views was"):
        sweep(Views.from_arrays(views.features, labels % 3, split=views.split), half)
    with pytest.raises(ValueError, match="views was"):
        sweep(Views.from_arrays(views.features, views.labels, split=1 - views.split), half)
    renamed = Views.from_arrays(views.features, views.labels, split=views.split, name="other")
    # A default that is written out is the same setting.
    xr.testing.assert_identical(sweep(renamed, half, lr=1e-3, options={"dropout": 0.2}), whole)


def test_resume_false_replaces_a_sweep_and_nothing_else(views, half, tmp_path, whole):
    found = sweep(views, half, resume=False, epochs=1)
    assert json.loads(found.attrs["settings"])["epochs"] == 1
    xr.testing.assert_identical(read_sweep(half), found)
    xr.Dataset({"mine": ("x", [1.0])}).to_zarr(tmp_path / "other.zarr", zarr_format=2)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for name in ("other.zarr", "folder", "file", "link"):
        for resume in (True, False):
            with pytest.raises(ValueError, match=f"{name} is there already and is no sweep's"):
                sweep(views, tmp_path / name, resume=resume)
    assert before == sorted(str(path) for path in tmp_path.rglob("*"))


def test_bad_settings_do_not_stand_in_the_way_of_good_ones(views, whole, tmp_path):
    out = tmp_path / "sweep.zarr"
    with pytest.raises(ValueError, match="lr must be"):
        sweep(views, out, lr=-1)
    xr.testing.assert_identical(sweep(views, out), whole)


def test_one_run_at_a_time(views, whole, half):
    with Lock(half):
        for resume in (True, False):
            with pytest.raises(BlockingIOError, match="another run writes to"):
                sweep(views, half, resume=resume)
    xr.testing.assert_identical(sweep(views, half), whole)
    with Lock(half):  # nothing is left to write
        xr.testing.assert_identical(sweep(views, half), whole)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_the_lock(half):
    lock = Lock(half)
    to_child, to_parent = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(to_parent[1], b"x")
        os.read(to_child[0], 1)
        os._exit(0)
    os.read(to_parent[0], 1)
    lock.release()
    try:
        with Lock(half) as again:
            assert again._file is not None
            with pytest.raises(BlockingIOError):  # this one is held
                Lock(half)
    finally:
        os.write(to_child[1], b"x")
        os.waitpid(child, 0)


@pytest.mark.parametrize("name", ["outcome", "accuracy", "loss", "rank"])
def test_a_torn_or_lost_chunk_is_made_once_more(views, whole, half, monkeypatch, name):
    sweep(views, half)
    chunk = next(path for path in (half / name).iterdir() if path.name[0].isdigit())
    chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])
    points = counted(monkeypatch)
    xr.testing.assert_identical(sweep(views, half), whole)
    assert len(points) == 1
    chunk.unlink()
    xr.testing.assert_identical(sweep(views, half), whole)
    assert len(points) == 2


def test_what_diverged_is_not_taken_for_lost(views, tmp_path, monkeypatch):
    out = tmp_path / "sweep.zarr"
    monkeypatch.setattr(
        sweep_run, "work", lambda task, views, some: [TrainingError("x")] * len(some)
    )
    found = sweep(views, out)
    assert (found.outcome == 2).all()
    monkeypatch.setattr(sweep_run, "work", None)
    xr.testing.assert_identical(sweep(views, out), found)


@pytest.mark.parametrize("name", ["n", "condition", "rank_limit", "physical_b", "width"])
def test_what_is_known_beforehand_has_to_be_what_it_was(views, half, name):
    chunk = next(path for path in (half / name).iterdir() if path.name[0].isdigit())
    chunk.unlink()
    with pytest.raises(ValueError, match=f"is damaged or of another version: its {name} .*resume="):
        sweep(views, half)


@pytest.mark.parametrize("name", [".zmetadata", "n/0"])
def test_a_damaged_store_is_one_clear_line(views, half, name):
    (half / name).write_bytes(b"\x00{")
    with pytest.raises(ValueError, match="is damaged and cannot be read .*resume=False"):
        sweep(views, half)
    sweep(views, half, resume=False)


def test_leftovers_of_killed_runs_are_removed_and_others_not(views, tmp_path):
    mine = [tmp_path / f".{word}-sweep.zarr" for word in ("writing", "replaced")]
    other = tmp_path / ".writing-b" / "thesis.txt"
    other.parent.mkdir()
    other.write_text("x")
    for begun in (False, True):
        for folder in mine:
            folder.mkdir()
            (folder / "x").write_text("x")
        if begun:
            (tmp_path / "sweep.zarr" / "loss" / "0.partial").write_text("x")
            sweep(views, tmp_path / "sweep.zarr")
        else:
            interrupted(views, tmp_path / "sweep.zarr", 1)
        assert not any(folder.exists() for folder in mine) and other.exists()
    assert not list(tmp_path.glob("*/*/*.partial"))


def test_a_place_that_cannot_be_written(views, whole, half, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="cannot write .*file/sweep.zarr"):
        sweep(views, tmp_path / "file" / "sweep.zarr")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_write", full)
        with pytest.raises(OSError, match="No space left on device; 5 of 12 points are kept"):
            sweep(views, half)
    xr.testing.assert_identical(sweep(views, half), whole)
    # Read only: a finished sweep is handed back all the same.
    copy = tmp_path / "copy.zarr"
    shutil.copytree(half, copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    xr.testing.assert_identical(sweep(views, copy), whole)
