"""SCOPE as a whole, against a version of loops and dense matrices."""

import naive_scope_block as naive
import numpy as np
import pytest
import torch

from pnpfuse.fusion import create_model
from pnpfuse.fusion.reference import Reference
from pnpfuse.fusion.scope import SCOPE, TABLE6, Refinement
from pnpfuse.fusion.scope.disentanglement import disentanglement

DIMS = {"text": 7, "audio": 4, "video": 5}
SMALL = {"width": 16, "heads": 4, "k": 3}
CLASSES = 3


def rows_for(batch, dims=DIMS, seed=0):
    random = torch.Generator().manual_seed(seed)
    return {
        m: torch.randn(batch, d, generator=random, dtype=torch.float64) for m, d in dims.items()
    }


def shown_for(batch, count=3, seed=0):
    """Presence (batch, M), everyone having something."""
    shown = np.random.default_rng(seed).random((batch, count)) < 0.6
    shown[np.arange(batch), np.arange(batch) % count] = True
    return shown


def masks_for(shown, names=tuple(DIMS)):
    return {m: torch.from_numpy(shown[:, i].copy()) for i, m in enumerate(names)}


def zeroed(V, shown):
    return {m: v.numpy() * shown[:, [i]] for i, (m, v) in enumerate(V.items())}


def block_for(seed=0, **options):
    torch.manual_seed(seed)
    return SCOPE(DIMS, **(SMALL | options)).double()


def model_for(name="scope", rows=30, dims=DIMS, seed=0, **options):
    """A model with a bank of `rows` rows, two of them without text."""
    torch.manual_seed(seed)
    given = {"block_width": 16, "heads": 4, "k": 3} | options
    if name == "scope":
        given = {"bank": 32} | given
    model = create_model(name, dims, CLASSES, **given).double().eval()
    if rows:
        present = {next(iter(dims)): torch.arange(rows) > 1}
        model.set_reference(rows_for(rows, dims, seed=9), present if len(dims) > 1 else None)
    return model


@pytest.mark.parametrize("refinement", ["both", "self", "cross", "none"])
@pytest.mark.parametrize("beside", ["batch", "bank"])
def test_the_whole_block_against_loops(refinement, beside):
    block = block_for(refinement=refinement, tokens=3, steps=2, xi=0.4, inference=beside).eval()
    V, shown = rows_for(9), shown_for(9)
    reference, bank, bank_shown = None, None, None
    if beside == "bank":
        rows, bank_shown = rows_for(11, seed=1), shown_for(11, seed=1)
        bank = zeroed(rows, bank_shown)
        given = {m: torch.from_numpy(x) for m, x in bank.items()}
        reference = Reference(given, masks_for(bank_shown), torch.ones(11, dtype=torch.bool))
    out = block(V, masks_for(shown), reference)
    z, h, rho, graphs = naive.scope(block, zeroed(V, shown), shown, 2, 0.4, bank, bank_shown)
    np.testing.assert_allclose(out.fused["joint"].detach(), z, rtol=1e-9, atol=1e-11)
    for m in DIMS:
        np.testing.assert_allclose(out.refined[m].detach(), h[m], rtol=1e-9, atol=1e-11)
    found = block.refine({m: torch.from_numpy(x) for m, x in zeroed(V, shown).items()}, out.present)
    np.testing.assert_allclose(found[1].detach(), rho, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[1].sum(1).detach(), 1.0, atol=1e-12)
    assert (found[1][torch.from_numpy(~shown)] == 0).all()


@pytest.mark.parametrize("mask_same_label", [False, True])
@pytest.mark.parametrize("views", [2, 4])
def test_disentanglement_against_loops(views, mask_same_label):
    h = torch.randn(views, 8, 5, dtype=torch.float64)
    shown, labels = shown_for(8, views), np.arange(8) % 3
    same = labels[:, None] == labels
    given = torch.from_numpy(same) if mask_same_label else None
    found = disentanglement(h, torch.from_numpy(shown.T.copy()), given)
    expected = naive.disentanglement(h.numpy(), shown, same & mask_same_label)
    np.testing.assert_allclose(float(found), expected, rtol=1e-12)


