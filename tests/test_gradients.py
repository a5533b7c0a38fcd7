import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_analysis import cosine
from torch import nn

from pnpfuse_analysis import GradReport, grad_cosine
from pnpfuse_analysis.gradients.conflict import gramian


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def quadratics(z):
    """Three losses of z (N, d) whose gradients are known: z, w and -z/2."""
    w = noise(*z.shape, seed=1)
    losses = {
        "task": z.square().sum() / 2,
        "linear": (w * z).sum(),
        "against": -z.square().sum() / 4,
    }
    return losses, [z.detach(), w, -z.detach() / 2]


def test_known_gradients_give_known_cosines():
    z = noise(12, 5).requires_grad_()
    losses, gradients = quadratics(z)
    report = grad_cosine(losses, z, main="task")
    assert isinstance(report, GradReport)
    assert report.main == "task"
    assert report.names == ("linear", "against")
    flat = torch.stack([g.flatten() for g in gradients])
    torch.testing.assert_close(report.gram, flat @ flat.T, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(report.norms, flat.norm(dim=1), rtol=1e-13, atol=0)
    for place in (0, 1):
        expected = cosine(gradients[0], gradients[place + 1])
        assert float(report.cosine[place]) == pytest.approx(expected, abs=1e-14)
        rows = [cosine(a, b) for a, b in zip(gradients[0], gradients[place + 1], strict=True)]
        np.testing.assert_allclose(report.sample_cosine[:, place], rows, atol=1e-14)
        assert float(report.conflict_rate[place]) == np.mean(np.array(rows) < 0)
    assert float(report.cosine[1]) == pytest.approx(-1, abs=1e-15)
    assert report.undefined.tolist() == [0, 0]
    torch.testing.assert_close(report.sample_gram.sum(0), report.gram, rtol=1e-13, atol=1e-13)


def network(seed=3):
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
    heads = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 2)])
    x, target = noise(10, 6, dtype=torch.float32), torch.arange(10) % 3
    z = encoder(x)
    losses = {
        "task": nn.functional.cross_entropy(heads[0](z), target),
        "rebuild": (heads[1](z) - x[:, :2]).square().mean(),
    }
    return encoder, z, losses


def test_activations_agree_with_backward():
    _, z, losses = network()
    z.retain_grad()
    found = []
    for loss in losses.values():
        z.grad = None
        loss.backward(retain_graph=True)
        found.append(z.grad.double().clone())
    report = grad_cosine(losses, z, main="task")
    assert float(report.cosine[0]) == pytest.approx(cosine(*found), abs=1e-14)
    assert report.sample_cosine.shape == (10, 1)
    for n in range(10):
        expected = cosine(found[0][n], found[1][n])
        assert float(report.sample_cosine[n, 0]) == pytest.approx(expected, abs=1e-13)


def test_parameters_agree_with_backward_and_keep_their_grad():
    encoder, _, losses = network()
    found = []
    for loss in losses.values():
        encoder.zero_grad()
        loss.backward(retain_graph=True)
        found.append(torch.cat([p.grad.double().flatten() for p in encoder.parameters()]))
    kept = [p.grad.clone() for p in encoder.parameters()]
    report = grad_cosine(losses, list(encoder.parameters()), main="task", per_sample=False)
    assert float(report.cosine[0]) == pytest.approx(cosine(*found), abs=1e-13)
    assert report.sample_cosine is None
    assert report.conflict_rate is None
    assert all(torch.equal(p.grad, k) for p, k in zip(encoder.parameters(), kept, strict=True))


