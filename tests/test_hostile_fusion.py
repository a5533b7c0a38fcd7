"""Hostile input to fusion, training and retrieval: the right number or one ValueError by name."""

import warnings
import zipfile

import numpy as np
import pytest
import torch
import xarray as xr

from pnpfuse.comparison import compare
from pnpfuse.data import Views, load_views
from pnpfuse.evaluation import evaluate
from pnpfuse.experiment import train_and_save
from pnpfuse.fusion import GMFMAE, create_model
from pnpfuse.fusion.widths import check_dims
from pnpfuse.retrieval import embeddings, rank, retrieve
from pnpfuse.training import fit

ROWS = 40
RANDOM = np.random.default_rng(0)
FEATURES = {
    "a": RANDOM.normal(size=(ROWS, 4)).astype(np.float32),
    "b": RANDOM.normal(size=(ROWS, 3)).astype(np.float32),
}
LABELS, SPLIT = np.arange(ROWS) % 2, np.arange(ROWS) // 2 % 2
VIEWS = Views.from_arrays(FEATURES, LABELS, SPLIT)
FOLDED_NAMES = ("get", "copy", "fromkeys", "setdefault", "popitem")


@pytest.mark.parametrize("name", FOLDED_NAMES)
def test_a_name_that_a_folded_block_cannot_hold_is_refused_at_once(name):
    with pytest.raises(ValueError, match="^dims has the modality name"):
        check_dims({name: 3, "other": 3})


