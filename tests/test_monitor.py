import copy
import gc
import math
import pickle
from typing import NamedTuple

import numpy as np
import pytest
import torch
from naive_gradients import cosines, gram
from torch import nn
from torch.utils.checkpoint import checkpoint

from pnpfuse_analysis import ConflictMonitor, every, grad_cosine

NAMES = ["task", "rebuild"]
X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
        self.heads = nn.ModuleDict({"task": nn.Linear(4, 3), "rebuild": nn.Linear(4, 6)})

    def forward(self, x):
        z = self.encoder(x)
        return {name: head(z) for name, head in self.heads.items()}


def losses_of(found, x=X):
    return {
        "task": nn.functional.cross_entropy(found["task"], torch.arange(len(x)) % 3),
        "rebuild": (found["rebuild"] - x).square().mean(),
    }


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def monitor_of(net, points=None, **options):
    points = {"z": "encoder"} if points is None else points
    return ConflictMonitor(net, points, NAMES, **({"main": "task"} | options))


def train(net, monitor, steps=range(1), forward=None):
    """A plain loop; the reports of the measured steps."""
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    found = []
    for step in steps:
        losses = losses_of((forward or net)(X))
        report = monitor.step(losses, step)
        if report is not None:
            found.append(report)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    return found


def test_every_point_agrees_with_gradients_taken_by_hand():
    net = Net()
    points = {
        "in": ("encoder", "input"),
        "z": "encoder",
        "last": net.encoder[2],
        "weights": (net.encoder, "parameters"),
        "one": ("encoder.0", "parameters"),
        "hidden": ("encoder.2", "input"),
    }
    with monitor_of(net, points) as monitor:
        losses = losses_of(net(X))
        reports = monitor.step(losses, 0)
    x = X.clone().requires_grad_()
    hidden = net.encoder[1](net.encoder[0](x))
    z = net.encoder[2](hidden)
    losses = losses_of({name: head(z) for name, head in net.heads.items()})
    order = [losses[name] for name in NAMES]
    tensors = {
        "in": [x],
        "z": [z],
        "last": [z],
        "weights": list(net.encoder.parameters()),
        "one": list(net.encoder[0].parameters()),
        "hidden": [hidden],
    }
    for label, at in tensors.items():
        np.testing.assert_allclose(reports[label].gram, gram(order, at), rtol=1e-5)
        if label in ("weights", "one"):
            assert reports[label].conflict_rate is None
        else:
            expected = grad_cosine(losses, at, main="task")
            torch.testing.assert_close(reports[label].sample_cosine, expected.sample_cosine)
        assert reports[label].warnings == ()


def test_training_goes_on_as_without_a_monitor():
    net, plain = Net(), Net()
    points = {"in": ("encoder", "input"), "z": "encoder", "w": ("", "parameters")}
    with monitor_of(net, points, schedule=every(2)) as monitor:
        assert len(train(net, monitor, range(5))) == 3
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    for _ in range(5):
        optimizer.zero_grad()
        sum(losses_of(plain(X)).values()).backward()
        optimizer.step()
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_averages_come_from_inner_products_and_counts():
    net = Net()
    with monitor_of(net, {"z": "encoder", "w": ("encoder", "parameters")}, schedule=every(3)) as m:
        reports = train(net, m, range(10))
    found = m.compute()
    assert [record.step for record in m.history] == [0, 3, 6, 9] and found["z/steps"] == 4
    for label in ("z", "w"):
        total = sum(np.asarray(report[label].gram) for report in reports)
        assert found[f"{label}/task/rebuild/cosine"] == pytest.approx(cosines(total)[0])
        assert found[f"{label}/task/norm"] == pytest.approx(math.sqrt(total[0, 0] / 4))
    negative = sum(int((report["z"].sample_cosine < 0).sum()) for report in reports)
    assert found["z/task/rebuild/conflict_rate"] == pytest.approx(negative / 48)
    mean = np.mean([float(report["z"].cosine) for report in reports])
    assert abs(found["z/task/rebuild/cosine"] - mean) > 1e-6  # not an average of cosines
    m.reset()
    assert m.compute() == {} and m.history == []


