"""InfoBridge's critic, losses, draws, memory and contexts, against loops and closed forms."""

import math
from collections import deque

import naive_infobridge as naive
import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch.nn.functional import cross_entropy

from pnpfuse.fusion import create_model
from pnpfuse.fusion.infobridge import InfoBridge, bridge, critic
from pnpfuse.fusion.infobridge.memory import Memory
from pnpfuse.fusion.infobridge.negatives import draw_negatives

DIMS = {"a": 4, "b": 6, "c": 1}
CLASSES = 3


def made(seed=0, dims=DIMS, shaken=True, **options):
    """A bridge in float64, its weights and moments as if trained."""
    torch.manual_seed(seed)
    options = {"width": 5, "memory": 16} | options
    one = InfoBridge(dims, dims, CLASSES, **options).double()
    if shaken:
        for weight in one.parameters():
            weight.data.add_(0.2 * torch.randn_like(weight))
        one.scale.mean.normal_()
        for m, width in enumerate(dims.values()):  # the rest is padding, which stays 0
            one.scale.mean[m, :, width:] = 0
        one.scale.variance.uniform_(0.5, 2)
        one.scale.rows.fill_(9)
    return one.eval()


def batch(rows=12, seed=1, dims=DIMS, masked=False):
    random = torch.Generator().manual_seed(seed)
    V = {m: torch.randn(rows, d, generator=random, dtype=torch.float64) for m, d in dims.items()}
    T = torch.arange(rows) % CLASSES
    T[-1] = CLASSES - 1
    if not masked:
        return V, None, T
    masks = {m: torch.rand(rows, generator=random) < 0.7 for m in dims}
    return {m: torch.where(masks[m][:, None], v, 0.0) for m, v in V.items()}, masks, T


def loop_scores(one, V, T, a, b):
    """Scores of all rows of a with all of b, in the context of the former."""
    names, rows = list(V), range(len(T))
    first, second = (V[names[m]].detach().numpy() for m in (a, b))
    separable = isinstance(one.critic, critic.SeparableCritic)
    score = naive.separable if separable else naive.concatenated
    contexts = T.tolist()
    return [
        [score(one, a, b, first[i], second[j], contexts[i], critic.FAST) for j in rows]
        for i in rows
    ]


def had(masks, V, T):
    everyone = torch.ones_like(T, dtype=torch.bool)
    return [everyone if masks is None else masks[m] for m in V]


@pytest.mark.parametrize("kind", ["separable", "concat"])
@pytest.mark.parametrize("masked", [False, True])
def test_losses_in_evaluation_are_those_of_loops(kind, masked):
    one = made(critic=kind)
    V, masks, T = batch(masked=masked)
    nce, infonce = [], []
    for a, b in one.critic.pairs:
        scores, here = loop_scores(one, V, T, a, b), had(masks, V, T)
        nce.append(naive.nce(scores, T, here[a], here[b], 5, math.log(5)))
        infonce.append(naive.infonce(scores, T, here[a] & here[b]))
    assert one(V, masks, T, V)["nce"].item() == pytest.approx(np.mean(nce), rel=1e-9)
    one.objective = "infonce"
    assert one(V, masks, T, V)["nce"].item() == pytest.approx(np.mean(infonce), rel=1e-9)


