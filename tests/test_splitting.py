import copy

import numpy as np
import pytest
import torch
from naive_gradients import cosines, gram
from torch import nn
from torch.utils.checkpoint import checkpoint

from pnpfuse_analysis import GradReport, grad_cosine, split_gradients

NAMES = ["task", "rebuild"]


class Net(nn.Module):
    def __init__(self, inner=4):
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, inner))
        self.task, self.rebuild = nn.Linear(inner, 3), nn.Linear(inner, 6)

    def losses(self, x, one, other):
        return {
            "task": nn.functional.cross_entropy(self.task(one).float(), torch.arange(len(x)) % 3),
            "rebuild": (self.rebuild(other) - x).square().mean(),
        }


X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))


def split_step(net, x=X, weight=0.3, **options):
    """One ordinary step; the split, and z."""
    z = net.encoder(x)
    split = split_gradients(z, NAMES, **options)
    with split as parts:
        losses = net.losses(x, parts["task"], parts["rebuild"])
        (losses["task"] + weight * losses["rebuild"]).backward()
    return split, z


def test_one_backward_gives_the_bits_of_two():
    net, other = Net(), Net()
    split, _ = split_step(net)
    z = other.encoder(X)
    losses = other.losses(X, z, z)
    expected = [
        torch.autograd.grad(loss, z, retain_graph=True)[0]
        for loss in (losses["task"], 0.3 * losses["rebuild"])
    ]
    for name, gradient in zip(NAMES, expected, strict=True):
        assert torch.equal(split.gradients[name][0], gradient)
    (losses["task"] + 0.3 * losses["rebuild"]).backward()
    for ours, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)  # the step is the step without it


def test_the_report_is_that_of_grad_cosine():
    split, _ = split_step(Net())
    net = Net()
    z = net.encoder(X)
    losses = net.losses(X, z, z)
    losses["rebuild"] = 0.3 * losses["rebuild"]
    report, expected = split.report(), grad_cosine(losses, z, main="task")
    assert isinstance(report, GradReport) and report.main == "task"
    for field in ("cosine", "gram", "norms", "sample_cosine", "sample_gram", "conflict_rate"):
        assert torch.equal(getattr(report, field), getattr(expected, field))
    np.testing.assert_allclose(report.gram, gram(losses.values(), [z]), rtol=1e-12)
    turned = split.report("rebuild")
    assert turned.names == ("task",) and torch.allclose(turned.cosine, report.cosine)


def test_known_angle():
    z = torch.zeros(5, 2, dtype=torch.float64, requires_grad=True)
    split = split_gradients(z, ["a", "b"])
    with split as parts:
        (parts["a"] @ torch.tensor([2.0, 0], dtype=z.dtype)).sum().backward(retain_graph=True)
        (parts["b"] @ torch.tensor([3.0, 3 * 3**0.5], dtype=z.dtype)).sum().backward()
    report = split.report()
    assert float(report.cosine) == pytest.approx(0.5, abs=1e-15)
    assert report.norms.tolist() == pytest.approx([2 * 5**0.5, 6 * 5**0.5])


def test_several_tensors_count_as_one_and_keep_their_names():
    net = Net(4)
    z = net.encoder(X)
    whole = split_gradients(z, NAMES)
    halves = {"image": z[:, :3], "text": z[:, 3:]}
    parted = split_gradients(halves, NAMES)
    pair = split_gradients(tuple(halves.values()), NAMES)
    reports = []
    for split in (whole, parted, pair):
        with split as parts:
            if split is whole:
                inputs = [parts[name] for name in NAMES]
            elif split is parted:
                assert list(parts["task"]) == ["image", "text"]
                inputs = [torch.cat(list(parts[name].values()), 1) for name in NAMES]
            else:
                inputs = [torch.cat(parts[name], 1) for name in NAMES]
            sum(net.losses(X, *inputs).values()).backward(retain_graph=True)
        reports.append(split.report())
    for report in reports[1:]:
        torch.testing.assert_close(report.sample_gram, reports[0].sample_gram)


