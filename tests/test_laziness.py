"""Modality laziness against probes by hand, planted modalities, and tables written by hand."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pnpfuse import (
    Views,
    compare,
    create_model,
    evaluate,
    fit,
    laziness,
    laziness_figure,
    laziness_table,
)
from pnpfuse.dominance.measurement import single
from pnpfuse.dominance.probing import probe
from pnpfuse.dominance.tables import laziness_lines, points
from pnpfuse.storage import save_dataset
from pnpfuse.threads import cpu_threads

RUN = {"epochs": 3, "batch_size": 32, "progress": False, "device": "cpu"}


def made(present=None):
    """Rows of three classes that the modality `told` tells apart, and `noise` does not."""
    rng = np.random.default_rng(0)
    labels = np.arange(180) % 3
    features = {
        "told": rng.normal(size=(180, 8)) + 3 * np.eye(3, 8)[labels],
        "noise": rng.normal(size=(180, 6)),
    }
    return Views.from_arrays(features, labels, present=present)


@pytest.fixture(scope="module")
def views():
    return made()


@pytest.fixture(scope="module")
def found(views):
    return laziness(["concat", "scope"], views, seeds=2, **RUN)


def trained(views, name="concat", seed=1):
    torch.manual_seed(seed)
    model = create_model(name, views.dims, views.classes)
    with cpu_threads(1):
        fit(model, views, seed=seed, **RUN)
    return model


def by_hand(model, views, modality):
    """Accuracy of a logistic regression on the encoder's output."""
    parts = []
    for rows in (views.train, views.test):
        with torch.inference_mode():
            V = model.encode({m: torch.tensor(X) for m, X in rows.features.items()})
        kept = slice(None) if rows.present is None else rows.present[modality]
        parts += [V[modality].double().numpy()[kept], rows.labels[kept]]
    scale = StandardScaler().fit(parts[0])
    classifier = LogisticRegression(max_iter=2000).fit(scale.transform(parts[0]), parts[1])
    return classifier.score(scale.transform(parts[2]), parts[3])


def test_every_number_is_what_it_is_by_hand(views, found):
    model = trained(views)
    ours = found.sel(model="concat", seed=1, score="accuracy")
    scores = evaluate(model, views, "all").accuracy
    assert ours.fused == scores.sel(condition="none")
    for m in views.names:
        one = ours.sel(modality=m)
        assert one.only == scores.sel(condition=f"only:{m}")
        assert one.without == scores.sel(condition=f"missing:{m}")
        assert one.probe == one.probe_beside == pytest.approx(by_hand(model, views, m), abs=1e-12)
        apart = Views({m: views.features[m]}, views.labels, views.split, views.class_names)
        reference = trained(apart)
        assert one.alone == evaluate(reference, apart).accuracy.item()
        assert one.alone_probe == pytest.approx(by_hand(reference, apart, m), abs=1e-12)
        assert one.laziness == one.alone_probe - one.probe
        assert one.underuse == one.alone - one.only
        assert one.contribution == ours.fused - one.without
    assert ours.best == "told" and ours.gain == ours.fused - ours.alone.sel(modality="told")
    assert found.chance.values == pytest.approx([1 / 3, 1 / 3])


def test_a_probe_beside_the_others_reads_the_others(found):
    """What cross-attention makes of pure noise tells the class once the other modality is there."""
    noise = found.sel(modality="noise", score="accuracy").mean("seed")
    assert float(noise.probe.sel(model="scope")) < 0.55  # chance is 1/3
    assert float(noise.probe_beside.sel(model="scope")) > 0.75
    assert float(noise.probe_beside.sel(model="concat")) < 0.55


def test_it_is_kept_whole_and_explains_itself(found, tmp_path):
    with xr.open_dataset(save_dataset(found, tmp_path / "laziness.nc")) as again:
        xr.testing.assert_identical(again.load(), found)
    assert found.laziness.dims == ("model", "seed", "modality", "score")
    assert all(v.attrs["units"] == "1" and v.attrs["long_name"] for v in found.variables.values())
    assert found.attrs["outcome"] == "completed" and "C = 1" in found.attrs["probe"]


def test_an_executor_gives_the_same(views):
    arguments = {"seeds": 1, **RUN, "weights": {"view": 0.5}}  # a loss of late alone
    with ThreadPoolExecutor(2) as pool:
        away = laziness({"l": "late"}, views, executor=pool, **arguments)
    here = laziness({"l": "late"}, views, **arguments)
    xr.testing.assert_identical(here, away)
    assert pickle.loads(pickle.dumps(probe)) is probe  # as executors of processes need it


def test_absent_rows_are_neither_learned_nor_scored():
    rng = np.random.default_rng(1)
    present = {"told": rng.random(180) < 0.6, "noise": np.ones(180, bool)}
    views = made(present)
    model = trained(views)
    found = probe(model, views).probe.sel(score="accuracy")
    assert found.sel(modality="told") == pytest.approx(by_hand(model, views, "told"), abs=1e-12)
    assert len(single(views, "told")) == present["told"].sum()
    assert single(views, "told").present is None


