"""Presence masks: absent rows are zeros, leak nothing and drop their preservation terms."""

import naive_fusion as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse.fusion import PMR
from pnpfuse.fusion.presence import check_features, resolve_present

DIMS = {"text": 6, "audio": 4, "video": 9}
PRESENT = {
    "text": torch.tensor([True, True, False, True]),
    "audio": torch.tensor([True, False, True, True]),
    "video": torch.tensor([True, False, True, False]),
}


def features_for(seed=0, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    return {m: torch.randn(4, d, generator=random, dtype=dtype) for m, d in DIMS.items()}


def block_for(**options):
    torch.manual_seed(0)
    return PMR(DIMS, **options).double()


@pytest.mark.parametrize("metric", ["mse", "cosine"])
def test_terms_of_absent_modalities_and_their_receivers_are_dropped(metric):
    block, V = block_for(metric=metric), features_for()
    out = block(V, PRESENT)
    zeroed = {m: (v * PRESENT[m][:, None]).numpy() for m, v in V.items()}
    fused, recon = naive.pmr(naive.weights_of(block), zeroed, dict.fromkeys(DIMS, 0.5), 4)
    expected = naive.preservation(zeroed, recon, PRESENT, metric)
    assert out.losses["preservation"].item() == pytest.approx(expected, rel=1e-10)
    for m in DIMS:
        np.testing.assert_allclose(out.fused[m].detach(), fused[m], atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.booleans()] * 3).filter(any), min_size=4, max_size=4),
    metric=st.sampled_from(["mse", "cosine"]),
    gradient=st.sampled_from(["full", "detach_target", "block_only"]),
    boundary=st.sampled_from(["hard", "soft", "learned"]),
)
def test_what_an_absent_row_holds_never_matters(rows, metric, gradient, boundary):
    masks = dict(zip(DIMS, torch.tensor(rows).T, strict=True))
    options = {"metric": metric, "gradient": gradient, "boundary": boundary}
    block, V = block_for(**options), features_for()
    spoilt = {
        m: torch.where(masks[m][:, None], v, torch.nan).requires_grad_() for m, v in V.items()
    }
    clean, dirty = block(V, masks), block(spoilt, masks)
    assert torch.equal(clean.losses["preservation"], dirty.losses["preservation"])
    assert clean.losses["preservation"].isfinite()
    total = dirty.losses["preservation"] + sum(Z.square().sum() for Z in dirty.fused.values())
    total.backward()
    for m in DIMS:
        assert torch.equal(clean.fused[m], dirty.fused[m])
        assert spoilt[m].grad.isfinite().all()
        assert (spoilt[m].grad[~masks[m]] == 0).all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in block.parameters())


def test_all_present_equals_no_mask():
    block, V = block_for(metric="cosine"), features_for()
    out, same = block(V), block(V, {m: torch.ones(4, dtype=torch.bool) for m in DIMS})
    torch.testing.assert_close(out.losses, same.losses)
    assert torch.equal(out.fused["text"], same.fused["text"])


def test_a_modality_may_be_left_out_when_its_mask_says_so():
    block, V = block_for(), features_for()
    absent = {"audio": torch.zeros(4, dtype=torch.bool)}
    out = block({m: v for m, v in V.items() if m != "audio"}, absent)
    same = block(V, absent)
    for m in DIMS:
        assert torch.equal(out.fused[m], same.fused[m])
    # audio's own term and that of text, which receives audio's shared part, are gone.
    only_video = (V["video"] - same.reconstruction["video"]).square().mean()
    torch.testing.assert_close(out.losses["preservation"], only_video)


def test_no_term_left_gives_zero_not_nan():
    present = {m: torch.full((4,), m == "text") for m in DIMS}
    block = block_for(metric="cosine")
    loss = block({"text": features_for()["text"]}, present).losses["preservation"]
    assert loss.item() == 0.0
    loss.backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in block.parameters())


def test_masks_are_completed_in_the_order_of_the_dims():
    V = features_for()
    resolved, masks = resolve_present(dict(reversed(V.items())), {"video": PRESENT["video"]}, DIMS)
    assert list(resolved) == list(masks) == list(DIMS)
    assert masks["text"].all() and torch.equal(masks["video"], PRESENT["video"])
    assert resolve_present(V, None, DIMS)[1] is None


def test_all_absent_sample_is_refused_with_its_row():
    masks = {m: torch.tensor([True, True, False, True]) for m in DIMS}
    with pytest.raises(ValueError, match=r"no modality for 1 samples \(rows \[2\]\)"):
        block_for()(features_for(), masks)


def changed(**entries):
    return features_for() | entries


@pytest.mark.parametrize(
    ("features", "present", "message"),
    [
        (list(features_for().values()), None, "features must be a mapping"),
        ({}, None, "features lacks text, audio, video"),
        ({m: features_for()[m] for m in ("text", "audio")}, None, "features lacks video"),
        ({m: features_for()[m] for m in ("text", "audio")}, PRESENT, "True for 2 samples"),
        (changed(smell=torch.zeros(4, 3)), None, "unknown modality smell"),
        (changed(audio=torch.zeros(4, 4, dtype=torch.int64)), None, "floating-point"),
        (changed(audio=[[0.0] * 4] * 4), None, "floating-point"),
        (changed(audio=torch.zeros(4, 4)), None, "float32.*float64"),
        (changed(audio=torch.zeros(4).double()), None, r"shape \(batch, 4\); found \(4,\)"),
        (changed(audio=torch.zeros(4, 5).double()), None, r"found \(4, 5\)"),
        (changed(audio=torch.zeros(3, 4).double()), None, "has 3 samples"),
        (changed(audio=torch.full((4, 4), torch.nan).double()), None, r"features\['audio'\]"),
        (changed(audio=torch.full((4, 4), torch.inf).double()), PRESENT, "infinite values in 3"),
        (changed(audio=torch.zeros(4, 4, device="meta").double()), None, "one device"),
        ({m: v[:0] for m, v in features_for().items()}, None, "empty batch"),
        (features_for(), [True] * 4, "present must be a mapping"),
        (features_for(), {"smell": PRESENT["text"]}, "unknown modality smell"),
        (features_for(), PRESENT | {"text": torch.ones(4)}, "torch.bool"),
        (features_for(), PRESENT | {"text": [True] * 4}, "torch.bool"),
        (features_for(), PRESENT | {"text": torch.ones(3, dtype=torch.bool)}, r"shape \(4,\)"),
        (
            features_for(),
            PRESENT | {"text": torch.ones(4, dtype=torch.bool, device="meta")},
            "one device",
        ),
    ],
)
def test_bad_input_is_named(features, present, message):
    with pytest.raises(ValueError, match=message):
        block_for()(features, present)


def test_shape_check_reads_no_values():
    poisoned = {m: torch.full((4, d), torch.nan) for m, d in DIMS.items()}
    assert check_features(poisoned, DIMS) is poisoned["text"]


def test_search_for_values_can_be_left_out():
    block = block_for()
    block.check_values = False
    V = changed(audio=torch.full((4, 4), torch.nan).double())
    assert block(V).losses["preservation"].isnan()