def test_several_tensors_count_as_one():
    z = noise(9, 4, 3).requires_grad_()
    losses, _ = quadratics(z)
    whole = grad_cosine(losses, z, main="linear")
    parts = [noise(9, 4).requires_grad_(), noise(9, 4, 2, seed=2).requires_grad_()]
    with torch.no_grad():
        parts[0].copy_(z[..., 0])
        parts[1].copy_(z[..., 1:])
    losses, _ = quadratics(torch.cat((parts[0][..., None], parts[1]), 2))
    split = grad_cosine(losses, parts, main="linear")
    for name in ("cosine", "gram", "norms", "sample_cosine", "sample_gram", "conflict_rate"):
        a, b = getattr(whole, name), getattr(split, name)
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch_dim", [1, -1])
def test_the_axis_of_samples_is_free(batch_dim):
    z = noise(7, 3).requires_grad_()
    first = grad_cosine(quadratics(z)[0], z, main="task")
    turned = z.detach().T.clone().requires_grad_()
    second = grad_cosine(quadratics(turned.T)[0], turned, main="task", batch_dim=batch_dim)
    torch.testing.assert_close(first.sample_cosine, second.sample_cosine, rtol=1e-13, atol=1e-13)


def test_a_loss_apart_has_no_cosine_and_raises_nothing():
    z = noise(6, 3).requires_grad_()
    other = noise(2).requires_grad_()
    losses = {
        "task": z.square().sum(),
        "apart": other.sum(),
        "constant": torch.tensor(1.0),
        "flat": (0 * z).sum(),
    }
    report = grad_cosine(losses, z, main="task")
    assert torch.isnan(report.cosine).all()
    assert torch.isnan(report.sample_cosine).all()
    assert torch.isnan(report.conflict_rate).all()
    assert report.undefined.tolist() == [1, 1, 1]
    assert report.norms[1:].tolist() == [0, 0, 0]


def test_rates_count_only_defined_samples():
    z = torch.tensor([[1.0], [1.0], [1.0], [0.0]], requires_grad=True)
    w = torch.tensor([[1.0], [-1.0], [0.0], [1.0]])
    losses = {"task": z.square().sum(), "other": (w * z).sum()}
    report = grad_cosine(losses, z, main="task")
    assert report.sample_cosine[:2, 0].tolist() == [1, -1]
    assert torch.isnan(report.sample_cosine[2:, 0]).all()
    assert report.conflict_rate.tolist() == [0.5]
    assert report.undefined.tolist() == [0.5]
    assert grad_cosine(losses, z, main="task", eps=3.0).undefined.tolist() == [1]


def test_overall_and_sample_cosines_may_disagree_in_sign():
    z = torch.tensor([[10.0], [1.0], [1.0]], requires_grad=True)
    w = torch.tensor([[1.0], [-1.0], [-1.0]])
    report = grad_cosine({"task": z.square().sum(), "other": (w * z).sum()}, z, main="task")
    assert float(report.cosine[0]) == pytest.approx(8 / math.sqrt(102 * 3), abs=1e-14)
    assert float(report.conflict_rate[0]) == pytest.approx(2 / 3)


def test_a_mean_loss_scales_rows_but_not_cosines():
    z = noise(8, 3).requires_grad_()
    w = noise(8, 3, seed=1)
    each = {"task": z.square().sum(1), "other": (w * z).sum(1)}
    total = grad_cosine({k: v.sum() for k, v in each.items()}, z, main="task")
    mean = grad_cosine({k: v.mean() for k, v in each.items()}, z, main="task")
    torch.testing.assert_close(total.sample_cosine, mean.sample_cosine, rtol=1e-13, atol=0)
    torch.testing.assert_close(total.norms, 8 * mean.norms, rtol=1e-13, atol=0)


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e18])
def test_small_float32_gradients_keep_their_angle(scale):
    # Squares of 1e-30 vanish in float32.
    z = noise(5, 3, dtype=torch.float32).requires_grad_()
    losses = {k: scale * v for k, v in quadratics(z.double())[0].items()}
    plain = grad_cosine(quadratics(z.double())[0], z, main="task")
    small = grad_cosine(losses, z, main="task")
    torch.testing.assert_close(small.sample_cosine, plain.sample_cosine, rtol=1e-5, atol=1e-6)
    assert small.cosine.dtype == torch.float64


def test_half_precision_dot_products_do_not_saturate():
    z = torch.ones(1, 4096, dtype=torch.bfloat16, requires_grad=True)
    report = grad_cosine({"a": z.sum(), "b": (3 * z).sum()}, z, main="a")
    assert report.gram.tolist() == [[4096, 12288], [12288, 9 * 4096]]
    assert report.cosine.tolist() == [1]