def test_a_loss_that_does_not_reach_z_is_undefined():
    z = torch.randn(6, 3, requires_grad=True)
    split = split_gradients(z, ["a", "b", "c"])
    with split as parts:
        (parts["a"].square().sum() + (0 * parts["b"]).sum()).backward()
    report = split.report()
    assert report.undefined.tolist() == [1, 1] and torch.isnan(report.cosine).all()
    assert report.norms[1:].tolist() == [0, 0]


def test_passes_add_up_and_a_leaf_keeps_its_own_memory():
    z = torch.randn(6, 3, requires_grad=True)
    split = split_gradients(z, ["a", "b"])
    with split as parts:
        loss = (3 * parts["a"]).sum()
        loss.backward(retain_graph=True)
        once = split.gradients["a"][0]
        loss.backward()
    assert (once == 3).all() and (split.gradients["a"][0] == 6).all() and (z.grad == 6).all()


def test_micro_batches_add_up():
    """The mean loss over two halves, accumulated, is that over the whole."""
    grams = []
    for half in (X[:6], X[6:]):
        net = Net()
        z = net.encoder(half)
        split = split_gradients(z, NAMES)
        with split as parts:
            (sum(net.losses(half, parts["task"], parts["rebuild"]).values()) / 2).backward()
        grams.append(split.report().gram)
    net = Net()
    z = net.encoder(X)
    expected = grad_cosine(net.losses(X, z, z), z, main="task").gram
    torch.testing.assert_close(sum(grams), expected, rtol=1e-5, atol=0)


def test_hooks_are_gone_after_the_context_and_after_an_exception():
    z = Net().encoder(X)
    split = split_gradients(z, NAMES)
    with pytest.raises(KeyError), split as parts:
        raise KeyError("user")
    (parts["task"].sum() + parts["rebuild"].sum()).backward(retain_graph=True)
    with pytest.raises(ValueError, match="must have had a backward pass"):
        split.report()
    with split as parts:  # and again
        (parts["task"].sum() + parts["rebuild"].sum()).backward()
    assert float(split.report().cosine) == pytest.approx(1)


def test_a_scaled_loss_gives_the_same_cosine_and_with_scale_the_same_gramian():
    plain = split_step(Net())[0].report()

    def scaled(scale, factor):
        net = Net()
        z = net.encoder(X)
        split = split_gradients(z, NAMES, scale=scale)
        with split as parts:
            losses = net.losses(X, parts["task"], parts["rebuild"])
            total = losses["task"] + 0.3 * losses["rebuild"]
            (factor * total).backward()
        return split.report()

    class Scaler:  # as torch.amp.GradScaler on a GPU
        def scale(self, value):
            return value * 2.0**16

    for scale in (2.0**16, torch.tensor(2.0**16), Scaler()):
        report = scaled(scale, 2.0**16)
        torch.testing.assert_close(report.gram, plain.gram, rtol=1e-12, atol=0)
        assert torch.equal(report.cosine, plain.cosine)
    torch.testing.assert_close(scaled(None, 2.0**16).norms, 2.0**16 * plain.norms)
    off = torch.amp.GradScaler("cpu", enabled=False)
    assert torch.equal(split_step(Net(), scale=off)[0].report().gram, plain.gram)


def test_a_grad_scaler_itself_takes_part():
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    net = Net()
    z = net.encoder(X)
    split = split_gradients(z, NAMES, scale=scaler)
    with split as parts:
        losses = net.losses(X, parts["task"], parts["rebuild"])
        scaler.scale(losses["task"] + 0.3 * losses["rebuild"]).backward()
    plain = split_step(Net())[0].report()
    torch.testing.assert_close(split.report().gram, plain.gram, rtol=1e-12, atol=0)


def test_under_autocast_gradients_are_compared_in_float64():
    net = Net()
    with torch.autocast("cpu", torch.bfloat16):
        split, z = split_step(net)
        assert z.dtype == torch.bfloat16
    report = split.report()
    assert report.gram.dtype == torch.float64
    plain = split_step(Net())[0].report()
    assert float(report.cosine) == pytest.approx(float(plain.cosine), abs=0.05)
    rows = [split.gradients[name][0].double().reshape(1, -1).numpy() for name in NAMES]
    expected = cosines(np.concatenate(rows) @ np.concatenate(rows).T)
    np.testing.assert_allclose(report.cosine, expected, rtol=1e-12)


