"""A soft boundary against simulated profiles, naive sums and the hard cut that it tends to."""

import naive_fusion as naive
import numpy as np
import pytest
import torch
from command_line import run
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pmr import FOUR, THREE, block_for, features_for

from pnpfuse import cell_with, evaluate, fit, hyperparameters, load_views
from pnpfuse.fusion import PMR, create_model
from pnpfuse.fusion.maps import Maps
from pnpfuse.fusion.saved import load_model, save_model
from pnpfuse.fusion.share import simulated_share
from pnpfuse_solvers import solve_equilibrium


def profile(n, b, channels, voltage, nodes=6401):
    """The share of each channel, off the concentrations of a finely solved cell."""
    cell = cell_with(n, b, voltage=voltage)
    solution = solve_equilibrium(cell, nodes=nodes)
    middle = (np.arange(channels) + 0.5) / channels * cell.length
    shared, specific = (
        np.exp(np.interp(middle, solution.x.values, np.log(solution.concentration.sel(species=s))))
        for s in ("shared", "specific")
    )
    return shared / (shared + specific)


def shares_of(block):
    """{modality: w (n l,)}, detached."""
    return {m: w.detach().double() for m, w in block.share().items()}


@pytest.mark.parametrize(
    ("n", "boundary", "channels", "voltage"),
    [(4, 20, 48, 5), (4, 12, 48, 20), (0.5, 3, 10, 2), (2.5, 30, 40, 1), (8, 100, 512, 50)],
)
def test_shares_are_those_of_the_simulated_concentrations(n, boundary, channels, voltage):
    share, ratio = simulated_share(n, boundary, channels, voltage)
    np.testing.assert_allclose(share, profile(n, boundary / channels, channels, voltage), atol=1e-7)
    assert (np.diff(share) <= 0).all()  # from the electrode that the shared species gathers at
    assert share[boundary - 1] > 0.5 > share[boundary]
    assert ratio == -cell_with(n, boundary / channels, voltage=voltage).ions[1].valence


def test_a_mapped_boundary_takes_the_cell_of_the_modality():
    """To the rounding of b n l to whole channels."""
    dims = {"image": 96, "text": 36}
    found = hyperparameters(dims, n=4, voltage=20)
    block = PMR(dims, 4, found.b, boundary="soft", voltage=20)
    for m, w in shares_of(block).items():
        assert abs(w.sum() / len(w) - found.b[m]) < 1.5 / len(w)
        assert -cell_with(4, found.b[m]).ions[1].valence == pytest.approx(36 / dims[m], rel=1e-6)


@pytest.mark.parametrize("activation", [None, "tanh"])
def test_matches_the_naive_block(activation):
    ratios = {m: 0.2 + 0.15 * i for i, m in enumerate(FOUR)}
    block = block_for(FOUR, 3, ratios, boundary="soft", voltage=5, activation=activation)
    V, w = features_for(FOUR), shares_of(block)
    out = block(V)
    for m in FOUR:
        maps = {}
        for k in (m, block.source_of(m)):
            j = next(j for j, group in enumerate(block.groups) if k in group)
            i, own = block.groups[j].index(k), block.maps[j]
            maps[k] = {
                name: (getattr(own, name)[i], getattr(own, f"{name}_bias")[i])
                for name in ("dissolve", "shared", "specific")
            }

        def dissolved(k):
            weight, bias = maps[k]["dissolve"]  # noqa: B023
            D = V[k] @ weight.T + bias
            return D if activation is None else D.tanh()

        k = block.source_of(m)
        weight, bias = maps[k]["shared"]
        torch.testing.assert_close(out.shared[m], (w[k] * dissolved(k)) @ weight.T + bias)
        weight, bias = maps[m]["specific"]
        torch.testing.assert_close(out.specific[m], ((1 - w[m]) * dissolved(m)) @ weight.T + bias)