def test_infonce_without_condition_is_the_textbook_one():
    one = made(condition="none", objective="infonce", dims={"a": 4, "b": 6})
    V, _, T = batch(dims=one.dims)
    scores = torch.tensor(loop_scores(one, V, T * 0, 0, 1))
    expected = cross_entropy(scores, torch.arange(len(T)))
    assert one(V, None, T, V)["nce"].item() == pytest.approx(expected.item(), rel=1e-6)
    one.train()
    one.scale.update = lambda *_: None
    assert one(V, None, None, V)["nce"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_training_draws_around_the_loss_of_all_pairs():
    one = made(memory=0, shaken=False, dims={"a": 4, "b": 6}).train()
    V, _, T = batch(dims=one.dims)
    with torch.no_grad():
        one(V, None, T, V)  # from here on the moments stay: it is the same batch
        drawn = torch.stack([one(V, None, T, V)["nce"] for _ in range(200)])
        whole = one.eval()(V, None, T, V)["nce"]
    assert one.fallback_share == 0
    assert abs(drawn.mean() - whole) < 4 * drawn.std() / 200**0.5


def test_negatives_have_the_same_context_and_are_uniform():
    torch.manual_seed(0)
    T = torch.tensor([0, 1, 0, 2, 0, 1, 0, 0, 1])
    present = torch.ones(2, 9, dtype=torch.bool)
    present[1, [1, 4]] = False
    draw = draw_negatives(T, present, 4, 6000)
    for k in range(2):
        for i in range(3):
            others = [j for j in range(9) if j != i and T[j] == T[i] and present[k, j]]
            found = torch.bincount(draw.rows[k, i], minlength=9)
            assert found.nonzero().flatten().tolist() == others
            assert chisquare(found[others].numpy()).pvalue > 1e-4
        # A class with one sample takes any other row, and says so.
        others = [j for j in range(9) if j != 3 and present[k, j]]
        found = torch.bincount(draw.rows[k, 3], minlength=9)
        assert found.nonzero().flatten().tolist() == others
        assert chisquare(found[others].numpy()).pvalue > 1e-4
    assert draw.alone.tolist() == [[False, False, False, True]] * 2
    assert draw.possible.all()
    only = torch.tensor([[False, True, False]])
    lonely = draw_negatives(T[:3], only, 3, 5)  # nobody else has it
    assert lonely.possible.tolist() == [[True, False, True]]
    assert (lonely.rows[0, [0, 2]] == 1).all()


def test_memory_is_first_in_first_out():
    memory, kept = Memory(2, 3, 7), deque(maxlen=7)
    for start, rows in enumerate((3, 3, 5, 1, 9, 7, 2)):
        z = torch.randn(2, rows, 3)
        present, T = torch.rand(2, rows) < 0.5, torch.arange(rows) + start
        memory.push(z, present, T)
        kept.extend((z[:, i], present[:, i], int(T[i])) for i in range(rows))
        oldest = int(memory.cursor) if len(kept) == 7 else 0
        for i, (row, here, context) in enumerate(kept):
            at = (oldest + i) % 7
            assert torch.equal(memory.features[:, at], row)
            assert torch.equal(memory.present[:, at], here)
            assert memory.contexts[at] == context


def test_memory_serves_negatives_where_the_batch_has_none():
    one = made(memory=8).train()
    V, masks, T = batch(rows=3)
    T = torch.arange(3)
    one(V, masks, T, V)
    assert one.fallback_share == 1  # each alone in its class
    one(V, masks, T, V)
    assert one.fallback_share == 0.5  # their copies are in the memory
    alone = made().train()
    row = {m: v[:1].requires_grad_() for m, v in V.items()}
    loss = alone(row, None, T[:1], row)["nce"]
    loss.backward()
    assert loss == 0 and all((v.grad == 0).all() for v in row.values())


def test_evaluation_touches_nothing():
    one = made()
    V, masks, T = batch(masked=True)
    before = {k: v.clone() for k, v in one.state_dict().items()}
    state = torch.get_rng_state()
    first = one(V, masks, T, V)["nce"]
    one.bound(V, masks, T, V)
    assert one(V, masks, T, V)["nce"] == first
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in one.state_dict().items())


def test_large_batches_are_compared_in_parts(monkeypatch):
    one, (V, _, T) = made(), batch()
    halves = [one({m: v[s] for m, v in V.items()}, None, T[s], V)["nce"] for s in HALVES]
    monkeypatch.setattr(bridge, "ROWS", 6)
    assert one(V, None, T, V)["nce"].item() == pytest.approx(sum(halves).item() / 2, rel=1e-12)


HALVES = slice(6), slice(6, 12)


@pytest.mark.parametrize("condition", ["label", "cluster", "similarity", "none"])
def test_the_context_has_no_part_in_the_logits(condition):
    torch.manual_seed(0)
    model = create_model("infobridge", DIMS, CLASSES, condition=condition)
    X = {m: x.float() for m, x in batch()[0].items()}
    model.set_reference(X)
    T = batch()[2]
    for mode in (model.train(), model.eval()):
        with torch.random.fork_rng():
            one = mode(X, labels=T)
        two = model.eval()(X, labels=(T + 1) % CLASSES)
        used = torch.autograd.grad(
            one.logits.sum(), list(model.bridge.parameters()), allow_unused=True
        )
        assert all(g is None for g in used) and two.logits.shape == one.logits.shape
    assert torch.equal(one.logits, two.logits) and torch.equal(one.logits, model(X).logits)
    assert "nce" in one.losses and "nce" not in model(X).losses
    assert ("nce" in model.train()(X).losses) == (condition != "label")


def test_critic_and_encoders_take_turns():
    one = made(updates="alternating", shaken=False).train()
    plain = made(shaken=False).train()
    V, _, T = batch()
    V = {m: v.requires_grad_() for m, v in V.items()}
    for step in range(4):
        torch.manual_seed(step)
        expected = plain(V, None, T, V)["nce"]
        torch.manual_seed(step)
        loss = one(V, None, T, V)["nce"]
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        for v in V.values():
            v.grad = None
        one.zero_grad()
        loss.backward()
        for grad in [v.grad for v in V.values()]:
            assert bool((grad != 0).any()) == (step % 2 == 1)
        grads = [p.grad for p in one.parameters()]
        assert all(g is not None for g in grads)
        assert any((g != 0).any() for g in grads) == (step % 2 == 0)


