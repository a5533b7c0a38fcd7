"""pmr-robust: its sums against a slow version, its gradients, absent modalities, learning."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pnpfuse import create_model, evaluate, fit, load_views
from pnpfuse.fusion.concat import Concat
from pnpfuse.fusion.dropout import drop_modalities
from pnpfuse.fusion.heads import LateHead
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.robust import LOSS_WEIGHTS, DetachedPMR, RobustHead
from pnpfuse.fusion.saved import load_model, save_model

DIMS = {"text": 7, "audio": 3, "video": 5, "pulse": 1}
TEN = {f"v{i}": 1 + 9 * i % 7 for i in range(10)}
K, BATCH = 4, 6


def features_for(dims=DIMS, seed=0, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    return {m: torch.randn(BATCH, d, generator=random).to(dtype) for m, d in dims.items()}


def some(dims=DIMS):
    """Masks under which no row is empty and every modality is absent somewhere."""
    names = list(dims)
    return {
        m: torch.tensor([(row + i) % 3 > 0 for row in range(BATCH)]) for i, m in enumerate(names)
    }


def pair(dims=DIMS, dtype=torch.float64, **options):
    torch.manual_seed(1)
    block = DetachedPMR(dims, **options).to(dtype)
    return block, RobustHead(block, K).to(dtype)


def slow(block, head, V, present):
    """Experts and corrections (BATCH, K), one sample and one modality at a time."""
    embedded = block.embed(V)
    parts = [*DIMS, *[f"own {m}" for m in DIMS]]
    U = dict(zip(parts, head.correction.weight.split(head.widths, dim=1), strict=True))
    experts, corrections = np.zeros((BATCH, K)), np.zeros((BATCH, K))
    for row in range(BATCH):
        corrections[row] = head.correction.bias.detach()
        for m in DIMS:
            if present is None or present[m][row]:
                receiver = next(r for r in DIMS if block.source_of(r) == m)
                weight = torch.cat([U[receiver], U[f"own {m}"]], dim=1)
                size = len(DIMS) if present is None else sum(present[k][row].item() for k in DIMS)
                experts[row] += head.experts[m](V[m][row]).detach().numpy() / size
                corrections[row] += (weight @ embedded[m][row]).detach().numpy()
    return experts, corrections


@pytest.mark.parametrize("pairing", ["next", "prev"])
@pytest.mark.parametrize("masked", [False, True])
def test_logits_and_losses_against_loops(pairing, masked):
    block, head = pair(pairing=pairing)
    V, present = features_for(), some() if masked else None
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    logits, losses = head.eval()(block(V, present), labels)
    experts, corrections = slow(block, head, V, present)
    np.testing.assert_allclose(logits.detach(), experts + corrections, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(losses["correction"].item(), 2 * (corrections**2).mean(), rtol=1e-12)

    view = 0.0
    for m in DIMS:
        log = log_softmax(head.experts[m](V[m]).detach().numpy(), axis=1)
        has = slice(None) if present is None else present[m].numpy()
        view -= log[range(BATCH), labels][has].mean()
    np.testing.assert_allclose(losses["view"].item(), view, rtol=1e-12)
    late = -log_softmax(experts, axis=1)[range(BATCH), labels].mean()
    np.testing.assert_allclose(losses["late"].item(), late, rtol=1e-12)
    task = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.equal(losses["dropped"], task)  # nothing is drawn outside training


@pytest.mark.parametrize("dims", [{"a": 2, "b": 9}, DIMS, TEN], ids=len)
def test_modalities_add_up_whoever_is_absent(dims):
    block, head = pair(dims)
    V, bias = features_for(dims), head.correction.bias

    def logits(names):
        present = {m: torch.full((BATCH,), m in names) for m in dims}
        return head(block({m: V[m] for m in names}, present))[0] - bias

    def experts(names):
        return sum(head.experts[m](V[m]) for m in names) / len(names)

    names = list(dims)
    corrections = [logits([m]) - experts([m]) for m in names]
    for count in range(1, len(names) + 1):
        wanted = experts(names[:count]) + sum(corrections[:count])
        torch.testing.assert_close(logits(names[:count]), wanted)
    torch.testing.assert_close(logits(names) + bias, head(block(V))[0])


def test_encoders_and_experts_follow_late_fusion_alone():
    block, head = pair()
    V = {m: x.requires_grad_() for m, x in features_for().items()}
    labels = torch.zeros(BATCH, dtype=torch.int64)
    fusion = block(V)
    logits, losses = head.train()(fusion, labels)
    losses |= fusion.losses
    assert set(losses) == set(LOSS_WEIGHTS)
    losses["task"] = torch.nn.functional.cross_entropy(logits, labels)
    experts = list(head.experts.parameters())
    weights = [*block.parameters(), *head.correction.parameters()]
    for name, loss in losses.items():

        def reaches(leaves, loss=loss):
            grads = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
            return any(g is not None and g.abs().max() > 0 for g in grads)

        theirs = name in ("late", "view")
        assert reaches(list(V.values())) == reaches(experts) == theirs
        assert reaches(weights) == (not theirs)
    late = LateHead(Concat(DIMS), K).double()
    late.linears.load_state_dict(head.experts.state_dict())
    mean, theirs = late(FusionOutput(V), labels)
    torch.testing.assert_close(losses["view"], theirs["view"])
    torch.testing.assert_close(losses["late"], torch.nn.functional.cross_entropy(mean, labels))
    # Outside training the logits show what they depend on.
    logits, _ = head.eval()(block.eval()(V), labels)
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(logits.sum(), list(V.values())))


def test_the_dropped_loss_is_that_of_a_model_told_so():
    block, head = pair()
    V, labels = features_for(), torch.arange(BATCH) % K
    torch.manual_seed(3)
    found = head.train()(block(V), labels)[1]["dropped"]
    torch.manual_seed(3)
    kept = drop_modalities(list(DIMS), None, labels, head.drop)
    assert not torch.stack(list(kept.values())).all()
    logits, _ = head(block(V, kept))  # the block sees the zeros, instead of the head afterwards
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, labels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gradients_finite_with_one_modality_left(dtype):
    block, head = pair(TEN, dtype)
    V = {m: x.requires_grad_() for m, x in features_for(TEN, dtype=dtype).items()}
    present = {m: torch.full((BATCH,), m == "v3") for m in TEN}
    fusion = block(V, present)
    logits, losses = head.train()(fusion, torch.arange(BATCH) % K)
    total = logits.logsumexp(-1).sum() + sum((losses | fusion.losses).values())
    total.backward()
    assert total.isfinite()
    grads = [p.grad for p in [*block.parameters(), *head.parameters(), *V.values()]]
    assert all(g is None or g.isfinite().all() for g in grads)
    assert V["v3"].grad.abs().max() > 0
    assert all(V[m].grad is None or not V[m].grad.any() for m in TEN if m != "v3")


def test_one_graph():
    block, head = pair(dtype=torch.float32)
    head.train()

    def step(V, labels, present):
        logits, losses = head(block(V, present), labels)
        return logits, losses["view"], losses["dropped"]

    V, labels, present = features_for(dtype=torch.float32), torch.arange(BATCH) % K, some()
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(V, labels, present)[:2], step(V, labels, present)[:2])


def test_by_name_and_reopened(tmp_path):
    model = create_model("pmr-robust", {"a": 5, "b": 3}, 3).eval()
    assert model.loss_weights == LOSS_WEIGHTS
    X = {m: torch.randn(4, d) for m, d in model.dims.items()}
    save_model(model, tmp_path / "model")
    assert torch.equal(load_model(tmp_path / "model")(X).logits, model(X).logits)


@pytest.mark.parametrize("options", [{"drop": 1.5}, {"n": 0}])
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        create_model("pmr-robust", {"a": 5, "b": 3}, 3, **options)


def test_learns_digits_and_bears_a_missing_view():
    views = load_views("digits")
    scores = {}
    for name in ("pmr-robust", "concat"):
        torch.manual_seed(0)
        model = create_model(name, views.dims, views.classes)
        history = fit(model, views, weights=model.loss_weights, progress=False)
        assert history.losses["task"][-1] < history.losses["task"][0] / 3
        scores[name] = evaluate(model, views, missing="each").accuracy
    joined = [np.hstack(list(part.features.values())) for part in (views.train, views.test)]
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    reference.fit(joined[0], views.train.labels)
    full, missing = (scores["pmr-robust"].sel(condition=c).item() for c in ("none", "each"))
    # Logistic regression is trained to convergence, these are thirty epochs.
    assert full > reference.score(joined[1], views.test.labels) - 0.03
    assert missing > scores["concat"].sel(condition="each").item() + 0.02
