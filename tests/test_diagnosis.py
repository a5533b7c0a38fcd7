"""The diagnosis of a fusion model on views, against the same quantities worked out by hand."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.decomposition import PCA
from torch.nn.functional import cosine_similarity, cross_entropy

from pnpfuse import Views, create_model, diagnose, fit, list_models, load_views
from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.evaluation import rows_for
from pnpfuse_analysis import cka, entropy, mutual_information

QUICK = ("gradients", "smoothness", "geometry")
MOST = (*QUICK, "information")  # the rest takes a probe at every point


@pytest.fixture(scope="module")
def views():
    digits = load_views("digits")
    some = np.random.default_rng(0).random(len(digits)) < 0.3
    return digits.subset(some)


@pytest.fixture(scope="module")
def model(views):
    torch.manual_seed(0)
    model = create_model("rpmr", views.dims, views.classes)
    fit(model, views, epochs=4)
    return model


@pytest.fixture(scope="module")
def found(model, views):
    pairs = [("shared: pixels", "specific: pixels"), ("shared: fourier", "specific: pixels")]
    pairs.append(("shared: pixels", "shared: fourier"))
    return diagnose(model, views, pairs=pairs, only=MOST)


@pytest.fixture(scope="module")
def small():
    """Three modalities, of which the first knows the class and the third lacks in some rows."""
    random = np.random.default_rng(0)
    y = np.arange(120) % 3
    features = {"a": random.normal(size=(120, 6)) + 3 * y[:, None]}
    features |= {m: random.normal(size=(120, width)) for m, width in (("b", 5), ("c", 4))}
    present = {"b": random.random(120) < 0.7, "c": random.random(120) < 0.7}
    return Views.from_arrays(features, y, present=present)


def test_gradient_cosine_by_hand(model, views, found):
    X, labels = rows_for(model, views.train)
    with torch.no_grad():
        V = {m: v.clone() for m, v in model.encode(X).items()}
    grads = {}
    for name in ("task", "preservation"):
        leaves = {m: v.clone().requires_grad_() for m, v in V.items()}
        fusion = model.fuse(leaves)
        task = cross_entropy(model.classify(fusion), labels)
        (task if name == "task" else fusion.losses["preservation"]).backward()
        grads[name] = {m: v.grad.double() for m, v in leaves.items()}
    together = {"encoder output": list(views.names)} | {f"encoder output: {m}": [m] for m in V}
    for point, names in together.items():
        g, h = (torch.cat([grads[loss][m] for m in names], 1) for loss in grads)
        here = found.sel(point=point, loss="preservation")
        assert float(here.gradient_cosine) == pytest.approx(
            cosine_similarity(g.flatten(), h.flatten(), dim=0).item(), abs=1e-6
        )
        rows = cosine_similarity(g, h, dim=1)
        np.testing.assert_allclose(here.sample_cosine, rows.numpy(), atol=1e-6)
        assert float(here.conflict_rate) == pytest.approx((rows < 0).double().mean().item())
        assert float(here.gradient_ratio) == pytest.approx((h.norm() / g.norm()).item(), rel=1e-5)


def test_the_bottleneck_is_where_the_head_takes_its_input(model, views, found):
    X, labels = rows_for(model, views.train)
    with torch.no_grad():
        fusion = model.fuse(model.encode(X))
    leaves = {m: z.clone().requires_grad_() for m, z in fusion.fused.items()}
    logits = model.head.linear(torch.cat(list(leaves.values()), -1))
    g = torch.cat(torch.autograd.grad(cross_entropy(logits, labels), list(leaves.values())), -1)
    # The preservation loss sees Z through the reconstruction alone.
    V = model.encode(X)
    fusion = model.fuse(V)
    parts = [t for m in V for t in (fusion.shared[m], fusion.specific[m])]
    h = torch.cat(torch.autograd.grad(fusion.losses["preservation"], parts), -1)
    rows = cosine_similarity(g.double(), h.double(), dim=1)
    here = found.sel(point="bottleneck", loss="preservation")
    np.testing.assert_allclose(here.sample_cosine, rows.numpy(), atol=1e-5)


def test_smoothness_by_hand(model, views, found):
    X, _ = rows_for(model, views.test)
    with torch.no_grad():
        Z = torch.cat(list(model.fuse(model.encode(X)).fused.values()), 1).double().numpy()
    distance = ((Z[:, None] - Z[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :10]
    here = found.sel(point="bottleneck")
    energy = np.take_along_axis(distance, nearest, 1).sum(1).mean()
    assert float(here.dirichlet_energy) == pytest.approx(energy, rel=1e-5)
    variance = ((Z - Z.mean(0)) ** 2).sum(1).mean()
    assert float(here.rayleigh_quotient) == pytest.approx(energy / variance / 2, rel=1e-5)
    U = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    apart = 1 - (U[:, None] * U[nearest]).sum(-1)
    assert float(here.mean_average_distance) == pytest.approx(apart.mean(), rel=1e-5)


def test_geometry_by_hand(model, views, found):
    X, _ = rows_for(model, views.test)
    with torch.no_grad():
        fusion = model.fuse(model.encode(X))
    # A modality receives the next one's shared part.
    shared = {model.block.source_of(m): x.double().numpy() for m, x in fusion.shared.items()}
    spread = np.linalg.svd(shared["pixels"] - shared["pixels"].mean(0), compute_uv=False)
    share = spread / spread.sum()
    rank = np.exp(-(share * np.log(share)).sum())
    assert float(found.effective_rank.sel(point="shared: pixels")) == pytest.approx(rank, rel=1e-5)
    units = [shared[m] / np.linalg.norm(shared[m], axis=1, keepdims=True) for m in
             ("pixels", "fourier")]  # fmt: skip
    pair = found.sel(pair="shared: pixels | shared: fourier")
    gap = np.linalg.norm(units[0].mean(0) - units[1].mean(0))
    assert float(pair.modality_gap) == pytest.approx(gap, rel=1e-5)
    apart = ((units[0] - units[1]) ** 2).sum(1).mean()
    assert float(pair.alignment) == pytest.approx(apart, rel=1e-5)
    # A shared and a specific part do not lie in one space.
    assert found.modality_gap.sel(pair="shared: pixels | specific: pixels").isnull()
    both = found.cka.sel(point="shared: pixels", other_point="shared: fourier")
    alike = cka(*(torch.from_numpy(shared[m]) for m in ("pixels", "fourier")))
    assert float(both) == pytest.approx(float(alike), rel=1e-6)
    np.testing.assert_allclose(found.cka, found.cka.values.T)
    np.testing.assert_allclose(np.diag(found.cka), 1)


def test_information_by_hand(model, views, found):
    X, _ = rows_for(model, views.test)
    with torch.no_grad():
        V = model.encode(X)
        fusion, embedded = model.fuse(V), model.block.embed(V)
    own = {m: z[:, : model.block.widths.common] for m, z in embedded.items()}
    specific = _leading(fusion.specific["pixels"])
    for m in ("pixels", "fourier"):
        part = _leading(own[m])
        value = found.entropy.sel(point=f"shared: {m}")
        assert float(value) == pytest.approx(float(entropy(part)), rel=1e-5)
        known = mutual_information(part, specific)
        here = found.sel(pair=f"shared: {m} | specific: pixels")
        assert float(here.mutual_information) == pytest.approx(float(known), abs=1e-4)
        low, high = float(here.mutual_information_low), float(here.mutual_information_high)
        assert low < float(here.mutual_information) < high
        assert abs(float(here.mutual_information_null)) < 0.15


def test_labels_are_known_where_they_are(small):
    torch.manual_seed(0)
    model = create_model("concat", small.dims, small.classes, encoder=None)
    known = diagnose(model, small, only="labels")
    labels = small.test.labels[small.test.present["b"]]
    share = np.bincount(labels) / len(labels)
    whole = -(share * np.log(share)).sum()
    assert float(known.label_entropy.sel(point="encoder output: b")) == pytest.approx(
        whole, rel=0.05
    )
    found = known.label_information
    assert found.sel(point="encoder output: a") > 0.8 * np.log(3)
    for m in ("b", "c"):
        assert found.sel(point=f"encoder output: {m}") < 0.15


def _leading(values):
    return PCA(3, svd_solver="full").fit_transform(values.double().numpy())


def test_absent_modalities_are_absent_in_the_diagnosis(small):
    torch.manual_seed(0)
    model = create_model("rpmr", small.dims, small.classes)
    fit(model, small, epochs=2, batch_size=16)
    found = diagnose(model, small, neighbours=4, only=("gradients", "geometry", "information"))
    rows = small.train
    X, labels = rows_for(model, rows)
    masks = {m: torch.from_numpy(mask) for m, mask in rows.present.items()}
    with torch.no_grad():
        V = model.encode(X, masks)
    leaves = {m: v.clone().requires_grad_() for m, v in V.items()}
    fusion = model.fuse(leaves, masks)
    losses = (cross_entropy(model.classify(fusion), labels), fusion.losses["preservation"])
    g, h = (
        torch.cat(torch.autograd.grad(loss, list(leaves.values()), retain_graph=True), 1).double()
        for loss in losses
    )
    here = found.sel(point="encoder output", loss="preservation")
    cosine = cosine_similarity(g.flatten(), h.flatten(), dim=0).item()
    assert float(here.gradient_cosine) == pytest.approx(cosine, abs=1e-6)
    nothing = (h == 0).all(1).numpy()  # one modality left, so nothing that is to be preserved
    assert 0 < nothing.sum() < len(nothing)
    np.testing.assert_array_equal(np.isnan(here.sample_cosine), nothing)
    assert float(here.undefined_rate) == pytest.approx(nothing.mean())

    # On the test rows the numbers of a point are those of the rows that have it.
    rows = small.test
    with torch.no_grad():  # without masks: a present row is what it would be among whole ones
        fusion = model.fuse(model.encode(rows_for(model, rows)[0]))
    for m in small.names:
        values = _leading(fusion.specific[m][torch.from_numpy(rows.present[m])])
        here = found.entropy.sel(point=f"specific: {m}")
        assert float(here) == pytest.approx(float(entropy(values)), rel=1e-4)


@pytest.mark.parametrize("name", list_models())
def test_every_model_can_be_diagnosed(name, small):
    torch.manual_seed(0)
    model = create_model(name, small.dims, small.classes)
    found = diagnose(model, small, neighbours=4, only=QUICK)
    assert list(found.point.values[:2]) == ["encoder output", "bottleneck"]
    assert np.isfinite(found.rayleigh_quotient).all()
    with torch.no_grad():
        losses = model.eval()(*_batch(model, small.train)).losses
    if losses:
        assert set(found.loss.values) == set(losses)
        assert np.isfinite(found.gradient_cosine.sel(point="encoder output")).any()
    else:
        assert "gradient_cosine" not in found and "loss" not in found.coords
        assert "one loss" in found.notes


def _batch(model, rows):
    X, labels = rows_for(model, rows)
    return X, {m: torch.from_numpy(mask) for m, mask in rows.present.items()}, labels


def test_further_points_inside_the_model(small):
    torch.manual_seed(0)
    model = create_model("rpmr", small.dims, small.classes)
    found = diagnose(
        model, small, points={"logits": "head"}, neighbours=4, only=("gradients", "geometry")
    )
    assert found.width.sel(point="logits") == small.classes
    # The preservation loss does not depend on the logits.
    assert found.undefined_rate.sel(point="logits", loss="preservation") == 1
    assert found.gradient_cosine.sel(point="logits", loss="preservation").isnull()
    assert "logits" in found.notes


def test_a_loss_that_never_reaches_the_encoder_is_said_to(views):
    torch.manual_seed(0)
    model = create_model("rpmr", views.dims, views.classes, gradient="block_only")
    found = diagnose(model, views, only="gradients")
    at_encoder = found.sel(point="encoder output", loss="preservation")
    assert np.isnan(at_encoder.gradient_cosine) and np.isnan(at_encoder.conflict_rate)
    assert at_encoder.undefined_rate == 1
    assert "gradient_cosine" in found.notes and "encoder output" in found.notes


@pytest.mark.parametrize("encoder", ["mlp", None])
def test_the_gradient_of_a_companion_s_loss_by_hand(views, encoder):
    """It joins the encoders' output alone, also where this is the data themselves."""
    torch.manual_seed(0)
    options = {"base": "rpmr", "encoder": encoder}
    model = create_model("infobridge", views.dims, views.classes, **options).eval()
    found = diagnose(model, views, only="gradients", max_rows=40)
    at = found.sel(loss="nce")
    assert at.undefined_rate.sel(point="bottleneck") == 1
    chosen = drawn(views.train, 40, 0)
    X, labels = rows_for(model, chosen)
    V = {m: v.detach().requires_grad_() for m, v in model.encode(X).items()}
    task = cross_entropy(model.classify(model.fuse(V)), labels)
    nce = model.bridge(V, None, labels, X)["nce"]
    one, other = (torch.cat(torch.autograd.grad(loss, list(V.values())), 1) for loss in (task, nce))
    here = at.sel(point="encoder output")
    expected = cosine_similarity(one.double().flatten(), other.double().flatten(), dim=0)
    assert float(here.gradient_cosine) == pytest.approx(float(expected), abs=1e-5)
    rows = cosine_similarity(one.double(), other.double(), dim=1)
    np.testing.assert_allclose(
        here.sample_cosine[other.norm(dim=1) > 0], rows[other.norm(dim=1) > 0], atol=1e-5
    )