def test_the_history_keeps_no_samples():
    net = Net()
    with monitor_of(net) as monitor:
        report = train(net, monitor)[0]["z"]
    kept = monitor.history[0].reports["z"]
    assert report.sample_gram.shape == (12, 2, 2) and kept.sample_gram is None
    assert torch.equal(kept.conflict_rate, report.conflict_rate)


@pytest.mark.parametrize(
    ("steps", "due", "measured"),
    [
        (range(7), every(3), [0, 3, 6]),
        (range(1, 8), every(3), [3, 6]),
        (range(0, 40, 4), every(10), [0, 20]),  # accumulation over four micro-batches
        ([5, 6, 20, 21, 22, 30, 31], every(10), [21, 31]),  # made up for, one step late
        (range(6), lambda step: step in (2, 3), [2, 3]),
        ([None] * 5, every(2), [0, 2, 4]),
    ],
)
def test_schedules(steps, due, measured):
    net = Net()
    with monitor_of(net, schedule=due) as monitor:
        train(net, monitor, steps)
    assert [record.step for record in monitor.history] == measured


def test_hooks_do_nothing_off_schedule():
    net = Net()
    with monitor_of(net) as monitor:
        train(net, monitor)
        net(X)
        assert monitor._taps["z"]._calls == []
        assert monitor.step(losses_of(net(X)), 1) is None


def test_nothing_is_left_behind():
    net = Net()
    points = {"z": "encoder", "x": ("encoder", "input")}
    with pytest.raises(ZeroDivisionError), monitor_of(net, points) as monitor:
        assert hooks(net) == 2
        1 / 0  # noqa: B018
    assert hooks(net) == 0
    monitor.attach()
    monitor.attach()
    with monitor:
        assert hooks(net) == 2
    assert hooks(net) == 0
    monitor.detach()
    for _ in range(3):  # a notebook's cell run again, with no context
        monitor = monitor_of(net, points).attach()
        gc.collect()
        assert hooks(net) == 2
    del monitor
    gc.collect()
    assert hooks(net) == 0


def test_a_model_with_hooks_can_be_copied_and_pickled():
    net = Net()
    with monitor_of(net) as monitor:
        net(X)
        other, loaded = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
        for each in (other, loaded):
            assert torch.equal(each(X)["task"], net(X)["task"])
        assert len(train(net, monitor)) == 1


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_runs_hooks_again_and_changes_nothing(reentrant):
    """The encoder is recomputed in the backward pass; points lie in it, at its input and output."""
    net = Net()
    inside = {} if reentrant else {"in": ("encoder", "input"), "hidden": "encoder.0"}
    with monitor_of(net, {"z": "encoder"} | inside) as monitor:
        expected = train(net, monitor, range(2))

    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            x = x.clone().requires_grad_() if reentrant else x
            return checkpoint(self.inner, x, use_reentrant=reentrant)

    class Outer(Net):
        def __init__(self):
            super().__init__()
            self.encoder = Wrapped(self.encoder)

    net = Outer()
    inside = {} if reentrant else {"in": ("encoder.inner", "input"), "hidden": "encoder.inner.0"}
    with monitor_of(net, {"z": "encoder"} | inside) as monitor:
        found = train(net, monitor, range(2))
    for ours, theirs in zip(found, expected, strict=True):
        for label in ours:
            assert ours[label].warnings == ()
            torch.testing.assert_close(ours[label].gram, theirs[label].gram)


def test_a_point_inside_a_reentrant_checkpoint_is_flagged():
    net = Net()
    with monitor_of(net, {"hidden": "encoder.0"}) as monitor:

        def forward(x):
            z = checkpoint(net.encoder, x.clone().requires_grad_(), use_reentrant=True)
            return {name: head(z) for name, head in net.heads.items()}

        report = train(net, monitor, forward=forward)[0]["hidden"]
    assert torch.isnan(report.cosine).all() and torch.isnan(report.conflict_rate).all()
    assert "use_reentrant=True" in report.warnings[0]
    assert math.isnan(monitor.compute()["hidden/task/rebuild/cosine"])


def test_a_point_before_a_reentrant_checkpoint_is_refused_by_name():
    class Before(Net):
        def forward(self, x):
            return {
                name: head(checkpoint(torch.tanh, self.encoder(x), use_reentrant=True))
                for name, head in self.heads.items()
            }

    net = Before()
    with monitor_of(net) as monitor, pytest.raises(ValueError, match="use_reentrant=False"):
        train(net, monitor)


