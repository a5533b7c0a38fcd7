"""The block's maps without parameters: against their matrices, adjoint, unbiased, isometric."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse.fusion.transforms import Transforms
from pnpfuse.fusion.widths import split_widths


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(width, common, n=4, b=0.5, count=2, seed=0):
    torch.manual_seed(seed)
    widths = split_widths({"one": width, "other": common}, n, b)
    return Transforms(count, width, widths.expanded["one"], widths.boundary["one"], common)


@settings(max_examples=25)
@given(
    width=st.integers(1, 70),
    common=st.integers(1, 70),
    n=st.floats(2, 6),
    b=st.floats(0.01, 0.99),
    count=st.integers(1, 3),
)
def test_matrices_written_out_and_their_transposes(width, common, n, b, count):
    common = min(width, common)
    module, V = drawn(width, common, n, b, count), normal(count, 4, width)
    own, specific = module.separate(V)
    recovered = module.reconstruct(torch.cat([own, specific], -1))
    weight, bias = module.folded()
    assert bias is None
    for i in range(count):
        dissolve, shared, narrow, recon = (
            module.one(i)[name][0] for name in ("dissolve", "shared", "specific", "recon")
        )
        first, rest = dissolve[: module.boundary], dissolve[module.boundary :]
        torch.testing.assert_close(own[i], V[i] @ (shared @ first).T)
        torch.testing.assert_close(specific[i], V[i] @ (narrow @ rest).T)
        path = torch.cat([shared @ first, narrow @ rest])  # (l* + l, l)
        torch.testing.assert_close(recon, path.T)
        torch.testing.assert_close(recovered[i], V[i] @ path.T @ path)
        torch.testing.assert_close(weight[i].double(), path, atol=1e-6, rtol=1e-6)


def test_no_parameters_and_each_modality_its_own_draw():
    module, V = drawn(16, 8), normal(1, 3, 16).expand(2, 3, 16)
    assert list(module.parameters()) == []
    first, second = module.separate(V)[0]
    assert not torch.allclose(first, second)
    other = drawn(16, 8, seed=1)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other.separate(V), module.separate(V))


@pytest.mark.parametrize(("width", "n"), [(64, 4), (128, 2), (32, 8), (16, 3)])
def test_dissolving_is_an_isometry_for_powers_of_two(width, n):
    module, V = drawn(width, width, n), normal(2, 5, width)
    D = module.transformed(V)
    torch.testing.assert_close(D.square().sum(-1), V.square().sum(-1))


def test_reconstruction_is_unbiased_where_the_exchanged_parts_agree():
    V = normal(1, 1, 24)
    total, squares, draws = torch.zeros_like(V), torch.zeros_like(V), 600
    for seed in range(draws):
        module = drawn(24, 10, count=1, seed=seed)
        recovered = module.reconstruct(torch.cat(module.separate(V), -1))
        total, squares = total + recovered, squares + recovered.square()
    mean = total / draws
    error = ((squares / draws - mean.square()) / draws).sqrt()
    assert ((mean - V).abs() < 5 * error).all()


def test_the_way_back_knows_whether_the_exchanged_parts_agree():
    module, V = drawn(64, 64, count=1), normal(1, 400, 64)
    own, specific = module.separate(V)
    foreign = module.separate(normal(1, 400, 64, seed=1))[0]
    cosines = [
        torch.cosine_similarity(module.reconstruct(torch.cat([x, specific], -1)), V, -1).mean()
        for x in (own, foreign)
    ]
    assert cosines[0] > 0.85 > 0.7 > cosines[1] > 0.5  # a separate SRHT has 0 in both cases
