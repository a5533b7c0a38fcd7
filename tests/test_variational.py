import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pnpfuse_analysis import mutual_information
from pnpfuse_analysis.information.conditional_nce import ConditionalNCE
from pnpfuse_analysis.information.copula import normal_scores
from pnpfuse_analysis.information.crossfit import batches, dealt, fit_critics
from pnpfuse_analysis.information.inference import estimated
from pnpfuse_analysis.information.problem import Settings
from pnpfuse_analysis.information.variational import Variational

METHODS = ["infonce", "nwj", "dv", "smile"]


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gaussian_pair(n, rho, d=1, seed=0):
    """Pairs with I = -d/2 log(1 - rho^2)."""
    z = noise(n, 2, d, seed=seed)
    return z[:, 0], rho * z[:, 0] + math.sqrt(1 - rho**2) * z[:, 1]


def truth(rho, d=1):
    return -d / 2 * math.log(1 - rho**2)


def quick(bound, **options):
    return Variational(bound, **({"hidden": 24, "steps": 80, "batch": 64} | options))


def conditional(x, y, z, null=0, **options):
    method = ConditionalNCE(**({"hidden": 32, "steps": 200} | options))
    return estimated(method(x, y, z, Settings()), null=null)


@pytest.mark.parametrize("method", METHODS)
def test_gaussian_pairs_are_bounded_from_below(method):
    x, y = gaussian_pair(2000, 0.9)
    found = mutual_information(x, y, method=method)
    assert 0.65 < float(found) < truth(0.9) + 3 * found.stderr
    assert found.kind == ("estimate" if method == "smile" else "lower_bound")
    assert found.method == method
    assert float(found.local.mean()) == float(found)
    assert found.local.shape == (2000,)
    assert found.ceiling == (pytest.approx(math.log(500)) if method == "infonce" else None)


def test_four_dimensions_need_no_more_than_the_default():
    x, y = gaussian_pair(5000, 0.9, 4)
    found = mutual_information(x, y, method="infonce")
    assert 2.9 < float(found) < truth(0.9, 4) + 3 * found.stderr
    assert not found.warnings


@pytest.mark.parametrize("method", METHODS)
def test_independent_samples_give_nothing_however_many_dimensions(method):
    # In-sample, 400 steps of such a critic read 4.5 nats here; held-out without early stopping -7.
    found = mutual_information(noise(1000, 16), noise(1000, 16, seed=1), method=method)
    assert abs(float(found)) < 0.05
    assert found.warnings


def test_a_critic_that_found_nothing_says_so():
    found = mutual_information(noise(200, 64), noise(200, 64, seed=1), method=quick("infonce"))
    if float(found) == 0:
        assert any("trivial bound 0" in note for note in found.warnings)
    assert float(found) < 0.1


def test_near_the_ceiling_is_flagged():
    x = noise(1000, 16)
    found = mutual_information(x, x, method="infonce")
    assert 0.9 * found.ceiling < float(found) <= found.ceiling == pytest.approx(math.log(500))
    assert any("near the ceiling" in note for note in found.warnings)


def test_exponential_means_of_few_pairs_are_flagged():
    x = noise(1000, 8)
    found = mutual_information(x, x + 0.01 * noise(1000, 8, seed=1), method="dv")
    assert any("compare 'infonce'" in note for note in found.warnings)


@pytest.mark.parametrize("method", ["nwj", "dv", "smile", "infonce"])
def test_heavy_tails_do_no_harm(method):
    # Student pairs with 1 degree of freedom: no mean, no variance. The information of a t copula
    # exceeds that of the Gaussian one.
    x, y = gaussian_pair(2000, 0.8)
    chi = torch.from_numpy(stats.chi2(1).rvs(2000, random_state=np.random.default_rng(0)))[:, None]
    found = mutual_information(x / chi.sqrt(), y / chi.sqrt(), method=method)
    assert float(found) < 1.2
    if method in ("nwj", "dv"):
        # A few large scores rule the mean of exponentials; a value that says so is all to be had.
        assert float(found) > 0 and found.warnings
    else:
        assert float(found) > 0.3


def test_dependence_without_correlation_is_found():
    x = noise(1500, 1)
    y = x.square() + 0.3 * noise(1500, 1, seed=1)
    assert float(mutual_information(x, y, method=quick("infonce", steps=200))) > 0.5
    assert abs(float(mutual_information(x, y, method="gaussian"))) < 0.1


def test_one_to_one_maps_of_columns_change_nothing():
    x, y = gaussian_pair(300, 0.8, 2)
    base = mutual_information(x, y, method=quick("infonce"))
    for a, b in ((1e9 * x - 3, y * 1e-9), (x.exp(), y**3)):
        again = mutual_information(a, b, method=quick("infonce"))
        assert torch.equal(again.local, base.local)


