"""A sweep's points, and its numbers against what they are elsewhere."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from pnpfuse import Views, compare, create_model, diagnose, fit, hyperparameters, run_sweep
from pnpfuse.sweep import task as sweep_task
from pnpfuse.sweep.grid import make_grid
from pnpfuse.sweep.plan import block_size
from pnpfuse.threads import cpu_threads
from pnpfuse.trainer import TrainingError

N, B = [0.5, 2], [0.2, 0.6]


def made(widths, rows=160, classes=3, present=False, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    features = {
        f"m{i}": rng.normal(size=(rows, d)) + 2 * rng.normal(size=(classes, d))[labels]
        for i, d in enumerate(widths)
    }
    masks = None
    if present:
        masks = {m: rng.random(rows) < 0.8 for m in features}
        masks["m0"] |= ~np.any(list(masks.values()), axis=0)
    return Views.from_arrays(features, labels, present=masks)


@pytest.fixture(scope="module")
def views():
    return made([12, 7, 5])


@pytest.fixture(scope="module")
def single(views):
    return run_sweep(views, N, B, seeds=[3, 5], epochs=3, missing="all", engine="single")


def test_scores_are_those_of_compare(views, single):
    models = {f"{n} {b}": ("rpmr", {"n": n, "b": b}) for n in N for b in B}
    expected = compare(models, views, seeds=[3, 5], epochs=3)
    for name in ("accuracy", "balanced_accuracy", "loss"):
        found = single[name].stack(model=("n", "b"))
        np.testing.assert_array_equal(
            found.transpose("model", "seed", "condition"), expected[name]
        )  # fmt: skip
    assert list(single.condition.values) == list(expected.condition.values)


def test_stacked_is_single_up_to_rounding(views, single):
    together = run_sweep(views, N, B, seeds=[3, 5], epochs=3, missing="all", engine="stacked")
    assert together.attrs["engine"] == "stacked" and single.attrs["engine"] == "single"
    for name in ("loss", "training_loss", "gradient_cosine", "effective_rank", "conflict_rate"):
        np.testing.assert_allclose(together[name], single[name], rtol=2e-4, atol=2e-5)
    assert float(abs(together.accuracy - single.accuracy).max()) <= 1 / len(views.test) + 1e-12


def by_hand(views, n, b, seed, epochs=3, name="rpmr"):
    torch.manual_seed(seed)
    model = create_model(name, views.dims, views.classes, n=n, b=b)
    with cpu_threads(1):
        history = fit(model, views, epochs=epochs, seed=seed, progress=False)
    return model, history


def test_losses_cosines_and_ranks_are_those_of_the_model_trained_by_hand(views, single):
    for n, b, seed in [(0.5, 0.6, 3), (2, 0.2, 5)]:
        point = single.sel(n=n, b=b, seed=seed)
        model, history = by_hand(views, n, b, seed)
        for name in point.loss_name.values:
            assert point.training_loss.sel(loss_name=name) == history.losses[str(name)][-1]
        told = diagnose(model, views, only=["gradients"], max_rows=512, progress=False)
        for m in views.names:
            for mine, theirs in [("gradient_cosine",) * 2, ("conflict_rate",) * 2]:
                found = point[mine].sel(auxiliary="preservation", modality=m)
                expected = told[theirs].sel(loss="preservation", point=f"encoder output: {m}")
                np.testing.assert_allclose(found, expected, rtol=1e-6)
            V = model.encode({k: torch.tensor(X) for k, X in views.test.features.items()})
            weights = {k: (W.detach(), c.detach()) for k, (W, c) in model.block.maps_of(m).items()}
            D = V[m].detach() @ weights["dissolve"][0].T + weights["dissolve"][1]
            cut = model.block.widths.boundary[m]
            shared = (D[:, :cut] @ weights["shared"][0].T + weights["shared"][1]).double().numpy()
            s = np.linalg.svd(shared - shared.mean(0), compute_uv=False)
            p = s / s.sum()
            at = point.sel(modality=m)
            np.testing.assert_allclose(
                at.effective_rank, np.exp(-(p * np.log(np.maximum(p, 1e-300))).sum()), rtol=1e-4
            )
            assert at["rank"] == np.linalg.matrix_rank(shared - shared.mean(0), rtol=1e-5)
            assert at["rank"] <= at.rank_limit == min(cut, model.block.widths.common)


def test_rank_condition_and_physics(views, single):
    assert single.rank_limit.dims == ("n", "b", "modality") and single.shared_width == 5
    for n in N:
        cells = hyperparameters(views.dims, n=n, voltage=20)
        for m, d in views.dims.items():
            assert single.physical_b.sel(n=n, modality=m) == cells.b[m]
            assert abs(float(single.physical_b.sel(n=n, modality=m)) - 5 / (5 + d)) < 1e-3
            assert single.physical_separation.sel(n=n, modality=m) == cells.separation[m]
            for b in B:  # floor(b n l_k), n l_k rounded half to even
                cut = max(1, int(b * round(n * d) + 1e-9))
                assert single.rank_limit.sel(n=n, b=b, modality=m) == min(cut, 5)


def test_everything_explains_itself_and_can_be_saved(single, tmp_path):
    for name, variable in single.variables.items():
        assert variable.attrs["units"] == "1" and variable.attrs["long_name"], name
    told = json.loads(single.attrs["settings"])
    assert told["n"] == N and told["seeds"] == [3, 5] and told["settings"]["lr"] == 1e-3
    assert told["options"]["dropout"] == 0.2 and single.attrs["version"]
    single.to_netcdf(tmp_path / "sweep.nc")
    with xr.open_dataset(tmp_path / "sweep.nc") as again:
        xr.testing.assert_equal(again, single)
        assert again.attrs == single.attrs
    assert (single.outcome == 1).all() and not single.accuracy.isnull().any()


@pytest.mark.parametrize("name", ["gmf", "spmr", "ffn", "rg-cmmp", "rg-srht", "pmr-robust"])
def test_models_and_absent_modalities(name):
    views = made([9, 4], present=True)
    sweep = run_sweep(views, [1, 3], [0.3, 0.7], seeds=1, epochs=1, model=name)
    expected = compare(
        {"x": (name, {"n": 3, "b": 0.7})}, views, seeds=1, epochs=1, missing="each"
    )  # fmt: skip
    np.testing.assert_allclose(
        sweep.loss.sel(n=3, b=0.7), expected.loss.isel(model=0), rtol=1e-4
    )  # fmt: skip
    stacked = name in ("gmf", "spmr")
    assert sweep.attrs["engine"] == ("stacked" if stacked else "single")
    assert ("not_stacked" in sweep.attrs) is not stacked
    assert ("rank" in sweep) is (name != "ffn")
    if name != "ffn":
        assert (sweep["rank"] <= sweep.rank_limit).all()
        told = diagnose(
            by_hand(views, 3, 0.7, 0, 1, name)[0], views, only=["gradients"], max_rows=512,
            progress=False,
        )  # fmt: skip
        at = [f"encoder output: {m}" for m in views.names]
        np.testing.assert_allclose(
            sweep.gradient_cosine.sel(n=3, b=0.7).isel(seed=0),
            told.gradient_cosine.sel(loss=sweep.auxiliary.values, point=at),
            rtol=1e-3, atol=1e-5,
        )  # fmt: skip


def test_six_modalities_of_unequal_widths():
    views = made([30, 3, 8, 2, 5, 4], classes=2)
    sweep = run_sweep(views, 1, [0.25, 0.5], seeds=2, epochs=1)
    assert sweep.sizes["modality"] == 6 and sweep.shared_width == 2
    # The parts are of float32: a direction too many has its rounding.
    assert (sweep.effective_rank <= sweep.rank_limit + 1e-4).all()
    assert sweep.accuracy.sizes["condition"] == 8


@pytest.mark.parametrize("engine", ["stacked", "single"])
def test_what_diverges_is_recorded_and_stops_nothing(views, engine):
    sweep = run_sweep(views, 1, B, seeds=1, epochs=3, engine=engine, lr=1e25)
    assert (sweep.outcome == 2).all() and sweep.accuracy.isnull().all()
    assert sweep.rank_limit.notnull().all()


def test_one_that_diverges_leaves_the_others_alone(views, monkeypatch):
    right = run_sweep(views, 1, 0.5, seeds=3, epochs=1, engine="single")

    def sometimes(model, views, *, seed, **settings):
        if seed == 1:
            raise TrainingError("gone")
        return fit(model, views, seed=seed, **settings)

    monkeypatch.setattr(sweep_task, "fit", sometimes)
    sweep = run_sweep(views, 1, 0.5, seeds=3, epochs=1, engine="single")
    assert sweep.outcome.values.ravel().tolist() == [1, 2, 1]
    np.testing.assert_array_equal(
        sweep.accuracy.sel(seed=[0, 2]), right.accuracy.sel(seed=[0, 2])
    )  # fmt: skip


@given(
    n=st.lists(st.floats(0.1, 9), min_size=1, max_size=4, unique=True),
    b=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=9, unique=True),
    seeds=st.integers(1, 7),
    at_once=st.integers(1, 40),
)
def test_blocks_cover_every_point_once(n, b, seeds, at_once):
    grid = make_grid(n, b, seeds)
    size = block_size(grid, at_once)
    blocks = list(grid.blocks(size))
    assert max(len(grid.points(block)) for block in blocks) <= at_once
    points = [point for block in blocks for point in grid.points(block)]
    assert sorted(points) == sorted((x, y, s) for x in n for y in b for s in range(seeds))
    covered = np.zeros(grid.shape, int)
    for block in blocks:
        covered[block.place] += 1
        # No chunk of the store holds points of two blocks.
        assert [s.start % k for s, k in zip(block.place, size, strict=True)] == [0, 0, 0]
    assert (covered == 1).all()


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"n": []}, "n has no values"),
        ({"n": [1, 1]}, "n names a value twice"),
        ({"n": [1, 0]}, "n must be above 0"),
        ({"n": "4"}, "n must be"),
        ({"n": [float("nan")]}, "n must be"),
        ({"n": 0.1}, r"n \* dims\['m0'\] is 1; .* raise n"),
        ({"n": [4, 1e9]}, "lower n"),
        ({"b": [0.5, 1]}, "b must be a ratio strictly between"),
        ({"b": None}, "b must be"),
        ({"seeds": 0}, "seeds must be"),
        ({"seeds": [1, 1]}, "different numbers"),
        ({"epochs": 0}, "epochs must be"),
        ({"threads": 0}, "threads must be"),
        ({"voltage": -1}, "voltage"),
        ({"missing": "some"}, "missing must be one of"),
        ({"model": "concat"}, "model must have the options n and b; found 'concat'"),
        ({"model": "nope"}, "model must have"),
        ({"model": "infobridge", "options": {"base": "rpmr"}}, "n and b; found 'infobridge'"),
        ({"engine": "fast"}, "engine must be one of"),
        ({"engine": "stacked", "model": "rg-srht"}, "'stacked' cannot train this: mapping"),
        ({"engine": "stacked", "validation": 0.2}, "cannot train this: validation"),
        ({"options": {"n": 2}}, "options has n; give"),
        ({"options": {"c": 2}}, "no option c"),
        ({"checkpoint": "x"}, "keeps its finished points by itself"),
        ({"speed": 2}, "fit has no argument speed"),
        ({"seed": 2}, "seed: give seeds"),
        ({"lr": -1}, "lr must be"),
        ({"optimizer": "best"}, "optimizer must be"),
        ({"weights": {"x": 1}}, "weights has the unknown loss"),
        ({"executor": 3}, "executor must be"),
        ({"views": None}, "views must be Views"),
    ],
)
def test_bad_arguments(views, arguments, match):
    with pytest.raises(ValueError, match=match):
        run_sweep(**{"views": views, "n": 1, "b": 0.5, "seeds": 1, "epochs": 1, **arguments})
