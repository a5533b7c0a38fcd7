"""GMF-MAE: the split by hand, what is reconstructed, what is hidden."""

import math

import naive_fusion as naive
import numpy as np
import pytest
import torch

from pnpfuse.fusion import GMFMAE, create_model

DIMS = {"text": 70, "audio": 5, "video": 9}


def features_for(dims=DIMS, batch=6, seed=0):
    random = torch.Generator().manual_seed(seed)
    return {m: torch.randn(batch, d, generator=random) for m, d in dims.items()}


@pytest.mark.parametrize(("pairing", "step"), [("next", 1), ("prev", -1)])
@pytest.mark.parametrize("b", [0.5, 0.01, 0.99])
def test_parts_are_slices_of_the_latents(pairing, step, b):
    block, V, names = GMFMAE(DIMS, b, pairing=pairing), features_for(), list(DIMS)
    out = block(V)
    for i, m in enumerate(names):
        k = names[(i + step) % 3]
        own, source = (min(max(math.floor(b * DIMS[x]), 1), DIMS[x] - 1) for x in (m, k))
        assert torch.equal(out.shared[m], V[k][:, :source])
        assert torch.equal(out.specific[m], V[m][:, own:])
        assert torch.equal(out.fused[m], torch.cat([V[k][:, :source], V[m][:, own:]], 1))
        for parts, part in (("all", out.fused), ("shared", out.shared), ("specific", out.specific)):
            assert block.part_widths(parts)[m] == part[m].shape[1]
    assert all(torch.equal(block.embed(V)[m], V[m]) for m in DIMS)


def test_decoders_rebuild_the_scaled_inputs():
    torch.manual_seed(0)
    model, X = create_model("gmf-mae", DIMS, 3).double().eval(), features_for()
    X = {m: x.double() for m, x in X.items()}
    model.set_scale({m: 3 * x + 1 for m, x in X.items()})
    present = {"audio": torch.tensor([1, 0, 1, 1, 0, 1]).bool()}
    out = model(X, present)
    maps = naive.weights_of(model.block)
    total, names = 0.0, list(DIMS)
    for i, m in enumerate(names):
        target = model.scales[m](X[m]).numpy()
        errors = []
        for row in range(6):
            if not all(present.get(x, [1] * 6)[row] for x in (m, names[(i + 1) % 3])):
                continue
            z = out.fusion.fused[m][row].detach().numpy()
            hidden = np.maximum(naive.linear(maps, f"decode.{m}.0", z), 0)
            found = naive.linear(maps, f"decode.{m}.2", hidden)
            np.testing.assert_allclose(out.fusion.reconstruction[m][row].detach(), found)
            errors.append(((found - target[row]) ** 2).mean())
        total += np.mean(errors)
    assert out.losses["reconstruction"].item() == pytest.approx(total, rel=1e-10)


def test_no_linear_map_stands_between_latents_and_classifier():
    block = create_model("gmf-mae", DIMS, 3).block
    assert {name.split(".")[0] for name, _ in block.named_parameters()} == {"decode"}


def test_features_are_hidden_from_the_encoder_in_training_alone():
    block, X = GMFMAE({"a": 400, "b": 300}, masking=0.3), features_for({"a": 400, "b": 300}, 50)
    seen = block.train().hide(X)
    for m, x in X.items():
        hidden = seen[m] == 0
        assert hidden.double().mean().item() == pytest.approx(0.3, abs=0.02)
        assert torch.equal(seen[m][~hidden], x[~hidden])
    assert block.eval().hide(X) is X
    torch.manual_seed(0)
    model = create_model("gmf-mae", DIMS, 3, masking=0.9, dropout=0.0).train()
    X = features_for()
    a, b = model(X), model(X)
    assert not torch.equal(a.logits, b.logits)  # other features are hidden
    assert not torch.equal(a.losses["reconstruction"], b.losses["reconstruction"])
    model = create_model("gmf-mae", DIMS, 3, masking=0.0, dropout=0.0).train()
    assert torch.equal(model(X).logits, model(X).logits)


def test_alone_the_block_rebuilds_what_it_is_given():
    V = {m: v.requires_grad_() for m, v in features_for().items()}
    out = GMFMAE(DIMS)(V)
    expected = sum(((out.reconstruction[m] - V[m]) ** 2).mean() for m in DIMS)
    torch.testing.assert_close(out.losses["reconstruction"], expected)
    wide = GMFMAE(DIMS, inputs={"text": 300, "audio": 74, "video": 35})
    assert wide(V).losses == {}  # nothing to compare with
    assert wide(V).reconstruction["text"].shape == (6, 300)
    target = features_for(wide.inputs)
    found = wide(V, target=target)
    expected = sum(((found.reconstruction[m] - target[m]) ** 2).mean() for m in DIMS)
    torch.testing.assert_close(found.losses["reconstruction"], expected)


def test_target_is_not_moved():
    """Else the latents would shrink to what is easy to rebuild."""
    block, V = GMFMAE(DIMS), {m: v.requires_grad_() for m, v in features_for().items()}
    out = block(V)
    part = ((out.reconstruction["text"] - V["text"].detach()) ** 2).mean()
    part = part + ((out.reconstruction["audio"] - V["audio"].detach()) ** 2).mean()
    part = part + ((out.reconstruction["video"] - V["video"].detach()) ** 2).mean()
    expected = torch.autograd.grad(part, list(V.values()), retain_graph=True)
    found = torch.autograd.grad(out.losses["reconstruction"], list(V.values()))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masking": 1.0}, "masking must be a probability"),
        ({"b": 1.0}, "strictly between"),
        ({"width": 1}, "at least 2, one for each part"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        create_model("gmf-mae", DIMS, 3, **options)
    with pytest.raises(ValueError, match="inputs names"):
        GMFMAE(DIMS, inputs={"text": 3})