def test_draws_come_from_the_generator_alone():
    x, y = gaussian_pair(200, 0.8)
    state = torch.get_rng_state()

    def run(seed=None):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return mutual_information(
            x, y, method=quick("infonce", steps=25), null=2, generator=generator
        )

    assert torch.equal(run(1).local, run(1).local)
    assert run(1).null_mean == run(1).null_mean
    assert not torch.equal(run(1).local, run(2).local)
    problem = quick("dv", steps=25)(x, y, Settings())
    assert torch.equal(
        problem.measure(*problem.parts),
        quick("dv", steps=25)(x, y, Settings()).measure(*problem.parts),
    )
    conditional(x, y, x > 0, steps=25)
    assert torch.equal(problem.parts[0], normal_scores(x))
    mutual_information(x, y, method=quick("smile", steps=25))
    assert torch.equal(state, torch.get_rng_state()) or run(1).null_mean is None


def test_null_and_interval_tell_dependence_from_none():
    x, y = gaussian_pair(400, 0.8)
    found = mutual_information(
        x, y, method=quick("infonce"), ci="local", null=9, generator=torch.Generator()
    )
    assert found.p_value == 0.1
    assert abs(found.null_mean) < 0.1
    assert found.ci[0] < float(found) < found.ci[1]


def test_any_numbers_on_any_terms():
    x, y = gaussian_pair(200, 0.9)
    method = quick("infonce", steps=50)
    base = mutual_information(x, y, method=method).local
    assert base.dtype == torch.float64
    odd = np.asfortranarray(np.stack((x[:, 0], x[:, 0])).T)[:, ::2]
    assert torch.equal(mutual_information(odd, y.numpy()[:, 0], method=method).local, base)
    assert torch.equal(mutual_information(x.clone().requires_grad_(), y, method=method).local, base)
    for context in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu")):
        with context:
            assert torch.equal(mutual_information(x.clone(), y.clone(), method=method).local, base)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert float(mutual_information(x.to(dtype), y.to(dtype), method=method)) > 0.3
    labels = mutual_information(x, (y > 0).long(), method=method)
    assert float(labels) < math.log(2)
    constant = mutual_information(torch.zeros(200, 3), y, method=method)
    assert abs(float(constant)) < 0.01


def test_repeated_rows_are_named():
    x, y = noise(100, 4).repeat(2, 1), noise(100, 4, seed=1).repeat(2, 1)
    found = mutual_information(x, y, method=quick("infonce"))
    assert found.tie_fraction == 1
    assert any("seen in training" in note for note in found.warnings)


@pytest.mark.parametrize("n", [20, 21, 37])
@pytest.mark.parametrize("method", METHODS)
def test_few_samples_are_enough_for_an_answer(n, method):
    found = mutual_information(*gaussian_pair(n, 0.9), method=quick(method, steps=25))
    assert math.isfinite(float(found))


def test_a_concatenated_critic_is_a_choice():
    x, y = gaussian_pair(600, 0.9)
    found = mutual_information(
        x, y, method=quick("infonce", critic="concatenated", batch=32, steps=150)
    )
    assert 0.45 < float(found) < truth(0.9) + 3 * found.stderr


@settings(max_examples=30)
@given(st.integers(20, 300), st.integers(2, 7))
def test_no_fold_is_judged_by_what_it_was_trained_or_chosen_on(n, folds):
    if n < 10 * folds:
        return
    cut = dealt(n, folds, torch.Generator().manual_seed(n), torch.device("cpu"))
    held = [set(rows.tolist()) for rows in cut.held]
    assert sorted(row for rows in held for row in rows) == list(range(n))
    for fold in range(folds):
        train, valid = set(cut.train[fold].tolist()), set(cut.valid[fold].tolist())
        assert len(valid) >= 2 and len(train) >= 2
        assert not train & valid and not train & held[fold] and not valid & held[fold]
        assert len(train) + len(valid) + len(held[fold]) >= n - 1


def test_batches_pass_over_all_rows():
    rows = torch.arange(12).view(2, 6) + 5
    drawn = list(batches(rows, 3, 5, torch.Generator().manual_seed(0)))
    assert [part.shape for part in drawn] == [(2, 3)] * 5
    for first in (0, 2):
        for fold in range(2):
            seen = torch.cat((drawn[first], drawn[first + 1]), 1)[fold]
            assert torch.equal(seen.sort().values, rows[fold])


