"""MISA's losses against loops and closed forms; which rows they run over."""

import naive_fusion as naive
import numpy as np
import pytest
import torch

from pnpfuse.fusion import MISA, create_model
from pnpfuse.fusion.misa import moment_discrepancy, overlap

DIMS = {"a": 6, "b": 4, "c": 9}


def rows_for(width=5, batch=8, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(batch, width, generator=random, dtype=torch.float64)


def everyone(batch=8):
    return torch.ones(batch, dtype=torch.bool)


@pytest.mark.parametrize("span", [1.0, 2.0])
def test_moment_discrepancy_is_that_of_loops(span):
    x, y = rows_for().tanh(), rows_for(seed=1).sigmoid()
    of_x, of_y = torch.arange(8) % 3 != 0, torch.arange(8) > 2
    found = moment_discrepancy(x, y, of_x, of_y, span)
    expected = naive.cmd(x[of_x].numpy(), y[of_y].numpy(), span)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_moment_discrepancy_in_closed_form():
    x, zero = rows_for(), torch.zeros(8, 5, dtype=torch.float64)
    assert moment_discrepancy(x, x.flip(0), everyone(), everyone(), 2.0).item() == pytest.approx(0)
    # Constants: only the means differ.
    gap = moment_discrepancy(zero + 0.5, zero - 0.5, everyone(), everyone(), 2.0)
    assert gap.item() == pytest.approx(5**0.5 / 2)
    # +-1 against 0: the even central moments are 1 and 0, so 1/2^2 + 1/2^4 in one dimension.
    signs = torch.tensor([[1.0], [-1.0]])
    both = everyone(2)
    assert moment_discrepancy(signs, 0 * signs, both, both, 2.0).item() == pytest.approx(5 / 16)


def test_moment_discrepancy_of_equal_samples_has_a_finite_gradient():
    x = rows_for().requires_grad_()
    moment_discrepancy(x, x.detach().clone(), everyone(), everyone(), 2.0).backward()
    assert x.grad.isfinite().all()


def test_overlap_is_that_of_loops():
    x, y, kept = rows_for(), rows_for(seed=1), torch.arange(8) % 3 != 0
    expected = naive.overlap(x[kept].numpy(), y[kept].numpy())
    assert overlap(x, y, kept).item() == pytest.approx(expected, rel=1e-12)
    # Columns that are orthogonal over the samples do not overlap.
    a = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    b = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    assert overlap(a, b, everyone(4)).item() == 0
    assert overlap(a, 3 * a, everyone(4)).item() == pytest.approx(16)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("masked", [False, True])
def test_block_is_its_formulas(activation, masked):
    torch.manual_seed(0)
    block = MISA(DIMS, 5, activation=activation).double()
    V = {m: rows_for(d, seed=i) for i, (m, d) in enumerate(DIMS.items())}
    present = {m: everyone() for m in DIMS}
    if masked:
        present = {m: torch.arange(8) % (i + 3) != i for i, m in enumerate(DIMS)}
    out = block(V, present if masked else None)
    f = np.tanh if activation == "tanh" else lambda x: 1 / (1 + np.exp(-x))
    span = 2 if activation == "tanh" else 1
    maps = naive.weights_of(block)
    p, shared, specific, recon = {}, {}, {}, {}
    for m, v in V.items():
        rows = v.numpy() * present[m].numpy()[:, None]
        p[m] = np.array([naive.linear(maps, f"project.{m}", row) for row in rows])
        shared[m] = f(np.array([naive.linear(maps, "shared", row) for row in p[m]]))
        specific[m] = f(np.array([naive.linear(maps, f"specific.{m}", row) for row in p[m]]))
        both = shared[m] + specific[m]
        recon[m] = np.array([naive.linear(maps, f"decode.{m}", row) for row in both])
        np.testing.assert_allclose(
            out.fused[m].detach(), np.concatenate([shared[m], specific[m]], 1), rtol=1e-10
        )
    keep = {m: mask.numpy() for m, mask in present.items()}
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    similar = [naive.cmd(shared[a][keep[a]], shared[b][keep[b]], span) for a, b in pairs]
    different = [naive.overlap(shared[m][keep[m]], specific[m][keep[m]]) for m in DIMS]
    for a, b in pairs:
        rows = keep[a] & keep[b]
        different.append(naive.overlap(specific[a][rows], specific[b][rows]))
    rebuilt = [((recon[m] - p[m])[keep[m]] ** 2).mean() for m in DIMS]
    assert {name: loss.item() for name, loss in out.losses.items()} == pytest.approx(
        {
            "similarity": np.mean(similar),
            "difference": np.sum(different),
            "reconstruction": np.mean(rebuilt),
        },
        rel=1e-9,
    )


def test_embedding_is_the_own_half_of_fused():
    block = MISA(DIMS, 5)
    V = {m: rows_for(d).float() for m, d in DIMS.items()}
    fused, rows = block(V).fused, block.embed(V)
    assert all(torch.allclose(fused[m], rows[m]) for m in DIMS)


@pytest.mark.parametrize(
    ("dims", "size"),  # three, two and six views of the sets that others were measured on
    [((64, 64, 64), 41600), ((64, 10), 25664), ((64, 64, 64, 47, 64, 6), 74240)],
)
def test_size(dims, size):
    block = MISA({f"view{i}": d for i, d in enumerate(dims)})
    assert sum(p.numel() for p in block.parameters()) == size


def test_options():
    model = create_model("misa", DIMS, 3, activation="sigmoid", parts="specific")
    assert model.head.linear.in_features == 3 * 64
    with pytest.raises(ValueError, match="activation must be one of"):
        create_model("misa", DIMS, 3, activation="relu")