def test_disentanglement_where_there_is_nothing_to_compare():
    h = torch.randn(2, 4, 5).requires_grad_()
    apart = torch.tensor([[True, True, False, False], [False, False, True, True]])
    alike = torch.ones(4, 4, dtype=torch.bool)
    assert disentanglement(h, apart, alike) == 0
    assert disentanglement(h[:1]) == 0
    one = disentanglement(h[:, :1])  # no mismatched pair in a batch of one
    cosine = torch.cosine_similarity(h[0, 0], h[1, 0], dim=0)
    torch.testing.assert_close(one, (1 - cosine).square())
    # The best there is: matched rows equal, the others orthogonal. The worst: all rows the same.
    best, worst = torch.eye(5).repeat(2, 1, 1), torch.ones(2, 6, 5)
    assert disentanglement(best).abs() < 1e-6 and abs(disentanglement(worst) - 1) < 1e-6


@pytest.mark.parametrize(
    "options", [{}, {"mask": "printed", "form": "truncated", "weights": "printed"}]
)
def test_a_filled_bank_leaves_no_trace_of_the_batch(options):
    model, X = model_for(**options), rows_for(12, seed=3)
    present = masks_for(shown_for(12, seed=3))
    whole = model(X, present).logits
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    shuffled = model(*({m: x[order] for m, x in y.items()} for y in (X, present))).logits
    torch.testing.assert_close(shuffled, whole[order])
    for i in (0, 5, 11):
        alone = model(*({m: x[i : i + 1] for m, x in y.items()} for y in (X, present))).logits
        torch.testing.assert_close(alone[0], whole[i])
    other = model_for("scope-transductive", rows=0, **options)
    other.load_state_dict({k: v for k, v in model.state_dict().items() if "bank" not in k})
    beside = other(X, present).logits
    first = other(*({m: x[:4] for m, x in y.items()} for y in (X, present))).logits
    assert (first - beside[:4]).abs().max() > 1e-3


def test_with_the_printed_mask_too_nobody_sees_the_batch_or_empty_places():
    options, X = {"mask": "printed", "form": "truncated"}, rows_for(6, seed=3)
    nobody = model_for(rows=0, bank=0, **options)
    alone = nobody({m: x[:1] for m, x in X.items()}).logits
    torch.testing.assert_close(nobody(X).logits[:1], alone)
    full, roomy = model_for(bank=30, **options), model_for(bank=90, **options)
    out, found = full(X), roomy(X)
    torch.testing.assert_close(found.logits, out.logits)
    torch.testing.assert_close(found.losses["alignment"], out.losses["alignment"])


def test_which_copies_are_taken_is_no_matter_of_the_batch():
    dims = {"text": 20, "audio": 6}
    torch.manual_seed(0)
    model = create_model("scope", dims, CLASSES, k=10, refinement="self").eval()

    def rows(count):
        audio = torch.randint(0, 4, (count, 1)).float().expand(count, 6)
        return {"text": torch.randn(count, 20), "audio": audio}

    model.set_reference(rows(256))
    X = rows(64)
    whole = model(X).logits
    alone = torch.cat([model({m: x[[i]] for m, x in X.items()}).logits for i in range(64)])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:torch.searchsorted")  # of its speed under vmap
def test_transforms_of_functions():
    model, X = model_for(), rows_for(3, seed=3)

    def logits(text, audio, video):
        rows = {"text": text[None], "audio": audio[None], "video": video[None]}
        return model(rows).logits[0]

    one_by_one = torch.func.vmap(logits)(*X.values())
    torch.testing.assert_close(one_by_one, model(X).logits)
    slope = torch.func.jacrev(logits)(*(x[0] for x in X.values()))  # (3, 7)
    given = X["text"].clone().requires_grad_()
    model(X | {"text": given}).logits[:, 1].sum().backward()
    torch.testing.assert_close(slope[1], given.grad[0])


def test_steps_called_one_by_one_agree():
    model, X = model_for(), rows_for(6, seed=3)
    present = masks_for(shown_for(6, seed=3))
    out = model(X, present)
    torch.testing.assert_close(
        model.classify(model.fuse(model.encode(X, present), present)), out.logits
    )


