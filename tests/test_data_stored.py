"""Views in NetCDF files, Zarr stores and archives: the schema, round trips, lazy reading."""

import gc
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse import Views, create_model, data, evaluate, load_views, save_views, stored
from pnpfuse.stored import Stored

KINDS = (".npz", ".nc", ".zarr")


def made(rows=60, widths=(5, 3), absent=False, seed=0):
    rng = np.random.default_rng(seed)
    present = rng.random(rows) < 0.7 if absent else None
    features = {
        f"m{len(widths) - i}": rng.normal(size=(rows, d)).astype("f4") for i, d in enumerate(widths)
    }
    return Views.from_arrays(
        features, np.arange(rows) % 3, class_names=["low", "mid", "höch"],
        present=present if present is None else {"m1": present},
    )  # fmt: skip


def same(one, other):
    assert one.names == other.names and one.class_names == other.class_names
    for m in one.names:
        np.testing.assert_array_equal(np.asarray(one.features[m]), np.asarray(other.features[m]))
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.split, other.split)
    assert (one.present is None) == (other.present is None)
    for m in one.present or {}:
        np.testing.assert_array_equal(one.present[m], other.present[m])


@pytest.mark.parametrize("lazy", [False, True, None])
@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_comes_back(tmp_path, kind, absent, lazy):
    views = made(absent=absent)
    path = views.save(tmp_path / f"views{kind}")
    found = load_views(path, lazy=lazy)
    assert found.lazy is bool(lazy) and found.name == path.name
    same(found, views)
    same(found.test, views.test)
    same(pickle.loads(pickle.dumps(found)), views)


@pytest.mark.parametrize("kind", KINDS)
def test_lazy_views_travel_as_a_reference(tmp_path, kind):
    views = made(rows=300, widths=(400,))
    found = load_views(views.save(tmp_path / f"views{kind}"), lazy=True)
    found.read([0, 299])
    assert len(pickle.dumps(found)) < 20_000 < 300 * 400 * 4


@pytest.mark.parametrize("kind", KINDS)
def test_lazy_views_are_converted_and_replace_an_older_file(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("pnpfuse.saving.SLAB", 400)  # several blocks
    monkeypatch.setattr("pnpfuse.saving.NEAR", 100)  # of several chunks
    views = made(absent=True)
    made(rows=30).save(tmp_path / f"views{kind}")
    for source in KINDS:
        lazy = load_views(views.save(tmp_path / f"source{source}"), lazy=True)
        same(load_views(save_views(lazy, tmp_path / f"views{kind}"), lazy=True), views)
    assert {entry.suffix for entry in tmp_path.iterdir()} == set(KINDS)  # no draft is left


@settings(max_examples=12)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.lists(st.integers(0, 199), max_size=60),
    near=st.sampled_from([1, 100, 2**18]),
    slab=st.sampled_from([1, 500, 2**24]),
)
def test_any_rows_in_any_order(tmp_path_factory, kind, rows, near, slab):
    views = made(rows=200)
    path = tmp_path_factory.getbasetemp() / f"any{kind}"
    if not path.exists():
        views.save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "NEAR", near)
        patch.setattr(stored, "SLAB", slab)
        lazy = load_views(path, lazy=True)
        some = [v.train.subset(v.train.labels > 0) for v in (lazy, views)]
        for one, other in ((lazy, views), some):
            chosen = np.array(rows, int) % len(one)
            for m, X in one.read(chosen).items():
                assert X.dtype == np.float32 and X.flags.c_contiguous
                np.testing.assert_array_equal(X, other.features[m][chosen])


class Counted:
    """A source that counts what is read of it."""

    chunk = 10

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.slabs = X, X.shape, X.dtype, []

    def slab(self, start, stop):
        self.slabs.append((start, stop))
        return self.X[start:stop]


def test_the_file_is_read_forwards_chunk_by_chunk_and_nothing_twice(monkeypatch):
    X = np.arange(400.0).reshape(200, 2)
    source = Counted(X)
    rows = np.array([150, 3, 3, 8, 155, 12])
    np.testing.assert_array_equal(Stored("a", source).read(rows), X[rows].astype("f4"))
    assert source.slabs == [(3, 13), (150, 156)]  # neighbouring chunks in one go
    monkeypatch.setattr(stored, "SLAB", 20 * 2 * 8)
    source.slabs.clear()
    Stored("a", source).read(np.arange(50))
    assert source.slabs == [(0, 20), (20, 40), (40, 50)]  # no more than a slab at a time
    subset = Stored("a", source).subset(np.arange(100, 200)).subset(np.array([1, 5]))
    source.slabs.clear()
    np.testing.assert_array_equal(np.asarray(subset), X[[101, 105]])
    assert source.slabs == [(101, 106)]