def test_gradients_below_the_square_root_of_float32_keep_their_angle():
    z = torch.randn(4, 3, requires_grad=True)
    split = split_gradients(z, ["a", "b"])
    with split as parts:
        (1e-30 * (parts["a"].sum() - parts["b"].sum())).backward()
    assert float(split.report().cosine) == pytest.approx(-1, abs=1e-12)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_head(reentrant):
    net = Net()
    z = net.encoder(X)
    split = split_gradients(z, NAMES)
    with split as parts:
        rebuilt = checkpoint(net.rebuild, parts["rebuild"], use_reentrant=reentrant)
        task = net.losses(X, parts["task"], parts["task"])["task"]
        (task + 0.3 * (rebuilt - X).square().mean()).backward()
    expected = split_step(Net())[0]
    for name in NAMES:
        assert torch.equal(split.gradients[name][0], expected.gradients[name][0])


def test_a_change_of_z_in_place_is_named():
    net = Net()
    for head in (nn.ReLU(inplace=True), nn.Identity()):
        z = net.encoder(X)
        split = split_gradients(z, NAMES)
        with split as parts, pytest.raises(ValueError, match="z must not be changed in place"):
            if isinstance(head, nn.Identity):
                z.add_(1)
            total = head(parts["task"]).sum() + parts["rebuild"].sum()
            total.backward()
            split.report()


def test_batch_dim_and_the_flat_form():
    z = torch.randn(4, 7, requires_grad=True)
    w = torch.randn(4, 7)
    reports = {}
    for options in ({"batch_dim": 1}, {"batch_dim": -1}, {"per_sample": False}):
        split = split_gradients(z, ["a", "b"], **options)
        with split as parts:
            (parts["a"].square().sum() + (w * parts["b"]).sum()).backward()
        reports[str(options)] = split.report()
    one, same, flat = reports.values()
    assert one.sample_cosine.shape == (7, 1) and flat.sample_cosine is None
    assert torch.equal(one.sample_gram, same.sample_gram)
    torch.testing.assert_close(one.gram, flat.gram)


def test_coupled_losses_are_flagged():
    report = split_step(Net(), coupled=True)[0].report()
    assert "couple the samples" in report.warnings[0] and "warning" in repr(report)


def test_a_model_and_its_copy_are_left_as_they_were():
    net = Net()
    split_step(net)
    assert not any(module._forward_hooks for module in net.modules())
    copy.deepcopy(net)


Z = torch.randn(4, 2, requires_grad=True)


@pytest.mark.parametrize(
    ("z", "names", "options", "message"),
    [
        (Z.detach(), NAMES, {}, "z must hold tensors that require grad"),
        (Z, ["one"], {}, "names must be at least two"),
        (Z, ["one", "one"], {}, "names must be at least two"),
        (Z, "ab", {}, "names must be at least two"),
        (Z, [1, 2], {}, "names must be at least two"),
        (Z, NAMES, {"batch_dim": 2}, "batch_dim must be an axis"),
        ([Z, Z[:2]], NAMES, {}, "z must hold the same samples"),
        ({}, NAMES, {}, "z must hold at least one"),
        (Z[:0], NAMES, {}, "z must hold the same samples"),
    ],
)
def test_wrong_input_is_refused(z, names, options, message):
    with pytest.raises(ValueError, match=message):
        split_gradients(z, names, **options)


def test_wrong_use_is_refused():
    split = split_gradients(Z, NAMES)
    with pytest.raises(ValueError, match="must have had a backward pass"):
        split.report()
    with torch.no_grad(), pytest.raises(ValueError, match="gradients are recorded"):
        split.__enter__()
    with split as parts:
        (parts["task"].sum() + parts["rebuild"].sum()).backward()
    with pytest.raises(ValueError, match="main must be one of"):
        split.report("other")
    with pytest.raises(ValueError, match="eps must be a number >= 0"):
        split.report(eps=-1)
    for scale in (0, -1.0, "2", True, torch.ones(2)):
        with pytest.raises(ValueError, match="scale must be a positive number"):
            split_gradients(Z, NAMES, scale=scale).__enter__()