@pytest.mark.parametrize("row", TABLE6)
@pytest.mark.parametrize("name", ["scope", "scope-transductive"])
def test_ablations_train_every_parameter_and_weigh_what_is_there(row, name):
    model = model_for(name, rows=0, **TABLE6[row]).train()
    labels = torch.arange(9) % CLASSES
    out = model(rows_for(9), labels=labels)
    assert set(out.losses) == set(model.loss_weights)
    lacking = {"w/o AFR & MID", "w/o MID"}
    assert ("disentanglement" in out.losses) == (row not in lacking)
    assert ("alignment" in out.losses) == (row != "w/o SCA")
    (out.logits.logsumexp(1).sum() + sum(out.losses.values())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    # The key's bias adds the same to all logits of a row: the softmax does not see it.
    still = {k for k, p in model.named_parameters() if not p.grad.abs().sum() > 1e-14}
    assert all(k.endswith("key.bias") for k in still)


def test_ablations_do_what_they_say():
    V, shown = rows_for(9), shown_for(9)
    masks = masks_for(shown)
    mean = block_for(fusion="mean").eval()
    out = mean(V, masks)
    h = torch.stack([out.refined[m] for m in DIMS], 1)  # (9, M, width)
    kept = torch.from_numpy(shown)[:, :, None]
    torch.testing.assert_close(out.fused["joint"], (h * kept).sum(1) / kept.sum(1))
    mlp = block_for(fusion="mlp", align=False).eval()
    out = mlp(V, masks)
    h, rho = mlp.refine(out.features, masks)
    joint = sum(rho[:, [i]] * h[i] for i in range(3))
    torch.testing.assert_close(out.fused["joint"], mlp.mlp(joint))
    assert not hasattr(mlp, "balanced") and out.losses == {}


def test_without_a_bank_a_sample_is_twice_its_own_joint():
    for block in (block_for().eval(), block_for(bank=0).eval()):
        out = block(rows_for(5))
        h, rho = block.refine(out.features, None)
        joint = sum(rho[:, [i]] * h[i] for i in range(3))
        torch.testing.assert_close(out.fused["joint"], 2 * joint)  # h + A~ h with A = 1
    assert model_for(rows=0, bank=0).bank is None and model_for(rows=0, bank=0).reference_rows == 0


def test_weighted_edges_are_those_that_the_graph_did_not_clip():
    near, weighted = block_for(k=8).eval(), block_for(k=8, edges="weighted").eval()
    V = rows_for(12)
    near.inference = weighted.inference = "batch"
    h, _ = near.refine(V, None)
    graphs = weighted._graphs(h, None, None)
    for graph, wide in zip(graphs, near._graphs(h, None, None), strict=True):
        assert wide.valid.all() and torch.equal(graph.valid, wide.weight > 0)
        assert (graph.valid.sum(1) >= 1).all() and not graph.valid.all()
    assert (near(V).fused["joint"] - weighted(V).fused["joint"]).abs().max() > 1e-4


@pytest.mark.parametrize("dims", [{"only": 6}, {f"view{i}": 2 + i for i in range(6)}])
@pytest.mark.parametrize("batch", [1, 2, 8])
def test_one_view_or_six_and_tiny_batches(dims, batch):
    model = model_for(rows=2, dims=dims, k=5, bank=4)
    X, labels = rows_for(batch, dims), torch.arange(batch) % CLASSES
    for mode in (model.train(), model.eval()):
        out = mode(X, labels=labels)
        (out.logits.logsumexp(1).sum() + sum(out.losses.values())).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
        assert out.logits.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens must be an integer of at least 1; found 0"),
        ({"heads": 3}, "width must be a multiple of heads; found 16 and 3"),
        ({"k": 0}, "k must be an integer of at least 1"),
        ({"xi": 1.0}, "xi must lie between 0 and 1"),
        ({"bank": -1}, "bank must be an integer of at least 0; found -1"),
        ({"refinement": "deep"}, "refinement must be one of"),
        ({"edges": "all"}, "edges must be one of"),
        ({"mask": "all"}, "mask must be one of"),
        ({"align": 1}, "align must be True or False; found 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        block_for(**options)


def test_refinement_keeps_absent_modalities_out():
    torch.manual_seed(0)
    refine = Refinement(DIMS, 16, 4, 2).double()
    V, shown = rows_for(6), shown_for(6)
    masks = masks_for(shown)
    other = {m: torch.where(masks[m][:, None], v, 50.0) for m, v in V.items()}
    (h, rho), (again, rho_again) = refine(V, masks), refine(other, masks)
    assert torch.equal(h, again) and torch.equal(rho, rho_again)
    everyone, complete = refine(V, dict.fromkeys(DIMS, torch.ones(6, dtype=torch.bool)))
    plain, share = refine(V, None)
    torch.testing.assert_close(complete, share)
    torch.testing.assert_close(everyone, plain)