@pytest.mark.parametrize("kind", KINDS)
def test_neither_opening_nor_a_pass_holds_the_file(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(stored, "SLAB", 2**19)
    monkeypatch.setattr(stored, "NEAR", 2**16)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10_000, 250)).astype("f4")  # 10 MB
    path = Views.from_arrays({"a": X}, np.arange(10_000) % 2).save(tmp_path / f"views{kind}")
    total = float(X.astype("f8").sum())
    del X
    load_views(path, lazy=True).read([0])  # what the readers keep for good is not counted
    gc.collect()
    tracemalloc.start()
    views = load_views(path, lazy=True)
    passed = sum(
        float(views.read(np.arange(start, start + 500))["a"].astype("f8").sum())
        for start in range(0, 10_000, 500)
    )
    shuffled = rng.permutation(10_000)[:200]
    assert views.read(shuffled)["a"].shape == (200, 250)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert passed == pytest.approx(total, abs=1e-6)
    assert peak < 3e6


def test_large_files_stay_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "LAZY_BYTES", 60 * 8 * 4 - 1)
    views = made()
    for kind in KINDS:
        assert load_views(views.save(tmp_path / f"views{kind}")).lazy
        assert not load_views(tmp_path / f"views{kind}", lazy=False).lazy
    arrays = {f"view_{m}": X for m, X in views.features.items()} | {"y": views.labels}
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    assert not load_views(tmp_path / "packed.npz").lazy
    with pytest.raises(ValueError, match="packed.npz.*compressed.*save_views"):
        load_views(tmp_path / "packed.npz", lazy=True)
    with pytest.raises(ValueError, match="lazy must be"):
        load_views(tmp_path / "packed.npz", lazy="yes")
    with pytest.raises(ValueError, match="lazy=True needs a file"):
        load_views("digits", lazy=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["rpmr", "concat"])
def test_a_model_scores_the_same_on_either(tmp_path, kind, name, monkeypatch):
    monkeypatch.setattr("pnpfuse.evaluation.BATCH", 16)
    views = made(rows=200, absent=True)
    torch.manual_seed(0)
    model = create_model(name, views.dims, views.classes)
    lazy = load_views(views.save(tmp_path / f"arrays{kind}"), lazy=True)
    for split in ("train", "test"):
        one, other = (evaluate(model, v, missing="all", split=split) for v in (views, lazy))
        xr.testing.assert_equal(one, other)


def test_a_bad_row_is_named_when_it_is_read(tmp_path):
    X = np.zeros((50, 3))
    X[37, 1] = np.nan
    np.savez(tmp_path / "views.npz", view_a=X, y=np.arange(50) % 2, split=np.arange(50) % 2)
    with pytest.raises(ValueError, match=r"'a' has NaN.*first: 37.*present"):
        load_views(tmp_path / "views.npz")
    lazy = load_views(tmp_path / "views.npz", lazy=True)
    assert lazy.read(np.arange(37))["a"].shape == (37, 3)
    for views, row in ((lazy, 37), (lazy.test, 18)):  # the row of the file, in a subset too
        with pytest.raises(ValueError, match=r"'a' has NaN.*in 1 rows \(first: 37\)"):
            views.read([row, 2])


def dataset(**changes):
    rng = np.random.default_rng(0)
    variables = {
        "image": (("sample", "pixel"), rng.normal(size=(12, 4))),
        "text": (("sample", "word"), rng.integers(0, 9, (12, 3))),
        "labels": ("sample", np.array(["cat", "dog", "eel"] * 4)),
        "split": ("sample", np.array(["train", "test"] * 6)),
    }
    kept = {key: value for key, value in (variables | changes).items() if value is not None}
    return xr.Dataset(kept)


def written(ds, tmp_path, kind):
    path = tmp_path / f"theirs{kind}"
    if kind == ".zarr":
        ds.to_zarr(path, zarr_format=2, consolidated=False)
    else:
        ds.to_netcdf(path, engine="scipy" if kind == ".nc3" else "h5netcdf")
    return path


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", [".nc", ".nc3", ".zarr"])
def test_a_dataset_of_someone_else(tmp_path, kind, lazy):
    ds = dataset(
        name=("sample", np.arange(12.0)), table=(("row", "column"), np.zeros((2, 2))),
        text=(("word", "sample"), np.arange(36).reshape(3, 12)),
        cube=(("sample", "pixel", "word"), np.zeros((12, 4, 3))),
    )  # fmt: skip
    ds.image.attrs["units"] = "seconds"  # no times, for all that
    views = load_views(written(ds, tmp_path, kind), lazy=lazy)
    assert views.names == ("image", "text") and views.class_names == ("cat", "dog", "eel")
    np.testing.assert_array_equal(np.asarray(views.features["image"]), ds.image.astype("f4"))
    np.testing.assert_array_equal(np.asarray(views.features["text"]), ds.text.values.T)
    assert views.labels.tolist() == [0, 1, 2] * 4 and views.split.tolist() == [0, 1] * 6
    del views
    gc.collect()