def test_micro_batches_of_one_step_are_measured_once():
    net = Net()
    with monitor_of(net, schedule=every(3)) as monitor:
        for step in range(8):
            for _ in range(4):
                monitor.step(losses_of(net(X)), step)
    assert [record.step for record in monitor.history] == [0, 3, 6]


def test_passes_without_gradients_and_stale_ones_are_ignored():
    net = Net()
    with monitor_of(net) as monitor:
        with torch.no_grad():
            net(torch.randn(3, 6))
        with torch.inference_mode():
            net(torch.randn(3, 6))
        net.eval()(torch.randn(5, 6))  # with gradients, but not of these losses
        losses = losses_of(net.train()(X))
        report = monitor.step(losses, 0)["z"]
    assert report.sample_cosine.shape == (12, 1) and report.warnings == ()


def test_a_module_that_runs_twice_counts_as_one_point():
    net = Net()
    y = X.flip(0)
    with monitor_of(net) as monitor:
        one, other = net(X), net(y)
        losses = {"task": losses_of(one)["task"], "rebuild": losses_of(other, y)["rebuild"]}
        losses["task"] = losses["task"] + one["rebuild"].mean() + other["task"].square().mean()
        report = monitor.step(losses, 0)["z"]
    assert report.warnings == ("The module ran 2 times; what passed counts as one point.",)
    z = [net.encoder(x) for x in (X, y)]
    one, other = ({name: head(each) for name, head in net.heads.items()} for each in z)
    losses = {"task": losses_of(one)["task"], "rebuild": losses_of(other, y)["rebuild"]}
    losses["task"] = losses["task"] + one["rebuild"].mean() + other["task"].square().mean()
    expected = grad_cosine(losses, z, main="task")
    torch.testing.assert_close(report.sample_gram, expected.sample_gram)


class Pair(NamedTuple):
    image: torch.Tensor
    rest: dict