def test_the_best_of_each_fold_is_kept():
    class Line:
        """Two critics, one number each."""

        parameters = [torch.zeros(2, 1, 1, requires_grad=True)]

    line = Line()

    def value():
        # The first is best near 0.3; the second, better untrained, loses from the first step on,
        # and is no number in the end.
        found = line.parameters[0][:, 0, 0]
        return torch.stack((-(found[0] - 0.3).abs(), torch.where(found[1] > 0.4, math.nan, -1e9)))

    before = [torch.tensor([-9.0, 0.0])]

    def look():
        return before.pop() if before else value()

    rounds = iter([torch.zeros(2, 1)] * 400)
    fit_critics(line, rounds, lambda rows: line.parameters[0][:, 0, 0], look, 10**9)
    first, second = line.parameters[0].detach()[:, 0, 0].tolist()
    assert first == pytest.approx(0.3, abs=0.04)
    assert second == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": "mine"}, "bound must be one of 'infonce', 'nwj', 'dv', 'smile', found 'mine'"),
        ({"critic": "bilinear"}, "critic must be one of"),
        ({"folds": 1}, "folds must be a whole number >= 2, found 1"),
        ({"batch": 1}, "batch must be a whole number >= 2"),
        ({"steps": 0}, "steps must be a whole number >= 1"),
        ({"hidden": 2.5}, "hidden must be a whole number"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"clip": math.nan}, "clip must be above 0"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Variational(**options)


def test_too_few_samples_are_refused():
    x, y = gaussian_pair(19, 0.5)
    with pytest.raises(ValueError, match="more than 19 samples, found 19"):
        mutual_information(x, y, method="infonce")
    with pytest.raises(ValueError, match="more than 19 samples, found 19"):
        conditional(x, y, x > 0)
    with pytest.raises(ValueError, match="ratio must be a whole number >= 2"):
        ConditionalNCE(ratio=1)


def classes(n, rho, count=4, seed=0):
    """x and y far apart by class; within a class I = -log(1 - rho^2) / 2."""
    x, y = gaussian_pair(n, rho, seed=seed)
    z = torch.arange(n) % count
    return x + 3 * z[:, None], y + 3 * z[:, None], z


def test_classes_explain_what_they_bring_about():
    x, y, z = classes(1500, 0.0)
    assert float(mutual_information(x, y)) > 0.7
    found = conditional(x, y, z, null=4)
    assert abs(float(found)) < 0.03
    assert found.p_value > 0.2
    assert found.kind == "lower_bound" and found.method == "cnce"


def test_what_is_left_within_classes_is_found():
    x, y, z = classes(1500, 0.9)
    found = conditional(x, y, z, null=3)
    assert 0.4 < float(found) < truth(0.9) + 3 * found.stderr
    assert found.p_value == 0.25 and abs(found.null_mean) < 0.1
    assert found.ceiling == pytest.approx(math.log(64))
    # The value is log(N0/N1) + E log h less what makes it hold for any critic.
    assert float(found.local.max()) < math.log(64)


def test_classes_of_one_count_as_nothing():
    x, y = gaussian_pair(300, 0.9)
    found = conditional(x, y, torch.arange(300), steps=25)
    assert float(found) == 0
    assert any("300 of 300 samples have no other" in note for note in found.warnings)
    # Nor do classes of two make up information.
    x, y = gaussian_pair(600, 0.0)
    assert float(conditional(x, y, torch.arange(600) // 2)) < 0.1


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_continuous_conditions_are_estimates(rho):
    z = noise(1500, 2, seed=7)
    x, y = gaussian_pair(1500, rho)
    x, y = x + z.sum(1, keepdim=True), y + z.sum(1, keepdim=True)
    found = conditional(x, y, z)
    assert found.kind == "estimate"
    assert any("no bound" in note for note in found.warnings)
    if rho:
        assert 0.4 < float(found) < truth(rho)
    else:
        assert abs(float(found)) < 0.05
        assert float(mutual_information(x, y)) > 0.3


def test_permutations_stay_within_their_condition():
    x, y, z = classes(200, 0.5)
    problem = ConditionalNCE()(x, y, z, Settings(scale=False))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    same_x, mixed, same_z = problem.unlink(problem.parts, order)
    assert torch.equal(same_x, problem.parts[0]) and torch.equal(same_z, problem.parts[2])
    for label in range(4):
        ours = mixed[z == label].sort(0).values
        assert torch.equal(ours, y[z == label].sort(0).values)
        assert not torch.equal(mixed[z == label], y[z == label])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    x, y = (part.cuda() for part in gaussian_pair(2000, 0.9))
    found = mutual_information(x, y, method="infonce")
    assert found.local.device == x.device
    assert 0.7 < float(found) < truth(0.9) + 3 * found.stderr
    assert abs(conditional(x, y, (x > 0)[:, 0]).value) < truth(0.9)
