"""InfoNCE and triplet against loops and closed forms; whose parts the head aligns."""

import math

import naive_fusion as naive
import numpy as np
import pytest
import torch

from pnpfuse.fusion import CMMP, GMF, PMR, create_model
from pnpfuse.fusion.contrastive import Alignment, ContrastiveHead

DIMS = {"a": 6, "b": 4, "c": 9}


def features_for(dims=DIMS, batch=8, seed=0):
    random = torch.Generator().manual_seed(seed)
    return {
        m: torch.randn(batch, d, generator=random, dtype=torch.float64) for m, d in dims.items()
    }


def presence_for(batch=8):
    masks = {m: torch.arange(batch) % (i + 3) != i for i, m in enumerate(DIMS)}
    assert not all(mask.all() for mask in masks.values())
    return masks


def arrays(tensors):
    return {m: x.detach().numpy() for m, x in tensors.items()}


@pytest.mark.parametrize("masked", [False, True])
def test_losses_are_those_of_loops(masked):
    torch.manual_seed(0)
    parts = features_for(dict.fromkeys(DIMS, 5))
    present = presence_for() if masked else dict.fromkeys(DIMS, torch.ones(8, dtype=torch.bool))
    masks = list(present.values()) if masked else None
    nce = Alignment().double()(list(parts.values()), masks)
    assert nce.item() == pytest.approx(naive.info_nce(arrays(parts), present, 1 / 0.07), rel=1e-6)
    margin = Alignment("triplet", margin=0.3)(list(parts.values()), masks)
    assert margin.item() == pytest.approx(naive.triplet(arrays(parts), present, 0.3), rel=1e-12)


def test_closed_forms():
    batch, loss = 6, Alignment()
    apart = torch.eye(batch)
    expected = math.log1p((batch - 1) * math.exp(-1 / 0.07))  # cosines 1 and 0
    assert loss([3 * apart, apart], None).item() == pytest.approx(expected, rel=1e-3, abs=1e-7)
    same = torch.ones(batch, 3)
    assert loss([same, same], None).item() == pytest.approx(math.log(batch), rel=1e-6)
    assert Alignment("triplet", margin=0.2)([same, same], None).item() == pytest.approx(0.2)
    assert Alignment("triplet", margin=0.2)([apart, apart], None).item() == 0


def test_temperature_starts_as_clip_and_is_bounded():
    loss, parts = Alignment(), [torch.eye(4), torch.eye(4).flip(0)]
    assert loss.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        loss.logit_scale.fill_(50.0)  # exp would be 5e21
    assert loss(parts, None).item() == pytest.approx(100, rel=1e-5)  # 100 (1 - 0)
    loss = Alignment()
    loss(parts, None).backward()
    assert loss.logit_scale.grad > 0  # wrong pairs: softer is better


@pytest.mark.parametrize("alignment", ["infonce", "triplet"])
@pytest.mark.parametrize("both", [0, 1])
def test_too_few_pairs_are_no_pairs(alignment, both):
    masks = [torch.ones(4, dtype=torch.bool), torch.arange(4) < both]
    parts = [torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)]
    loss = Alignment(alignment)(parts, masks)
    loss.backward()
    assert loss.item() == 0
    assert all((x.grad == 0).all() for x in parts)
    one = [torch.randn(1, 3, requires_grad=True), torch.zeros(1, 3, requires_grad=True)]
    assert Alignment(alignment)(one, None).item() == 0


def test_zero_rows_have_finite_gradients():
    parts = [torch.zeros(4, 3, requires_grad=True), torch.randn(4, 3)]
    Alignment()(parts, None).backward()
    assert parts[0].grad.isfinite().all()


def test_block_aligns_its_projections_and_hands_the_features_on():
    torch.manual_seed(0)
    block, V, present = CMMP(DIMS, 5).double(), features_for(), presence_for()
    out = block(V, present)
    expected = {
        m: np.stack([naive.linear(naive.weights_of(block), f"maps.{m}", v) for v in rows])
        for m, rows in arrays({m: V[m] * present[m][:, None] for m in V}).items()
    }
    for m in DIMS:
        np.testing.assert_allclose(out.shared[m].detach(), expected[m], rtol=1e-10)
        assert torch.equal(out.fused[m], V[m] * present[m][:, None])
    assert out.losses["contrastive"].item() == pytest.approx(
        naive.info_nce(expected, present, 1 / 0.07), rel=1e-6
    )


@pytest.mark.parametrize(
    ("dims", "size"),  # three, two and six views of the sets that others were measured on
    [
        ((64, 64, 64), 12480),
        ((64, 10), 4864),
        ((64, 64, 64, 47, 64, 6), 20160),
    ],
)
def test_size(dims, size):
    block = CMMP({f"view{i}": d for i, d in enumerate(dims)})
    assert sum(p.numel() for p in block.parameters()) == size + 1  # and the temperature


@pytest.mark.parametrize("pairing", ["next", "prev"])
def test_head_aligns_the_own_shared_parts(pairing):
    torch.manual_seed(0)
    block = PMR(DIMS, pairing=pairing).double()
    head = ContrastiveHead(block, 3).double()
    V, present = features_for(), presence_for()
    own, _, _ = block.separate({m: V[m] * present[m][:, None] for m in V})
    _, losses = head(block(V, present))
    expected = naive.info_nce(arrays(own), present, 1 / 0.07)
    assert losses["contrastive"].item() == pytest.approx(expected, rel=1e-6)
    rows = torch.stack([own[m] for m in DIMS])
    kept = torch.stack([present[m] for m in DIMS])[..., None]
    shared = ContrastiveHead(block, 3, "shared").double()
    torch.testing.assert_close(shared.joined(block(V, present)), (rows * kept).sum(0) / kept.sum(0))


@pytest.mark.parametrize(("parts", "width"), [("all", 4352), ("specific", 2816), ("shared", 768)])
def test_widths_of_the_classifier(parts, width):
    """PMR Table 6: 2816 = 2048 + 768 (specific parts) for Concat, 768 = l* for CMMP."""
    assert ContrastiveHead(GMF({"a": 2048, "b": 768}), 2, parts).linear.in_features == width


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="alignment must be one of"):
        create_model("cmmp", DIMS, 3, alignment="clip")
    with pytest.raises(ValueError, match="margin"):
        create_model("sg-cmmp", DIMS, 3, margin=-1)
    with pytest.raises(ValueError, match="in 'rg-cmmp'; found 'mse': take 'sg-cmmp'$"):
        create_model("rg-cmmp", DIMS, 3, metric="mse")
    with pytest.raises(ValueError, match="block must exchange"):
        ContrastiveHead(CMMP(DIMS), 3)
    with pytest.raises(ValueError, match="at least 2"):
        CMMP({"a": 3})
