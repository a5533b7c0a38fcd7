"""The reconfiguration block against its algorithms written naively, and its properties."""

import naive_fusion as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse.fusion import GMF, PMR
from pnpfuse.fusion.preservation import sample_error

THREE = {"text": 6, "audio": 4, "video": 9}
FOUR = {"a": 5, "b": 5, "c": 2, "d": 7}


def features_for(dims, batch=5, seed=0, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    return {m: torch.randn(batch, d, generator=random, dtype=dtype) for m, d in dims.items()}


def block_for(dims, *args, seed=0, **options):
    torch.manual_seed(seed)
    return PMR(dims, *args, **options).double()


def arrays(tensors):
    return {m: t.detach().numpy() for m, t in tensors.items()}


def gradient_norms(loss, tensors):
    """{name: largest absolute gradient, 0 where none flows}."""
    grads = torch.autograd.grad(loss, list(tensors.values()), allow_unused=True, retain_graph=True)
    return {
        name: 0.0 if g is None else g.abs().max().item()
        for name, g in zip(tensors, grads, strict=True)
    }


def test_gmf_is_algorithm_1_and_2():
    torch.manual_seed(0)
    block = GMF({"one": 6, "two": 3}, n=4, b=0.5).double()
    V = features_for({"one": 6, "two": 3})
    out, maps = block(V), naive.weights_of(block)
    squares = []
    for i in range(5):
        x1, x2 = V["one"][i].numpy(), V["two"][i].numpy()
        z1, z2, re1, re2 = naive.gmf_two(maps, x1, x2, 4, 0.5)
        np.testing.assert_allclose(out.fused["one"][i].detach(), z1, atol=1e-12)
        np.testing.assert_allclose(out.fused["two"][i].detach(), z2, atol=1e-12)
        np.testing.assert_allclose(out.reconstruction["one"][i].detach(), re1, atol=1e-12)
        squares.append(((re1 - x1) ** 2).mean() + ((re2 - x2) ** 2).mean())
    assert out.losses["preservation"].item() == pytest.approx(np.mean(squares), rel=1e-12)


@pytest.mark.parametrize(("pairing", "step"), [("next", 1), ("prev", -1)])
@pytest.mark.parametrize("metric", ["mse", "cosine"])
@pytest.mark.parametrize(
    ("dims", "n"), [(THREE, 3), (THREE, 0.5), (FOUR, 3)], ids=["three", "less", "four"]
)
def test_matches_the_naive_block(dims, n, metric, pairing, step):
    ratios = {m: 0.35 + 0.15 * i for i, m in enumerate(dims)}
    block = block_for(dims, n, ratios, metric=metric, pairing=pairing)
    V = features_for(dims)
    out = block(V)
    fused, recon = naive.pmr(naive.weights_of(block), arrays(V), ratios, n, step)
    for m in dims:
        assert out.fused[m].shape == (5, min(dims.values()) + dims[m])
        assert torch.equal(out.fused[m], torch.cat([out.shared[m], out.specific[m]], 1))
        np.testing.assert_allclose(out.fused[m].detach(), fused[m], atol=1e-12)
        np.testing.assert_allclose(out.reconstruction[m].detach(), recon[m], atol=1e-12)
    everyone = {m: [True] * 5 for m in dims}
    expected = naive.preservation(arrays(V), recon, everyone, metric, step)
    assert out.losses["preservation"].item() == pytest.approx(expected, rel=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.integers(4, 9), min_size=2, max_size=5),
    n=st.floats(0.4, 6),
    b=st.floats(0.001, 0.999),
    seed=st.integers(0, 1000),
    metric=st.sampled_from(["mse", "cosine"]),
)
def test_any_widths_n_and_b(widths, n, b, seed, metric):
    dims = {f"m{i}": width for i, width in enumerate(widths)}
    block = block_for(dims, n, b, seed=seed, metric=metric)
    V = features_for(dims, batch=3, seed=seed)
    out = block(V)
    for m, width in dims.items():
        assert 1 <= block.widths.boundary[m] <= block.widths.expanded[m] - 1
        assert out.fused[m].shape == (3, min(widths) + width)
    assert out.losses["preservation"].isfinite()
    # One sample at a time gives the same as the batch.
    alone = block({m: v[1:2] for m, v in V.items()})
    backwards = block(dict(reversed(V.items())))
    folded = block.fold()(V)
    for m in dims:
        torch.testing.assert_close(alone.fused[m][0], out.fused[m][1])
        torch.testing.assert_close(folded.fused[m], out.fused[m], rtol=1e-9, atol=1e-9)
        assert torch.equal(backwards.fused[m], out.fused[m])