@given(seed=st.integers(0, 10**6), factor=st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_order_of_samples_and_scale_of_losses_do_not_matter(seed, factor):
    z = noise(6, 3, seed=seed).requires_grad_()
    w = noise(6, 3, seed=seed + 1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    report = grad_cosine({"a": z.square().sum(), "b": (w * z).sum()}, z, main="a")
    y = z.detach()[order].clone().requires_grad_()
    losses = {"b": factor * (w[order] * y).sum(), "a": y.square().sum()}
    moved = grad_cosine(losses, y, main="a")
    torch.testing.assert_close(moved.cosine, report.cosine, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(moved.sample_cosine, report.sample_cosine[order])
    assert (report.sample_cosine.abs() <= 1).all()
    swapped = grad_cosine(losses, y, main="b")
    torch.testing.assert_close(swapped.cosine, moved.cosine, rtol=1e-12, atol=1e-15)


def test_the_graph_is_kept_or_freed_as_asked():
    z = noise(4, 2).requires_grad_()
    losses = {"task": z.square().sum(), "other": z.exp().sum()}
    grad_cosine(losses, z, main="task")
    sum(losses.values()).backward()
    torch.testing.assert_close(z.grad, 2 * z.detach() + z.detach().exp())
    losses = {"task": z.square().sum(), "other": z.exp().sum()}
    grad_cosine(losses, z, main="task", retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        losses["other"].backward()


def test_a_freed_graph_is_named():
    z = noise(4, 2).requires_grad_()
    losses = {"task": z.square().sum(), "other": z.exp().sum()}
    losses["other"].backward()
    with pytest.raises(ValueError, match="losses must still have .*; pass retain_graph=True"):
        grad_cosine(losses, z, main="task")


def test_other_failures_of_autograd_come_through():
    z = noise(4, 2).requires_grad_()
    y = z.exp()
    losses = {"task": y.sum(), "other": z.square().sum()}
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="inplace operation"):
        grad_cosine(losses, z, main="task")


def test_an_iterator_of_parameters_and_numbers_of_numpy_are_fine():
    encoder, z, losses = network()
    parts = grad_cosine(losses, encoder.parameters(), main="task", per_sample=False)
    again = grad_cosine(losses, list(encoder.parameters()), main="task", per_sample=False)
    assert torch.equal(parts.gram, again.gram)
    plain = grad_cosine(losses, z, main="task", batch_dim=1)
    found = grad_cosine(losses, z, main="task", batch_dim=np.int64(1), eps=np.float32(0))
    assert torch.equal(found.sample_gram, plain.sample_gram)


Z = noise(4, 2).requires_grad_()
PAIR = {"task": Z.square().sum(), "other": Z.exp().sum()}


@pytest.mark.parametrize(
    ("losses", "at", "options", "message"),
    [
        (PAIR, Z, {"main": "tsak"}, "main must name one of at least two losses, found main='tsak'"),
        ({"task": PAIR["task"]}, Z, {}, "main must name"),
        (PAIR | {"rows": Z.sum(1)}, Z, {}, r"losses\['rows'\] must be a scalar tensor, found \(4,"),
        (PAIR | {"x": 1.0}, Z, {}, r"losses\['x'\] must be a scalar tensor, found float"),
        (PAIR, [], {}, "at must hold at least one"),
        (PAIR, Z.detach(), {}, "require grad"),
        (
            PAIR,
            Z,
            {"batch_dim": 2},
            r"batch_dim must be an axis .*, found 2 for one of shape \(4, 2\)",
        ),
        (PAIR, [Z, torch.ones(3, requires_grad=True)], {}, r"found lengths \[3, 4\]"),
        (PAIR, Z, {"batch_dim": 1.0}, "batch_dim must be a whole number, found 1.0"),
        (PAIR, Z, {"batch_dim": None}, "batch_dim must be a whole number, found None"),
        (PAIR, Z, {"batch_dim": True}, "batch_dim must be a whole number, found True"),
        (PAIR, Z, {"eps": -1.0}, "eps must be a number >= 0, found -1.0"),
        (PAIR, Z, {"eps": math.nan}, "eps must be a number >= 0, found nan"),
        (PAIR, Z, {"eps": "x"}, "eps must be a number >= 0, found 'x'"),
        (PAIR, Z, {"eps": None}, "eps must be a number >= 0, found None"),
        (PAIR, Z, {"main": ["a"]}, r"main must name .*, found main=\['a'\]"),
        (PAIR, Z, {"main": None}, "main must name .*, found main=None"),
        (None, Z, {}, "losses must map names to scalar tensors, found NoneType"),
        (list(PAIR.values()), Z, {}, "losses must map names to scalar tensors, found list"),
        (PAIR | {"c": 1j * Z.sum()}, Z, {}, r"losses\['c'\] must be real, found torch.complex128"),
        (PAIR, None, {}, "at must be a tensor or a sequence of tensors, found NoneType;"),
        (PAIR, Z.detach().numpy(), {}, "at must be a tensor .*, found ndarray;"),
        (PAIR, np.array(1.0), {}, "at must be a tensor .*, found ndarray;"),
        (PAIR, "Z", {}, "at must be a tensor .*, found str;"),
        (PAIR, [Z, None], {}, "at must be a tensor .*, found NoneType in list;"),
        (PAIR, nn.Linear(2, 2), {}, r"found Linear; for a module pass list\(module.parameters"),
        (PAIR, nn.Sequential(nn.Tanh()), {}, "found Tanh in Sequential"),
        (PAIR, Z.detach().to(torch.complex64).requires_grad_(), {}, "at must hold real tensors"),
        (PAIR, Z[:2], {}, "at must be the very tensors"),
    ],
)
def test_wrong_input_is_refused(losses, at, options, message):
    with pytest.raises(ValueError, match=message):
        grad_cosine(losses, at, **{"main": "task", **options})


def test_parameters_are_not_samples():
    layer = torch.nn.Linear(7, 3)
    out = layer(torch.randn(5, 7))
    losses = {"a": out.square().mean(), "b": out.sum()}
    report = grad_cosine(losses, list(layer.parameters()), main="a")
    assert report.sample_cosine is None and report.conflict_rate is None
    assert report.cosine.shape == (1,)
    with pytest.raises(ValueError, match="per_sample must not be True"):
        grad_cosine(losses, list(layer.parameters()), main="a", per_sample=True)


def test_a_report_prints_in_a_line_a_loss():
    z = torch.randn(50, 8, requires_grad=True)
    losses = {"a": z.square().sum(), "b": -z.square().sum(), "c": z.sum()}
    lines = repr(grad_cosine(losses, z, main="a")).splitlines()
    assert lines[:2] == [
        "GradReport against 'a':",
        "  b: cosine -1.0000, negative in 100.0% of 50 samples",
    ]
    assert len(lines) == 3


def test_tensors_may_come_by_name():
    z = {"image": noise(5, 3).requires_grad_(), "text": noise(5, 2, seed=1).requires_grad_()}
    losses, _ = quadratics(torch.cat(list(z.values()), 1))
    report = grad_cosine(losses, z, main="task")
    assert torch.equal(
        report.sample_gram, grad_cosine(losses, list(z.values()), main="task").sample_gram
    )


@pytest.mark.parametrize("at", ["z", "encoder"])
def test_accumulated_gradients_are_those_of_the_sum(at):
    encoder, z, losses = network()
    others = [p for p in encoder.parameters()]
    expected = torch.autograd.grad(sum(losses.values()), others, retain_graph=True)
    where = z if at == "z" else list(encoder.parameters())
    plain = grad_cosine(losses, where, main="task")
    report = grad_cosine(losses, where, main="task", accumulate=True)
    torch.testing.assert_close(report.gram, plain.gram, rtol=1e-12, atol=0)
    for p, gradient in zip(others, expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)
    with pytest.raises(RuntimeError, match="second time"):  # no further pass was announced
        losses["task"].backward()


def test_accumulation_adds_to_what_is_there_and_reaches_the_heads():
    torch.manual_seed(0)
    shared, heads = nn.Linear(4, 3), nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 4)])
    x = noise(6, 4, dtype=torch.float32)
    modules = nn.ModuleList([shared, *heads])

    def losses():
        z = shared(x).tanh()
        return {"a": heads[0](z).square().mean(), "b": (heads[1](z) - x).square().mean()}

    for _ in range(2):
        sum(losses().values()).backward()
    expected = [p.grad.clone() for p in modules.parameters()]
    modules.zero_grad()
    for keep in (True, False):
        parts = losses()
        grad_cosine(parts, shared.parameters(), main="a", accumulate=True, retain_graph=keep)
    for p, gradient in zip(modules.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def test_accumulated_gradients_share_no_memory():
    a, b = (torch.zeros(3, requires_grad=True) for _ in range(2))
    for times in (1, 2):
        z = a + b  # both get one tensor as their gradient, whose entries are one number
        losses = {"sum": z.sum(), "other": (2 * z).sum(), "third": z.sum(), "apart": a.sum()}
        grad_cosine(losses, z, main="sum", accumulate=True)
        assert a.grad.tolist() == [5 * times] * 3 and b.grad.tolist() == [4 * times] * 3


def test_accumulation_keeps_what_is_there_in_its_memory_and_when_it_fails():
    z, apart = noise(4, 2).requires_grad_(), noise(3).requires_grad_()
    z.grad, apart.grad = torch.ones_like(z), torch.ones(3, dtype=z.dtype)
    view = z.grad.view(-1)
    losses = {"task": z.square().sum(), "other": z.exp().sum()}
    report = grad_cosine(losses, [z, apart], main="task", per_sample=False, accumulate=True)
    plain = grad_cosine({"task": z.square().sum(), "other": z.exp().sum()}, z, main="task")
    torch.testing.assert_close(report.gram, plain.gram)  # nothing of the old `.grad` in it
    expected = 1 + 2 * z.detach() + z.detach().exp()
    torch.testing.assert_close(view, expected.view(-1))
    with pytest.raises(ValueError, match="losses must still have"):
        grad_cosine(losses, z, main="task", accumulate=True)
    torch.testing.assert_close(z.grad, expected)
    with pytest.raises(ValueError, match="at must be the very tensors"):
        grad_cosine({"a": z.sum(), "b": z.exp().sum()}, apart, main="a", accumulate=True)
    torch.testing.assert_close(z.grad, expected)


@pytest.mark.parametrize("constant", ["task", "other"])
def test_accumulation_with_a_constant_loss(constant):
    z = noise(4, 2).requires_grad_()
    losses = {"task": z.square().sum(), "other": z.exp().sum()} | {constant: torch.tensor(1.0)}
    report = grad_cosine(losses, z, main="task", accumulate=True)
    assert torch.isnan(report.cosine).all() and report.undefined.tolist() == [1]
    expected = 2 * z if constant == "other" else z.exp()
    torch.testing.assert_close(z.grad, expected.detach())


def test_sum_turns_rows_of_a_mean_into_gradients_of_samples():
    z = noise(8, 3).requires_grad_()
    w = noise(8, 3, seed=1)
    each = {"task": z.square().sum(1), "other": (w * z).sum(1)}
    mean = {k: v.mean() for k, v in each.items()}
    total = grad_cosine({k: v.sum() for k, v in each.items()}, z, main="task")
    found = grad_cosine(mean, z, main="task", reduction="sum")
    torch.testing.assert_close(found.sample_gram, total.sample_gram, rtol=1e-13, atol=0)
    torch.testing.assert_close(found.gram, total.gram, rtol=1e-13, atol=0)
    with pytest.raises(ValueError, match="reduction must be 'as_given'"):
        grad_cosine(mean, z, main="task", per_sample=False, reduction="sum")
    with pytest.raises(ValueError, match="reduction must be one of"):
        grad_cosine(mean, z, main="task", reduction="mean")


def test_scaled_losses_give_the_same_report_with_their_scale():
    z = noise(8, 3, dtype=torch.float32).requires_grad_()
    losses = {"task": z.square().mean(), "other": z.exp().mean()}
    plain = grad_cosine(losses, z, main="task")
    scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    scaled = {name: scaler.scale(loss) for name, loss in losses.items()}
    for scale in (scaler, 4096, torch.tensor(4096.0)):
        report = grad_cosine(scaled, z, main="task", scale=scale)
        torch.testing.assert_close(report.sample_gram, plain.sample_gram, rtol=1e-12, atol=0)
    torch.testing.assert_close(grad_cosine(scaled, z, main="task").cosine, plain.cosine)


def test_batch_normalisation_behind_the_point_is_flagged_and_before_it_is_not():
    torch.manual_seed(0)
    norm, head = nn.BatchNorm1d(4), nn.Linear(4, 2)
    x = noise(10, 4, dtype=torch.float32).requires_grad_()
    z = norm(x)
    losses = {"a": head(z).square().mean(), "b": z.exp().mean()}
    assert grad_cosine(losses, z, main="a").warnings == ()
    assert "Batch normalisation" in grad_cosine(losses, x, main="a").warnings[0]
    assert grad_cosine(losses, x, main="a", per_sample=False).warnings == ()
    assert "couple the samples" in grad_cosine(losses, z, main="a", coupled=True).warnings[0]
    y = noise(10, 4, seed=1, dtype=torch.float32).requires_grad_()
    beside = {"a": (z + y).square().mean(), "b": y.exp().mean()}
    assert grad_cosine(beside, y, main="a").warnings == ()  # on a way from y there is none
    norm.eval()
    z = norm(x)
    assert grad_cosine({"a": z.sum(), "b": z.exp().sum()}, x, main="a").warnings == ()


def test_the_mean_of_cosines_is_another_number():
    """One row of length 3 at an angle of 0, three of length 1 at 120 degrees."""
    z = torch.tensor([[3.0, 0], [1, 0], [1, 0], [1, 0]], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([[3.0, 0]] + [[-0.5, 0.75**0.5]] * 3, dtype=torch.float64)
    report = grad_cosine({"a": z.square().sum() / 2, "b": (w * z).sum()}, z, main="a")
    assert float(report.cosine) == pytest.approx((9 - 1.5) / 12)
    assert float(report.sample_cosine.mean()) == pytest.approx((1 - 1.5) / 4)
    assert float(report.conflict_rate) == 0.75


def test_sparse_gradients_count_like_dense_ones():
    torch.manual_seed(0)
    table, ids = nn.Embedding(9, 3, sparse=True), torch.tensor([1, 4, 4, 7])
    found = []
    for sparse in (True, False):
        table.sparse = sparse
        z = table(ids)
        losses = {"a": z.square().sum(), "b": z.exp().sum()}
        found.append(grad_cosine(losses, table.parameters(), main="a").gram)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("entries", [1, 3, 10**6])
def test_blocks_of_gradients_make_no_difference(entries, monkeypatch):
    encoder, z, losses = network()
    weights = list(encoder.parameters())
    reports = [grad_cosine(losses, at, main="task") for at in (z, weights)]
    monkeypatch.setattr("pnpfuse_analysis.gradients.conflict._BLOCK_BYTES", {"cpu": 16 * entries})
    for at, report in zip((z, weights), reports, strict=True):
        torch.testing.assert_close(grad_cosine(losses, at, main="task").gram, report.gram)


def test_gradients_that_are_not_finite_are_undefined():
    z = noise(5, 3).requires_grad_()
    w = torch.ones(5, 3, dtype=z.dtype)
    w[1, 2] = math.inf
    w[2, 0] = math.nan
    report = grad_cosine({"a": z.square().sum(), "b": (w * z).sum()}, z, main="a")
    assert report.undefined.tolist() == [0.4]
    assert torch.isnan(report.sample_cosine[1:3]).all() and torch.isnan(report.cosine).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_a_gpu_numbers_are_those_of_the_cpu_and_nothing_waits():
    z = noise(64, 16, dtype=torch.float32)
    reports = []
    for device in ("cpu", "cuda"):
        there = z.to(device).requires_grad_()
        losses = {"a": there.square().mean(), "b": there.exp().mean()}
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("error")
        try:
            reports.append(grad_cosine(losses, there, main="a"))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert reports[1].gram.device.type == "cuda"
    torch.testing.assert_close(reports[1].sample_gram.cpu(), reports[0].sample_gram)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2047, 2**17, 2**17 + 3])
