"""`pnpfuse ledger`: what it prints and writes, and errors of one line."""

import json
import os
import sys

import pytest
from command_line import run
from small_views import small_views

from pnpfuse.cli import ledger as command
from pnpfuse.ledger import Ledger, LedgerError
from pnpfuse.ledger import run as run_module

SHORT = ["--quick", "--epochs", "1", "--seeds", "2", "--jobs", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(small_views().save(tmp_path_factory.mktemp("data") / "small.npz"))


@pytest.fixture(scope="module")
def saved(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("saved")
    views = run_module.load_views(data)
    names = ["gmf/shapes", "gmf/linear_in_modalities"]
    run_module.run_ledger(views, names=names, seeds=2, epochs=1, quick=True, out=out)
    return out / "ledger.json"


def test_runs_prints_and_writes(capsys, tmp_path, data):
    out, page = tmp_path / "out", tmp_path / "page.md"
    line = [
        "ledger",
        "residual",
        "--data",
        data,
        *SHORT,
        "--out",
        str(out),
        "--markdown",
        str(page),
    ]
    status, shown, err = run(capsys, *line)
    assert status == 0, err
    assert "PMR App. E.2" in shown and "1 claim: 1 holds" in shown and "\x1b" not in shown
    assert f"written: {out / 'ledger.json'}, {out / 'ledger.html'}" in shown
    assert sorted(os.listdir(out)) == ["ledger.html", "ledger.json"]
    claim = json.loads((out / "ledger.json").read_text())["claims"][0]
    assert claim["name"] == "pmr/residual" and claim["verdict"] == "holds"
    assert f"pnpfuse {' '.join(line)}" in (out / "ledger.html").read_text()
    assert page.read_text().startswith("# What holds")


def test_names_the_claims_without_loading_them(capsys):
    loaded = set(sys.modules)
    status, shown, _ = run(capsys, "ledger", "--list", "--papers", "gmf")
    assert status == 0 and "gmf/eq12  (GMF Sec. 3.4, Eq. 12)  At equilibrium" in shown
    assert set(sys.modules) == loaded
    assert all(line.startswith("gmf/") for line in shown.splitlines())


def test_reads_and_sets_side_by_side_without_running(capsys, tmp_path, saved, monkeypatch):
    monkeypatch.setattr(run_module, "run_ledger", None)
    other = json.loads(saved.read_text())
    other["claims"][1].update(verdict="does not hold here", why="planted")
    (tmp_path / "other.json").write_text(json.dumps(other))
    files = [str(saved), str(tmp_path / "other.json")]
    monkeypatch.chdir(tmp_path)
    status, shown, err = run(capsys, "ledger", "--read", *files)
    assert status == 0, err
    assert "1 of 2 claims have not the same verdict" in shown
    assert os.listdir(tmp_path) == ["other.json"]
    status, shown, _ = run(capsys, "ledger", "--read", *files, "--out", "out")
    assert os.listdir("out") == ["ledger.html"] and "written: out/ledger.html" in shown


def test_a_claim_that_breaks_fails_the_command_and_shows_the_rest(
    capsys, tmp_path, data, saved, monkeypatch
):
    ledger = Ledger.load(saved)

    def broken(*_, **__):
        raise LedgerError(Ledger(ledger.entries[1:], ledger.conditions, {"pmr/x": "Error: y"}))

    monkeypatch.setattr(run_module, "run_ledger", broken)
    line = ["ledger", "--data", data, *SHORT, "--out", str(tmp_path)]
    status, shown, err = run(capsys, *line)
    assert (
        status == 1 and err == "pnpfuse ledger: error: 1 claim could not be run: pmr/x: Error: y\n"
    )
    assert "not run: pmr/x: Error: y" in shown
    assert "Could not be run" in (tmp_path / "ledger.html").read_text()


@pytest.mark.parametrize(
    "line, status",
    [
        ("--seeds 1", 2),
        ("--epochs 0", 2),
        ("--jobs 0", 2),
        ("--threads 0", 2),
        ("no_such_claim", 2),
        ("--papers pnp", 2),
        ("--data nowhere.npz", 2),
        ("--device abacus", 2),
        ("--weight task 2", 2),
        ("--read nowhere.json", 2),
        ("residual --read nowhere.json", 2),
        ("--list --read nowhere.json", 2),
        ("--out file", 1),
        ("--markdown file/x.md", 1),
    ],
)
def test_errors_of_one_line(capsys, tmp_path, monkeypatch, line, status):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    found = run(capsys, "ledger", "--jobs", "1", *line.split())
    assert found[0] == status and found[1] == ""
    assert found[2].startswith("pnpfuse ledger: error: ") and found[2].count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]


def test_interrupted(capsys, tmp_path, data, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "_run", interrupted)
    line = ["ledger", "residual", "--data", data, *SHORT, "--out", str(tmp_path)]
    status, _, err = run(capsys, *line)
    assert status == 130 and err.endswith("the same command goes on from there\n")


def test_colour_only_on_a_terminal(capsys, saved, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(command.sys.stdout, "isatty", lambda: True, raising=False)
    assert "\x1b[" in run(capsys, "ledger", "--read", str(saved))[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run(capsys, "ledger", "--read", str(saved))[1]