def test_order_of_the_features_plays_no_part():
    block, V = block_for(THREE, metric="cosine"), features_for(THREE)
    first, second = block(V), block({m: V[m] for m in ["video", "text", "audio"]})
    assert list(second.fused) == list(THREE)
    assert torch.equal(first.losses["preservation"], second.losses["preservation"])
    for m in THREE:
        assert torch.equal(first.fused[m], second.fused[m])


def test_shared_map_lies_with_its_source_and_modalities_alike_are_stacked():
    block = PMR(THREE, n=4, b={"text": 0.5, "audio": 0.25, "video": 0.75})
    assert [block.source_of(m) for m in THREE] == ["audio", "video", "text"]
    assert block.shared_of("audio")[0].shape == (4, block.widths.boundary["audio"]) == (4, 4)
    assert PMR(THREE, pairing="prev").source_of("text") == "video"
    alike = PMR({"a": 6, "b": 3, "c": 6, "d": 6})
    assert alike.groups == [["a", "c", "d"], ["b"]]
    state = alike.state_dict()
    assert state["maps.0.dissolve_shared"].shape == (3, 12, 6)
    assert state["maps.1.recon_bias"].shape == (1, 3)
    for i, m in enumerate(alike.groups[0]):
        expected = torch.cat(
            [state["maps.0.dissolve_shared"][i], state["maps.0.dissolve_specific"][i]]
        )
        assert torch.equal(alike.maps_of(m)["dissolve"][0], expected)
        assert torch.equal(alike.maps_of(m)["shared"][0], state["maps.0.shared"][i])


def test_pairing_by_a_permutation():
    pairing = {"text": "video", "audio": "text", "video": "audio"}
    block, V = block_for(THREE, pairing=pairing), features_for(THREE)
    assert {m: block.source_of(m) for m in THREE} == pairing
    backwards = block_for(THREE, pairing="prev")
    for m in THREE:
        assert torch.equal(block(V).fused[m], backwards(V).fused[m])
    for bad in ({"text": "audio"}, dict.fromkeys(THREE, "text"), {m: m for m in THREE}):
        with pytest.raises(ValueError, match="permutation"):
            PMR(THREE, pairing=bad)


