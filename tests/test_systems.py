"""What every model keeps to, whichever its system: one property a test, for all names."""

import pytest
import torch

from pnpfuse.fusion import create_model, list_models
from pnpfuse.fusion.methods import BALANCE, METHODS
from pnpfuse.fusion.saved import load_model, save_model

DIMS = {"text": 70, "audio": 5, "video": 9}
WIDTHS = (70, 5, 9, 64, 2)
CLASSES = 3
FILLS = ("zero", "mean", "learned", "input")

every_model = pytest.mark.parametrize("name", list_models())


def features_for(dims=DIMS, batch=7, seed=0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    return {m: torch.randn(batch, d, generator=random).to(dtype) for m, d in dims.items()}


def labels_for(batch=7):
    return torch.arange(batch) % CLASSES


def model_for(name, dims=DIMS, seed=0, **options):
    torch.manual_seed(seed)
    return create_model(name, dims, CLASSES, **options).eval()


def presence_for(batch=7, seed=1, names=tuple(DIMS)):
    """Masks in which every sample has the last modality at least, and all patterns occur."""
    masks = {m: torch.arange(batch) // 2**i % 2 == 0 for i, m in enumerate(names[:-1])}
    return masks | {names[-1]: ~torch.stack(list(masks.values())).all(0)}


def total_of(out):
    return out.logits.float().logsumexp(1).sum() + sum(out.losses.values())


def assert_finite(tensors):
    for tensor in tensors:
        assert tensor is None or tensor.isfinite().all()


@every_model
def test_order_of_the_modalities_plays_no_part(name):
    model, X, present = model_for(name), features_for(), presence_for()
    there = model(X, present, labels_for())
    back = model(dict(reversed(X.items())), dict(reversed(present.items())), labels_for())
    assert torch.equal(there.logits, back.logits)
    assert list(there.losses) == list(back.losses)
    assert all(torch.equal(there.losses[k], back.losses[k]) for k in there.losses)


@every_model
@pytest.mark.parametrize("views", [2, 3, 4, 5])
def test_any_number_of_views_of_unequal_widths(name, views):
    dims = {f"view{i}": width for i, width in enumerate(WIDTHS[:views])}
    for encoder in ("mlp", None):
        model = model_for(name, dims, encoder=encoder).train()
        X = {m: x.requires_grad_() for m, x in features_for(dims).items()}
        out = model(X, labels=labels_for())
        assert out.logits.shape == (7, CLASSES)
        total_of(out).backward()
        grads = [x.grad for x in X.values()]
        assert all(g is not None and g.isfinite().all() and g.abs().sum() > 0 for g in grads)
        unused = [k for k, p in model.named_parameters() if p.grad is None]
        assert not unused  # several processes would wait for these
        assert_finite(p.grad for p in model.parameters())


@every_model
@pytest.mark.parametrize("fill", FILLS)
def test_absent_rows_may_hold_anything(name, fill):
    model, X, present = model_for(name, fill=fill), features_for(), presence_for()
    spoilt = {m: torch.where(present[m][:, None], x, torch.nan) for m, x in X.items()}
    spoilt = {m: x.requires_grad_() for m, x in spoilt.items()}
    plain, out = model(X, present, labels_for()), model(spoilt, present, labels_for())
    assert torch.equal(plain.logits, out.logits)
    assert all(torch.equal(plain.losses[k], out.losses[k]) for k in out.losses)
    total_of(out).backward()
    for m, x in spoilt.items():
        assert x.grad.isfinite().all() and (x.grad[~present[m]] == 0).all()
    assert_finite(p.grad for p in model.parameters())
    gone = {"audio": torch.zeros(7, dtype=torch.bool)}
    without = model({m: x for m, x in X.items() if m != "audio"}, gone, labels_for())
    nan = model(X | {"audio": X["audio"] * torch.nan}, gone, labels_for())
    assert torch.equal(without.logits, nan.logits)
    assert all(torch.equal(without.losses[k], nan.losses[k]) for k in nan.losses)


@every_model
def test_input_fill_is_feeding_the_training_mean(name):
    model, X, present = model_for(name, fill="input"), features_for(), presence_for()
    model.set_scale({m: 3 * x + 1 for m, x in X.items()})
    means = {m: scale.mean for m, scale in model.scales.items()}
    fed = {m: torch.where(present[m][:, None], x, means[m]) for m, x in X.items()}
    told, plain = model(X, present, labels_for()), model(fed, labels=labels_for())
    torch.testing.assert_close(told.logits, plain.logits)
    for loss, value in plain.losses.items():
        torch.testing.assert_close(told.losses[loss], value)


@every_model
@pytest.mark.parametrize("batch", [7, 1])
def test_gradients_with_everything_absent_but_one_view(name, batch):
    model, X = model_for(name).train(), features_for(batch=batch)
    for only in DIMS:
        present = {m: torch.full((batch,), m == only) for m in DIMS}
        out = model(X, present, labels_for(batch))
        assert_finite([out.logits, *out.losses.values()])
        model.zero_grad()
        total_of(out).backward()
        assert_finite(p.grad for p in model.parameters())


@pytest.mark.parametrize("name", [m for m in list_models() if hasattr(METHODS[m].block, "embed")])
def test_embeddings_see_their_own_modality_alone(name):
    block, V = model_for(name, encoder=None).block, features_for()
    V = {m: v.requires_grad_() for m, v in V.items()}
    rows = block.embed(V)
    assert list(rows) == list(DIMS)
    for m, row in rows.items():
        others = [V[k] for k in DIMS if k != m]
        own, *leaks = torch.autograd.grad(
            row.sum(), [V[m], *others], allow_unused=True, retain_graph=True
        )
        assert own.abs().sum() > 0
        assert all(leak is None or (leak == 0).all() for leak in leaks)
        alone = block.embed({m: V[m]})
        assert list(alone) == [m]
        torch.testing.assert_close(alone[m], row)


@every_model
def test_state_and_saved_model_come_back(name, tmp_path):
    model, X, present = model_for(name), features_for(), presence_for()
    model.set_scale({m: 3 * x + 1 for m, x in X.items()})
    other = model_for(name, seed=1)
    other.load_state_dict(model.state_dict())
    reopened = load_model(save_model(model, tmp_path))
    expected = model(X, present, labels_for())
    for again in (other, reopened):
        out = again(X, present, labels_for())
        assert torch.equal(out.logits, expected.logits)
        assert all(torch.equal(out.losses[k], expected.losses[k]) for k in expected.losses)
    assert reopened.options == model.options and reopened.loss_weights == model.loss_weights


@every_model
def test_a_seed_says_everything(name):
    grads = []
    for _ in range(2):
        model = model_for(name, modality_dropout=0.3, seed=3).train()
        total_of(model(features_for(), labels=labels_for())).backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


@every_model
def test_precisions_agree(name):
    model, present = model_for(name), presence_for()
    single = model(features_for(), present, labels_for())
    with torch.autocast("cpu", torch.bfloat16):
        half = model(features_for(), present, labels_for())
        total_of(half).backward()
    double = model.double()(features_for(dtype=torch.float64), present, labels_for())
    assert double.logits.dtype == torch.float64
    torch.testing.assert_close(single.logits.double(), double.logits, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(half.logits.double(), double.logits, atol=5e-2, rtol=5e-2)
    for loss, value in double.losses.items():
        torch.testing.assert_close(single.losses[loss].double(), value, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(half.losses[loss].double(), value, atol=5e-2, rtol=5e-2)
    assert_finite(p.grad for p in model.parameters())


@every_model
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_gpu_agree(name):
    model, X, present = model_for(name).double(), features_for(dtype=torch.float64), presence_for()
    here = model(X, present, labels_for())
    total_of(here).backward()
    grads = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model.cuda()
    X, present = ({m: x.cuda() for m, x in given.items()} for given in (X, present))
    there = model(X, present, labels_for().cuda())
    total_of(there).backward()
    torch.testing.assert_close(here.logits, there.logits.cpu())
    for grad, p in zip(grads, model.parameters(), strict=True):
        torch.testing.assert_close(grad, p.grad.cpu(), atol=1e-6, rtol=1e-5)


@every_model
def test_losses_are_those_that_have_a_recommended_weight(name):
    model, X = model_for(name), features_for()
    out = model(X, labels=labels_for())
    experts = BALANCE if "umoe" in name else {}
    assert set(out.losses) == set(model.loss_weights) == set(METHODS[name].weights | experts)
    assert all(loss.shape == () and loss.isfinite() for loss in out.losses.values())
    assert set(model(X).losses) <= set(out.losses)


@every_model
def test_a_sample_without_any_modality_is_refused(name):
    model, present = model_for(name), presence_for()
    present = {m: mask & (torch.arange(7) != 4) for m, mask in present.items()}
    with pytest.raises(ValueError, match=r"no modality for 1 samples \(rows \[4\]"):
        model(features_for(), present)


@pytest.mark.parametrize("name", [m for m in list_models() if m != "scope-transductive"])
def test_a_sample_is_judged_by_itself(name):
    model, X, present = model_for(name).double(), features_for(dtype=torch.float64), presence_for()
    whole = model(X, present).logits
    for i in range(7):
        row = {m: x[i : i + 1] for m, x in X.items()}
        alone = model(row, {m: mask[i : i + 1] for m, mask in present.items()}).logits
        torch.testing.assert_close(alone[0], whole[i])