def test_long_gradients_have_the_same_inner_products(dtype, size):
    generator = torch.Generator().manual_seed(size)
    # Squares of 1e-30 do not exist in float32, but in the sums.
    rows = [1e-30 * torch.randn(size, generator=generator, dtype=dtype) for _ in range(3)]
    wide = torch.stack(rows).double()
    found = gramian([[row] for row in rows])
    torch.testing.assert_close(found, wide @ wide.T, rtol=1e-12, atol=1e-75)
    rows[1][-1] = torch.nan
    assert gramian([[row] for row in rows]).isnan().sum() == 5


@pytest.mark.parametrize("size", [1e160, 1e-170, 1e300, 1e-300])
@pytest.mark.parametrize("at", ["leaf", "layer"])
def test_sizes_whose_squares_do_not_fit_keep_their_angle(size, at):
    z, w = noise(6, 3).requires_grad_(), noise(3, 3, seed=1)
    x = z if at == "leaf" else z * 1
    u = x @ w
    losses = {"a": size * u.square().sum(), "b": -u.square().sum(), "c": u.exp().sum()}
    report = grad_cosine(losses, x, main="a")
    plain = grad_cosine(losses | {"a": u.square().sum()}, x, main="a")
    assert float(report.cosine[0]) == pytest.approx(-1, abs=1e-14)
    torch.testing.assert_close(report.cosine, plain.cosine, rtol=1e-13, atol=0)
    torch.testing.assert_close(report.sample_cosine, plain.sample_cosine, rtol=1e-12, atol=1e-14)
    assert report.conflict_rate[0] == 1 and report.undefined.tolist() == [0, 0]
    assert float(report.norms[0] / size) == pytest.approx(float(plain.norms[0]), rel=1e-13)
    scaled = grad_cosine(losses, x, main="a", scale=size)
    torch.testing.assert_close(scaled.cosine, plain.cosine, rtol=1e-13, atol=0)