@pytest.mark.parametrize("bias", [True, False])
def test_both_orders_of_multiplication_agree(bias):
    """Above l n/(2 n - 2) rows the maps are multiplied first; the result is the same."""
    dims = {"a": 6, "b": 6, "c": 4}
    block = block_for(dims, n=4, bias=bias)
    V = features_for(dims, batch=40)
    assert all(maps._worthwhile < 40 for maps in block.maps)
    grads = []
    for training in (True, False):
        block.train(training)
        out = block(V)
        loss = out.losses["preservation"] + sum(z.square().sum() for z in out.fused.values())
        grads.append((out.fused, torch.autograd.grad(loss, list(block.parameters()))))
    (fused, first), (other, second) = grads
    for m in dims:
        torch.testing.assert_close(fused[m], other[m], rtol=1e-12, atol=1e-12)
    for left, right in zip(first, second, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mapping", ["linear", "srht"])
def test_experts_stand_on_every_shared_part(mapping):
    """One mixture for all modalities: 20 l*^2 weights, whatever their number."""
    torch.manual_seed(0)
    plain = PMR(THREE, mapping=mapping)
    torch.manual_seed(0)
    block = PMR(THREE, mapping=mapping, experts="moe")
    sizes = [sum(p.numel() for p in b.parameters()) for b in (plain, block)]
    assert sizes[1] - sizes[0] == 20 * 4**2 + 15 * 4 + 4 * 4 + 4
    V = {m: v.float() for m, v in features_for(THREE).items()}
    before, out = plain(V), block(V)
    expected, losses = block.mixture(torch.stack([before.shared[m] for m in THREE]))
    for i, m in enumerate(THREE):
        torch.testing.assert_close(out.shared[m], expected[i])
        torch.testing.assert_close(out.specific[m], before.specific[m])
    torch.testing.assert_close(out.losses["balance"], losses["balance"])
    folded = block.fold()(V)
    for m in THREE:
        torch.testing.assert_close(folded.fused[m], out.fused[m], rtol=1e-5, atol=1e-5)


def test_srht_has_no_parameters_and_keeps_lengths_where_widths_are_powers_of_two():
    block = PMR({"a": 16, "b": 16}, mapping="srht", metric="mse", reduction="sum")
    assert not list(block.parameters()) and len(block.state_dict()) > 0
    V = {m: torch.randn(7, 16) for m in block.dims}
    own, specific = block.dissociate(V)
    halves = [maps.dissolved(torch.stack(list(V.values()))) for maps in block.stacks]
    for i, m in enumerate(V):
        torch.testing.assert_close(halves[0][i].norm(dim=1), V[m].norm(dim=1))
        assert own[m].shape == specific[m].shape == (7, 16)
    # An isometry: the loss is the same in both domains.
    there = PMR({"a": 16, "b": 16}, mapping="srht", reduction="sum", domain="transform")
    there.load_state_dict(block.state_dict())
    torch.testing.assert_close(there(V).losses["preservation"], block(V).losses["preservation"])


@pytest.mark.parametrize("metric", ["mse", "cosine"])
def test_loss_in_the_transform_domain(metric):
    """Between P_dis V and P_dis recon, without the bias that they have in common."""
    block, V = block_for(THREE, metric=metric, domain="transform"), features_for(THREE)
    out = block(V)
    expected = 0.0
    for m in THREE:
        weight = block.maps_of(m)["dissolve"][0]
        target, found = V[m] @ weight.T, out.reconstruction[m] @ weight.T
        if metric == "mse":
            expected += (target - found).square().mean()
        else:
            expected += (1 - torch.cosine_similarity(target, found)).mean()
    torch.testing.assert_close(out.losses["preservation"], expected)


@pytest.mark.parametrize("boundary", ["hard", "soft", "learned"])
def test_embedding_is_leak_free(boundary):
    block, V = block_for(THREE, boundary=boundary), features_for(THREE)
    V = {m: v.requires_grad_() for m, v in V.items()}
    for m, Z in block.embed(V).items():
        assert Z.shape == (5, 4 + THREE[m])
        norms = gradient_norms(Z.square().sum(), V)
        assert {name for name, norm in norms.items() if norm > 0} == {m}
    fused = gradient_norms(block(V).fused["text"].square().sum(), V)
    assert fused["audio"] > 0  # so `fused` is no embedding


def test_embedding_is_own_shared_and_own_specific_and_takes_some_modalities():
    block, V = block_for(THREE), features_for(THREE)
    out, embedded = block(V), block.embed(V)
    alone = block.embed({"audio": V["audio"]})
    for m in THREE:
        own = out.shared[next(r for r in THREE if block.source_of(r) == m)]
        torch.testing.assert_close(embedded[m], torch.cat([own, out.specific[m]], 1))
    assert list(alone) == ["audio"]
    torch.testing.assert_close(alone["audio"], embedded["audio"])
    with pytest.raises(ValueError, match="smell"):
        block.embed({"smell": V["audio"]})


@pytest.mark.parametrize("boundary", ["hard", "soft", "learned"])
@pytest.mark.parametrize("gradient", ["full", "detach_target", "block_only"])
def test_where_the_preservation_gradient_goes(gradient, boundary):
    block = block_for(THREE, gradient=gradient, boundary=boundary)
    V = {m: v.requires_grad_() for m, v in features_for(THREE).items()}
    out = block(V)
    loss = out.losses["preservation"]
    into_block = gradient_norms(loss, dict(block.named_parameters()))
    into_features = gradient_norms(loss, V)
    assert min(into_block.values()) > 0
    assert (min(into_features.values()) > 0) == (gradient != "block_only")
    # The task's way to the features is open in every mode.
    assert min(gradient_norms(sum(Z.sum() for Z in out.fused.values()), V).values()) > 0


def test_gradient_modes_agree_on_values_and_split_the_full_gradient():
    V = {m: v.requires_grad_() for m, v in features_for(THREE).items()}
    blocks = {g: block_for(THREE, gradient=g) for g in ("full", "detach_target", "block_only")}
    outs = {g: block(V) for g, block in blocks.items()}
    grads = {
        g: torch.autograd.grad(
            out.losses["preservation"], list(blocks[g].parameters()), retain_graph=True
        )
        for g, out in outs.items()
    }
    for g in ("detach_target", "block_only"):
        torch.testing.assert_close(outs[g].losses, outs["full"].losses)
        torch.testing.assert_close(outs[g].reconstruction, outs["full"].reconstruction)
        torch.testing.assert_close(grads[g], grads["full"])
    # d/dV of the mean of (V - R)^2 is 2 (V - R) / (batch l) through V as the target.
    full, detached = (
        torch.autograd.grad(outs[g].losses["preservation"], V["text"])[0]
        for g in ("full", "detach_target")
    )
    residual = V["text"] - outs["full"].reconstruction["text"]
    torch.testing.assert_close(full - detached, 2 * residual / residual.numel())


@pytest.mark.parametrize("metric", ["mse", "cosine"])
def test_gradcheck(metric):
    dims = {"a": 3, "b": 2}
    block = block_for(dims, 2, metric=metric, activation="tanh")
    V = [v.requires_grad_() for v in features_for(dims, batch=2).values()]

    def run(a, b):
        out = block({"a": a, "b": b})
        return out.fused["a"], out.fused["b"], out.losses["preservation"]

    assert torch.autograd.gradcheck(run, V)


def test_cosine_of_a_zero_vector_is_zero_with_finite_gradients():
    block = block_for(THREE, metric="cosine", bias=False)
    V = {m: torch.zeros(3, d, dtype=torch.float64, requires_grad=True) for m, d in THREE.items()}
    loss = block(V).losses["preservation"]
    assert loss.item() == len(THREE)  # 1 - 0 for each modality
    loss.backward()
    assert all(v.grad.isfinite().all() for v in V.values())
    assert all(p.grad.isfinite().all() for p in block.parameters())


@pytest.mark.parametrize("scale", [1e25, 3e19, 1e-12, 1e-25])
def test_cosine_does_not_depend_on_the_scale(scale):
    target, found = (features_for({"a": 7}, seed=s, dtype=torch.float32)["a"] for s in (0, 1))
    expected = 1 - torch.cosine_similarity(target.double(), found.double())
    target, found = ((scale * x).requires_grad_() for x in (target, found))
    error = sample_error(target, found, "cosine", "mean")
    np.testing.assert_allclose(error.detach(), expected, atol=1e-6)
    grads = torch.autograd.grad(error.sum(), [target, found])
    assert all(g.isfinite().all() and (g * scale).abs().max() > 1e-3 for g in grads)


def test_cosine_against_a_zero_row_is_zero_whatever_the_other_rows():
    target = torch.tensor([[0.0, 0.0], [3e30, 4e30], [1e-40, 0.0]], requires_grad=True)
    found = torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 0.0]], requires_grad=True)
    error = sample_error(target, found, "cosine", "mean")
    torch.testing.assert_close(error, torch.tensor([1.0, 0.0, 1.0]))
    error.sum().backward()
    assert target.grad.isfinite().all() and found.grad.isfinite().all()