class Nested(nn.Module):
    """Several modalities in, several out; whole numbers among them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b = nn.Linear(6, 3), nn.Linear(6, 2)

    def forward(self, features, *, shift):
        ids = torch.arange(len(features["a"]))
        a = torch.relu_(features["a"])  # in place
        return Pair(self.a(a + shift[0]), {"text": [self.b(features["b"])], "ids": ids})


class Multimodal(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = Nested()

    def forward(self, x):
        found = self.parts({"a": x.clone(), "b": 2 * x}, shift=(x,))
        z = torch.cat([found.image, found.rest["text"][0]], 1)  # (N, 5)
        return {"task": z[:, :3], "rebuild": torch.cat([z, z[:, :1]], 1)}


def test_nested_inputs_and_outputs_count_as_one():
    net = Multimodal()
    points = {"out": "parts", "in": ("parts", "input")}
    with monitor_of(net, points) as monitor:
        losses = losses_of(net(X))
        reports = monitor.step(losses, 0)
        sum(losses.values()).backward()
    x = {"a": X.clone(), "b": 2 * X, "shift": X.clone()}
    x = {name: one.requires_grad_() for name, one in x.items()}
    outs = [net.parts.a(torch.relu(x["a"]) + x["shift"]), net.parts.b(x["b"])]
    z = torch.cat(outs, 1)
    losses = losses_of({"task": z[:, :3], "rebuild": torch.cat([z, z[:, :1]], 1)})
    for label, at in {"out": outs, "in": x}.items():
        expected = grad_cosine(losses, at, main="task")
        torch.testing.assert_close(reports[label].sample_gram, expected.sample_gram)


def test_tensors_without_a_common_axis_are_compared_as_a_whole():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(6, 5, batch_first=True)

        def forward(self, x):
            out, (h, _) = self.lstm(x[:, None])
            return {"task": out[:, 0, :3], "rebuild": torch.cat([h[0], h[0][:, :1]], 1)}

    net = Recurrent()
    with monitor_of(net, {"lstm": "lstm"}) as monitor:
        report = train(net, monitor)[0]["lstm"]
    assert report.sample_cosine is None and "axis of samples" in report.warnings[0]
    assert torch.isfinite(report.norms).all()


def test_frozen_parameters_are_flagged():
    net = Net()
    net.encoder.requires_grad_(False)
    with monitor_of(net, {"w": ("encoder", "parameters"), "a": ("heads", "parameters")}) as monitor:
        report = train(net, monitor)[0]
    assert "requires a gradient" in report["w"].warnings[0] and torch.isnan(report["w"].cosine)
    assert report["a"].cosine.tolist() == [0]  # a head for each loss: nothing in common
    assert math.isnan(monitor.compute()["w/task/rebuild/cosine"])


def test_batch_normalisation_between_point_and_losses_is_flagged():
    net = Net()
    net.encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    points = {"hidden": "encoder.0", "z": "encoder", "w": ("encoder", "parameters")}
    with monitor_of(net, points) as monitor:
        report = train(net, monitor)[0]
    assert "Batch normalisation" in report["hidden"].warnings[0]
    assert report["z"].warnings == () and report["w"].warnings == ()
    net.eval()
    with monitor_of(net, points, coupled=True) as monitor:
        report = train(net, monitor)[0]
    assert [len(report[label].warnings) for label in points] == [1, 1, 0]
    assert report["z"].warnings[0].startswith("The losses couple")


def test_scaled_losses_and_an_overflow():
    net = Net()
    with monitor_of(net, {"z": "encoder", "w": ("encoder", "parameters")}) as monitor:
        plain = train(net, monitor)[0]
    net = Net()
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    with monitor_of(net, {"z": "encoder", "w": ("encoder", "parameters")}) as monitor:
        losses = {name: scaler.scale(loss) for name, loss in losses_of(net(X)).items()}
        found = monitor.step(losses, 0, scale=scaler)
        for label in found:
            torch.testing.assert_close(found[label].gram, plain[label].gram, rtol=1e-6, atol=0)
        before = monitor.compute()
        monitor._schedule = every(1)
        monitor.step({name: math.inf * loss for name, loss in losses_of(net(X)).items()}, 10)
        monitor.step({name: math.inf * loss for name, loss in losses_of(net(X)).items()}, 11)
        assert monitor.compute() == before  # such steps are skipped, as by the scaler
        assert torch.isnan(monitor.history[-1].reports["z"].cosine).all()


def test_names_go_without_the_prefix_of_a_wrapper():
    net = nn.DataParallel(Net())
    for point in ("encoder", "module.encoder", net.module.encoder):
        with monitor_of(net, {"z": point}) as monitor:
            assert len(train(net, monitor)) == 1
        assert hooks(net) == 0


def test_a_compiled_model_is_measured_at_its_border():
    net = Net()
    net.encoder = torch.compile(net.encoder, backend="eager")
    with monitor_of(net) as monitor:
        found = train(net, monitor)[0]["z"]
    net = Net()
    with monitor_of(net) as monitor:
        torch.testing.assert_close(found.gram, train(net, monitor)[0]["z"].gram)


def test_a_plot_has_a_line_for_each_point_and_dashes_for_rates(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    net = Net()
    with monitor_of(net, {"z": "encoder", "w": ("encoder", "parameters")}) as monitor:
        train(net, monitor, range(21))
    ax = monitor.plot()
    styles = [line.get_linestyle() for line in ax.get_lines()[1:]]
    assert styles == ["-", "--", "-"]
    assert ax.get_lines()[1].get_xdata().tolist() == [0, 10, 20]
    assert monitor.plot(ax) is ax
    monitor.reset()
    monitor.plot()


def test_scalars_are_plain_numbers_by_name():
    net = Net()
    with monitor_of(net) as monitor:
        report = train(net, monitor)[0]["z"]
    found = report.scalars("z/")
    assert list(found) == [
        "z/task/rebuild/cosine",
        "z/task/rebuild/conflict_rate",
        "z/task/rebuild/undefined",
        "z/task/norm",
        "z/rebuild/norm",
    ]
    assert all(value.shape == () for value in found.values())
    assert monitor.compute() == pytest.approx(
        {name: float(value) for name, value in found.items()} | {"z/steps": 1}
    )


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        ({}, {}, "points must map labels"),
        (["encoder"], {}, "points must map labels"),
        ({"z": "encodr"}, {}, r"points\['z'\] must name a module .*found 'encodr'; .*'encoder'"),
        ({"z": nn.Linear(2, 2)}, {}, "found Linear that is not in it"),
        ({"z": ("encoder", "middle")}, {}, "one of input, output, parameters"),
        ({"z": 3}, {}, "must be a module of the model or its name, found int"),
        ({"z": "encoder"}, {"main": "other"}, "with main among them"),
        ({"z": "encoder"}, {"schedule": 10}, "schedule must be a function"),
        ({"z": "encoder"}, {"eps": -1}, "eps must be a number"),
        ({"z": "encoder"}, {"batch_dim": "0"}, "batch_dim must be a whole number, found '0'"),
        ({"z": "encoder"}, {"coupled": "no"}, "coupled must be True or False, found 'no'"),
    ],
)
def test_wrong_arguments_are_refused(points, options, message):
    with pytest.raises(ValueError, match=message):
        monitor_of(Net(), points, **options)


def test_wrong_use_is_refused():
    net = Net()
    monitor = monitor_of(net)
    with pytest.raises(ValueError, match="while the monitor is attached"):
        monitor.step(losses_of(net(X)), 0)
    with monitor:
        with pytest.raises(ValueError, match="losses must have the names"):
            monitor.step({"task": net(X)["task"].sum()}, 0)
        for step in ("x", 2.7, True, [1]):
            with pytest.raises(ValueError, match="step must be a whole number or None, found"):
                monitor.step(losses_of(net(X)), step)
        losses = losses_of(net(X))
        sum(losses.values()).backward()
        with pytest.raises(ValueError, match="graph"):
            monitor.step(losses, 10)
    with pytest.raises(ValueError, match="model must be a torch.nn.Module, found NoneType"):
        monitor_of(None)
    for losses in (3, "task", ["task"], ["task", "task"], ["task", 1]):
        with pytest.raises(ValueError, match="losses must be at least two different strings"):
            ConflictMonitor(net, {"z": "encoder"}, losses, main="task")
    with pytest.raises(ValueError, match="n must be a whole number >= 1"):
        every(0)


class InPlace(nn.Module):
    """Works in place on what others use as well, in one of several ways."""

    def __init__(self, way):
        super().__init__()
        torch.manual_seed(3)
        self.way, self.first, self.last = way, nn.Linear(6, 9), nn.Linear(9, 9)
        self.act = Scale() if way.startswith("scaled") else nn.ReLU(inplace=True)

    def forward(self, x):
        h = x.repeat(1, 2)[:, :9] if self.way.endswith("data") else self.first(x)
        out = self.act(h)
        if self.way == "scaled again":
            out.add_(2)
        found = self.last(h)
        return {"task": found[:, :3], "rebuild": found[:, 3:] + out[:, :6]}


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((9,), 0.7))

    def forward(self, x):
        return x.mul_(self.weight)


@pytest.mark.parametrize("way", ["plain", "scaled", "scaled again", "data", "scaled data"])
def test_what_a_module_does_in_place_reaches_the_caller(way):
    net, plain = InPlace(way), InPlace(way)
    with monitor_of(net, {"in": ("act", "input")}, schedule=every(2)) as monitor:
        reports = train(net, monitor, range(4))
        assert hooks(net) == 1
    expected = []
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    for step in range(4):
        h = X.repeat(1, 2)[:, :9].requires_grad_() if way.endswith("data") else plain.first(X)
        out = h * plain.act.weight if way.startswith("scaled") else h.relu()
        out = out + 2 if way == "scaled again" else out
        found = plain.last(out)
        losses = losses_of({"task": found[:, :3], "rebuild": found[:, 3:] + out[:, :6]})
        if step % 2 == 0:
            expected.append(grad_cosine(losses, h, main="task"))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(reports, expected, strict=True):
        if way != "data":  # that stays data, and what else is made of it cannot be seen
            torch.testing.assert_close(ours["in"].sample_gram, theirs.sample_gram)
        assert ours["in"].warnings == ()


def test_data_changed_in_place_stay_data():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 4))
    x = X.clone()
    with ConflictMonitor(net, {"in": ("0", "input")}, ["a", "b"], main="a") as monitor:
        for step in range(2):
            z = net(x)
            report = monitor.step({"a": z.sum(), "b": z.square().sum()}, step)
        assert report is None
    assert torch.equal(x, X.relu()) and not x.requires_grad


@pytest.mark.parametrize("point", ["encoder", ("encoder", "input")])
@pytest.mark.parametrize("through", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copied_monitor_is_one_of_its_own(point, through):
    net = Net()
    with monitor_of(net, {"z": point}, schedule=every(2)) as monitor:
        train(net, monitor, range(3))
        net(X)
        other, twin = through((net, monitor))
        assert twin.compute() == monitor.compute() and len(twin.history) == 2
        with pytest.raises(ValueError, match="while the monitor is attached"):
            twin.step(losses_of(other(X)), 0)
        with twin:
            assert len(train(other, twin, range(3))) == 2
            assert [len(one.history) for one in (monitor, twin)] == [2, 4]
        assert hooks(other) == 0 and hooks(net) == 1
        alone = through(monitor)
        alone.attach()
        alone.detach()
        assert hooks(alone._taps["z"].module) == 0 and hooks(net) == 1
        shallow = copy.copy(monitor)
        del shallow
        gc.collect()
        assert hooks(net) == 1
        monitor.step(losses_of(net(X)), 3)
        assert len(train(net, monitor, [4])) == 1
    twin.attach()
    del twin
    gc.collect()
    assert hooks(other) == 0


def test_a_model_saved_inside_needs_nothing_of_this_package():
    net = Net()
    points = {"z": "encoder", "in": ("encoder", "input"), "head": ("heads.task", "input")}
    with monitor_of(net, points):
        net(X)
        for saved in (pickle.dumps(net.encoder), pickle.dumps(copy.deepcopy(net.encoder))):
            assert b"pnpfuse" not in saved
            assert torch.equal(pickle.loads(saved)(X), net.encoder(X))


def test_a_schedule_is_asked_once_for_a_number():
    asked = []

    def drawn(step):
        asked.append(step)
        return step % 3 == 0

    net = Net()
    with monitor_of(net, schedule=drawn) as monitor:
        train(net, monitor, range(7))
    assert asked == list(range(8))
    assert [record.step for record in monitor.history] == [0, 3, 6]
    answers = iter([True, False, True, True, False, False])
    with monitor_of(net, schedule=lambda step: next(answers)) as monitor:
        train(net, monitor, range(5))
    assert [record.step for record in monitor.history] == [0, 2, 3]


def test_passes_without_a_step_do_not_pile_up():
    net = Net()
    with monitor_of(net) as monitor:
        for _ in range(300):
            net(X)
        assert len(monitor._taps["z"]._calls) == 256
        report = monitor.step(losses_of(net(X)), 0)["z"]
        assert "More than 256 calls" in report.warnings[0] and report.sample_cosine.shape == (12, 1)
        found = train(net, monitor, range(1, 11))[0]["z"]
        assert found.warnings == ()


def test_every_can_be_pickled():
    due = pickle.loads(pickle.dumps(every(3)))
    assert [step for step in range(8) if due(step)] == [0, 3, 6]


def test_two_points_at_one_place_pass_on_what_is_done_in_place():
    net, plain = InPlace("plain"), InPlace("plain")
    with monitor_of(net, {"one": ("act", "input"), "two": ("act", "input")}) as monitor:
        one, two = train(net, monitor)[0].values()
        assert hooks(net) == 2
    torch.testing.assert_close(one.sample_gram, two.sample_gram)
    sum(losses_of(plain(X)).values()).backward()
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs - 0.1 * theirs.grad)


def test_a_pass_that_fails_leaves_the_next_one_alone():
    net = InPlace("plain")
    with monitor_of(net, {"in": ("act", "input")}) as monitor:
        net.act.forward = lambda x: 1 / 0
        with pytest.raises(ZeroDivisionError):
            net(X)
        del net.act.forward
        assert train(net, monitor)[0]["in"].warnings == ()
    assert hooks(net) == 0


def test_in_place_effects_inside_a_checkpoint():
    net, plain = InPlace("plain"), InPlace("plain")

    def forward(x):
        return checkpoint(net, x, use_reentrant=False)

    with monitor_of(net, {"in": ("act", "input")}) as monitor:
        assert train(net, monitor, forward=forward)[0]["in"].warnings == ()
    sum(losses_of(plain(X)).values()).backward()
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs - 0.1 * theirs.grad)
