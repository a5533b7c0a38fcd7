"""The command line: results, exit status, one-line errors, no tracebacks."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from command_line import run

from pnpfuse import load_model


def test_simulate_writes_what_it_prints(capsys, tmp_path):
    cell, plot = tmp_path / "cell.nc", tmp_path / "cell.png"
    status, out, _ = run(
        capsys, "simulate", "--length-ratio", "4", "--voltage", "5", "--out", str(cell),
        "--plot", str(plot),
    )  # fmt: skip
    assert status == 0
    assert "interface        0.500000 l" in out and "cation 0.9905" in out
    with xr.open_dataset(cell) as solution:
        assert float(solution.separation[0]) == pytest.approx(0.9905, abs=5e-5)
    assert plot.stat().st_size > 1000


def test_simulate_in_si_units(capsys):
    status, out, _ = run(
        capsys, "simulate", "--length", "1e-8", "--ion", "Na+", "1", "6e25", "--ion", "Cl-", "-1",
        "6e25", "--permittivity", "78.5", "--temperature", "298.15", "--voltage", "2",
        "--contact", "reservoir",
    )  # fmt: skip
    assert status == 0
    assert "Debye lengths of 9.6" in out  # about 0.96 nm at 0.1 mol/l


def test_a_note_is_printed(capsys):
    status, out, _ = run(
        capsys, "simulate", "--length", "1e-8", "--ion", "K+", "1", "1e22", "--voltage", "2"
    )
    assert status == 0 and "counter-charge" in out


def test_map(capsys, tmp_path):
    path = tmp_path / "map.nc"
    status, out, _ = run(
        capsys, "map", "image=2048", "text=768", "--voltage", "50", "--out", str(path)
    )
    assert status == 0 and "0.2727" in out and "void" not in out
    with xr.open_dataset(path) as found:
        assert float(found.b.sel(modality="image")) == pytest.approx(3 / 11, abs=1e-4)
    status, out, _ = run(capsys, "map", "a=4096", "b=128", "--voltage", "5")
    assert status == 0 and "void: a: no interface" in out


def test_train_writes_a_model_that_can_be_reopened(capsys, tmp_path):
    status, out, _ = run(
        capsys, "train", "digits", "--mapped", "--epochs", "1", "--out", str(tmp_path)
    )
    assert status == 0 and out.splitlines()[-1] == f"written: {tmp_path}"
    assert "pixels    0.2000" in out and "losses after 1 epochs (11 steps): task " in out
    model = load_model(tmp_path)
    assert model.options["b"]["pixels"] == pytest.approx(0.2, abs=1e-3)
    with xr.open_dataset(tmp_path / "scores.nc") as scores:
        assert f"{100 * float(scores.accuracy.sel(condition='none')):.1f}" in out
    with xr.open_dataset(tmp_path / "history.nc") as history:
        assert history.sizes["epoch"] == 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("", "required: COMMAND"),
        ("nonsense", "invalid choice"),
        ("simulate", "--voltage"),
        ("simulate --voltage high", "invalid float"),
        ("simulate --voltage nan", "voltage: got nan"),
        ("simulate --voltage 5 --length-ratio 0", "length_ratio: got 0"),
        ("simulate --voltage 5 --length-ratio -1", "length_ratio: got -1"),
        ("simulate --voltage 5 --length 1e-8", "at least one --ion"),
        ("simulate --voltage 5 --length 1e-8 --ion K 1 many", "concentration of ion 'K'"),
        ("simulate --voltage 5 --ion K 1 1e20", "--ion goes with --length"),
        ("simulate --voltage 5 --contact open", "contact: got 'open'"),
        ("simulate --voltage 5 --nodes 2", "nodes: got 2"),
        ("map a=3", "dims: got"),
        ("map a=3 b=x", "dims: got 'b=x'"),
        ("map a=3 a=4", "each modality once"),
        ("map a=3 b=4 --n 0", "n: got 0"),
        ("train no-such-file.npz", "does not exist"),
        ("train digits --model best", "--model must be one of"),
        ("train digits --b 1", "strictly between 0 and 1"),
        ("train digits --model concat --n 4", "--n gives n, which concat does not have"),
        ("train digits --model concat --mapped", "--mapped gives n, which concat does not"),
        ("train digits --mapped --voltage 0.2", "no interface"),
        ("train digits --threads 0", "threads must be"),
        ("train digits --lr -1", "lr must be"),
        ("train digits --batch-size 0", "batch_size must be"),
        ("simulate --voltage 5 --length-ratio 4 --valences 2 -1", "go together"),
        ("simulate --voltage 5 --plot x.pdf", "ends in .png"),
        ("map a=3 b=4 --n 1e300", "check the units"),
        ("train digits --voltage 5", "--voltage goes with --mapped"),
        ("train digits --mapped --b 0.5", "take one of them"),
        ("train digits --device toaster", "device must be"),
        ("train digits --epochs 0", "epochs must be"),
        ("demo --seeds 0", "seeds must be"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments.split())
    assert status == 2 and out == ""
    assert said in err and err.count("\n") == 1
    if arguments.startswith(("map", "simulate", "demo")):
        assert list(tmp_path.iterdir()) == []


def test_failed_work_is_one_line_and_status_1(capsys, tmp_path):
    status, out, err = run(
        capsys, "simulate", "--length-ratio", "1000", "--voltage", "40", "--contact", "reservoir",
        "--nodes", "21",
    )  # fmt: skip
    assert (status, out, err.count("\n")) == (1, "", 1) and "raise nodes" in err
    blocked = tmp_path / "file"
    blocked.write_text("")
    status, _, err = run(capsys, "map", "a=3", "b=4", "--out", str(blocked / "x.nc"))
    assert status == 1 and err.count("\n") == 1


@pytest.mark.parametrize("command", ["demo", "simulate", "map", "train"])
def test_help_has_an_example(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0 and f"example:\n  pnpfuse {command}" in out and "--out" in out


@pytest.fixture
def bad_files(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(20) % 2
    good = {"view_a": rng.normal(size=(20, 3)), "view_b": rng.normal(size=(20, 2)), "y": y}
    bad = {
        "nan": {**good, "view_a": np.full((20, 3), np.nan)},
        "rows": {**good, "view_b": rng.normal(size=(19, 2))},
        "no_labels": {"view_a": good["view_a"]},
        "one_view": {"view_a": good["view_a"], "y": y},
        "objects": {**good, "y": np.array([None] * 20)},
    }
    for name, arrays in bad.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    return sorted(tmp_path.glob("*.npz"))


def test_bad_files_are_one_line_and_status_2(capsys, bad_files, tmp_path):
    assert len(bad_files) == 7
    for path in bad_files:
        out = str(tmp_path / "out")
        status, _, err = run(capsys, "train", str(path), "--epochs", "1", "--out", out)
        assert status == 2 and err.count("\n") == 1, (path.name, err)


def test_the_installed_command_shows_no_traceback(bad_files):
    done = subprocess.run(
        [sys.executable, "-m", "pnpfuse.cli", "train", str(bad_files[0])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