def test_maps_of_are_the_maps_as_they_act():
    block, V = block_for(THREE, 3, boundary="soft", voltage=2, bias=False), features_for(THREE)
    out, maps = block(V), naive.weights_of(block)
    for m in THREE:
        k = block.source_of(m)
        D = {name: V[name].numpy() @ maps[f"dissolve.{name}"][0].T for name in (m, k)}
        np.testing.assert_allclose(out.shared[m].detach(), D[k] @ maps[f"shared.{m}"][0].T)
        np.testing.assert_allclose(out.specific[m].detach(), D[m] @ maps[f"specific.{m}"][0].T)
    assert torch.equal(block.shared_of("audio")[0], block.maps_of("audio")["shared"][0])


def hardened(soft, seed=1):
    """A hard block with the weights of a soft one on its side of the cut."""
    options = {"bias": soft.stacks[0].recon_bias is not None, "activation": soft.activation}
    hard = block_for(soft.dims, soft.n, soft.b, seed=seed, **options)
    with torch.no_grad():
        for one, other in zip(hard.stacks, soft.stacks, strict=True):
            assert isinstance(one, Maps)
            B = one.dissolve_shared.shape[1]
            for name in ("dissolve", "dissolve_bias"):
                first, rest = getattr(other, name)[:, :B], getattr(other, name)[:, B:]
                side = name.removeprefix("dissolve")
                getattr(one, f"dissolve_shared{side}").copy_(first)
                getattr(one, f"dissolve_specific{side}").copy_(rest)
            one.shared.copy_(other.shared[..., :B])
            one.specific.copy_(other.specific[..., B:])
            for name in ("shared_bias", "specific_bias", "recon", "recon_bias"):
                getattr(one, name).copy_(getattr(other, name))
    return hard


@pytest.mark.parametrize("activation", [None, "relu"])
def test_tends_to_the_hard_cut_as_the_voltage_grows(activation):
    """Whatever the weights beyond the cut, which a hard block does not have."""
    dims, voltages = {"a": 24, "b": 16, "c": 24}, [100, 1000, 1e4]
    errors = []
    for voltage in voltages:
        soft = block_for(dims, 4, 0.4, boundary="soft", voltage=voltage, activation=activation)
        V, hard = features_for(dims), hardened(soft)
        out, limit = soft(V), hard(V)
        errors.append(max((out.fused[m] - limit.fused[m]).abs().max().item() for m in dims))
    assert errors[0] > 1e-3 > errors[1] > errors[2]
    assert errors[2] < 1e-12
    torch.testing.assert_close(out.losses, limit.losses)


def test_the_interface_narrows_as_one_over_the_voltage():
    """From 0.9 to 0.1 in 2 ln 9/(slope), the slope of ln(w/(1 - w)) being 2 U (1 + r) = 2 U/(1 - b)
    where the field crosses the cell unscreened."""
    channels = 10**4
    for b in (0.25, 0.5):
        widths = []
        for voltage in (20, 40, 80, 160):
            share, _ = simulated_share(1, int(b * channels), channels, voltage)
            widths.append(((share > 0.1) & (share < 0.9)).mean())
            assert widths[-1] == pytest.approx(np.log(9) * (1 - b) / voltage, rel=0.05)
        rates = np.log2(np.divide(widths[:-1], widths[1:]))
        np.testing.assert_allclose(rates, 1, atol=0.05)


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    n=st.floats(2, 6),
    b=st.floats(0.05, 0.95),
    voltage=st.floats(1, 100),
    metric=st.sampled_from(["mse", "cosine"]),
    seed=st.integers(0, 1000),
)
def test_any_widths_n_b_and_voltage(widths, n, b, voltage, metric, seed):
    dims = {f"m{i}": width for i, width in enumerate(widths)}
    options = {"boundary": "soft", "voltage": voltage, "metric": metric}
    block, V = block_for(dims, n, b, seed=seed, **options), features_for(dims, 3, seed)
    for m, w in shares_of(block).items():
        B = block.widths.boundary[m]
        assert len(w) == block.widths.expanded[m] and ((w >= 0) & (w <= 1)).all()
        assert w[B - 1] >= 0.5 >= w[B] and (w.diff() <= 0).all()
    out, folded = block(V), block.fold()(V)
    alone = block({m: v[1:2] for m, v in V.items()})
    backwards = block(dict(reversed(V.items())))
    assert out.losses["preservation"].isfinite()
    for m in dims:
        torch.testing.assert_close(alone.fused[m][0], out.fused[m][1])
        torch.testing.assert_close(folded.fused[m], out.fused[m], rtol=1e-9, atol=1e-9)
        assert torch.equal(backwards.fused[m], out.fused[m])
    embedded = block.embed(V)
    for m in dims:
        own = out.shared[next(r for r in dims if block.source_of(r) == m)]
        torch.testing.assert_close(embedded[m], torch.cat([own, out.specific[m]], 1))


