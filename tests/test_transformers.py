"""MBT, Perceiver and the back-ends against an attention written out."""

import naive_fusion as naive
import numpy as np
import pytest
import torch

from pnpfuse.fusion import GMF, MBT, Perceiver, create_model
from pnpfuse.fusion.attention import Attention
from pnpfuse.fusion.backend import BackendHead

DIMS = {"a": 6, "b": 4, "c": 9}
BLOCKS = {"mbt": MBT, "perceiver": Perceiver}
every_block = pytest.mark.parametrize("kind", BLOCKS)


def features_for(dims=DIMS, batch=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    return {
        m: torch.randn(batch, d, generator=random, dtype=torch.float64) for m, d in dims.items()
    }


def presence_for():
    return {
        "a": torch.tensor([True, False, True, False]),
        "b": torch.tensor([True, True, False, False]),
        "c": torch.tensor([True, True, True, True]),
    }


def state_of(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def expected_joint(kind, block, V, present, layers, heads):
    """One sample at a time, of the modalities that it has."""
    rows = []
    for i in range(4):
        sample = {m: V[m][i].numpy() for m in DIMS if present[m][i]}
        if kind == "mbt":
            rows.append(naive.mbt(state_of(block), sample, list(DIMS), layers, heads))
        else:
            rows.append(naive.perceiver(state_of(block), sample, layers, heads))
    return np.array(rows)


@every_block
@pytest.mark.parametrize(("layers", "heads", "tokens"), [(1, 1, 1), (2, 2, 3)])
def test_block_is_the_attention_written_out(kind, layers, heads, tokens):
    torch.manual_seed(0)
    block = BLOCKS[kind](DIMS, 8, heads, layers, 3, tokens).double()
    V, present = features_for(), presence_for()
    expected = expected_joint(kind, block, V, present, layers, heads)
    np.testing.assert_allclose(block(V, present).fused["joint"].detach(), expected, rtol=1e-8)
    everyone = dict.fromkeys(DIMS, torch.ones(4, dtype=torch.bool))
    expected = expected_joint(kind, block, V, everyone, layers, heads)
    np.testing.assert_allclose(block(V).fused["joint"].detach(), expected, rtol=1e-8)


@every_block
def test_another_fill_takes_part(kind):
    torch.manual_seed(0)
    block = BLOCKS[kind](DIMS, 8, 2, fill="learned").double()
    block.fill.values.data.normal_()
    V, present = features_for(), presence_for()
    stood = dict(zip(DIMS, block.fill.values.split(list(DIMS.values())), strict=True))
    filled = {m: torch.where(present[m][:, None], V[m], stood[m]) for m in DIMS}
    out = block(V, present).fused["joint"]
    torch.testing.assert_close(out, block(filled).fused["joint"])
    out.sum().backward()
    assert block.fill.values.grad.abs().sum() > 0


@every_block
@pytest.mark.parametrize("views", [1, 2, 10])
def test_any_number_of_views_and_a_batch_of_one(kind, views):
    dims = {f"view{i}": 1 + 3 * i for i in range(views)}
    block = BLOCKS[kind](dims)
    V = {m: v.float().requires_grad_() for m, v in features_for(dims, 1).items()}
    joint = block(V).fused["joint"]
    assert joint.shape == (1, 64)
    joint[:, 0].sum().backward()
    assert all(v.grad.isfinite().all() for v in V.values())
    with torch.autocast("cpu", torch.bfloat16):
        half = block(V).fused["joint"]
    torch.testing.assert_close(half.float(), joint, atol=0.05, rtol=0.05)


def test_modalities_of_mbt_meet_in_the_second_layer():
    """With one layer, and no average at the end, nothing of b would reach a."""
    torch.manual_seed(0)
    V = {m: v.requires_grad_() for m, v in features_for().items()}
    block = MBT(DIMS, 8, 2, layers=2).double()
    x = block.tokens(V)
    common = block.bottlenecks.expand(3, 4, -1, -1)
    first = block.feed[0](block.attention[0](*[torch.cat([x, common], 2)] * 2))
    assert torch.autograd.grad(first[0, :, 0].sum(), V["b"], retain_graph=True)[0].eq(0).all()
    heard = first[:, :, 1:].mean(0).expand(3, -1, -1, -1)
    second = block.attention[1](*[torch.cat([first[:, :, :1], heard], 2)] * 2)
    assert torch.autograd.grad(second[0, :, 0].sum(), V["b"])[0].abs().sum() > 0


def test_attention_is_that_of_torch():
    """torch.nn.MultiheadAttention with the same weights, behind the same normalisation."""
    torch.manual_seed(0)
    ours = Attention(1, 8, 2).double()
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    x, context = torch.randn(4, 3, 8).double(), torch.randn(4, 5, 8).double()
    shown = torch.rand(4, 5) < 0.6
    shown[:, 0] = True
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight[0], ours.key_value.weight[0]]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias[0], ours.key_value.bias[0]]))
        theirs.out_proj.weight.copy_(ours.out.weight[0])
        theirs.out_proj.bias.copy_(ours.out.bias[0])
        norm = torch.nn.LayerNorm(8, elementwise_affine=False).double()
        found = norm(context)
        expected = x + theirs(norm(x), found, found, key_padding_mask=~shown)[0]
        torch.testing.assert_close(ours(x[None], context[None], shown)[0], expected)


@every_block
def test_head_takes_the_specific_parts_through_and_the_shared_ones_past(kind):
    torch.manual_seed(0)
    block = GMF(DIMS).double()
    head = BackendHead(block, 3, kind, heads=2, layers=2).double()
    V, present = features_for(), presence_for()
    fusion = block(V, present)
    logits, losses = head(fusion)
    joint = expected_joint(
        kind, head.backend, {m: s.detach() for m, s in fusion.specific.items()}, present, 2, 2
    )
    seen = np.concatenate([*[s.detach().numpy() for s in fusion.shared.values()], joint], 1)
    expected = seen @ head.linear.weight.detach().numpy().T + head.linear.bias.detach().numpy()
    np.testing.assert_allclose(logits.detach(), expected, rtol=1e-8)
    assert losses == {} and head.linear.in_features == 3 * 4 + 64


@pytest.mark.parametrize("name", ["mbt", "perceiver", "g-mbt", "rg-perceiver"])
def test_bad_options_are_named(name):
    for option, message in [("heads", "multiple of heads"), ("layers", "layers must be an int")]:
        with pytest.raises(ValueError, match=message):
            create_model(name, DIMS, 3, **{option: 7 if option == "heads" else 0})
    with pytest.raises(ValueError, match="backend must be one of"):
        BackendHead(GMF(DIMS), 3, "lstm")