def test_reduction_sum_is_the_squared_norm():
    V = features_for(THREE)
    out = block_for(THREE, reduction="sum")(V)
    expected = sum((V[m] - out.reconstruction[m]).square().sum(1).mean() for m in THREE)
    torch.testing.assert_close(out.losses["preservation"], expected)


def test_gmf_is_pmr_with_the_mean_squared_error():
    torch.manual_seed(1)
    block, V = GMF(THREE).double(), features_for(THREE)
    expected = block_for(THREE, seed=1, metric="mse", reduction="mean")(V)
    torch.testing.assert_close(block(V).losses, expected.losses)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("pairing", ["next", "prev"])
def test_folded_block_gives_the_same_without_n(bias, pairing):
    torch.manual_seed(0)
    dims = {"text": 24, "audio": 16, "video": 48}
    block = PMR(dims, bias=bias, pairing=pairing)
    V = features_for(dims, dtype=torch.float32)
    present = {"audio": torch.tensor([True, False, True, False, True])}
    state = torch.get_rng_state()
    folded = block.fold()
    assert torch.equal(state, torch.get_rng_state())
    for mask in (None, present):
        out, same = block(V, mask), folded(V, mask)
        for m in dims:
            torch.testing.assert_close(same.fused[m], out.fused[m], rtol=1e-5, atol=1e-5)
        assert same.losses == {} and same.reconstruction == {}
    torch.testing.assert_close(folded.embed(V), block.embed(V), rtol=1e-5, atol=1e-5)
    weights = 16 * (24 + 16 + 48) + 24**2 + 16**2 + 48**2
    biases = 3 * 16 + 24 + 16 + 48 if bias else 0
    assert sum(p.numel() for p in folded.parameters()) == weights + biases
    assert not any(p.requires_grad for p in folded.parameters())


