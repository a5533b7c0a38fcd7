"""The diagnostics of a model, against the same quantities worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.nn.functional import cross_entropy

from pnpfuse import Views, create_model, diagnose, fit, load_views
from pnpfuse.evaluation import rows_for
from pnpfuse_analysis import entropy, mutual_information


@pytest.fixture(scope="module")
def views():
    return load_views("digits")


@pytest.fixture(scope="module")
def model(views):
    torch.manual_seed(0)
    model = create_model("rpmr", views.dims, views.classes)
    fit(model, views, epochs=2)
    return model


@pytest.fixture(scope="module")
def found(model, views):
    return diagnose(model, views)


def test_gradient_cosine_by_hand(model, views, found):
    X, labels = rows_for(model, views.train)
    with torch.no_grad():
        V = {m: v.clone() for m, v in model.encode(X).items()}
    grads = {}
    for name in ("task", "preservation"):
        leaves = {m: v.clone().requires_grad_() for m, v in V.items()}
        fusion = model.fuse(leaves)
        loss = (
            cross_entropy(model.classify(fusion), labels)
            if name == "task"
            else fusion.losses["preservation"]
        )
        loss.backward()
        grads[name] = torch.cat([v.grad for v in leaves.values()], 1).double()
    cosine = torch.nn.functional.cosine_similarity(
        grads["task"].flatten(), grads["preservation"].flatten(), dim=0
    )
    rows = torch.nn.functional.cosine_similarity(grads["task"], grads["preservation"], dim=1)
    at_encoder = found.sel(point="encoder output")
    assert float(at_encoder.gradient_cosine) == pytest.approx(cosine.item(), abs=1e-6)
    np.testing.assert_allclose(at_encoder.sample_cosine, rows.numpy(), atol=1e-6)
    assert float(at_encoder.conflict_rate) == pytest.approx((rows < 0).double().mean().item())


def test_energies_by_hand(model, views, found):
    X, _ = rows_for(model, views.test)
    with torch.no_grad():
        V = model.encode(X)
        Z = torch.cat(list(model.fuse(V).fused.values()), 1).double().numpy()
    distance = ((Z[:, None] - Z[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    nearest = np.sort(distance, axis=1)[:, :10]
    energy = nearest.sum(1).mean()
    assert float(found.dirichlet_energy.sel(stage="fused")) == pytest.approx(energy, rel=1e-5)


def test_information_is_above_its_null_and_inside_its_interval(found):
    low, value, high = (found[f"mutual_information{end}"].values for end in ("_low", "", "_high"))
    assert (low < value).all() and (value < high).all()
    assert np.abs(found.mutual_information_null).max() < 0.1
    assert np.isfinite(found.entropy).all()


def test_own_and_received_parts_by_hand(model, views, found):
    X, _ = rows_for(model, views.test)
    with torch.no_grad():
        V = model.encode(X)
        fusion, embedded = model.fuse(V), model.block.embed(V)
    shared = {
        "own": {m: z[:, : model.block.widths.common] for m, z in embedded.items()},
        "received": fusion.shared,
    }
    for pair, parts in shared.items():
        for m in views.names:
            here = found.sel(pair=pair, modality=m)
            part, specific = (
                PCA(3, svd_solver="full").fit_transform(x.double().numpy())
                for x in (parts[m], fusion.specific[m])
            )
            assert float(here.entropy.sel(part="shared")) == pytest.approx(float(entropy(part)))
            generator = torch.Generator().manual_seed(0)
            # The null is a mean over 20 shuffles: one alone would scatter around it.
            known = mutual_information(part, specific, ci="subsample", null=20, generator=generator)
            assert float(here.mutual_information) == pytest.approx(float(known))
            assert float(here.mutual_information_null) == pytest.approx(known.null_mean)


@pytest.fixture(scope="module")
def partly(views):
    """Views that lack a third of two modalities, with rubbish there."""
    random = np.random.default_rng(0)
    present = {m: random.random(len(views)) < 0.7 for m in views.names[:2]}
    features = {
        m: np.where(present[m][:, None], X, 1e3) if m in present else X
        for m, X in views.features.items()
    }
    return Views.from_arrays(features, views.labels, views.split, present=present)


@pytest.fixture(scope="module")
def found_partly(model, partly):
    return diagnose(model, partly)


def test_absent_modalities_are_absent_in_the_diagnosis(model, partly, found_partly):
    rows = partly.train
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
    cosine = torch.nn.functional.cosine_similarity(g.flatten(), h.flatten(), dim=0).item()
    at_encoder = found_partly.sel(point="encoder output")
    assert float(at_encoder.gradient_cosine) == pytest.approx(cosine, abs=1e-6)
    nothing = (h == 0).all(1).numpy()  # one modality left, so nothing that is to be preserved
    assert 0 < nothing.sum() < len(nothing)
    np.testing.assert_array_equal(np.isnan(at_encoder.sample_cosine), nothing)


def test_information_is_that_of_the_rows_that_have_both_parts(model, partly, found_partly):
    rows = partly.test
    X, _ = rows_for(model, rows)
    with torch.no_grad():  # without masks: a present row is what it would be among whole ones
        fusion = model.fuse(model.encode(X))
    for m in rows.names:
        kept = rows.present[m] & rows.present[model.block.source_of(m)]
        for part in ("shared", "specific"):
            values = getattr(fusion, part)[m][kept].double().numpy()
            leading = PCA(3, svd_solver="full").fit_transform(values)
            here = found_partly.entropy.sel(pair="received", modality=m, part=part)
            assert float(here) == pytest.approx(float(entropy(leading)), rel=1e-4)


def test_bad_numbers_are_named(model, views):
    for argument in ("neighbours", "components"):
        with pytest.raises(ValueError, match=f"{argument} must be an integer of at least 1"):
            diagnose(model, views, **{argument: 0})
    with pytest.raises(ValueError, match="model must be"):
        diagnose(model.block, views)


def test_it_is_reproducible_and_leaves_the_model_alone(model, views, found):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.train()
    again = diagnose(model, views)
    assert model.training
    model.eval()
    assert again.identical(found)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def test_a_model_without_preservation_is_refused(views):
    concat = create_model("concat", views.dims, views.classes)
    with pytest.raises(ValueError, match="no preservation loss"):
        diagnose(concat, views)


def test_block_only_gradient_never_reaches_the_encoder(views):
    torch.manual_seed(0)
    model = create_model("rpmr", views.dims, views.classes, gradient="block_only")
    with torch.no_grad():
        model.set_scale(rows_for(model, views.train)[0])
    found = diagnose(model, views)
    assert np.isnan(found.gradient_cosine.sel(point="encoder output"))
    assert np.isnan(found.conflict_rate.sel(point="encoder output"))