@pytest.mark.parametrize(
    "change, match",
    [
        ({"views": single(made(), "told")}, "the one modality told"),
        ({"views": made({"told": np.arange(180) < 1})}, "told in training rows of"),
        ({"alone": 3}, "alone: got 3"),
        ({"alone": ("concat", {"depth": 3})}, "no option depth"),
        ({"models": ["nope"]}, "name must be one of"),
        ({"depth": 3}, "fit has no argument depth"),
    ],
)
def test_told_before_anything_is_trained(views, change, match, monkeypatch):
    monkeypatch.setattr("pnpfuse.runs.fit", lambda *_, **__: pytest.fail("trained"))
    arguments = {"models": ["concat"], "views": views, "seeds": 1} | RUN | change
    with pytest.raises(ValueError, match=match):
        laziness(arguments.pop("models"), arguments.pop("views"), **arguments)


@pytest.mark.parametrize(
    ("given", "match"),
    [(3, "must give an xarray.Dataset; found int"), (xr.Dataset({"loss": 0}), "gives .'loss'.,")],
)
def test_what_is_measured_replaces_no_score(views, given, match):
    with pytest.raises(ValueError, match=match):
        compare(["concat"], views, seeds=1, measure=lambda *_: given, **RUN | {"epochs": 1})


def written(seeds=4):
    """Two models, two modalities; b is clearly better on `told`, they are equal on `noise`."""
    jitter = 0.01 * (np.arange(seeds) - (seeds - 1) / 2)  # mean 0
    probes = np.array([[0.6 + jitter, 0.3 + jitter], [0.8 + jitter, 0.3 - jitter]])
    dims = ("model", "seed", "modality", "score")
    probes = xr.DataArray(np.moveaxis(probes, 2, 1)[..., None], dims=dims)
    alone = np.broadcast_to([[[0.8], [0.3]]], (seeds, 2, 1))
    alone = xr.DataArray(alone, dims=dims[1:])
    joint = {name: probes for name in ("probe", "only", "probe_beside", "contribution")}
    fused = probes.isel(modality=0)
    return xr.Dataset(
        joint
        | {"alone": alone, "alone_probe": alone, "laziness": alone - probes}
        | {"fused": fused, "gain": fused, "chance": ("score", [0.25])},
        coords={
            "model": ["a", "b"], "seed": range(seeds), "modality": ["told", "noise"],
            "score": ["accuracy"], "best": ("score", ["told"]),
        },
    ).transpose(*dims)  # fmt: skip


def test_the_table_has_the_form_of_table_2_and_marks_no_reference():
    frame = laziness_table(written())
    sd = f"{100 * np.std([-0.015, -0.005, 0.005, 0.015], ddof=1):.1f}"
    assert frame.columns.tolist() == ["alone", "a", "b"]
    assert frame.index.tolist() == ["told", "noise", "Fusion"]
    assert frame.loc["told"].tolist() == ["80.0 ± 0.0", f"60.0 ± {sd}", f"80.0 ± {sd} *"]
    assert frame.loc["noise"].tolist() == ["30.0 ± 0.0", f"30.0 ± {sd} *", f"30.0 ± {sd} *"]
    assert frame.loc["Fusion", "alone"] == "-"
    assert "(4 seeds)" in frame.attrs["caption"]
    single_seed = laziness_table(written(1))
    assert "*" not in "".join(single_seed.to_numpy().ravel())
    assert "cannot tell" in single_seed.attrs["caption"]


def test_a_difference_inside_the_spread_is_none():
    assert points(xr.DataArray([0.03, 0.02, 0.025])) == "2.5 ± 0.5"
    assert points(xr.DataArray([0.03, -0.001, 0.025])).endswith("~")  # not with every seed
    assert points(xr.DataArray([0.03, 0.001, 0.001])).endswith("~")  # within its own spread
    said = [line.split() for line in laziness_lines(written())]
    row = said[next(i for i, words in enumerate(said) if words[:1] == ["points"]) + 1]
    assert row[:4] == ["a", "20.0", "±", "1.3"] and row[7:11] == ["0.0", "±", "1.3", "~"]


@pytest.mark.parametrize(
    "change, match",
    [
        ({"reading": "odd"}, "reading must be one of"),
        ({"score": "odd"}, "score must be one of"),
        ({"dataset": xr.Dataset({"only": 1.0})}, "dataset must be from laziness; it lacks"),
    ],
)
def test_tables_of_something_else_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        laziness_table(**({"dataset": written()} | change))


def test_the_figure_carries_the_numbers(found):
    figure = laziness_figure(found, command="pnpfuse laziness data.npz")
    told, noise, fusion = (axis for axis in figure.axes if axis.get_visible())
    assert [axis.get_title() for axis in (told, noise)] == ["told", "noise"]
    drawn = [line.get_xdata() for line in told.lines if line.get_marker() == "o"]
    expected = 100 * found.probe.sel(modality="told", score="accuracy").mean("seed")
    np.testing.assert_allclose(drawn[0], expected)
    assert fusion.get_title() == "Fusion (band: told alone)"
    assert "pnpfuse laziness data.npz" in figure._supxlabel.get_text()
    figure.draw_without_rendering()