def test_fold_refuses_an_activation():
    with pytest.raises(ValueError, match="activation=None"):
        PMR(THREE, activation="relu").fold()


@pytest.mark.parametrize("metric", ["mse", "cosine"])
def test_autocast_gives_float32_losses_near_the_exact_ones(metric):
    torch.manual_seed(0)
    dims = {"a": 32, "b": 16}
    block, V = PMR(dims, metric=metric), features_for(dims, dtype=torch.float32)
    exact = block(V)
    with torch.autocast("cpu", torch.bfloat16):
        rough = block(V)
        again = block(rough.specific)  # features of half precision, as an encoder gives
    assert rough.fused["a"].dtype == torch.bfloat16
    assert rough.losses["preservation"].dtype == torch.float32
    assert again.losses["preservation"].dtype == torch.float32
    torch.testing.assert_close(rough.losses, exact.losses, rtol=2e-2, atol=2e-2)


def test_compiles_exports_and_takes_per_sample_gradients():
    torch.manual_seed(0)
    block, V = PMR(THREE), features_for(THREE, dtype=torch.float32)
    present = {"audio": torch.tensor([True, False, True, True, False])}
    expected = block(V, present)
    compiled = torch.compile(block, backend="eager", fullgraph=True)(V, present)
    torch.testing.assert_close(compiled.fused, expected.fused)
    torch.testing.assert_close(compiled.losses, expected.losses)

    class Fused(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, V, present):
            return self.block(V, present).fused

    exported = torch.export.export(Fused(), (V, present)).module()
    torch.testing.assert_close(exported(V, present), expected.fused)

    def loss_of(parameters, sample):
        one = {m: v[None] for m, v in sample.items()}
        return torch.func.functional_call(block, parameters, (one,)).losses["preservation"]

    parameters = {name: p.detach() for name, p in block.named_parameters()}
    each = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0))(parameters, V)
    mean = torch.autograd.grad(block(V).losses["preservation"], list(block.parameters()))
    for name, whole in zip(parameters, mean, strict=True):
        torch.testing.assert_close(each[name].mean(0), whole)


def test_never_reads_a_value_off_the_cpu():
    """On the meta device there are no values, so that reading one raises."""
    block = PMR(THREE, metric="cosine", gradient="block_only").to("meta")
    V = {m: torch.empty(5, d, device="meta", requires_grad=True) for m, d in THREE.items()}
    present = {m: torch.empty(5, dtype=torch.bool, device="meta") for m in THREE}
    out = block(V, present)
    out.losses["preservation"].backward()
    assert out.fused["text"].shape == (5, 10)
    with pytest.raises((RuntimeError, NotImplementedError)):
        out.losses["preservation"].item()