@pytest.mark.parametrize("size", [1e160, 1e-170])
def test_where_squares_do_not_fit_a_cosine_is_undefined_not_wrong(size):
    z = noise(6, 3).requires_grad_()
    losses = {"a": size * z.square().sum(), "b": -z.square().sum()}
    report = grad_cosine(losses, z, main="a", accumulate=True)
    assert torch.isnan(report.cosine).all() and report.undefined.tolist() == [1]
    assert torch.isnan(report.conflict_rate).all()


@pytest.mark.parametrize("accumulate", [False, True])
def test_in_inference_mode_a_leaf_is_a_point(accumulate):
    z = noise(6, 3).requires_grad_()
    losses, _ = quadratics(z)
    expected = grad_cosine(losses, z, main="task")
    with torch.inference_mode():
        found = grad_cosine(losses, z, main="task", accumulate=accumulate)
    torch.testing.assert_close(found.sample_gram, expected.sample_gram)
    if accumulate:
        z.grad.add_(1)  # an ordinary tensor, as an optimiser needs it


@pytest.mark.parametrize("scale", [torch.tensor(0.0), torch.tensor(-1.0), torch.tensor(math.nan)])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be a positive number"):
        grad_cosine(PAIR, Z, main="task", scale=scale)


@pytest.mark.parametrize("name", ["per_sample", "accumulate", "retain_graph", "coupled"])
def test_flags_are_true_or_false(name):
    with pytest.raises(ValueError, match=f"{name} must be True or False, found 'no'"):
        grad_cosine(PAIR, Z, main="task", **{name: "no"})


def test_an_axis_is_looked_at_even_where_it_is_not_used():
    with pytest.raises(ValueError, match="batch_dim must be a whole number, found '0'"):
        grad_cosine(PAIR, Z, main="task", per_sample=False, batch_dim="0")


def test_long_gradients_may_be_negative_views():
    row = torch.complex(torch.zeros(2**17), torch.ones(2**17)).conj().imag
    assert row.is_neg()
    assert gramian([[row], [row]]).tolist() == [[2.0**17] * 2] * 2