@pytest.mark.parametrize("bias", [True, False])
def test_both_orders_of_multiplication_agree(bias):
    dims = {"a": 6, "b": 6, "c": 4}
    block, V = block_for(dims, n=4, bias=bias, boundary="soft"), features_for(dims, batch=60)
    assert all(maps._worthwhile < 60 for maps in block.maps)
    grads = []
    for training in (True, False):
        block.train(training)
        out = block(V)
        loss = out.losses["preservation"] + sum(z.square().sum() for z in out.fused.values())
        grads.append((out.fused, torch.autograd.grad(loss, list(block.parameters()))))
    (fused, first), (other, second) = grads
    torch.testing.assert_close(fused, other, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


def test_draws_have_the_spread_of_linear_maps():
    """As if P_shared read sum w^2 channels: at high voltages those of the cut."""
    torch.manual_seed(0)
    for voltage in (1.0, 1e5):
        block = PMR({"a": 40, "b": 40}, boundary="soft", voltage=voltage)
        w = next(iter(shares_of(block).values()))
        for name, share in (("shared", w), ("specific", 1 - w)):
            found = getattr(block.maps[0], name).abs().max().item()
            assert found == pytest.approx(share.square().sum().item() ** -0.5, rel=0.01)
    assert w.square().sum() == block.widths.boundary["a"] == 80


def test_presence_loss_domain_experts_and_precision():
    present = {"audio": torch.tensor([True, False, True, False, True])}
    for options in (
        {"domain": "transform"},
        {"domain": "transform", "activation": "gelu"},
        {"experts": "moe"},
        {"gradient": "block_only", "pairing": "prev"},
        {"fill": "learned", "metric": "cosine"},
    ):
        block = block_for(THREE, boundary="soft", voltage=5, **options)
        V = features_for(THREE)
        spoilt = V | {"audio": torch.where(present["audio"][:, None], V["audio"], torch.nan)}
        spoilt["audio"].requires_grad_()
        clean, dirty = block(V, present), block(spoilt, present)
        assert torch.equal(clean.losses["preservation"], dirty.losses["preservation"])
        (sum(dirty.losses.values()) + sum(z.sum() for z in dirty.fused.values())).backward()
        assert (spoilt["audio"].grad[~present["audio"]] == 0).all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in block.parameters())
        if block.activation is None:
            folded = block.fold()(V, present)
            torch.testing.assert_close(folded.fused, clean.fused, rtol=1e-9, atol=1e-9)
    block, V = PMR(THREE, boundary="soft"), features_for(THREE, dtype=torch.float32)
    exact = block(V)
    with torch.autocast("cpu", torch.bfloat16):
        rough = block(V)
    assert rough.fused["text"].dtype == torch.bfloat16
    torch.testing.assert_close(rough.losses, exact.losses, rtol=2e-2, atol=2e-2)