@pytest.mark.parametrize(
    ("dims", "options", "message"),
    [
        ({"a": 3}, {}, "at least 2"),
        ([3, 4], {}, "mapping"),
        ({"a": 3, "b": 0}, {}, r"dims\['b'\]"),
        ({"a": 3, "b": 2.5}, {}, r"dims\['b'\]"),
        ({"a": 3, "b.c": 2}, {}, "without a dot"),
        ({"a": 3, "values": 2}, {}, "values"),
        ({"a": 3, "training": 2}, {}, "training"),
        ({"a": 3, "b": 2}, {"n": 0}, "n must be above 0"),
        ({"a": 3, "b": 2}, {"n": float("nan")}, "n must"),
        ({"a": 3, "b": 1}, {"n": 1}, "raise n"),
        ({"a": 30, "b": 2}, {"n": 0.5}, r"n \* dims\['b'\] is 1; it must be from 2 .* raise n"),
        ({"a": 3, "b": 2}, {"n": 10**400}, "n must be .* from 0 to 2147483648"),
        ({"a": 3, "b": 2}, {"n": 1e308}, "n must"),
        ({"a": 3, "b": 2}, {"n": 2**31}, "lower n"),
        ({"a": 3, "b": 2**40}, {}, r"dims\['b'\] must be an integer from 1 to 2147483648"),
        ({"a": 3, "b": 2}, {"n": "4"}, "n must"),
        ({"a": 3, "b": 2}, {"bias": "no"}, "bias must be True or False"),
        ({"a": 3, "b": 2}, {"pairing": [1]}, "pairing must be one of"),
        ({"a": 3, "b": 2}, {"metric": ["mse"]}, "metric must be one of"),
        ({"a": 3, "b": 2}, {"activation": ["relu"]}, "activation must be"),
        ({"a": 3, "b": 2}, {"b": 0.0}, "strictly between"),
        ({"a": 3, "b": 2}, {"b": 1.0}, "strictly between"),
        ({"a": 3, "b": 2}, {"b": {"a": 0.5}}, "one ratio for each"),
        ({"a": 3, "b": 2}, {"b": {"a": 0.5, "b": float("nan")}}, "strictly between"),
        ({"a": 3, "b": 2}, {"metric": "l1"}, "'mse', 'cosine'"),
        ({"a": 3, "b": 2}, {"domain": "fourier"}, "'input'"),
        ({"a": 3, "b": 2}, {"mapping": "srht", "activation": "relu"}, "activation"),
        ({"a": 3, "b": 2}, {"mapping": "srht", "gradient": "block_only"}, "nothing to train"),
        ({"a": 3, "b": 2}, {"mapping": "fourier"}, "'linear'"),
        ({"a": 3, "b": 2}, {"experts": "dense"}, "None"),
        ({"a": 3, "b": 2}, {"gradient": "half"}, "block_only"),
        ({"a": 3, "b": 2}, {"pairing": "random"}, "prev"),
        ({"a": 3, "b": 2}, {"reduction": "max"}, "'mean', 'sum'"),
        ({"a": 3, "b": 2}, {"activation": "sine"}, "gelu"),
    ],
)
def test_bad_arguments_are_named(dims, options, message):
    with pytest.raises(ValueError, match=message):
        PMR(dims, **options)


def test_unknown_modality_of_source_of_and_shared_of():
    block = PMR(THREE)
    with pytest.raises(ValueError, match="smell"):
        block.source_of("smell")
    with pytest.raises(ValueError, match="unknown modality"):
        block.source_of(["text"])
    with pytest.raises(ValueError, match="present must be a mapping"):
        block.embed({"text": torch.zeros(1, 6)}, 5)
    with pytest.raises(ValueError, match="parts must be one of"):
        block.part_widths(["all"])
    with pytest.raises(ValueError, match="smell"):
        block.shared_of("smell")


def test_printed_form_tells_the_settings():
    assert "n=2" in repr(PMR(THREE, n=2)) and "'cosine'" in repr(PMR(THREE, metric="cosine"))


def test_gradient_of_the_cosine_error_is_the_derived_one():
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, 3, 4, generator=random, dtype=torch.float64) for _ in range(2))
    x[0, 0] = 0  # a zero row: cosine 0

    def error(x, y):
        return sample_error(x, y, "cosine", "mean")

    leaves = x[1:].clone().requires_grad_(), y[1:].clone().requires_grad_()
    assert torch.autograd.gradcheck(error, leaves)
    assert error(x, y)[0, 0] == 1
    # One sample at a time, as functional transforms see it.
    each = torch.func.vmap(torch.func.grad(lambda x, y: error(x, y).sum()))(x, y)
    torch.testing.assert_close(each[1], torch.autograd.grad(error(*leaves).sum(), leaves)[0][0])
    assert torch.autograd.gradgradcheck(error, leaves)


@pytest.mark.parametrize("size", [1e-25, 1e18, 1e25])
def test_cosine_error_of_rows_whose_squares_leave_float32(size):
    random = torch.Generator().manual_seed(1)
    x, y = (torch.randn(5, 6, generator=random) for _ in range(2))
    small = (x * size).requires_grad_()
    error = sample_error(small, y, "cosine", "mean")
    torch.testing.assert_close(error, 1 - torch.cosine_similarity(x, y))
    (found,) = torch.autograd.grad(error.sum(), small)
    x = x.double().requires_grad_()
    (wanted,) = torch.autograd.grad((1 - torch.cosine_similarity(x, y.double())).sum(), x)
    torch.testing.assert_close(found.double() * size, wanted, atol=1e-6, rtol=1e-5)