def test_a_free_offset_takes_the_margin_in():
    with_margin, without = made(margin=None), made(margin=0.0)
    V, masks, T = batch()
    assert with_margin(V, masks, T, V) != without(V, masks, T, V)
    without.critic.offset.data.sub_(math.log(5) / critic.FAST)
    here, there = with_margin(V, masks, T, V)["nce"], without(V, masks, T, V)["nce"]
    assert here.item() == pytest.approx(there.item(), rel=1e-12)
    here.backward(), there.backward()
    for p, q in zip(with_margin.parameters(), without.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    found, same = with_margin.bound(V, masks, T, V), without.bound(V, masks, T, V)
    assert all(found[k].item() == pytest.approx(same[k].item(), rel=1e-9) for k in found)


def test_the_size_of_the_features_is_of_no_account():
    V, _, T = batch(rows=40)
    far = {m: 1e3 * v + 500 for m, v in V.items()}
    small, large = (made(shaken=False, memory=0) for _ in range(2))
    for step in range(3):
        for one, rows in ((small, V), (large, far)):
            torch.manual_seed(step)
            one.train()(rows, None, T, rows)
    a, b = small.eval()(V, None, T, V)["nce"], large.eval()(far, None, T, far)["nce"]
    assert a.item() == pytest.approx(b.item(), rel=1e-6)


def test_moments_of_each_context():
    one = made(shaken=False, dims={"a": 3, "b": 2})
    V, masks, T = batch(rows=30, dims={"a": 3, "b": 2}, masked=True)
    one.train()(V, masks, T, V)
    a, here = V["a"], masks["a"]
    for k in range(CLASSES):
        torch.testing.assert_close(one.scale.mean[0, k], a[here & (T == k)].mean(0))
    within = sum((a[here & (T == k)] - one.scale.mean[0, k]).square().sum(0) for k in range(3))
    torch.testing.assert_close(one.scale.variance[0], within / (here.sum() - 3))


def test_clusters_of_the_training_rows():
    random = torch.Generator().manual_seed(0)
    which = torch.arange(90) % 3
    X = {m: torch.randn(90, d, generator=random) + 9.0 * which[:, None] for m, d in DIMS.items()}
    one = InfoBridge(DIMS, DIMS, CLASSES, condition="cluster", clusters=3)
    assert (one.context(X, None, None, None) == 0).all()  # not known yet: one context
    one.set_reference({m: 100 * x for m, x in X.items()}, None)
    X = {m: 100 * x for m, x in X.items()}
    T = one.context(X, None, None, None)
    assert len({(int(a), int(b)) for a, b in zip(which, T, strict=True)}) == 3
    absent = {m: torch.arange(90) % 2 == i % 2 for i, m in enumerate(DIMS)}
    absent["a"] = ~absent["b"]
    gone = {m: torch.where(absent[m][:, None], x, 0.0) for m, x in X.items()}
    assert torch.equal(one.context(gone, absent, None, None), T)
    one.set_reference({m: x[:2] for m, x in X.items()}, None)  # fewer rows than clusters
    assert set(one.context(X, None, None, None).tolist()) <= {0, 1}


def test_levels_of_similarity_are_quantiles():
    one = made(condition="similarity", memory=0, shaken=False).train()
    V, _, _ = batch(rows=300)
    one(V, None, None, V)
    T = one.context(V, None, None, one._similarity(one._rows(V, None)[0], torch.ones(3, 300) > 0))
    # The moments have moved between the cut and this look at it.
    assert T.bincount(minlength=3).min() > 60
    scores, known = torch.arange(9.0), torch.arange(9) < 6
    one.context.batches.zero_()
    one.context.follow(scores, known)
    assert one.context.cuts.tolist() == [2.0, 4.0]


def test_bad_arguments_say_what_would_do():
    for name, value in (
        ("condition", "class"),
        ("objective", "none"),
        ("updates", "both"),
        ("critic", "mlp"),
        ("negatives", 0),
        ("memory", -1),
        ("clusters", 0),
        ("levels", 0),
        ("margin", math.inf),
    ):
        with pytest.raises(ValueError, match=f"{name} must be"):
            InfoBridge(DIMS, DIMS, CLASSES, **{name: value})
    with pytest.raises(ValueError, match="at least 2 are needed"):
        InfoBridge({"a": 3}, {"a": 3}, CLASSES)
    V, _, T = batch()
    with pytest.raises(ValueError, match="labels are needed"):
        made().bound(V, None, None, V)
    for options, said in (
        ({"objective": "NCE"}, "objective must be .*'none'"),  # which a model may have
        ({"base": "scope", "base_options": {"block_width": 30}}, "^block_width must be a multiple"),
    ):
        with pytest.raises(ValueError, match=said):
            create_model("infobridge", DIMS, CLASSES, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("condition", ["label", "cluster", "similarity", "none"])
def test_a_step_does_not_wait_for_the_gpu(condition):
    one = made(condition=condition, updates="alternating").cuda().train()
    V, masks, T = batch(masked=True)
    V, masks = ({m: x.cuda() for m, x in given.items()} for given in (V, masks))
    T = T.cuda()
    one(V, masks, T, V)["nce"].backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        one(V, masks, T, V)["nce"].backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