def penalised(parts, z, way):
    """A loss of each name; the second one has a gradient penalty, or a weight from gradients."""
    task, value = parts["task"].sum(), parts["gp"].pow(3).sum()
    options = {"retain_graph": True} if way.endswith("weight") else {"create_graph": True}
    where = parts["gp"] if way.startswith("alias") else z
    slope = torch.autograd.grad(value, where, **options)[0]
    if way.endswith("weight"):
        return task, value / slope.norm()
    return task, slope.square().sum()


@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize("way", ["alias", "z", "alias weight", "z weight"])
def test_gradients_taken_on_the_way_to_a_loss_do_not_count(leaf, way):
    """d/dz of (3 z^2)^2 is 36 z^3; of z^3 over a constant norm, 3 z^2 over that."""
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    z = x if leaf else x * 1
    split = split_gradients(z, ["task", "gp"])
    with split as parts:
        sum(penalised(parts, z, way)).backward()
    slope = 3 * z.detach().square()
    expected = slope / slope.norm() if way.endswith("weight") else 36 * z.detach() ** 3
    torch.testing.assert_close(split.gradients["gp"][0], expected, rtol=1e-13, atol=1e-13)
    assert (split.gradients["task"][0] == 1).all()
    assert torch.allclose(x.grad, 1 + expected)


@pytest.mark.filterwarnings("ignore:Using backward")
def test_a_penalty_on_parameters_does_not_count():
    net = Net()
    z = net.encoder(X)
    split = split_gradients(z, NAMES)
    with split as parts:
        losses = net.losses(X, parts["task"], parts["rebuild"])
        weights = list(net.encoder.parameters())
        torch.autograd.grad(losses["task"], weights, retain_graph=True)
        grad_cosine(losses, z, main="task")
        sum(losses.values()).backward(create_graph=True)
    expected = split_step(Net(), weight=1)[0]
    for name in NAMES:
        assert torch.equal(split.gradients[name][0], expected.gradients[name][0])
    net.zero_grad()


def test_without_backward_the_reason_is_named():
    z = torch.randn(5, 3, requires_grad=True)
    split = split_gradients(z, ["a", "b"])
    with split as parts:
        torch.autograd.grad(parts["a"].sum() + parts["b"].sum(), z)
    with pytest.raises(ValueError, match=r"torch.autograd.grad does not count"):
        split.report()


@pytest.mark.parametrize("size", [1e160, 1e-170])
def test_sizes_whose_squares_do_not_fit_keep_their_angle(size):
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    split = split_gradients(z, ["a", "b"])
    with split as parts:
        (size * parts["a"].sum() - parts["b"].sum()).backward()
    report = split.report()
    assert float(report.cosine) == pytest.approx(-1) and report.conflict_rate.tolist() == [1]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (3, {}, "names must be at least two different strings, found 3"),
        (NAMES, {"per_sample": "no"}, "per_sample must be True or False"),
        (NAMES, {"coupled": 1}, "coupled must be True or False"),
        (NAMES, {"batch_dim": "0"}, "batch_dim must be a whole number"),
        (NAMES, {"batch_dim": "0", "per_sample": False}, "batch_dim must be a whole number"),
    ],
)
def test_options_of_another_type_are_refused(names, options, message):
    with pytest.raises(ValueError, match=message):
        split_gradients(Z, names, **options)


def test_batch_normalisation_behind_z_is_flagged():
    z = torch.randn(8, 4, requires_grad=True)
    head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    split = split_gradients(z, ["task", "rebuild"])

    def warned():
        with split as parts:
            (parts["task"].square().sum() + head(parts["rebuild"]).pow(3).sum()).backward()
        return split.report().warnings

    assert "Batch normalisation" in warned()[0]
    head.eval()
    assert warned() == ()
    assert not torch.nn.modules.module._global_forward_pre_hooks
