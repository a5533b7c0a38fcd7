"""Samples that lack modalities in the data itself."""

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from pnpfuse import Views, compare, create_model, evaluate, load_views
from pnpfuse.evaluation import rows_for

PRESENT = {"a": np.arange(90) % 5 > 0, "b": np.arange(90) % 5 < 3}


def made(garbage=np.nan, present=PRESENT, **changes):
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = {
        "a": rng.normal(size=(90, 6)) + np.eye(3, 6)[labels],
        "b": rng.normal(size=(90, 4)) + np.eye(3, 4)[labels],
        "c": rng.normal(size=(90, 2)),
    } | changes
    for m, mask in (present or {}).items():
        features[m] = np.where(mask[:, None], features[m], garbage)
    return Views.from_arrays(features, labels, np.arange(90) // 45, present=present)


@pytest.mark.parametrize("kind", [None, ".npz", ".nc", ".zarr"])
@pytest.mark.parametrize("garbage", [np.nan, np.inf, 7.0])
def test_whatever_an_absent_row_holds_reads_as_zero(tmp_path, kind, garbage):
    views = made(garbage)
    if kind is not None:
        # Written by hand: `save` would write the zeros.
        arrays = {"y": views.labels, "split": views.split}
        arrays |= {f"present_{m}": mask for m, mask in PRESENT.items()}
        for m, X in views.features.items():
            absent = ~PRESENT.get(m, np.ones(90, bool))
            arrays[f"view_{m}"] = np.where(absent[:, None], np.float32(garbage), X)
        path = tmp_path / f"views{kind}"
        if kind == ".npz":
            np.savez(path, **arrays)
        else:
            dims = {key: ("sample", f"d_{key}")[: X.ndim] for key, X in arrays.items()}
            ds = xr.Dataset({key: (dims[key], X) for key, X in arrays.items()})
            ds.to_zarr(path, consolidated=False) if kind == ".zarr" else ds.to_netcdf(path)
        views = load_views(path, lazy=True)
    assert set(views.present) == {"a", "b", "c"} and views.present["c"].all()
    X = views.read(np.arange(90))
    for m in "abc":
        np.testing.assert_array_equal(views.present[m], PRESENT.get(m, True))
        assert np.isfinite(X[m]).all() and not X[m][~views.present[m]].any()
        assert X[m][views.present[m]].any(1).all()
        np.testing.assert_array_equal(np.asarray(views.features[m]), X[m])
    rows = np.array([80, 3, 3])
    np.testing.assert_array_equal(views.read_present(rows)["a"], PRESENT["a"][rows])
    np.testing.assert_array_equal(views.test.present["b"], PRESENT["b"][45:])
    np.testing.assert_array_equal(views.test.read([5, 1])["a"], X["a"][[50, 46]])


def test_no_mask_no_presence():
    views = made(present=None)
    assert views.present is None and views.read_present([0]) is None and views.test.present is None


@pytest.mark.parametrize(
    "present, match",
    [
        ({"z": np.ones(90, bool)}, "present names .'z'"),
        ({"a": np.ones(80, bool)}, r"'a'. must be bool with shape \(90,\)"),
        ({"a": np.full(90, 0.5)}, "'a'. must be bool"),
        ({"a": np.full(90, 2)}, "'a'. must be bool"),
        ({m: np.arange(90) != 8 for m in "abc"}, r"no modality for 1 rows \(first: 8\)"),
        ([1], "present must be a mapping"),
    ],
)
def test_masks_that_do_not_fit(present, match):
    features = {m: np.ones((90, 2)) for m in "abc"}
    with pytest.raises(ValueError, match=match):
        Views.from_arrays(features, np.arange(90) % 3, present=present)


def test_a_nan_in_a_present_row_is_refused_with_a_hint():
    a = np.ones((90, 6))
    a[1] = np.nan
    with pytest.raises(
        ValueError, match=r"'a' has NaN.*first: 1.*mark them as absent with present"
    ):
        made(a=a)


@pytest.mark.parametrize("name", ["rpmr", "concat"])
def test_scores_are_those_of_the_rows_that_keep_a_modality(name):
    present = PRESENT | {"c": np.arange(90) % 2 > 0}
    views = made(present=present).test
    torch.manual_seed(0)
    model = create_model(name, views.dims, 3).eval()
    X, labels = rows_for(model, views)
    found = evaluate(model, views, missing="all")
    for condition, gone in [("none", ""), ("missing:a", "a"), ("only:b", "ac"), ("only:c", "ab")]:
        masks = {m: torch.from_numpy(mask & (m not in gone)) for m, mask in views.present.items()}
        keep = torch.stack(list(masks.values())).any(0)
        with torch.no_grad():
            logits = model(
                {m: x[keep] for m, x in X.items()}, {m: mask[keep] for m, mask in masks.items()}
            ).logits.double()
        truth, said = labels[keep].numpy(), logits.argmax(-1).numpy()
        one = found.sel(condition=condition)
        assert int(one["rows"]) == int(keep.sum())
        assert float(one.accuracy) == accuracy_score(truth, said)
        assert float(one.balanced_accuracy) == pytest.approx(balanced_accuracy_score(truth, said))
        assert float(one.loss) == pytest.approx(log_loss(truth, logits.softmax(-1).numpy()))
    assert "rows" not in evaluate(model, made(present=None))
    assert int(found["rows"].sel(condition="each")) == 45


def test_a_condition_that_leaves_nothing_is_refused_before_anything_is_trained():
    views = Views.from_arrays(
        {"a": np.eye(8), "b": np.eye(8)}, [0, 1] * 4, [0, 0, 0, 0, 1, 1, 1, 1],
        present={"b": np.arange(8) < 4},
    )  # fmt: skip
    with pytest.raises(ValueError, match="no sample with a modality: missing:a, only:b"):
        compare(["concat"], views, epochs=10**9, missing="all")
    assert evaluate(create_model("concat", views.dims, 2), views)["rows"].item() == 4
