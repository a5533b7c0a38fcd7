import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_gradients import cosines, gram, sample_gram
from torch import nn
from torch.utils.checkpoint import checkpoint

from pnpfuse_analysis import sample_param_cosine, sample_param_report

pytestmark = pytest.mark.filterwarnings("ignore:.*padding='same'")


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def losses_of(y):
    """Three losses (N,) of outputs (N, ...)."""
    y = y.flatten(1)
    t = noise(*y.shape, seed=5, dtype=y.dtype)
    return {"a": (y - t).square().mean(1), "b": y.sin().sum(1), "c": (y * t).sum(1)}


def agrees(model, losses, parameters=None, rtol=1e-5, **options):
    parameters = list(model.parameters()) if parameters is None else parameters
    expected = sample_gram(list(losses.values()), parameters)
    report = sample_param_report(model, losses, **options)
    assert not report.sample_gram.requires_grad and report.sample_gram.dtype == torch.float64
    scale = np.abs(expected).max()
    np.testing.assert_allclose(report.sample_gram, expected, rtol=rtol, atol=rtol * scale)
    np.testing.assert_allclose(report.sample_cosine, cosines(expected), atol=100 * rtol)
    found = sample_param_cosine(model, losses, **options)
    assert torch.equal(found, report.sample_cosine)
    return report