def test_rows_are_drawn_with_the_seed(model, views):
    one, other, again = (
        diagnose(model, views, max_rows=50, seed=seed, only="gradients") for seed in (0, 1, 0)
    )
    assert one.sizes["row"] == 50 and "50 train" in one.rows
    assert one.identical(again) and not np.array_equal(one.sample_cosine, other.sample_cosine)
    whole = diagnose(model, views, only="gradients")
    assert whole.sizes["row"] == len(views.train)
    assert abs(float((one.conflict_rate - whole.conflict_rate).mean())) < 0.2


def test_lazy_views_give_the_same(model, views, tmp_path):
    stored = load_views(views.save(tmp_path / "views.zarr"), lazy=True)
    one, other = (diagnose(model, v, max_rows=60, only=QUICK[:2]) for v in (views, stored))
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name], other[name])


def test_bad_arguments_are_named(model, views):
    for argument in ("neighbours", "components", "max_rows"):
        with pytest.raises(ValueError, match=f"{argument} must be an integer of at least 1"):
            diagnose(model, views, **{argument: 0})
    with pytest.raises(ValueError, match="model must be"):
        diagnose(model.block, views)
    with pytest.raises(ValueError, match="only must be some of"):
        diagnose(model, views, only=["entropy"])
    with pytest.raises(ValueError, match="pairs has"):
        diagnose(model, views, only="gradients", pairs=[("bottleneck", "nowhere")])
    with pytest.raises(ValueError, match="main must be one of the losses"):
        diagnose(model, views, only="gradients", main="rebuild")
    with pytest.raises(ValueError, match="another name"):
        diagnose(model, views, points={"bottleneck": "head"})
    with pytest.raises(ValueError, match="losses and labels belong to batches"):
        diagnose(model, views, losses=lambda model, batch: {})
    with pytest.raises(ValueError, match="widths"):
        diagnose(create_model("rpmr", {"a": 3, "b": 4}, 2), views)


def test_it_is_reproducible_and_leaves_the_model_alone(model, views, found):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.train()
    model.block.eval()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    state = torch.get_rng_state()
    pairs = [tuple(pair.split(" | ")) for pair in found.pair.values]
    again = diagnose(model, views, pairs=pairs, only=MOST)
    assert model.training and model.encoders.training and not model.block.training
    assert torch.equal(state, torch.get_rng_state())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    model.eval()
    assert again.identical(found)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_the_dataset_explains_itself_and_reopens(found, tmp_path):
    for variable in found.variables.values():
        assert variable.attrs["units"] in ("1", "nat") and variable.attrs["long_name"]
    assert {"version", "model", "data", "rows", "main", "seed", "neighbours"} <= set(found.attrs)
    found.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "found.nc") as again:
        assert again.identical(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr, on strings of a fixed width
        found.to_zarr(tmp_path / "found.zarr", zarr_format=3, consolidated=False)
        with xr.open_zarr(tmp_path / "found.zarr", consolidated=False) as again:
            assert again.identical(found)
