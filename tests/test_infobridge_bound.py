"""InfoBridge's held-out bounds beside loops, closed forms and trained critics."""

import math

import naive_infobridge as naive
import numpy as np
import pytest
import torch
from test_infobridge import batch, loop_scores, made

from pnpfuse.fusion.infobridge import InfoBridge, bridge
from pnpfuse.fusion.infobridge.bound import evidence, nce_bounds
from pnpfuse_analysis import nce_bound


def pairs_of(rho, rows, seed, means=0.0):
    """x and y (rows, 1) of correlation rho[T], apart by `means` in each T; T (rows,)."""
    random = torch.Generator().manual_seed(seed)
    T = torch.randint(0, len(rho), (rows,), generator=random)
    x, noise = torch.randn(2, rows, 1, generator=random)
    r = torch.tensor(rho)[T, None]
    place = means * (T[:, None] - (len(rho) - 1) / 2)
    return {"x": x + place, "y": r * x + (1 - r**2).sqrt() * noise - place}, T


def information(rho):
    return float(np.mean([-math.log(1 - r**2) / 2 for r in rho]))


def log_ratios(V, rho):
    """log p(x, y) / p(x) p(y) of all pairs of rows, (1, B, B)."""
    x, y = V["x"].double(), V["y"].double().T
    square = rho * (2 * x * y - rho * (x**2 + y**2)) / (1 - rho**2)
    return (square - math.log(1 - rho**2))[None] / 2


@pytest.mark.parametrize("objective", ["nce", "infonce"])
@pytest.mark.parametrize("masked", [False, True])
def test_bounds_are_those_of_loops(objective, masked, monkeypatch):
    one = made(objective=objective, margin=0.7)
    V, masks, T = batch(masked=masked)
    found = one.pair_bounds(V, masks, T, V, negatives=20)
    for (a, b), bounds in zip(one.critic.pairs, found.values(), strict=True):
        scores = np.array(loop_scores(one, V, T, a, b))
        names = list(V)
        both = torch.ones_like(T) if masks is None else masks[names[a]] & masks[names[b]]
        if objective == "nce":  # s - margin is the logit of h at N0/N1 = 5
            expected, tight = naive.nce_bound(scores - 0.7 + math.log(5), T, both, 20)
            assert bounds["tight_bound"].item() == pytest.approx(tight, rel=1e-9)
            assert bounds["ceiling"].item() == pytest.approx(math.log(20))
            gap = bounds["ceiling"] - bounds["printed_bound"]
            assert gap >= 2 * math.log(20)
        else:
            expected, ceiling = naive.infonce_bound(scores, T, both)
            assert bounds["ceiling"].item() == pytest.approx(ceiling, rel=1e-6)
        assert bounds["bound"].item() == pytest.approx(expected, rel=1e-9)
    mean = one.bound(V, masks, T, V, negatives=20)["bound"].item()
    assert mean == pytest.approx(np.mean([b["bound"].item() for b in found.values()]), rel=1e-12)
    monkeypatch.setattr(bridge, "SCORES", 7)  # an anchor at a time
    assert one.train().bound(V, masks, T, V, negatives=20)["bound"].item() == pytest.approx(mean)


@pytest.mark.parametrize(("ratio", "published"), [(5, 0.376), (64, 0.775)])
def test_the_right_critic_gives_the_published_values(ratio, published):
    V, T = pairs_of([0.9], 1500, 3)
    scores = log_ratios(V, 0.9)
    both = torch.ones(1, 1500, dtype=torch.bool)
    found = evidence(scores, torch.ones(1500, 1500, dtype=torch.bool), both, slice(None), ratio)
    bounds = nce_bounds(found, ratio)
    assert bounds["bound"].item() == pytest.approx(published, abs=0.04) and published < 0.830
    logits = scores[0] - math.log(ratio)
    plain = nce_bound(logits.diagonal(), logits, n0=ratio)  # no guard: the critic needs none
    assert bounds["bound"].item() == pytest.approx(plain.item(), abs=0.02)
    printed = nce_bound(logits.diagonal(), logits, n0=ratio, paper_margin=True)
    assert bounds["printed_bound"].item() == pytest.approx(printed.item(), rel=1e-9)