class Tied(nn.Module):
    """One weight used three times."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(5, 5)

    def forward(self, x):
        return self.map(self.map(self.map(x).tanh()).tanh())


class Functional(nn.Module):
    """Weights that no nn.Linear holds."""

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(noise(5, 4, seed=8)), nn.Parameter(noise(4, seed=9))

    def forward(self, x):
        return x @ self.w + self.b


def mlp(*sizes, bias=True):
    torch.manual_seed(4)
    layers = [(nn.Linear(a, b, bias=bias), nn.Tanh()) for a, b in zip(sizes, sizes[1:])]  # noqa: B905
    return nn.Sequential(*(module for pair in layers for module in pair))


MODELS = {
    "mlp": (mlp(5, 6, 4), (9, 5)),
    "one sample": (mlp(5, 6, 4), (1, 5)),
    "no bias": (mlp(5, 6, 4, bias=False), (9, 5)),
    "few positions": (mlp(5, 6, 4), (7, 2, 5)),
    "many positions": (mlp(5, 6, 4), (7, 50, 5)),
    "further axes": (mlp(5, 6, 4, bias=False), (7, 2, 3, 5)),
    "tied": (Tied(), (6, 5)),
    "tied, positions": (Tied(), (6, 3, 5)),
    "functional": (Functional(), (6, 5)),
    "norm": (nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.Linear(6, 2)), (6, 3, 5)),
    "transformer": (
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
        (5, 3, 4),
    ),
    "conv to linear": (
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 4)),
        (6, 2, 5, 5),
    ),
    "conv of three": (nn.Conv3d(2, 4, (2, 1, 2), stride=(1, 2, 1)), (4, 2, 4, 4, 3)),
    "frozen start": (mlp(5, 6, 4), (9, 5)),
}
MODELS["frozen start"][0][0].requires_grad_(False)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["ghost", "vmap"])
def test_every_sample_agrees_with_its_own_backward_pass(name, method):
    model, shape = MODELS[name]
    parameters = [p for p in model.parameters() if p.requires_grad]
    agrees(model, losses_of(model(noise(*shape))), parameters, method=method)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": 2, "padding_mode": "circular"},
        {"padding": "same", "padding_mode": "reflect"},
        {"padding": "same", "dilation": 3, "bias": False},
        {"stride": 3, "padding": 2, "padding_mode": "replicate"},
    ],
)
def test_convolutions(groups, dims, options):
    torch.manual_seed(0)
    kind = nn.Conv1d if dims == 1 else nn.Conv2d
    model = nn.Sequential(kind(4, 8, 3, groups=groups, **options), nn.Tanh(), kind(8, 2, 1))
    agrees(model, losses_of(model(noise(5, 4, *(11, 8)[:dims]))), method="ghost")


@given(
    n=st.integers(1, 6),
    t=st.integers(1, 5),
    i=st.integers(1, 5),
    o=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_any_sizes(n, t, i, o, seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(i, o), nn.Tanh(), nn.Linear(o, 2)).double()
    losses = losses_of(model(noise(n, t, i, seed=seed, dtype=torch.float64)))
    agrees(model, losses, rtol=1e-10, method="ghost")


def test_the_order_of_rows_is_found():
    """Positions first, as sequence models have it: losses are still those of samples."""
    model = mlp(5, 6, 4)
    y = model(noise(3, 8, 5))  # (T, N, ...)
    agrees(model, losses_of(y.transpose(0, 1)), method="ghost")
    model = mlp(5, 6, 4, bias=False)
    y = model(noise(8, 3, 5).transpose(0, 1))  # strided
    agrees(model, losses_of(y.transpose(0, 1)), method="ghost")


def test_chunks_make_no_difference(monkeypatch):
    model, shape = MODELS["conv to linear"]
    losses = losses_of(model(noise(*shape)))
    whole = [sample_param_cosine(model, losses, method=m) for m in ("ghost", "vmap")]
    monkeypatch.setattr("pnpfuse_analysis.gradients.ghost._BLOCK_BYTES", 1)
    monkeypatch.setattr("pnpfuse_analysis.gradients.persample._BLOCK_BYTES", 1)
    parts = [sample_param_cosine(model, losses, method=m) for m in ("ghost", "vmap")]
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_known_angles():
    """One linear map without bias, losses <u, W x_n> and <v, W x_n>: the cosine is that of u, v."""
    model = nn.Linear(3, 2, bias=False).double()
    y = model(noise(4, 3, dtype=torch.float64))
    losses = {"u": y[:, 0], "v": y @ torch.tensor([1.0, 3**0.5], dtype=y.dtype), "w": -2 * y[:, 0]}
    found = sample_param_cosine(model, losses)
    expected = torch.tensor([[0.5, -1.0]], dtype=y.dtype).expand(4, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_the_report_has_the_gramian_of_the_sums_as_well():
    model, shape = MODELS["mlp"]
    losses = losses_of(model(noise(*shape)))
    report = sample_param_report(model, losses, main="b")
    assert report.main == "b" and report.names == ("a", "c")
    sums = [losses[name].sum() for name in ("b", "a", "c")]
    np.testing.assert_allclose(report.gram, gram(sums, list(model.parameters())), rtol=1e-5)
    negative = (report.sample_cosine < 0).double().mean(0)
    torch.testing.assert_close(report.conflict_rate, negative)
    assert report.undefined.tolist() == [0, 0]


@pytest.mark.parametrize("factor", [1.0, 1 / 9, 2.0**16])
def test_scalar_losses_give_the_same_cosines(factor):
    model, shape = MODELS["mlp"]
    losses = losses_of(model(noise(*shape)))
    scalars = {name: factor * loss.sum() for name, loss in losses.items()}
    each, whole = (sample_param_cosine(model, one, method="ghost") for one in (losses, scalars))
    torch.testing.assert_close(each, whole, rtol=1e-5, atol=1e-7)
    few = sample_param_cosine(model, scalars, method="ghost", samples=3)
    assert few.shape == (3, 2)
    assert torch.equal(sample_param_cosine(model, scalars), whole)
    with pytest.raises(ValueError, match=r"must have shape \(N,\) for method='vmap'"):
        sample_param_cosine(model, scalars, method="vmap")


def test_some_modules_only():
    model, shape = MODELS["conv to linear"]
    losses = losses_of(model(noise(*shape)))
    for modules in (["3"], "3", model[3], [model[3]]):
        agrees(model, losses, list(model[3].parameters()), modules=modules)


def test_what_ghost_cannot_do_it_refuses_by_name_and_auto_does_otherwise():
    torch.manual_seed(0)
    models = {
        "weight_ih_l0": (nn.LSTM(4, 3, batch_first=True), (5, 3, 4)),
        "weight": (nn.ConvTranspose1d(4, 3, 2), (5, 4, 7)),
        "1.weight": (nn.Sequential(nn.Linear(4, 3), nn.PReLU()), (5, 4)),
    }
    for name, (model, shape) in models.items():
        y = model(noise(*shape))
        losses = losses_of(y[0] if isinstance(y, tuple) else y)
        with pytest.raises(ValueError, match=rf"'{name}' must be used by linear maps"):
            sample_param_cosine(model, losses, method="ghost")
        agrees(model, losses)
    model = nn.Linear(5, 7, bias=False)
    losses = losses_of(model(noise(6, 5)).tanh() @ model.weight)
    with pytest.raises(ValueError, match="'weight' must not be used both as it is and transposed"):
        sample_param_cosine(model, losses, method="ghost")
    agrees(model, losses)


def test_parameters_without_an_axis_of_samples_are_refused_by_name():
    model = Functional()
    losses = losses_of(noise(6, 5) @ model.w + (model.b + torch.ones(4)))
    with pytest.raises(ValueError, match="'b' must be used along an axis of samples"):
        sample_param_cosine(model, losses, method="ghost")
    agrees(model, losses)
    # Five positions that happen to be as many as the samples, and shared by them all.
    losses = losses_of(noise(5, 5, 4) + (noise(5, 5) @ model.w + model.b))
    with pytest.raises(ValueError, match="found samples coupled"):
        sample_param_cosine(model, losses, method="ghost")
    agrees(model, losses, method="vmap")


def test_parameters_hidden_in_a_reentrant_checkpoint_are_not_forgotten():
    model = mlp(5, 6, 4)
    x = noise(6, 5).requires_grad_()
    losses = losses_of(checkpoint(model, x, use_reentrant=True))
    with pytest.raises(ValueError, match="pass use_reentrant=False"):
        sample_param_cosine(model, losses, method="ghost")


def test_batch_normalisation_is_refused_unless_declared():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    losses = losses_of(model(noise(8, 5)))
    for options in ({}, {"method": "vmap"}, {"method": "ghost", "modules": ["0"]}):
        with pytest.raises(ValueError, match="batch normalisation in training mode"):
            sample_param_cosine(model, losses, **options)
    agrees(model, losses, list(model[3].parameters()), modules=["3"])  # behind it there is none
    rows = sample_param_cosine(model, losses, ["0"], coupled=True)
    assert rows.shape == (8, 2) and torch.isfinite(rows).all()
    report = sample_param_report(model, losses, ["0"], coupled=True)
    assert "couple the samples" in report.warnings[0]
    model.eval()
    agrees(model, losses_of(model(noise(8, 5))), list(model[0].parameters()), modules=["0"])


def test_contrastive_losses_are_found_out():
    model = mlp(5, 6, 4)
    z = nn.functional.normalize(model(noise(8, 5)), dim=1)
    other = nn.functional.normalize(model(noise(8, 5, seed=1)), dim=1)
    logits = z @ other.T / 0.1
    contrast = nn.functional.cross_entropy(logits, torch.arange(8), reduction="none")
    losses = {"own": z.square().sin().sum(1), "contrast": contrast}
    with pytest.raises(ValueError, match="found samples coupled"):
        sample_param_cosine(model, losses, method="ghost")
    assert sample_param_cosine(model, losses, method="ghost", coupled=True).shape == (8, 1)


def test_a_loss_apart_and_a_vanishing_one_are_undefined():
    model = mlp(5, 4)
    y = model(noise(6, 5))
    losses = {"a": y.sum(1), "apart": noise(6, 5).sum(1), "zero": 0 * y.sum(1)}
    for method in ("ghost", "vmap"):
        report = sample_param_report(model, losses, method=method)
        assert torch.isnan(report.sample_cosine).all() and report.undefined.tolist() == [1, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_sample_that_is_not_finite_spoils_no_other(bad):
    model, x = mlp(5, 6, 4), noise(9, 5)
    exact = sample_param_cosine(model, losses_of(model(x)))
    losses = losses_of(model(x))
    losses["a"] = losses["a"] * torch.ones(9).index_fill(0, torch.tensor(3), bad)
    found = sample_param_cosine(model, losses, method="ghost")
    assert torch.isnan(found[3]).all()
    rest = torch.arange(9) != 3
    torch.testing.assert_close(found[rest], exact[rest], rtol=1e-4, atol=1e-6)


def test_under_autocast_and_checkpointing():
    model = mlp(5, 16, 4)
    x = noise(9, 5)
    exact = sample_param_cosine(model, losses_of(model(x)))
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    found = sample_param_cosine(model, losses_of(y.float()), method="ghost")
    torch.testing.assert_close(found, exact, rtol=0, atol=0.05)
    again = losses_of(checkpoint(model, x, use_reentrant=False))
    torch.testing.assert_close(sample_param_cosine(model, again, method="ghost"), exact)


def test_tiny_gradients_keep_their_angle():
    model = mlp(5, 6, 4)
    losses = losses_of(model(noise(9, 5)))
    exact = sample_param_cosine(model, losses)
    small = {name: 1e-25 * loss for name, loss in losses.items()}
    torch.testing.assert_close(sample_param_cosine(model, small), exact, rtol=1e-4, atol=1e-5)


def test_grad_and_graph_are_left_alone():
    model = mlp(5, 6, 4)
    losses = losses_of(model(noise(9, 5)))
    for method in ("ghost", "vmap"):
        sample_param_cosine(model, losses, method=method)
    assert all(p.grad is None for p in model.parameters())
    losses["a"].sum().backward()
    with pytest.raises(ValueError, match="losses must still have their graph"):
        sample_param_cosine(model, {n: losses[n] for n in "ab"})


MODEL = mlp(5, 4)
Y = MODEL(noise(6, 5))
PAIR = {"a": Y.sum(1), "b": Y.square().sum(1)}


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        ({"a": Y.sum(1)}, {}, "losses must map at least two names"),
        ([Y.sum(1)] * 2, {}, "losses must map at least two names .*, found list"),
        (PAIR | {"b": Y}, {}, r"losses must be real tensors of one shape \(N,\)"),
        (PAIR | {"b": Y.sum(1)[:3]}, {}, "losses must be real tensors of one shape"),
        (PAIR | {"b": 1.0}, {}, "losses must be real tensors of one shape"),
        (PAIR, {"main": "c"}, r"main must be one of \['a', 'b'\], found 'c'"),
        (PAIR, {"method": "exact"}, "method must be one of 'auto', 'ghost', 'vmap'"),
        (PAIR, {"modules": ["x"]}, r"modules\[0\] must name a module"),
        (PAIR, {"modules": ["1"]}, "modules must hold parameters that require a gradient"),
        (PAIR, {"eps": -1}, "eps must be a number"),
        (PAIR, {"coupled": "no"}, "coupled must be True or False, found 'no'"),
        ({"a": Y.detach().sum(1), "b": Y.detach().sum(1)}, {}, "depend on the model's parameters"),
    ],
)
def test_wrong_input_is_refused(losses, options, message):
    with pytest.raises(ValueError, match=message):
        sample_param_cosine(MODEL, losses, **options)


def test_a_model_is_a_module():
    with pytest.raises(ValueError, match="model must be a torch.nn.Module, found NoneType"):
        sample_param_cosine(None, PAIR)
