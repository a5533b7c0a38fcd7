"""The mixture of experts, one sample and one expert at a time, and its balance loss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse.fusion.experts import MixtureOfExperts


def mixture(width=6, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return MixtureOfExperts(width).to(dtype)


def rows(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def naive(module, sample):
    """(output, gates, chosen) of one sample, the two experts in use written out in numpy."""
    width, hidden = module.width, module.hidden
    state = {key: value.detach().double().numpy() for key, value in module.state_dict().items()}
    scores = state["router.weight"] @ sample + state["router.bias"]
    gates = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()

    def expert(i):
        up = state["up.weight"].reshape(5, hidden, width)[i] @ sample
        up = up + state["up.bias"].reshape(5, hidden)[i]
        down = state["down"].reshape(5, hidden, width)[i].T
        return down @ np.maximum(up, 0) + state["down_bias"][i]

    chosen = int(np.argmax(gates))
    return expert(0) + gates[chosen] * expert(1 + chosen), gates, chosen


@settings(max_examples=30)
@given(width=st.integers(1, 12), batch=st.integers(1, 9), seed=st.integers(0, 99))
def test_matches_the_naive_mixture_and_switch_loss(width, batch, seed):
    module, x = mixture(width, seed), rows(batch, width, seed=seed)
    output, losses = module(x)
    singles = [naive(module, sample) for sample in x.numpy()]
    np.testing.assert_allclose(output.detach(), [y for y, _, _ in singles], atol=1e-12)
    mean = np.mean([gates for _, gates, _ in singles], axis=0)
    share = np.bincount([chosen for _, _, chosen in singles], minlength=4) / batch
    assert losses["balance"].item() == pytest.approx(4 * (mean * share).sum(), rel=1e-12)


@pytest.mark.parametrize("width", [1, 8, 128, 512])
def test_weights_are_twenty_squares(width):
    module = MixtureOfExperts(width)
    experts = module.up.weight.numel() + module.down.numel()
    assert experts == 20 * width**2  # PMR Appendix E
    biases = module.up.bias.numel() + module.down_bias.numel()
    assert biases == 15 * width
    assert sum(p.numel() for p in module.parameters()) == experts + biases + 4 * width + 4


def test_balance_is_one_for_an_even_load_and_four_for_a_collapse():
    module, x = mixture(4), torch.eye(4, dtype=torch.float64)
    with torch.no_grad():
        module.router.bias.zero_()
        module.router.weight.copy_(torch.eye(4))
        assert module(x)[1]["balance"].item() == pytest.approx(1)
        module.router.weight.zero_()
        module.router.bias.copy_(torch.tensor([0, 0, 200, 0]))
        assert module(x)[1]["balance"].item() == pytest.approx(4)


def test_equal_gates_take_the_first_expert():
    module, x = mixture(), rows(7, 6)
    with torch.no_grad():
        module.router.weight.zero_()
        module.router.bias.zero_()
    _, chosen = module._route(x)
    assert chosen.tolist() == [[True, False, False, False]] * 7


def test_gradients_reach_the_router_and_the_experts_in_use_alone():
    module, x = mixture(), rows(1, 6)
    output, _ = module(x)
    output.square().sum().backward()
    assert module.router.weight.grad.abs().max() > 0
    used = module.down.grad.unflatten(0, (5, -1)).abs().amax((1, 2)) > 0
    _, _, chosen = naive(module, x[0].numpy())
    assert used.tolist() == [True] + [i == chosen for i in range(4)]


def test_gradcheck():
    module, x = mixture(3), rows(4, 3).requires_grad_()

    def both(x):
        output, losses = module(x)
        return output, losses["balance"]

    assert torch.autograd.gradcheck(both, (x,))


def test_absent_rows_are_left_out_of_the_balance():
    module, x = mixture(), rows(2, 5, 6)
    present = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])
    output, losses = module(x, present)
    assert torch.equal(output, module(x)[0])
    alone = module(x[present])[1]["balance"]
    torch.testing.assert_close(losses["balance"], alone)
    everyone = module(x, torch.ones_like(present))[1]["balance"]
    torch.testing.assert_close(everyone, module(x)[1]["balance"])
    nobody = module(x, torch.zeros_like(present))[1]["balance"]
    assert nobody.item() == 0
    nobody.backward()
    assert module.router.weight.grad.isfinite().all()


def test_leading_axes_are_rows():
    module, x = mixture(), rows(3, 4, 6)
    flat, losses = module(x.flatten(0, 1))
    torch.testing.assert_close(module(x)[0], flat.unflatten(0, (3, 4)))
    torch.testing.assert_close(module(x)[1], losses)
    torch.testing.assert_close(module(x[0, 0])[0], flat[0])


def test_bfloat16_and_autocast_route_in_float32():
    module, x = mixture(32, dtype=torch.float32), rows(64, 32, dtype=torch.float32)
    _, exact = module._route(x)
    with torch.autocast("cpu", torch.bfloat16):
        output, losses = module(x)
        assert torch.equal(module._route(x)[1], exact)
    assert output.dtype == torch.bfloat16
    assert losses["balance"].dtype == torch.float32
    torch.testing.assert_close(output.float(), module(x)[0], atol=0.02, rtol=0.02)
    half, losses = module.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert losses["balance"].dtype == torch.float32


def test_captured_in_one_graph_forward_and_backward():
    module, x = mixture(), rows(5, 6)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    results = []
    for run in (module, compiled):
        output, losses = run(x)
        module.zero_grad()
        (output.sum() + losses["balance"]).backward()
        results.append((output, losses["balance"], module.router.weight.grad.clone()))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("width", [0, -1, 1.5, "4", None])
def test_bad_width(width):
    with pytest.raises(ValueError, match="width"):
        MixtureOfExperts(width)
