"""Many models trained at once: as each would be by itself."""

import copy
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse.data import Views
from pnpfuse.fusion import PMR, create_model
from pnpfuse.stacked import fit_stacked, obstacle, stacks
from pnpfuse.stacked.trainer import StackTrainer
from pnpfuse.training import TrainingError, check_numbers, fit

QUICK = {"epochs": 3, "batch_size": 16, "progress": False}
POINTS = [(1, 0.3, 0), (1, 0.8, 0), (4, 0.5, 1), (2.5, {"a": 0.2, "b": 0.6, "c": 0.9}, 1)]


def views_of(dims=(("a", 9), ("b", 5), ("c", 9)), rows=70, absent=False, seed=0):
    """Three classes whose rows differ in every modality; 70 training rows leave a short batch."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows + 20) % 3
    features = {m: random.normal(size=(len(labels), d)) + labels[:, None] for m, d in dims}
    present = None
    if absent:
        drawn = {m: random.random(len(labels)) < 0.7 for m, _ in dims}
        someone = np.any(list(drawn.values()), axis=0)
        present = {m: mask | ~someone for m, mask in drawn.items()}
    split = np.repeat([0, 1], [rows, 20]).astype(np.int8)
    return Views.from_arrays(features, labels, split=split, present=present)


@pytest.fixture(scope="module")
def small():
    return views_of()


def made(views, points, name="rpmr", dtype=torch.float64, **options):
    found = []
    for n, b, seed in points:
        torch.manual_seed(seed)
        found.append(create_model(name, views.dims, views.classes, n=n, b=b, **options).to(dtype))
    return found


def both_ways(views, points, name="rpmr", dtype=torch.float64, options=None, **settings):
    """Models and histories one by one and stacked."""
    seeds = [seed for *_, seed in points]
    alone = made(views, points, name, dtype, **(options or {}))
    together = copy.deepcopy(alone)
    settings = QUICK | settings
    one_by_one = [fit(m, views, seed=s, **settings) for m, s in zip(alone, seeds, strict=True)]
    return alone, one_by_one, together, fit_stacked(together, views, seeds=seeds, **settings)


def assert_same(alone, one_by_one, together, histories, rtol=1e-9):
    for model, history, other, found in zip(alone, one_by_one, together, histories, strict=True):
        assert not other.training
        for name, value in model.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, rtol=rtol, atol=rtol)
        assert found.settings == history.settings
        assert found.rates == history.rates
        assert list(found.losses) == list(history.losses)
        for name, column in history.losses.items():
            assert found.losses[name] == pytest.approx(column, rel=rtol)


OPTIONS = [
    ("rpmr", {}, {}),
    ("spmr", {}, {}),
    ("spmr", {"reduction": "sum", "gradient": "detach_target", "parts": "specific"}, {}),
    ("rpmr", {"gradient": "detach_target", "pairing": "prev", "parts": "shared"}, {}),
    ("rpmr", {"bias": False, "dropout": 0.0}, {"optimizer": "sgd", "schedule": "step"}),
    ("rpmr", {"encoder": None}, {"schedule": "constant", "lr": 1e-2}),
    ("gmf", {"width": {"a": 6, "b": 3, "c": 8}}, {"clip": 0.5}),
    ("rpmr", {"modality_dropout": 0.3}, {"block_lr": 1e-4, "block_weight_decay": 0.3}),
    ("spmr", {"modality_dropout": 0.3, "pairing": {"a": "c", "b": "a", "c": "b"}}, {}),
    ("rpmr", {"encoder": None, "modality_dropout": 0.3}, {}),
    ("rpmr", {"fill": "input", "modality_dropout": 0.3}, {}),
    ("rpmr", {}, {"weights": {"preservation": 2.0}, "schedule": lambda done: 1 - done / 2}),
    ("rpmr", {"activation": "gelu"}, {}),
    ("spmr", {"activation": "tanh", "domain": "transform"}, {}),
    ("rpmr", {"domain": "transform"}, {}),
    ("spmr", {"domain": "transform", "bias": False, "gradient": "detach_target"}, {}),
    ("rpmr", {"gradient": "block_only"}, {"clip": 0.1, "weight_decay": 0.0}),
]


@pytest.mark.parametrize(("name", "options", "settings"), OPTIONS)
def test_every_option_trains_as_fit_does(small, name, options, settings):
    assert_same(*both_ways(small, POINTS, name, options=options, **settings))


@pytest.mark.parametrize(
    "options", [{}, {"modality_dropout": 0.3}, {"fill": "input"}, {"bias": False}]
)
@pytest.mark.parametrize("name", ["rpmr", "spmr"])
def test_absent_modalities_are_left_out_as_fit_does(name, options):
    views = views_of(absent=True)
    assert_same(*both_ways(views, POINTS, name, options=options))


@given(
    widths=st.lists(st.integers(2, 12), min_size=2, max_size=4),
    points=st.lists(
        st.tuples(st.sampled_from([1, 1.5, 3]), st.floats(0.05, 0.95), st.integers(0, 2)),
        min_size=1,
        max_size=5,
    ),
    batch=st.integers(1, 90),
)
@settings(max_examples=5, deadline=None)
def test_any_widths_points_and_batches(widths, points, batch):
    views = views_of([(f"m{i}", width) for i, width in enumerate(widths)], rows=40)
    assert_same(*both_ways(views, points, epochs=2, batch_size=batch))


def test_in_single_precision_the_first_steps_agree_to_rounding(small):
    kept = both_ways(small, POINTS, dtype=torch.float32, epochs=1)
    assert_same(*kept, rtol=2e-5)


def test_the_callers_random_state_is_untouched_and_the_same_call_gives_the_same_bits(small):
    weights = []
    for _ in range(2):
        models = made(small, POINTS, dtype=torch.float32)
        torch.manual_seed(7)
        fit_stacked(models, small, seeds=[0, 0, 1, 1], **QUICK)
        assert torch.initial_seed() == 7
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(7)))
        weights.append([value for m in models for value in m.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_padding_stays_zero(small):
    models = made(small, [(2, 0.2, 0), (2, 0.7, 0)])
    numbers = check_numbers(3, 0, 16, 1e-2, 1e-2, None, None, None)
    loss = {"preservation": 0.1}
    trainer = StackTrainer(models, small.train, [0, 0], numbers, loss, "adamw", "cosine")
    for _ in range(3):
        trainer.one_epoch()
    for m, boundary in models[0].block.widths.boundary.items():
        kinds = trainer.weights.named[m]
        for kind in ("shared", "dissolve_shared", "dissolve_shared_bias"):
            narrow, wide = kinds[kind]
            padding = narrow[:, boundary:] if kind == "shared" else narrow[boundary:]
            assert padding.numel() and not padding.any()
            assert narrow.any() and wide.all()


@pytest.mark.parametrize("broken", [{"lr": 1e300}, {"weights": {"preservation": 1e308}}])
def test_one_that_diverges_ends_with_fits_error_and_leaves_the_others(small, broken):
    alone = made(small, POINTS[:3])
    with torch.no_grad():
        next(alone[1].parameters()).fill_(torch.inf)
    together = copy.deepcopy(alone)
    found = fit_stacked(together, small, seeds=[0, 0, 1], **QUICK)
    with pytest.raises(TrainingError) as error:
        fit(alone[1], small, seed=0, **QUICK)
    assert isinstance(found[1], TrainingError) and str(found[1]) == str(error.value)
    for i in (0, 2):
        history = fit(alone[i], small, seed=[0, 0, 1][i], **QUICK)
        assert found[i].losses["task"] == pytest.approx(history.losses["task"], rel=1e-9)
    assert not any(model.training for model in together)


def test_interrupted_models_have_the_weights_of_that_moment_as_by_fit(small):
    def schedule(done):
        if done > 0.5:
            raise KeyboardInterrupt
        return 1.0

    alone = made(small, POINTS[:2])
    together = copy.deepcopy(alone)
    for model in alone:
        with pytest.raises(KeyboardInterrupt):
            fit(model, small, seed=0, schedule=schedule, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        fit_stacked(together, small, seeds=[0, 0], schedule=schedule, **QUICK)
    for model, other, first in zip(alone, together, made(small, POINTS[:2]), strict=True):
        assert not other.training
        weights = zip(model.parameters(), other.parameters(), first.parameters(), strict=True)
        for value, found, start in weights:
            torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-9)
            assert not torch.equal(found, start)


def test_stacks_hold_neighbours_of_one_n_and_every_model_once(small):
    grid = [(n, b, s) for b in (0.9, 0.1, 0.5) for n in (1, 4) for s in (0, 1)]
    models = made(small, grid)
    found = stacks(models)
    assert sorted(i for one in found for i in one) == list(range(len(models)))
    for one in found:
        assert len({grid[i][0] for i in one}) == 1
        assert [grid[i][1] for i in one] == sorted(grid[i][1] for i in one)
    wide = create_model("rpmr", {"a": 600, "b": 600}, 3, n=8, encoder=None)
    assert stacks([wide, copy.deepcopy(wide)]) == [[0], [1]]


@pytest.mark.parametrize(
    ("name", "options", "settings", "word"),
    [
        ("concat", {}, {}, "concat"),
        ("sg-srht", {}, {}, "srht"),
        ("sg-umoe", {}, {}, "moe"),
        ("sg-mbt", {}, {}, "sg-mbt"),
        ("scope", {}, {}, "no reconfiguration block"),
        ("infobridge", {"base": "rpmr"}, {}, "critics"),
        ("rpmr", {"fill": "mean"}, {}, "fill"),
        ("rpmr", {}, {"validation": 0.2}, "validation"),
        ("rpmr", {}, {"patience": 3}, "patience"),
        ("rpmr", {}, {"weighting": "homoscedastic"}, "weighting"),
        ("rpmr", {}, {"weighting": "printed"}, "weighting"),
        ("rpmr", {}, {"precision": "bf16"}, "bf16"),
        ("rpmr", {}, {"checkpoint": "somewhere"}, "checkpoint"),
        ("rpmr", {}, {"schedule": "plateau"}, "plateau"),
    ],
)
def test_obstacles_are_named(small, name, options, settings, word):
    model = create_model(name, small.dims, small.classes, **options)
    assert word in obstacle(model, settings)
    with pytest.raises(ValueError, match=r"models\[0\] cannot be stacked"):
        fit_stacked([model], small, seeds=[0], epochs=1, progress=False, **settings)


def test_no_obstacle_for_what_is_stacked(small):
    for name, options, chosen in OPTIONS:
        assert obstacle(create_model(name, small.dims, small.classes, **options), chosen) == ""


def test_bad_arguments_are_told(small):
    model, other = made(small, POINTS[:2])
    spmr = made(small, POINTS[:1], "spmr")[0]
    for models, seeds, chosen, word in [
        ([model, other], [0], {}, "seeds must be one for each"),
        ([model, model], [0, 1], {}, "models has one twice"),
        ([model, spmr], [0, 1], {}, "alike but for n and b"),
        ([model], [-1], {}, "seed must be an integer"),
        ([model], [0], {"lr": -1}, "lr must be"),
        ([model], [0], {"momentum": 1}, "momentum"),
        ([model], [0], {"optimizer": "lbfgs"}, "optimizer must be"),
        ([model], [0], {"epochs": 0}, "epochs must be"),
        ([PMR(small.dims)], [0], {}, "model must be a whole model"),
    ]:
        with pytest.raises(ValueError, match=word):
            fit_stacked(models, small, seeds=seeds, **(QUICK | chosen))
    assert fit_stacked([], small, seeds=[]) == []


def test_histories_say_what_each_was_trained_with(small):
    models = made(small, POINTS)
    found = fit_stacked(models, small, seeds=[0, 0, 1, 1], **QUICK)
    assert [h.settings["seed"] for h in found] == [0, 0, 1, 1]
    assert [json.loads(h.settings["options"])["n"] for h in found] == [1, 1, 4, 2.5]
    assert found[0].to_dataset()["task_loss"].sizes == {"epoch": 3}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_without_dropout_as_fit_does(small):
    options = {"dropout": 0.0}
    assert_same(*both_ways(small, POINTS, options=options, device="cuda"), rtol=1e-7)
