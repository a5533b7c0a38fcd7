"""`pnpfuse compare` and `pnpfuse retrieve`: results, errors of one line, what is written."""

import json
from argparse import Namespace

import numpy as np
import pytest
import torch
import xarray as xr
from command_line import run

from pnpfuse import Views, create_model, list_models, retrieve, save_model, summary
from pnpfuse.cli.model_options import TWINS, models_given, twins_note
from pnpfuse.fusion.infobridge import TABLE2, TABLE3
from pnpfuse.fusion.scope import TABLE6


@pytest.fixture
def views(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = {m: rng.normal(size=(60, d)) + np.eye(3, d)[labels] for m, d in (("a", 6), ("b", 4))}
    made = Views.from_arrays(features, labels)
    made.save(tmp_path / "views.nc")
    return made


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


def test_compare_takes_options_and_settings(capsys, tmp_path, views):
    out = tmp_path / "scores.nc"
    status, _, err = run(
        capsys, "compare", str(tmp_path / "views.nc"), "--models", "concat", "mbt", "rpmr",
        "--n", "2", "--fill", "mean", "--option", "heads=2", "--option", "experts=null",
        "--option", "parts=shared", "--recipe", "pmr-sgd", "--epochs", "2", "--batch-size", "16",
        "--validation", "0.2", "--patience", "1", "--clip", "1", "--device", "cpu", "--seeds", "1",
        "--out", str(out),
    )  # fmt: skip
    assert status == 0, err
    with xr.open_dataset(out) as scores:
        plans, told = json.loads(scores.attrs["models"]), json.loads(scores.attrs["settings"])
        assert scores.attrs["epochs"] == 2
    assert plans["concat"] == ["concat", {"fill": "mean"}]
    assert plans["mbt"] == ["mbt", {"fill": "mean", "heads": 2}]
    assert plans["rpmr"] == ["rpmr", {"n": 2, "fill": "mean", "experts": None, "parts": "shared"}]
    assert (told["optimizer"], told["block_lr"], told["batch_size"]) == ("sgd", 2.5e-4, 16)
    assert (told["validation"], told["patience"], told["clip"]) == (0.2, 1, 1)


def test_all_leaves_the_twins_out_and_says_so():
    given = Namespace(models=None, ablations=[], n=None, b=None, fill=None, option=None)
    found, notes = models_given(given)
    assert set(list_models()) - set(found) == {"gmf", "g-mbt", "g-perceiver"} == set(TWINS)
    assert all(f"{name} ({twin})" in twins_note() for name, twin in TWINS.items())
    assert notes == [twins_note()]


def test_ablations_are_the_rows_of_the_tables_each_model_once():
    given = Namespace(models=["late"], ablations=["scope", "infobridge"], n=None, b=None, fill=None)
    given.option = ["k=3", "negatives=2", "fill=mean"]
    found, (note,) = models_given(given)
    assert found.pop("late") == ("late", {"fill": "mean"})
    rows = TABLE6 | TABLE2 | TABLE3
    assert "semantics (InfoBridge)" in note
    assert "cluster (k = 5) (w/o semantic context)" in note
    assert set(found) == set(rows) - {"semantics", "cluster (k = 5)"}
    for label, (name, options) in found.items():
        own = {"k": 3} if label in TABLE6 else {"negatives": 2}
        assert options == {"fill": "mean"} | own | rows[label]
        create_model(name, {"a": 5, "b": 4}, 2, **options)


def test_ablations_of_scope_are_compared(capsys, tmp_path, views):
    status, shown, err = run(
        capsys, "compare", str(tmp_path / "views.nc"), "--ablations", "scope", "--epochs", "2",
        "--option", "block_width=8", "--option", "k=4", "--seeds", "1", "--missing", "none",
        "--out", str(tmp_path / "scores.nc"),
    )  # fmt: skip
    assert status == 0, err
    assert all(label in shown for label in TABLE6)
    with xr.open_dataset(tmp_path / "scores.nc") as scores:
        assert list(scores.model.values) == list(TABLE6) and (scores.accuracy > 0).all()
    status, _, err = run(capsys, "compare", "digits", "--ablations", "pmr")
    assert status == 2 and "invalid choice: 'pmr'" in err


@pytest.mark.parametrize("name", TWINS)
def test_twins_are_equal(name, views):
    outputs = []
    for one in (name, TWINS[name]):
        torch.manual_seed(0)
        model = create_model(one, views.dims, views.classes).eval()
        features = {m: torch.tensor(X) for m, X in views.features.items()}
        outputs.append(model(features, labels=torch.tensor(views.labels)))
        assert model.loss_weights == {"preservation": 0.1}
    assert torch.equal(outputs[0].logits, outputs[1].logits)
    assert torch.equal(outputs[0].losses["preservation"], outputs[1].losses["preservation"])


def test_without_models_the_note_comes_first(capsys, tmp_path, views, monkeypatch):
    monkeypatch.setattr("pnpfuse.fusion.registry.list_models", lambda: ["concat", "gmf", "sum"])
    status, out, err = run(capsys, "compare", str(tmp_path / "views.nc"), "--epochs", "1")
    assert status == 0, err
    assert out.startswith("left out, being equal by default") and "\ngmf" not in out


def test_unequal_classes_are_told_with_what_their_rate_alone_gives(capsys, tmp_path):
    rng = np.random.default_rng(1)
    labels = (np.arange(200) % 20 == 0).astype(int)  # 19 : 1
    made = Views.from_arrays({m: rng.normal(size=(200, 3)) for m in "ab"}, labels)
    made.save(tmp_path / "views.npz")
    given = ["compare", str(tmp_path / "views.npz"), "--models", "concat", "--epochs", "20",
             "--seeds", "1", "--missing", "none", "--out", str(tmp_path / "s.nc")]  # fmt: skip
    status, out, _ = run(capsys, *given)
    test = made.test.labels
    assert (
        status == 0 and f"has accuracy {(test == 0).mean():.1%} and balanced accuracy 50.0%" in out
    )
    with xr.open_dataset(tmp_path / "s.nc") as scores:
        # Nothing can be learned here: the model names the frequent class, and balanced says so.
        assert f"{100 * scores.accuracy.item():.1f}" in out
        assert f"{100 * scores.balanced_accuracy.item():.1f}" in out
        assert scores.accuracy.item() > 0.9 and scores.balanced_accuracy.item() < 0.7
    assert "balanced accuracy / %" in out
    _, out, _ = run(capsys, *given, "--score", "balanced_accuracy")
    assert (
        "balanced accuracy / %" in out
        and "unequal classes" not in out
        and "\naccuracy / %" not in out
    )
    _, out, _ = run(capsys, *given, "--score", "accuracy")
    assert "balanced accuracy / %" not in out and "unequal classes" in out


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
        ("compare DATA --models best", "--models must be one of"),
        ("compare DATA --seeds 0", "seeds must be"),
        ("compare DATA --missing some", "missing must be one of"),
        ("compare DATA --models concat rpmr concat", "--models names concat twice"),
        ("compare DATA --models concat rpmr --option heads=2", "--option heads: none of the"),
        ("compare DATA --models concat --n 4", "--n: none of the models has the option n"),
        ("compare DATA --ablations infobridge --n 4", "the base of infobridge takes its own in"),
        ("compare DATA --option n", "--option needs KEY=VALUE"),
        ("compare DATA --n 4 --option n=2", "n is given twice"),
        ("compare DATA --models concat --patience 1", "patience needs validation rows"),
        ("compare DATA --recipe best", "--recipe must be one of"),
        ("compare DATA --weighting homoscedastic --weight view 1", "--weighting fixed"),
        ("compare DATA --checkpoint", "unrecognized arguments"),
        ("compare DATA --score loss", "invalid choice"),
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
def test_help_has_an_example_and_says_what_a_file_holds(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0 and f"example:\n  pnpfuse {command}" in out and "--out" in out
    assert all(word in out for word in ("present_<name>", "y or\nlabels", '"train"', '"test"'))
    assert "checkpoint" not in out
    assert command == "retrieve" or "pnpfuse models" in out
