import math

import naive_bounds as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from pnpfuse_analysis.information.bounds import (
    drawn_log_mean,
    dv,
    infonce,
    jensen_shannon,
    nce_bound,
    nwj,
    smile,
)


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def truth(rho):
    return -math.log(1 - rho**2) / 2


def pairs(rho, *shape, seed=0):
    z = noise(2, *shape, seed=seed)
    return z[0], rho * z[0] + math.sqrt(1 - rho**2) * z[1]


def log_ratio(x, y, rho):
    """log p(x, y) / (p(x) p(y)) of a Gaussian pair: the right critic in closed form."""
    square = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))
    return truth(rho) - square


@pytest.mark.parametrize(
    ("ratio", "expected", "printed"), [(64, 0.775, -7.54), (5, 0.376, -2.84), (1e6, 0.830, -26.8)]
)
def test_nce_bound_has_the_margin_that_follows_from_its_derivation(ratio, expected, printed):
    x, y = pairs(0.9, 400_000)
    pos = log_ratio(x, y, 0.9) - math.log(ratio)
    neg = log_ratio(x, y.roll(1), 0.9) - math.log(ratio)
    found = nce_bound(pos, neg, n0=ratio)
    assert found.shape == ()
    assert float(found) == pytest.approx(expected, abs=0.006)
    assert float(found) < truth(0.9) + 0.006
    assert float(nce_bound(pos, neg, n0=3 * ratio, n1=3)) == pytest.approx(float(found))
    paper = nce_bound(pos, neg, n0=ratio, paper_margin=True)
    assert float(paper) == pytest.approx(printed, abs=0.04)
    assert float(found - paper) == pytest.approx(2 * math.log(ratio))
    # The sign that a critic is not over-confident.
    assert ratio * float(neg.sigmoid().mean()) < 1.05


def test_nce_bound_rises_along_the_objective():
    # Cross-entropy with weight N0/N1 on drawn pairs, from torch, has the same gradient.
    pos, neg = noise(30).requires_grad_(), noise(50, 2, seed=1).requires_grad_()
    nce_bound(pos, neg, n0=8, n1=2).backward()
    same = [part.detach().clone().requires_grad_() for part in (pos, neg)]
    loss = binary_cross_entropy_with_logits(same[0], torch.ones(30, dtype=torch.float64))
    none = torch.zeros(50, 2, dtype=torch.float64)
    (loss + 4 * binary_cross_entropy_with_logits(same[1], none)).backward()
    for one, other in zip((pos, neg), same, strict=True):
        torch.testing.assert_close(one.grad, -other.grad)


def test_ascent_of_the_nce_bound_finds_the_right_critic():
    x, y = pairs(0.9, 20_000)
    f, g = log_ratio(x, y, 0.9), log_ratio(x, y.roll(1), 0.9)
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([shift], lr=0.2)
    for _ in range(120):
        optimiser.zero_grad()
        (-nce_bound(f + shift, g + shift, n0=16)).backward()
        optimiser.step()
    assert float(shift.detach()) == pytest.approx(-math.log(16), abs=0.1)


def test_nce_bound_is_stable_and_takes_any_floats():
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    found = nce_bound(far, far.detach(), n0=7)
    assert found.item() == pytest.approx(math.log(7) - 5e3)
    found.backward()
    torch.testing.assert_close(far.grad, torch.tensor([0.5, 0.0]))
    values = noise(40)
    expected = math.log(3) + float(logsigmoid(values).mean())
    for given_as in (values.numpy()[::-1], values.view(5, 8), values.float()):
        assert float(nce_bound(given_as, values, n0=3)) == pytest.approx(expected, abs=1e-6)
    assert float(nce_bound(values.half(), values.half(), n0=3)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos_logits": torch.zeros(0)}, r"pos_logits must hold at least one logit, .* \(0,\)"),
        ({"neg_logits": torch.zeros(0)}, "neg_logits must hold at least one logit"),
        ({"neg_logits": torch.zeros(3, dtype=torch.int64)}, "neg_logits must be floating point"),
        ({"pos_logits": [0.0]}, "pos_logits must be a torch tensor or a NumPy array"),
        ({"n0": 0}, "n0 must be a positive number, found 0"),
        ({"n1": -1.0}, "n1 must be a positive number"),
        ({"n0": math.inf}, "n0 must be a positive number"),
        ({"n0": math.nan}, "n0 must be a positive number"),
        ({"n0": "4"}, "n0 must be a positive number, found '4'"),
        ({"n0": True}, "n0 must be a positive number"),
    ],
)
def test_nce_bound_refuses(change, message):
    options = {"pos_logits": torch.zeros(3), "neg_logits": torch.zeros(3), "n0": 4} | change
    with pytest.raises(ValueError, match=message):
        nce_bound(**options)


