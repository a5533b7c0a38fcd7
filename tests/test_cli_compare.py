"""`pnpfuse compare` and `pnpfuse retrieve`: results, errors of one line, what is written."""

import numpy as np
import pytest
import torch
import xarray as xr

from pnpfuse import Views, create_model, retrieve, save_model, summary
from pnpfuse.cli import main


@pytest.fixture
def views(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = {m: rng.normal(size=(60, d)) + np.eye(3, d)[labels] for m, d in (("a", 6), ("b", 4))}
    made = Views.from_arrays(features, labels)
    made.save(tmp_path / "views.nc")
    return made


def run(capsys, *arguments):
    try:
        status = main(list(arguments))
    except SystemExit as stop:  # argparse
        status = stop.code
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_compare_prints_the_summary_and_writes_all_scores(capsys, tmp_path, views):
    out, plot = tmp_path / "scores.nc", tmp_path / "scores.png"
    status, shown, _ = run(
        capsys, "compare", str(tmp_path / "views.nc"), "--models", "concat", "rpmr", "--seeds", "2",
        "--epochs", "1", "--out", str(out), "--plot", str(plot),
    )  # fmt: skip
    assert status == 0 and plot.stat().st_size > 1000
    with xr.open_dataset(out) as scores:
        assert scores.sizes == {"model": 2, "seed": 2, "condition": 4}
        frame = summary(scores)
    assert frame.attrs["caption"] in shown
    assert all(cell in shown for cell in frame.to_numpy().ravel())


def test_retrieve_prints_and_writes_the_scores(capsys, tmp_path, views):
    torch.manual_seed(0)
    model = create_model("rpmr", views.dims, views.classes)
    save_model(model, tmp_path / "model")
    status, shown, _ = run(
        capsys, "retrieve", str(tmp_path / "model"), str(tmp_path / "views.nc"), "--query", "a",
        "--gallery", "b", "--k", "1", "5", "--relevance", "pair", "--out", str(tmp_path / "r.nc"),
    )  # fmt: skip
    expected = retrieve(model, views, "a", "b", k=[1, 5], relevance="pair")
    assert status == 0 and "a -> b, relevant: the same pair, parts: shared; 15 queries" in shown
    assert f"{expected.map_at_k.sel(k=5).item():.4f}" in shown
    with xr.open_dataset(tmp_path / "r.nc") as found:
        xr.testing.assert_allclose(found, expected)
        assert found.attrs["query"] == "a" and found.map_at_k.attrs["units"] == "1"


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("compare DATA --models best", "name must be one of"),
        ("compare DATA --seeds 0", "seeds must be"),
        ("compare DATA --missing some", "missing must be one of"),
        ("compare DATA --jobs 0", "jobs must be"),
        ("compare DATA --jobs 2 --dask x", "not allowed with"),
        ("compare DATA --models concat --lr -1", "concat, seed 0: lr must be"),
        ("compare nowhere.nc", "does not exist"),
        ("retrieve nowhere DATA --query a --gallery b", "has no model.json"),
        ("retrieve MODEL DATA --query a --gallery c", "gallery must be one of"),
        ("retrieve MODEL DATA --query a --gallery b --parts fused", "leaks the answer"),
        ("retrieve MODEL DATA --query a", "--gallery"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(capsys, tmp_path, views, arguments, said):
    if "MODEL" in arguments:
        save_model(create_model("concat", views.dims, views.classes), tmp_path / "model")
    paths = {"DATA": str(tmp_path / "views.nc"), "MODEL": str(tmp_path / "model")}
    status, out, err = run(capsys, *(paths.get(word, word) for word in arguments.split()))
    assert status == 2 and out == "" and said in err and err.count("\n") == 1


@pytest.mark.parametrize("command", ["compare", "retrieve"])
def test_help_has_an_example(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0 and f"example:\n  pnpfuse {command}" in out and "--out" in out