def test_compiles_exports_takes_sample_gradients_and_reads_no_value():
    torch.manual_seed(0)
    block, V = PMR(THREE, boundary="soft"), features_for(THREE, dtype=torch.float32)
    compiled = torch.compile(block, backend="eager", fullgraph=True)(V)
    torch.testing.assert_close(compiled.fused, block(V).fused)

    class Fused(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, V):
            return self.block(V).fused

    exported = torch.export.export(Fused(), (V,)).module()
    torch.testing.assert_close(exported(V), block(V).fused)

    def loss_of(parameters, sample):
        one = {m: v[None] for m, v in sample.items()}
        return torch.func.functional_call(block, parameters, (one,)).losses["preservation"]

    parameters = {name: p.detach() for name, p in block.named_parameters()}
    each = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0))(parameters, V)
    mean = torch.autograd.grad(block(V).losses["preservation"], list(block.parameters()))
    for name, whole in zip(parameters, mean, strict=True):
        torch.testing.assert_close(each[name].mean(0), whole)

    away = PMR(THREE, boundary="soft", gradient="block_only").to("meta")
    away({m: v.to("meta") for m, v in V.items()}).losses["preservation"].backward()


@pytest.mark.parametrize("name", ["rpmr", "sg-mbt", "sg-umoe", "sg-cmmp"])
def test_models_by_name_are_saved_and_opened(name, tmp_path):
    dims = {"text": 20, "audio": 5}
    options = {"boundary": "soft", "voltage": 5, "n": 3, "b": {"text": 0.3, "audio": 0.5}}
    model = create_model(name, dims, 3, **options).eval()
    X = features_for(dims, dtype=torch.float32)
    reopened = load_model(save_model(model, tmp_path))
    assert torch.equal(reopened(X).logits, model(X).logits)
    assert reopened.options["boundary"] == "soft" and reopened.block.voltage == 5
    assert any(key == "block.share.text" for key in reopened.state_dict())


def test_trains():
    views = load_views("digits")
    torch.manual_seed(0)
    model = create_model("rpmr", views.dims, views.classes, boundary="soft", voltage=5)
    before = {m: w.clone() for m, w in shares_of(model.block).items()}
    losses = fit(model, views, epochs=2, seed=0).to_dataset()["task_loss"].values
    assert losses[-1] < losses[0]
    assert float(evaluate(model, views, missing="none").accuracy.mean()) > 0.5
    for m, w in shares_of(model.block).items():
        assert torch.equal(w, before[m])


@pytest.mark.parametrize(
    ("given", "mapped", "voltage"),
    [
        (["--voltage", "50"], 50, 50),
        (["--option", "voltage=40"], 40, 40),
        (["--option", "voltage=5", "--voltage", "30"], 30, 5),
        ([], 20, 20),
    ],
)
def test_command_line_maps_and_softens_with_the_same_cells(
    capsys, tmp_path, given, mapped, voltage
):
    status, _, err = run(
        capsys, "train", "digits", "--mapped", "--option", "boundary=soft", *given,
        "--epochs", "1", "--out", str(tmp_path),
    )  # fmt: skip
    assert status == 0, err
    options = load_model(tmp_path).options
    found = hyperparameters({"pixels": 64, "fourier": 40, "profiles": 16}, voltage=mapped)
    assert options["voltage"] == voltage and options["b"] == found.b


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boundary": "fuzzy"}, "boundary must be one of"),
        ({"boundary": "soft", "voltage": 0}, "voltage must be above 0"),
        ({"boundary": "soft", "voltage": -1}, "voltage must be a finite number"),
        ({"boundary": "soft", "voltage": "20"}, "voltage must be a finite number"),
        ({"boundary": "soft", "voltage": float("nan")}, "voltage"),
        ({"boundary": "soft", "voltage": 5, "n": 200}, "voltage 5 has no cell .* does"),
        ({"boundary": "soft", "mapping": "srht"}, "boundary must be 'hard' with mapping='srht'"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PMR(THREE, **options)


def test_printed_form_tells_the_boundary():
    assert "boundary='soft', voltage=5" in repr(PMR(THREE, boundary="soft", voltage=5))
    assert "voltage" not in repr(PMR(THREE))
