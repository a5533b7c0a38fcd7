"""`pnpfuse sweep`: what it prints and writes, errors of one line, an interruption."""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
import xarray as xr
from command_line import run

from pnpfuse import Views, run_sweep
from pnpfuse.cli.sweep import numbers
from pnpfuse.sweep import heat_figure
from pnpfuse.sweep import run as sweep_run
from pnpfuse.sweep.findings import best_lines, fitting_score, outcome_line, rank_lines, score_tables


@pytest.fixture
def views(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    dims = {"a": 6, "b": 4}
    features = {m: rng.normal(size=(90, d)) + np.eye(3, d)[labels] for m, d in dims.items()}
    made = Views.from_arrays(features, labels)
    made.save(tmp_path / "views.nc")
    return made


GRID = ["--n", "1", "2", "--b", "0.2:0.8:3", "--seeds", "2", "--epochs", "2", "--jobs", "1"]


def test_prints_writes_and_draws(capsys, tmp_path, views):
    out, plot = tmp_path / "s.zarr", tmp_path / "s.png"
    line = ["sweep", str(tmp_path / "views.nc"), *GRID, "--out", str(out), "--plot", str(plot)]
    status, shown, err = run(capsys, *line)
    assert status == 0, err
    assert plot.stat().st_size > 1000
    with xr.open_zarr(out) as sweep:
        xr.testing.assert_equal(
            sweep.load(), run_sweep(views, [1, 2], [0.2, 0.5, 0.8], seeds=2, epochs=2)
        )
        percent = 100 * sweep.accuracy.sel(condition="none", n=2, b=0.5)
        assert f"{percent.mean().item():.1f} ± {percent.std(ddof=1).item():.1f}" in shown
    assert "accuracy / %, all present" in shown and "one missing (mean)" in shown
    assert "best, all present" in shown and "within its standard error" in shown
    assert "12 points" in shown and f"written: {out}" in shown and "have their interface" in shown
    again = run(capsys, *line)
    assert again == (0, shown, "")


def test_a_changed_setting_and_restart(capsys, tmp_path, views):
    out = str(tmp_path / "s.zarr")
    line = ["sweep", str(tmp_path / "views.nc"), *GRID, "--out", out]
    assert run(capsys, *line)[0] == 0
    status, shown, err = run(capsys, *line, "--lr", "0.01", "--option", "dropout=0")
    assert (status, shown, err.count("\n")) == (2, "", 1)
    assert "dropout was 0.2" in err and "--restart to begin anew" in err
    status, _, err = run(capsys, *line, "--lr", "0.01", "--restart")
    assert status == 0, err


@pytest.fixture
def ctrl_c_is_heard():
    """Also where the tests run in the background of a shell, whose jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_130_and_says_how_to_go_on(capsys, tmp_path, views, monkeypatch, by):
    out, work, done = str(tmp_path / "s.zarr"), sweep_run.work, []

    def stopped(*arguments):
        if len(done) == 2:
            signal.raise_signal(by)
        done.append(work(*arguments))
        return done[-1]

    monkeypatch.setattr(sweep_run, "work", stopped)
    line = ["sweep", str(tmp_path / "views.nc"), *GRID, "--engine", "single", "--out", out]
    status, shown, err = run(capsys, *line)
    assert (status, shown, err.count("\n")) == (130, "", 1)
    assert f"interrupted; 2 of 12 points are kept in {out}: the same command goes on" in err
    monkeypatch.setattr(sweep_run, "work", work)
    handlers = signal.getsignal(signal.SIGTERM)
    assert run(capsys, *line)[0] == 0
    assert signal.getsignal(signal.SIGTERM) == handlers == signal.SIG_DFL


def hear_ctrl_c():
    """A job in the background of a shell ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_ctrl_c_reaches_a_command_with_processes_and_its_workers_go(tmp_path, views):
    command = [sys.executable, "-m", "pnpfuse.sweep", str(tmp_path / "views.nc"), *GRID[:-1], "2"]
    command += ["--epochs", "100000", "--engine", "single", "--out", str(tmp_path / "s.zarr")]
    begun = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    try:
        while not (tmp_path / "s.zarr").exists():
            assert begun.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(begun.pid, signal.SIGINT)  # as a terminal does, to all of them
        shown, err = begun.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(begun.pid, signal.SIGKILL)  # or they would take the other tests' time
    assert (begun.returncode, shown) == (130, "")
    assert err.count("\n") == 1 and "0 of 12 points are kept" in err


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("sweep DATA --b 0.5", "--n"),
        ("sweep DATA --n 1 --b 0.1:0.9", "got '0.1:0.9'; give a number, or start:stop:count"),
        ("sweep DATA --n 1 --b 0.1:0.9:1", "start:stop:count with a count from 2"),
        ("sweep DATA --n 1 --b 0.1:0.9:2.5", "start:stop:count"),
        ("sweep DATA --n 1 --b 0.1:0.9:1e9", "count from 2 to 10000"),
        ("sweep DATA --n 1 --b x", "got 'x'"),
        ("sweep DATA --n 1 --b 0:1:3", "b must be a ratio strictly between 0 and 1; found 0"),
        ("sweep DATA --n 0 --b 0.5", "n must be above 0"),
        ("sweep DATA --n 0.2 --b 0.5", "raise n"),
        ("sweep DATA --n nan --b 0.5", "n must be"),
        ("sweep DATA --n 1 1 --b 0.5", "n names a value twice"),
        ("sweep DATA --n 1 --b 0.5 --model concat", "model must have the options n and b"),
        ("sweep DATA --n 1 --b 0.5 --option n=2", "options has n; give"),
        ("sweep DATA --n 1 --b 0.5 --option heads=2", "--option heads gives heads, which rpmr"),
        ("sweep DATA --n 1 --b 0.5 --engine fast", "engine must be one of"),
        ("sweep DATA --n 1 --b 0.5 --jobs 0", "jobs must be"),
        ("sweep DATA --n 1 --b 0.5 --jobs 2 --dask x", "not allowed with"),
        ("sweep DATA --n 1 --b 0.5 --seeds 0", "seeds must be"),
        ("sweep DATA --n 1 --b 0.5 --lr -1 --jobs 1", "lr must be"),
        ("sweep DATA --n 1 --b 0.5 --device cuda:99", "device must be"),
        ("sweep DATA --n 1 --b 0.5 --out DATA", "is there already and is no sweep's store"),
        ("sweep DATA --n 1 --b 0.5 --checkpoint", "unrecognized arguments"),
        ("sweep nowhere.nc --n 1 --b 0.5", "does not exist"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(capsys, tmp_path, views, arguments, said):
    data = str(tmp_path / "views.nc")
    words = (data if word == "DATA" else word for word in arguments.split())
    status, out, err = run(capsys, *words)
    assert status == 2 and out == "" and said in err and err.count("\n") == 1


def test_a_place_that_cannot_be_written_is_status_1(capsys, tmp_path, views):
    data = str(tmp_path / "views.nc")
    status, out, err = run(capsys, "sweep", data, *GRID, "--out", f"{data}/s.zarr")
    assert (status, out, err.count("\n")) == (1, "", 1) and "cannot write" in err


def test_a_bad_place_for_the_figure_is_told_before_the_work(capsys, tmp_path, views, monkeypatch):
    monkeypatch.setattr(sweep_run, "work", None)
    data = str(tmp_path / "views.nc")
    (tmp_path / "s.png").mkdir()
    for place in (f"{data}/s.png", tmp_path / "s.png"):
        for command in ("sweep", "compare"):
            grid = GRID if command == "sweep" else ["--models", "concat"]
            status, out, err = run(capsys, command, data, *grid, "--plot", str(place))
            assert (status, out, err.count("\n")) == (1, "", 1) and "cannot write" in err


def test_help_has_examples(capsys):
    status, out, _ = run(capsys, "sweep", "--help")
    assert status == 0 and "--b 0.1:0.9:9 --seeds 5" in out and "view_<name>" in out
    assert "checkpoint" not in out and "goes on from where it was" in out


@pytest.mark.parametrize(
    "text, values",
    [
        ("4", [4]),
        ("0.1:0.9:9", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("1:0.5:2", [1, 0.5]),
        ("1e-3:1e-3:2", [1e-3, 1e-3]),
    ],
)
def test_numbers(text, values):
    assert numbers(text) == values
    with pytest.raises(argparse.ArgumentTypeError):
        numbers(text + ":")


def planted(means, spread=0.0, seeds=4):
    """A sweep whose accuracies are `means` (n, b), in %, half the seeds above and half below."""
    around = spread * np.resize([1, -1], seeds)
    values = (np.asarray(means)[..., None] + around)[..., None] / 100
    shape = values.shape[:3]
    return xr.Dataset(
        {
            "accuracy": (("n", "b", "seed", "condition"), values),
            "outcome": (("n", "b", "seed"), np.ones(shape, np.int8)),
            "rank_limit": (("n", "b", "modality"), [[[3.0], [4.0], [4.0]], [[4.0]] * 3]),
            "rank": (("n", "b", "seed", "modality"), np.full((*shape, 1), 3.0)),
            "shared_width": ((), 4.0),
        },
        {"n": [1, 2], "b": [0.2, 0.5, 0.8], "seed": range(seeds), "condition": ["none"],
         "modality": ["a"]},
    )  # fmt: skip


def test_best_cells_are_those_within_one_standard_error():
    sweep = planted([[90, 91, 92.4], [93, 92.4, 80]], spread=1)
    # Four values +-1 around the mean: deviation sqrt(4/3), standard error sqrt(1/3) = 0.58.
    said = list(best_lines(sweep))
    assert "93.0 % at n = 2, b = 0.2; within its standard error (0.58) 1 of 6 cells" in said[0]
    said = list(best_lines(planted([[90, 91, 92.5], [93, 92.4, 80]], spread=1)))
    assert "2 of 6 cells: n = 1: b = 0.8; n = 2: b = 0.2" in said[0]
    assert "chosen on the rows" in said[-1]
    assert "one seed says nothing" in next(best_lines(planted([[1, 2, 3]] * 2, seeds=1)))


def test_best_cells_are_the_same_in_lines_and_in_the_heat_map():
    rng = np.random.default_rng(0)
    sweep = planted(rng.uniform(88, 90, (2, 3)), seeds=6)
    sweep["accuracy"] += 0.01 * rng.normal(size=sweep.accuracy.shape)
    sweep.accuracy[0, 1, 2] = np.nan  # the best, had it not diverged
    sweep.accuracy[0, 1, 3:] = 0.99
    sweep.outcome[0, 1, 2] = 2
    # By hand: each cell's variance over the seeds, their mean over the five cells.
    table = 100 * np.delete(sweep.accuracy.values[..., 0].reshape(6, 6), 1, axis=0)
    error = np.sqrt(table.var(1, ddof=1).mean() / 6)
    near = table.mean(1) >= table.mean(1).max() - error
    assert f"within its standard error ({error:.2f}) {near.sum()} of 6 cells" in next(
        best_lines(sweep)
    )
    axis = heat_figure(sweep).axes[0]
    dots = next(line for line in axis.lines if line.get_markerfacecolor() == "white")
    places = np.delete([(n, b) for n in (1, 2) for b in (0.2, 0.5, 0.8)], 1, axis=0)
    np.testing.assert_array_equal(np.transpose(dots.get_data()), places[near])
    # A seed that diverged everywhere is left out; where some seed did in every cell is no best.
    fewer = sweep.copy(deep=True)
    fewer.accuracy[:, :, 0] = np.nan
    assert list(best_lines(fewer)) == list(best_lines(sweep.isel(seed=slice(1, None))))
    for k in range(6):
        fewer.accuracy[k // 3, k % 3, 1 + k % 2] = np.nan
    assert list(best_lines(fewer)) == []


def test_table_leaves_out_what_diverged_and_says_so():
    sweep = planted([[90, 91, 92], [93, 92, 80]], spread=1)
    sweep.accuracy[0, 1] = np.nan
    sweep.outcome[0, 1] = 2
    sweep.accuracy[0, 2, 1:] = np.nan
    ((_, table),) = score_tables(sweep)
    assert [row[1] for row in table.rows] == ["90.0 ± 1.2", "-", "93.0"]
    assert (
        outcome_line(sweep) == "24 points, 4 of them diverged (the first: n = 1, b = 0.5, seed 0)"
    )


def test_rank_condition():
    sweep = planted([[90, 91, 92], [93, 92, 80]])
    (said,) = rank_lines(sweep)
    assert "floor(b n l_k) is below l* = 4" in said and said.endswith("for n = 1: a b <= 0.2")
    assert "reaches l* = 4 in every cell" in next(rank_lines(sweep.sel(n=[2])))
    sweep["rank"][0, 0, 0] = 4
    assert "above the bound in 1 of 6 cells" in list(rank_lines(sweep))[1]


def test_unequal_classes_are_judged_by_the_balanced_accuracy(views):
    assert fitting_score(views) == "accuracy"
    labels = (np.arange(90) % 10 == 0).astype(int)
    assert fitting_score(Views.from_arrays(views.features, labels)) == "balanced_accuracy"