BOUNDS = {"infonce": infonce, "nwj": nwj, "dv": dv, "smile": smile}


@pytest.mark.parametrize("size", [2, 3, 8])
def test_bounds_agree_with_their_definitions(size):
    scores = 4 * noise(size, size)
    plain = scores.numpy()
    expected = {
        infonce: naive.infonce(plain),
        nwj: naive.nwj(plain),
        dv: naive.dv(plain),
        jensen_shannon: naive.jensen_shannon(plain),
    }
    for bound, value in expected.items():
        contributions = bound(scores)
        assert contributions.shape == (size,)
        assert float(contributions.mean()) == pytest.approx(value, rel=1e-12)
    for clip in (0.5, 5.0):
        assert float(smile(scores, clip).mean()) == pytest.approx(naive.smile(plain, clip))
    assert float(drawn_log_mean(scores)) == pytest.approx(math.log(naive.others(plain, np.exp)))


@pytest.mark.parametrize("bound", [*BOUNDS.values(), jensen_shannon])
def test_bounds_work_on_stacks_and_have_gradients(bound):
    stack = noise(3, 2, 6, 6).requires_grad_()
    found = bound(stack)
    for i in range(3):
        for j in range(2):
            torch.testing.assert_close(found[i, j], bound(stack[i, j]))
    torch.autograd.gradcheck(lambda s: bound(s).mean(-1), (0.3 * noise(2, 4, 4).requires_grad_(),))
    assert float(bound(torch.zeros(5, 5)).abs().max()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("bound", ["infonce", "nwj", "dv"])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_right_critic_comes_near_the_truth_from_below(bound, rho):
    x, y = pairs(rho, 20, 256)
    scores = log_ratio(x[:, :, None], y[:, None, :], rho)
    each = BOUNDS[bound](scores).mean(-1)  # (20,)
    error = float(each.std()) / math.sqrt(20)
    assert float(each.mean()) < truth(rho) + 4 * error + 1e-12
    assert float(each.mean()) == pytest.approx(truth(rho), abs=0.03 + 4 * error)


@pytest.mark.parametrize("bound", list(BOUNDS))
def test_contributions_know_the_standard_error(bound):
    x, y = pairs(0.8, 600, 40)
    found = BOUNDS[bound](log_ratio(x[:, :, None], y[:, None, :], 0.8))
    spread = float(found.mean(-1).std())
    claimed = float((found.var(-1) / 40).mean().sqrt())
    # 600 repeats know a spread to 3 %; what the bias of infonce owes to shared partners is left.
    assert claimed == pytest.approx(spread, rel=0.2)


def test_pooled_means_stand_for_those_of_a_block():
    stack = noise(4, 6, 6)
    pooled = drawn_log_mean(stack).logsumexp(0) - math.log(4)
    value = stack.diagonal(dim1=-2, dim2=-1).mean() - pooled
    # Each block's part in the pooled mean enters to first order around it.
    shift = (drawn_log_mean(stack) - pooled).exp().mean() - 1
    assert float(dv(stack, pooled).mean()) == pytest.approx(float(value - 2 * shift), abs=1e-12)
    assert float(shift) == pytest.approx(0, abs=1e-12)


@settings(max_examples=40)
@given(st.integers(2, 9), st.floats(0.1, 100), st.floats(-5, 5), st.integers(0, 99))
def test_ceilings_and_shifts(size, spread, shift, seed):
    scores = spread * noise(size, size, seed=seed)
    assert float(infonce(scores).max()) <= math.log(size) + 1e-12
    moved = scores + shift * spread
    for bound in (infonce, dv):
        torch.testing.assert_close(bound(moved).mean(), bound(scores).mean(), rtol=1e-9, atol=1e-8)
    # Of all shifts of a critic none makes nwj exceed dv: log m <= m - 1.
    nearer = scores - drawn_log_mean(scores)
    assert float(nwj(nearer).mean()) == pytest.approx(float(dv(scores).mean()), rel=1e-9, abs=1e-8)
    assert float(nwj(moved).mean()) <= float(dv(scores).mean()) + 1e-6