def test_zarr_holds_labels_of_any_length(tmp_path):
    texts = np.array(["no", "certainly"] * (ROWS // 2), object)
    dataset = xr.Dataset({f"view_{m}": (("sample", m), X) for m, X in FEATURES.items()})
    dataset.assign(y=("sample", texts)).to_zarr(tmp_path / "v.zarr", consolidated=False)
    views = load_views(tmp_path / "v.zarr")
    assert views.class_names == ("certainly", "no")
    assert [views.class_names[k] for k in views.labels] == texts.tolist()


@pytest.mark.parametrize("damage", ["cut", "lost"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_damaged_zarr_chunk(tmp_path, damage, lazy):
    path = VIEWS.save(tmp_path / "v.zarr")
    chunk = path / "view_a" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20]) if damage == "cut" else chunk.unlink()
    with pytest.raises(ValueError, match="damaged|cannot be read|cannot be used|NaN"):
        load_views(path, lazy=lazy).read(np.arange(ROWS))


def test_zarr_chunks_of_zeros_are_written(tmp_path):
    zeros = {m: np.zeros_like(X) for m, X in FEATURES.items()}
    views = load_views(Views.from_arrays(zeros, LABELS, SPLIT).save(tmp_path / "v.zarr"))
    assert not views.features["a"].any()


def test_an_archive_with_an_entry_that_is_no_array(tmp_path):
    path = VIEWS.save(tmp_path / "v.npz")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("view_c", b"text")
    with pytest.raises(ValueError, match="cannot be used"):
        load_views(path, lazy=True)


def test_arrays_that_cannot_be_written_to():
    fixed = {m: X.copy() for m, X in FEATURES.items()}
    for X in fixed.values():
        X.flags.writeable = False
    views = Views.from_arrays(fixed, LABELS, SPLIT)
    model = create_model("concat", views.dims, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(model, VIEWS, epochs=1, validation=views)
    scores = evaluate(model, VIEWS)  # the same rows, and arrays that can be written to
    share = np.average(
        [scores.loss.item(), evaluate(model, VIEWS, split="train").loss.item()],
        weights=[len(VIEWS.test), len(VIEWS.train)],
    )
    assert history.validation["loss"] == [pytest.approx(share, rel=1e-5)]


def test_clipping_to_zero_would_train_nothing():
    with pytest.raises(ValueError, match="^clip=0"):
        fit(create_model("concat", VIEWS.dims, 2), VIEWS, epochs=1, clip=0)


@pytest.mark.parametrize("label", [".", ".."])
def test_labels_stay_within_the_checkpoint_folder(tmp_path, label):
    compare({label: "concat"}, VIEWS, seeds=1, epochs=1, checkpoint=tmp_path / "kept")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert [p.name for p in (tmp_path / "kept").iterdir()] == [label.replace(".", "%2E")]


def test_a_modality_that_no_sample_has_does_not_cost_the_training(tmp_path):
    views = Views.from_arrays(FEATURES, LABELS, SPLIT, present={"a": np.zeros(ROWS, bool)})
    _, scores = train_and_save(views, "late", out=tmp_path, settings={"epochs": 1})
    assert list(scores.condition.values) == ["none"]
    assert (tmp_path / "model.safetensors").is_file()


def test_equal_items_keep_their_order_whatever_the_rounding():
    for width, items in ((64, 5), (257, 5), (33, 130)):
        query = RANDOM.normal(size=(7, width)).astype(np.float32)
        gallery = np.tile(RANDOM.normal(size=(1, width)).astype(np.float32), (items, 1))
        found = rank(query, gallery, np.zeros(7, int), np.arange(items), k=1)
        assert float(found["median_rank"]) == 1 and float(found["mean_reciprocal_rank"]) == 1


@pytest.mark.parametrize(
    "labels",
    [([1, 2], ["1", "2"]), ([None, None], [None, None]), (np.array([0, "a"], object), [0, 1])],
)
def test_labels_that_cannot_be_compared(labels):
    with pytest.raises(ValueError, match="^query_labels and gallery_labels"):
        rank(np.eye(2), np.eye(2), *labels)


def test_one_item_cannot_be_searched_for_itself():
    with pytest.raises(ValueError, match="^exclude_self"):
        rank(np.eye(1), np.eye(1), [0], [0], exclude_self=True)


def test_a_modality_that_no_row_has_cannot_be_asked_for():
    views = Views.from_arrays(FEATURES, LABELS, SPLIT, present={"a": SPLIT == 0})
    model = create_model("rpmr", views.dims, 2)
    with pytest.raises(ValueError, match="^query is 'a'"):
        retrieve(model, views, "a", "b")
    with pytest.raises(ValueError, match="^gallery is 'a'"):
        retrieve(model, views, "b", "a")


def test_embeddings_of_any_rows():
    model = create_model("rpmr", VIEWS.dims, 2).eval()
    rows = np.arange(ROWS).repeat(3)
    whole = embeddings(model, VIEWS, "a")
    assert torch.allclose(embeddings(model, VIEWS, "a", rows=rows), whole[rows], atol=1e-6)
    with pytest.raises(ValueError, match="^rows"):
        embeddings(model, VIEWS, "a", rows=rows[:0])


def test_what_an_absent_target_holds_reaches_no_gradient():
    torch.manual_seed(0)
    block = GMFMAE({"a": 4, "b": 4}, inputs={"a": 6, "b": 6})
    V = {m: torch.randn(5, 4) for m in block.dims}
    present = {"a": torch.tensor([True, False, True, False, True])}
    target = {m: torch.randn(5, 6) for m in block.dims}
    losses = []
    for held in (0.0, torch.nan):
        target["a"][~present["a"]] = held
        loss = block(V, present, target).losses["reconstruction"]
        losses.append((loss, *torch.autograd.grad(loss, list(block.decode.parameters()))))
    for with_zero, with_nan in zip(*losses, strict=True):
        assert torch.equal(with_zero, with_nan)


def test_a_target_of_another_shape_is_not_broadcast():
    block = GMFMAE({"a": 4, "b": 4}, inputs={"a": 6, "b": 6})
    V = {m: torch.randn(5, 4) for m in block.dims}
    with pytest.raises(ValueError, match="must have shape"):
        block(V, None, {m: torch.randn(5, 1) for m in V})