def test_prefix_order_and_names_of_a_dataset(tmp_path):
    ds = dataset(
        labels=None, image=None, text=(("sample", "word"), np.zeros((12, 2))), y=("t", [0, 2] * 6),
        view_b=(("t", "i"), np.ones((12, 2))), view_a=(("t", "j"), np.ones((12, 1))),
        split=("t", np.arange(12) % 2),
    )  # fmt: skip
    for names in (["b", "a"], '["b", "a"]'):  # a list, or one written as JSON
        ds.attrs = {"view_names": names, "class_names": ["x", "y", "z"]}
        views = load_views(written(ds, tmp_path, ".nc"))
        assert views.dims == {"b": 2, "a": 1} and views.class_names == ("x", "y", "z")
    ds = ds.assign(view_names=("v", ["a", "b"]), class_names=("c", ["u", "v", "w"]))
    views = load_views(written(ds, tmp_path, ".nc"))
    assert views.names == ("a", "b") and views.class_names == ("u", "v", "w")


def test_zero_is_a_class_and_a_value_in_a_store_written_without_xarray(tmp_path):
    # Its fill value is 0, which marks nothing as missing.
    for version, key in ((2, "_ARRAY_DIMENSIONS"), (3, None)):
        group = zarr.open_group(tmp_path / f"plain{version}.zarr", mode="w", zarr_format=version)
        for name, values, dims in (
            ("a", np.arange(12.0).reshape(6, 2), ("sample", "width")),
            ("y", np.arange(6) % 2, ("sample",)),
            ("split", np.arange(6) // 2 % 2, ("sample",)),
        ):
            options = {"dimension_names": dims} if key is None else {"attributes": {key: dims}}
            group.create_array(name, data=values, fill_value=0, **options)
        views = load_views(tmp_path / f"plain{version}.zarr")
        assert views.labels.tolist() == [0, 1] * 3
        assert views.features["a"][0].tolist() == [0, 1]


@pytest.mark.parametrize("kind", [".nc", ".zarr"])
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": None}, r"no labels.*found image \(sample, pixel\) float64"),
        ({"image": None, "text": None}, "needs a variable .sample, any second"),
        ({"labels": (("sample", "two"), np.zeros((12, 2), int))}, "must have one dimension"),
        ({"labels": ("row", [0, 1])}, "needs a variable .row, any second"),
        ({"labels": ("sample", np.linspace(0, 1, 12))}, "labels must be integers"),
        ({"split": ("sample", ["x"] * 12)}, "split must be 'train' or 'test'"),
        ({"view_a": (("sample", "i", "j"), np.zeros((12, 2, 2)))}, "'a' must be a matrix"),
        ({"view_a": (("sample", "i"), np.full((12, 2), "x"))}, "'a' must be a matrix"),
        ({"view_a": (("row", "i"), np.zeros((3, 2)))}, "needs a variable"),
        ({"present_sound": ("sample", np.ones(12, bool))}, "present names .'sound'"),
        ({"present_image": ("sample", np.arange(12))}, "must be bool"),
        ({"class_names": ("c", ["cat", "dog"])}, "labels has .'eel'"),
        ({"view_names": ("v", ["text"])}, "view_names lists"),
    ],
)
def test_a_dataset_that_does_not_fit_is_explained(tmp_path, kind, changes, message):
    path = written(dataset(**changes), tmp_path, kind)
    with pytest.raises(ValueError, match=message) as error:
        load_views(path, lazy=True)
    assert str(path) in str(error.value)


def test_labels_with_a_fill_value_are_integers_still(tmp_path):
    ds = dataset(labels=("sample", np.arange(12) % 3))
    ds.labels.encoding["_FillValue"] = -1
    assert load_views(written(ds, tmp_path, ".nc")).labels.tolist() == [0, 1, 2] * 4
    ds.labels.values[5] = -1
    with pytest.raises(ValueError, match=r"labels lacks 1 values \(first: row 5\)"):
        load_views(written(ds, tmp_path, ".nc"))


@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\nrubbish", b"CDF\x01rubbish"])
def test_damaged_files_are_one_error(tmp_path, content):
    path = tmp_path / "bad.nc"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.nc cannot be used"):
        load_views(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="folder cannot be used"):
        load_views(tmp_path / "folder")


def test_what_cannot_be_saved(tmp_path):
    views = made()
    with pytest.raises(ValueError, match="path must end in .npz, .nc, .zarr"):
        views.save(tmp_path / "views.csv")
    with pytest.raises(ValueError, match="path must be a path"):
        views.save(3)
    with pytest.raises(ValueError, match="cannot be saved as view_<name>"):
        Views.from_arrays({"a/b": np.eye(8)}, [0, 1] * 4).save(tmp_path / "x.nc")
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(OSError, match="no Zarr store"):
        views.save(tmp_path / "mine.zarr")
    assert Path(tmp_path / "mine.zarr" / "thesis.txt").exists()