@pytest.mark.parametrize(("factor", "shift"), [(1, 0), (5, 0), (1, 4), (-1, 2), (0.3, -3), (0, 50)])
def test_no_critic_gives_more_than_there_is(factor, shift):
    values = []
    for seed in range(5):
        V, _ = pairs_of([0.8], 600, seed)
        same, both = torch.ones(600, 600, dtype=torch.bool), torch.ones(1, 600, dtype=torch.bool)
        ratios = factor * log_ratios(V, 0.8) + shift
        found = evidence(ratios, same, both, slice(None), 64)
        bounds = nce_bounds(found, 64)
        values.append([bounds["bound"].item(), bounds["tight_bound"].item()])
        assert bounds["bound"] <= bounds["tight_bound"] + 1e-9
    error = np.std(values, axis=0, ddof=1) / len(values) ** 0.5
    assert (np.mean(values, axis=0) <= information([0.8]) + 2 * error).all()
    # The same without its guard would be none.
    assert (math.log(64) + torch.nn.functional.logsigmoid(torch.tensor(50.0))) > 0.830


@pytest.mark.parametrize("rows", [2, 5, 20])
def test_not_of_a_few_rows_either(rows):
    # Two digits, the same in both modalities, and a critic that knows it: log K is there. Where
    # all rows differ, nothing that was drawn looks right, and - log E_neg h alone would be 50.
    kinds, values = 100, []
    random = torch.Generator().manual_seed(rows)
    for _ in range(200):
        z = torch.randint(0, kinds, (rows,), generator=random)
        ratios = torch.where(z == z[:, None], 50.0, -50.0).double()[None]
        same, both = torch.ones(rows, rows).bool(), torch.ones(1, rows).bool()
        bounds = nce_bounds(evidence(ratios, same, both, slice(None), 1024), 1024)
        values.append([bounds["bound"].item(), bounds["tight_bound"].item()])
    assert (np.mean(values, axis=0) < math.log(min(kinds, rows)) + 1e-9).all()


def test_where_nothing_can_be_compared_the_bound_is_zero():
    one, (V, _, T) = made(), batch()
    alone = {m: v[:3] for m, v in V.items()}
    found = one.bound(alone, None, torch.arange(3), alone)
    assert found["bound"] == found["tight_bound"] == 0 and found[
        "printed_bound"
    ].item() == pytest.approx(-2 * math.log(5))
    nobody = {m: torch.arange(12) % 3 == i for i, m in enumerate(V)}
    assert one.bound(V, nobody, T, V)["bound"] == 0


def trained(V, T, classes, epochs=10, **options):
    """A critic of its own, trained as `fit` trains by default."""
    torch.manual_seed(0)
    one = InfoBridge({"x": 1, "y": 1}, {"x": 1, "y": 1}, classes, **options).train()
    descent = torch.optim.AdamW(one.parameters(), lr=1e-3)
    steps = epochs * -(-len(T) // 128)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(T)).split(128):
            part = {m: v[rows] for m, v in V.items()}
            descent.zero_grad()
            one(part, None, T[rows], part)["nce"].backward()
            descent.step()
            schedule.step()
    return one.eval()


def held_bound(one, rho, means, negatives=64, name="bound"):
    """Mean and standard error of the bound over five sets of held-out rows."""
    values = []
    for seed in range(5):
        V, T = pairs_of(rho, 800, 100 + seed, means)
        values.append(one.bound(V, None, T, V, negatives=negatives)[name].item())
    return np.mean(values), np.std(values, ddof=1) / 5**0.5


@pytest.mark.parametrize("objective", ["nce", "infonce"])
def test_a_trained_critic_finds_what_is_shared_within_the_contexts(objective):
    rho = [0.5, 0.8, 0.95]
    V, T = pairs_of(rho, 3000, 0, means=3.0)
    one, truth = trained(V, T, 3, objective=objective), information(rho)
    found, error = held_bound(one, rho, 3.0)
    assert 0.8 * truth < found <= truth + 2 * error
    if objective == "nce":  # N0 = 5 is enough for the tight one
        found, error = held_bound(one, rho, 3.0, 5, "tight_bound")
        assert 0.8 * truth < found <= truth + 2 * error


def test_what_the_context_explains_is_not_counted():
    V, T = pairs_of([0.0, 0.0, 0.0], 2000, 0, means=3.0)
    given, error = held_bound(trained(V, T, 3, epochs=6), [0.0] * 3, 3.0)
    assert abs(given) < 0.02 and given <= 2 * error
    whole, _ = held_bound(trained(V, T, 3, epochs=6, condition="none"), [0.0] * 3, 3.0)
    assert whole > 0.3  # they tell the same class, log 3 = 1.10 at most
