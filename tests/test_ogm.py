"""OGM-GE: coefficients by hand, and what reaches the features."""

import naive_fusion as naive
import pytest
import torch
from torch.nn.functional import cross_entropy

from pnpfuse.fusion import create_model
from pnpfuse.fusion.concat import Concat
from pnpfuse.fusion.heads import ConcatHead
from pnpfuse.fusion.ogm import Modulate, ModulatedHead

DIMS = {"a": 6, "b": 4, "c": 9}


def head_for(dims=DIMS, **options):
    torch.manual_seed(0)
    return ModulatedHead(Concat(dims), 3, **options).double().train()


def features_for(dims=DIMS, batch=12):
    random = torch.Generator().manual_seed(1)
    return {
        m: (i + 1) * torch.randn(batch, d, generator=random, dtype=torch.float64)
        for i, (m, d) in enumerate(dims.items())
    }


@pytest.mark.parametrize("dims", [{"a": 6, "b": 4}, DIMS])
@pytest.mark.parametrize("masked", [False, True])
def test_coefficients_are_those_by_hand(dims, masked):
    head, V = head_for(dims, alpha=0.7), features_for(dims)
    labels = torch.arange(12) % 3
    present = {m: torch.ones(12, dtype=torch.bool) for m in dims}
    if masked:
        present["a"] = torch.arange(12) % 2 == 0
        present["b"] = ~present["a"] | (torch.arange(12) % 5 != 2)
    fusion = Concat(dims).double()(V, present if masked else None)
    parts, start = {}, 0
    for m, d in dims.items():
        weight = head.linear.weight[:, start : start + d]
        parts[m] = (V[m] @ weight.T + head.linear.bias / len(dims)).tolist()
        start += d
    expected = naive.ogm_coefficients(parts, labels.tolist(), present, 0.7)
    found = head.coefficients(fusion, labels)
    assert found.tolist() == pytest.approx(list(expected.values()), rel=1e-6)
    assert min(expected.values()) < 1 and max(expected.values()) == 1


def test_gradients_are_scaled_and_nothing_else():
    head, labels = head_for(alpha=0.7, noise=False), torch.arange(12) % 3
    V = {m: v.requires_grad_() for m, v in features_for().items()}
    fusion = Concat(DIMS)(V)
    plain = cross_entropy(ConcatHead.forward(head, fusion)[0], labels)
    logits, losses = head(fusion, labels)
    modulated = cross_entropy(logits, labels)
    assert losses == {} and plain.item() == modulated.item()
    inputs = [*V.values(), head.linear.weight]
    before, after = (torch.autograd.grad(loss, inputs) for loss in (plain, modulated))
    scale = [*head.coefficients(fusion, labels).tolist(), 1.0]
    for old, new, k in zip(before, after, scale, strict=True):
        torch.testing.assert_close(new, k * old)


def test_noise_is_as_wide_as_the_gradient():
    V, coefficient = torch.zeros(400, 50, requires_grad=True), torch.tensor(0.25)
    gradient = 3 * torch.randn(400, 50, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    Modulate.apply(V, coefficient, True).backward(gradient)
    noise = V.grad - 0.25 * gradient  # 20000 draws: their std is known to 1/200
    assert noise.std().item() == pytest.approx(3, rel=0.02)
    assert abs(noise.mean().item()) < 0.1
    assert abs((noise * gradient).mean().item()) < 0.3


def test_only_training_with_labels_is_modulated():
    head, fusion = (
        head_for(alpha=5.0),
        Concat(DIMS)({m: v.requires_grad_() for m, v in features_for().items()}),
    )
    leader = fusion.fused["c"]
    labels = torch.arange(12) % 3
    plain = torch.autograd.grad(cross_entropy(head(fusion)[0], labels), leader)[0]
    head.eval()
    quiet = torch.autograd.grad(cross_entropy(head(fusion, labels)[0], labels), leader)[0]
    assert torch.equal(plain, quiet)


def test_a_modality_without_rival_keeps_its_gradient():
    head, V = head_for(alpha=5.0, noise=False), features_for()
    gone = torch.zeros(12, dtype=torch.bool)
    fusion = Concat(DIMS)(V, {"a": gone, "b": gone})
    assert head.coefficients(fusion, torch.arange(12) % 3).tolist() == [1, 1, 1]
    assert head_for({"a": 6}).coefficients(
        Concat({"a": 6})({"a": V["a"]}), torch.arange(12) % 3
    ).tolist() == [1]


def test_alpha_zero_holds_nobody_back():
    head = head_for(alpha=0.0)
    fusion = Concat(DIMS)(features_for())
    assert head.coefficients(fusion, torch.arange(12) % 3).tolist() == [1, 1, 1]


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="alpha"):
        create_model("ogm-ge", DIMS, 3, alpha=-0.1)
    with pytest.raises(ValueError, match="noise must be True or False"):
        create_model("ogm-ge", DIMS, 3, noise=0.5)
