import math

import naive_analysis as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_information import student_information
from scipy import stats
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression

from pnpfuse_analysis import (
    Histogram,
    Probe,
    Renyi,
    conditional_entropy,
    conditional_mutual_information,
    entropy,
    mutual_information,
    total_correlation,
)
from pnpfuse_analysis.information.problem import Problem, as_parts

UNIT = math.log(2 * math.pi * math.e) / 2  # entropy of a standard normal variable


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gaussian_pair(n, rho, d=1, seed=0):
    """Pairs with I = -d/2 log(1 - rho^2)."""
    z = noise(n, 2, d, seed=seed)
    return z[:, 0], rho * z[:, 0] + math.sqrt(1 - rho**2) * z[:, 1]


def truth(rho, d=1):
    return -d / 2 * math.log(1 - rho**2)


@pytest.mark.parametrize("engine", ["kdtree", "brute"])
@pytest.mark.parametrize(("d", "k"), [(1, 1), (1, 3), (3, 4)])
def test_ksg_agrees_with_its_definition(engine, d, k):
    x, y = gaussian_pair(120, 0.7, d)
    found = mutual_information(x, y, k=k, standardise=False, engine=engine, chunk=17)
    expected = naive.ksg_information(x.numpy(), y.numpy(), k)
    assert float(found) == pytest.approx(expected, abs=1e-12)
    assert float(found.local.mean()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 6])
def test_ksg_engines_agree(d):
    x, y = gaussian_pair(400, 0.8, d)
    tree, brute = (mutual_information(x, y, engine=engine) for engine in ("kdtree", "brute"))
    assert float(tree) == pytest.approx(float(brute), abs=1e-10)
    torch.testing.assert_close(tree.local, brute.local, rtol=0, atol=1e-10)


def test_ksg_agrees_with_scikit_learn():
    x, y = gaussian_pair(500, 0.8)
    theirs = mutual_info_regression(x.numpy(), y[:, 0].numpy(), n_neighbors=3, random_state=0)
    assert float(mutual_information(x, y)) == pytest.approx(float(theirs[0]), abs=1e-3)


@pytest.mark.parametrize("method", ["ksg", "gaussian"])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_gaussian_pairs_have_their_closed_form(method, rho):
    x, y = gaussian_pair(4000, rho, seed=1)
    found = mutual_information(x, y, method=method)
    assert float(found) == pytest.approx(truth(rho), abs=4 * found.stderr + 0.01)
    assert found.stderr < 0.03


@pytest.mark.parametrize("method", ["ksg", "gaussian"])
def test_units_do_not_matter(method):
    x, y = gaussian_pair(2000, 0.75)
    found = mutual_information(x * 1e4, y * 1e-4, method=method)
    assert float(found) == pytest.approx(truth(0.75), abs=0.05)
    assert float(found) == pytest.approx(float(mutual_information(x, y, method=method)), abs=1e-9)
    for far in (1e-180, 1e180):
        again = mutual_information(x * far, y, method=method)
        assert float(again) == pytest.approx(float(found), abs=1e-9)
    raw = mutual_information(x * 1e4, y * 1e-4, standardise=False)
    assert abs(float(raw)) < 0.01  # why standardise is the default


@pytest.mark.parametrize("method", ["ksg", "gaussian"])
def test_one_shared_direction_in_many_coordinates_is_found(method):
    # 16 coordinates of rank 1: the covariance is singular, the intrinsic dimension 1.
    x, y = gaussian_pair(2000, 0.9)
    a, b = noise(1, 16, seed=5), noise(1, 16, seed=6)
    found = mutual_information(x @ a, y @ b, method=method)
    assert float(found) == pytest.approx(truth(0.9), abs=0.05)


def spiral(x, turn=1 / 3):
    """Each sample of x (N, 2) turned by an angle that grows with its square: information stays."""
    angle = turn * x.square().sum(1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]), 1)


def student_pair(n, rho, d, df, seed=0):
    x, y = gaussian_pair(n, rho, d, seed)
    scale = torch.from_numpy(np.random.default_rng(seed).chisquare(df, (n, 1)) / df).sqrt()
    return x / scale, y / scale


def uniform_sum(n, reach, seed=0):
    """x uniform on [0, 1], y = x + noise uniform on [-reach, reach]."""
    u = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return u[:, :1], u[:, :1] + reach * (2 * u[:, 1:] - 1)


def bent_pair(n, seed=0):
    x, y = gaussian_pair(n, 0.8, 2, seed)
    return spiral(x), y


CASES = {
    "gauss 4": (lambda n, s: gaussian_pair(n, 0.5, 4, s), truth(0.5, 4)),
    "gauss 16": (lambda n, s: gaussian_pair(n, 0.5, 16, s), truth(0.5, 16)),
    "student 1": (lambda n, s: student_pair(n, 0.75, 1, 1, s), student_information(0.75, 1, 1)),
    "student 3": (lambda n, s: student_pair(n, 0.75, 4, 3, s), student_information(0.75, 4, 3)),
    "spiral": (bent_pair, truth(0.8, 2)),
    "uniform": (lambda n, s: uniform_sum(n, 0.1, s), math.log(5) + 0.1),
}


@pytest.mark.parametrize(
    ("case", "method", "bias"),
    [
        # Bias of each method at N = 2000, to +-0.05: what they can do, and what they cannot.
        ("gauss 4", "ksg", -0.10),
        ("gauss 4", "gaussian", 0.0),
        ("gauss 16", "ksg", -1.67),
        ("gauss 16", "gaussian", 0.0),
        ("gauss 16", "copula", 0.0),
        ("student 1", "ksg", -0.03),
        ("student 1", "histogram", -0.05),
        ("student 3", "ksg", -0.37),
        ("spiral", "ksg", -0.10),
        ("spiral", "gaussian", -0.67),
        ("spiral", "copula", -0.66),
        ("uniform", "ksg", -0.038),
        ("uniform", "gaussian", -0.08),
        ("uniform", "copula", -0.44),
        ("uniform", "histogram", -0.22),
    ],
)
def test_known_laws_come_out_with_the_bias_that_is_known(case, method, bias):
    law, exact = CASES[case]
    found = [float(mutual_information(*law(2000, s), method=method)) for s in range(4)]
    assert np.mean(found) - exact == pytest.approx(bias, abs=0.05)


def test_samples_say_in_which_case_a_method_is_lost():
    def notes(x, y, method):
        return " ".join(mutual_information(x, y, method=method).warnings)

    assert "dimensions" not in notes(*gaussian_pair(500, 0.5, 2), "ksg")
    assert "dimensions, in which" in notes(*gaussian_pair(500, 0.5, 16), "ksg")
    x, y = gaussian_pair(500, 0.9)
    assert "dimensions" not in notes(x @ noise(1, 16), y @ noise(1, 16, seed=1), "ksg")
    assert "heavy tails" in notes(*student_pair(2000, 0.5, 4, 3), "gaussian")
    assert "heavy tails" not in notes(*gaussian_pair(50, 0.5, 4), "gaussian")
    assert "x came in a dtype with relative steps of 0.008" in notes(x.bfloat16(), y, "ksg")
    assert "y came in a dtype with relative steps of 0.001" in notes(x, y.half(), "ksg")
    assert "steps" not in notes(x.float(), y, "ksg")


@pytest.mark.parametrize("method", ["ksg", "gaussian", "copula", "histogram", "mixed"])
def test_neither_the_order_of_rows_nor_that_of_variables_matters(method):
    x, y = gaussian_pair(300, 0.6, 2)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    base = mutual_information(x, y, method=method)
    again = mutual_information(y[order], x[order], method=method)
    assert float(again) == pytest.approx(float(base), abs=1e-9)
    torch.testing.assert_close(again.local, base.local[order], rtol=0, atol=1e-8)
    assert again.local.dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_the_same_numbers():
    x, y = gaussian_pair(300, 0.6, 2)
    for method in ("ksg", "gaussian", "copula", "histogram", "mixed", "renyi"):
        for reduce in (None, "pca", "cca"):
            here, there = (
                mutual_information(
                    *pair,
                    method=method,
                    reduce=reduce,
                    null=3,
                    generator=torch.Generator().manual_seed(0),
                )
                for pair in ((x, y), (x.cuda(), y.cuda()))
            )
            assert float(there) == pytest.approx(float(here), abs=1e-6)
            assert there.null_mean == pytest.approx(here.null_mean, abs=1e-6)
            assert there.local is None or there.local.is_cuda


def test_a_method_of_ones_own_gets_intervals_and_null():
    def spearman(x, y, settings):
        parts = as_parts({"x": x, "y": y})

        def measure(a, b):
            ranks = [part[:, 0].argsort().argsort().double() for part in (a, b)]
            return -torch.log1p(-(torch.corrcoef(torch.stack(ranks))[0, 1] ** 2)) / 2

        return Problem(tuple(parts), measure, "spearman", 2)

    x, y = gaussian_pair(500, 0.8)
    seeded = torch.Generator().manual_seed(0)
    found = mutual_information(x, y, method=spearman, ci="subsample", null=19, generator=seeded)
    assert found.ci[0] < truth(0.8) < found.ci[1]
    assert found.p_value == 0.05
    assert found.local is None
    with pytest.raises(ValueError, match="ci='local' needs the local values that 'spearman'"):
        mutual_information(x, y, method=spearman, ci="local")


def test_wishart_correction_takes_the_bias_away():
    rho, d, n = 0.5, 16, 500
    found, raw = [], []
    for seed in range(60):
        x, y = gaussian_pair(n, rho, d, seed)
        found.append(float(mutual_information(x, y, method="gaussian")))
        full = np.cov(torch.cat((x, y), 1).numpy().T)
        parts = [np.linalg.slogdet(c)[1] for c in (full[:d, :d], full[d:, d:], full)]
        raw.append((parts[0] + parts[1] - parts[2]) / 2)
    error = np.std(found) / math.sqrt(60)
    assert abs(np.mean(found) - truth(rho, d)) < 3 * error
    assert np.mean(raw) - truth(rho, d) > 0.2
    assert error < 0.02


def test_gaussian_information_near_certainty_keeps_its_digits():
    x = noise(3000, 1)
    y = x + 1e-6 * noise(3000, 1, seed=1)
    found = mutual_information(x, y, method="gaussian")
    assert float(found) == pytest.approx(math.log(1e12 + 1) / 2, abs=0.06)


@pytest.mark.parametrize("metric", ["l2", "max"])
@pytest.mark.parametrize("engine", ["kdtree", "brute"])
def test_kl_agrees_with_its_definition(metric, engine):
    x = noise(120, 3)
    found = entropy(x, metric=metric, whiten=False, engine=engine, k=2)
    expected = naive.kl_entropy(x.numpy(), 2, np.inf if metric == "max" else 2)
    assert float(found) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("law", "bias"),
    [
        (stats.norm(3, 2), 0.01),
        (stats.uniform(-1, 5), 0.01),
        (stats.expon(scale=0.1), 0.01),
        (stats.t(3), 0.02),
    ],
)
def test_kl_entropy_of_known_laws(law, bias):
    x = law.rvs(3000, random_state=np.random.default_rng(0))
    found = entropy(x)
    assert float(found) == pytest.approx(float(law.entropy()), abs=4 * found.stderr + bias)
    assert found.stderr < 0.05


@pytest.mark.parametrize("method", ["kl", "gaussian"])
def test_entropy_of_unequal_spreads(method):
    spread = torch.tensor([1, 1e-2, 1e-4, 1e-6], dtype=torch.float64)
    x = noise(2000, 4) * spread
    expected = 4 * UNIT + float(spread.log().sum())
    assert float(entropy(x, method=method)) == pytest.approx(expected, abs=0.1)
    root = noise(2000, 4) * spread.sqrt()
    expected = 4 * UNIT + float(spread.log().sum()) / 2
    assert float(entropy(root, method=method)) == pytest.approx(expected, abs=0.1)
    assert float(entropy(root, whiten=False)) - expected > 1.5  # why whiten is the default


def test_gaussian_entropy_is_unbiased():
    mix = noise(8, 8, seed=99)
    expected = 8 * UNIT + float(torch.linalg.slogdet(mix)[1])
    found, raw = [], []
    for seed in range(80):
        x = noise(40, 8, seed=seed) @ mix
        found.append(float(entropy(x, method="gaussian")))
        raw.append(8 * UNIT + np.linalg.slogdet(np.cov(x.numpy().T))[1] / 2)
    error = np.std(found) / math.sqrt(80)
    assert abs(np.mean(found) - expected) < 3 * error
    assert np.mean(raw) - expected < -5 * error
    assert entropy(x, method="gaussian").kind == "upper_bound"


def test_gaussian_entropy_of_few_samples_has_its_closed_form():
    # E log|S| - log|Sigma| = sum_j psi((n - j)/2) - d log((n - 1)/2), Wishart with n - 1 degrees.
    n, d = 6, 4
    gap = sum(digamma((n - j) / 2) for j in range(1, d + 1)) - d * math.log((n - 1) / 2)
    found = []
    for seed in range(400):
        x = noise(n, d, seed=seed)
        found.append(float(entropy(x, method="gaussian")))
        raw = d * UNIT + np.linalg.slogdet(np.cov(x.numpy().T))[1] / 2
        assert found[-1] == pytest.approx(raw - gap / 2, abs=1e-10)
    error = np.std(found) / math.sqrt(400)
    assert abs(np.mean(found) - d * UNIT) < 3 * error
    assert error < 0.06


@pytest.mark.parametrize("engine", ["kdtree", "brute"])
@pytest.mark.parametrize("options", [{"whiten": False}, {"whiten": True}, {"method": "gaussian"}])
@pytest.mark.parametrize("factor", [1e200, 1e-200])
def test_entropy_in_extreme_units(engine, options, factor):
    for d in (1, 3):
        x = noise(300, d)
        base = float(entropy(x, engine=engine, **options))
        found = float(entropy(x * factor, engine=engine, **options))
        assert found == pytest.approx(base + d * math.log(factor), abs=1e-9)


def test_entropy_far_from_the_origin_keeps_its_digits():
    x = noise(2000)
    for metric in ("l2", "max"):
        for engine in ("kdtree", "brute"):
            near, far = (entropy(x + by, metric=metric, engine=engine) for by in (0.0, 1e4))
            assert float(near) == pytest.approx(UNIT, abs=0.08)
            assert float(far) == pytest.approx(float(near), abs=1e-7)


@given(seed=st.integers(0, 10**6), factor=st.floats(1e-6, 1e6), shift=st.floats(-10, 10))
@settings(max_examples=20, deadline=None)
def test_entropy_shifts_with_the_log_of_scale_and_information_does_not(seed, factor, shift):
    x, y = gaussian_pair(80, 0.6, 2, seed)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(seed))
    for method in ("kl", "gaussian"):
        base = float(entropy(x, method=method))
        moved = float(entropy(factor * (x[order] + shift), method=method))
        assert moved == pytest.approx(base + 2 * math.log(factor), abs=1e-6)
    for method in ("ksg", "gaussian"):
        base = float(mutual_information(x, y, method=method))
        turned = float(mutual_information(y[order], factor * x[order], method=method))
        assert turned == pytest.approx(base, abs=1e-9)
    # A linear map adds the log of its determinant: exactly, thanks to whitening.
    mix = noise(2, 2, seed=seed) + 3 * torch.eye(2)
    mapped = float(entropy(x @ mix)) - float(torch.linalg.slogdet(mix)[1])
    assert mapped == pytest.approx(float(entropy(x)), abs=1e-6)


def test_independent_variables_may_come_out_negative():
    found = [mutual_information(*gaussian_pair(300, 0.0, seed=seed)) for seed in range(12)]
    values = np.array([float(one) for one in found])
    assert (values < 0).any()
    assert abs(values.mean()) < 0.04
    for one in found:
        assert any("negative" in note for note in one.warnings) == (float(one) < 0)


def test_permutations_tell_dependence_from_none():
    generator = torch.Generator().manual_seed(0)
    x, y = gaussian_pair(300, 0.6)
    found = mutual_information(x, y, null=39, generator=generator)
    assert found.p_value == pytest.approx(1 / 40)
    assert abs(found.null_mean) < 0.03
    x, y = gaussian_pair(300, 0.0)
    assert mutual_information(x, y, null=39, generator=generator).p_value > 0.05
    seeded = [
        mutual_information(x, y, null=5, ci="subsample", generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    ]
    assert seeded[0].null_mean == seeded[1].null_mean
    assert seeded[0].ci == seeded[1].ci


def test_local_values_of_a_gaussian_are_its_log_densities():
    x = noise(200, 3) @ noise(3, 3, seed=1)
    found = entropy(x, method="gaussian")
    law = stats.multivariate_normal(x.mean(0), np.cov(x.numpy().T, bias=True))
    gap = found.local.numpy() + law.logpdf(x.numpy())
    np.testing.assert_allclose(gap, gap[0], atol=1e-10)
    x, y = gaussian_pair(200, 0.6, 2)
    joint = torch.cat((x, y), 1)
    logs = [
        stats.multivariate_normal(z.mean(0), np.cov(z.numpy().T, bias=True)).logpdf(z.numpy())
        for z in (joint, x, y)
    ]
    gap = mutual_information(x, y, method="gaussian").local.numpy() - (logs[0] - logs[1] - logs[2])
    np.testing.assert_allclose(gap, gap[0], atol=1e-10)


def test_copies_are_reported():
    x, y = gaussian_pair(400, 0.5)
    assert mutual_information(x, y).tie_fraction == 0
    rounded = (x * 2).round() / 2
    found = mutual_information(rounded, y)
    assert found.tie_fraction > 0.9
    assert any("exact copies" in note for note in found.warnings)
    x[:2] = x[2]
    found = entropy(x)
    assert found.tie_fraction == pytest.approx(3 / 400)
    assert math.isfinite(float(found))
    x[:4] = x[4]
    found = entropy(x)
    assert float(found) == -math.inf
    assert found.stderr is None
    assert any("k=3 or more exact copies" in note for note in found.warnings)


@pytest.mark.parametrize("method", ["kl", "gaussian"])
def test_flat_directions_are_dropped_and_named(method):
    x = noise(1500, 2)
    base = float(entropy(x, method=method))
    constant = torch.cat((x, torch.full((1500, 1), 0.1)), 1)
    found = entropy(constant, method=method)
    assert float(found) == pytest.approx(base, abs=1e-9)
    assert found.d == 2
    assert any("2 of its 3 dimensions" in n and "-inf" in n for n in found.warnings)
    # (x1, x2, x1 + x2) spans a plane in which areas are sqrt(3) times as large.
    for dtype in (torch.float64, torch.float32):
        tilted = torch.cat((x, x.sum(1, keepdim=True)), 1).to(dtype)
        found = entropy(tilted, method=method)
        assert found.d == 2
        assert float(found) == pytest.approx(base + math.log(3) / 2, abs=1e-5)
    still = entropy(torch.ones(20, 2), method=method)
    assert float(still) == -math.inf
    assert still.warnings
    if method == "kl":
        assert float(entropy(constant, whiten=False)) == pytest.approx(
            float(entropy(x, whiten=False)), abs=1e-9
        )


@pytest.mark.parametrize("method", ["ksg", "gaussian"])
def test_constant_columns_carry_no_information(method):
    x, y = gaussian_pair(500, 0.7)
    constant = torch.full((500, 2), 0.3, dtype=torch.float64)
    base = float(mutual_information(x, y, method=method))
    found = mutual_information(torch.cat((x, constant), 1), y, method=method)
    assert float(found) == pytest.approx(base, abs=1e-9)
    assert float(mutual_information(constant, constant, method=method)) == 0
    nothing = mutual_information(constant, y, method=method)
    assert float(nothing) == pytest.approx(0, abs=1e-12)
    assert any("x is constant" in note for note in nothing.warnings)


def test_information_of_a_variable_with_itself_is_flagged():
    x = noise(500, 2)
    found = mutual_information(x, x)
    assert float(found) == pytest.approx(found.ceiling, abs=1e-12)
    assert found.ceiling == pytest.approx(
        math.log(500) - 1 / 1000 - (1.5 - np.euler_gamma), abs=1e-5
    )
    assert any("ceiling" in note for note in found.warnings)
    found = mutual_information(x, x @ noise(2, 2, seed=1), method="gaussian")
    assert float(found) == math.inf
    assert any("determines" in note for note in found.warnings)


GOOD = noise(20, 2)


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (torch.arange(20), {}, "y must be continuous .*, found torch.int64"),
        (torch.ones(20, dtype=torch.bool), {}, "y must be continuous .*, found torch.bool"),
        (GOOD[:19], {}, "N=20 on cpu and N=19"),
        (GOOD.clone().index_fill(0, torch.tensor([3]), math.nan), {}, "y must be finite, found 2"),
        (GOOD.clone().index_fill(0, torch.tensor([3]), math.inf), {}, "y must be finite"),
        (GOOD.to(torch.complex128), {}, "y must be real"),
        (GOOD[None], {}, "y must have shape"),
        (GOOD[:, :0], {}, "y must have shape"),
        ([1.0, 2.0], {}, "y must be a torch tensor or a NumPy array, found list"),
        (GOOD, {"k": 20}, "k=20 asks for more than 20 samples, found 20"),
        (GOOD, {"k": 10, "ci": "subsample"}, "more than 10 samples in each 1/2 of them"),
        (GOOD, {"k": 0}, "k must be a whole number >= 1, found 0"),
        (GOOD, {"k": 2.0}, "k must be a whole number"),
        (GOOD, {"method": "KSG"}, "method must be one of 'ksg', 'gaussian', .* found 'KSG'"),
        (GOOD, {"ci": "bootstrap"}, "ci must be one of None"),
        (GOOD, {"engine": "cuda"}, "engine must be one of"),
        (GOOD, {"engine": np.array(["kdtree", "brute"])}, "engine must be one of"),
        (noise(20, 10), {"method": "gaussian", "ci": "subsample"}, "d_x . d_y=12 asks for more"),
        (GOOD, {"null": -1}, "null must be a whole number >= 0"),
        (noise(20, 18), {"method": "gaussian"}, "d_x . d_y=20 asks for more than 20"),
    ],
)
def test_wrong_input_is_refused(y, options, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(GOOD, y, **options)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.arange(20), {}, "x must be .*, found torch.int64; .* use method='discrete'"),
        (GOOD, {"method": "knn"}, "method must be one of 'kl', 'gaussian'"),
        (GOOD, {"metric": "l1"}, "metric must be one of"),
        (GOOD, {"ci": "bootstrap"}, "ci must be one of None, 'subsample'"),
        (GOOD, {"k": 20}, "k=20 asks for more"),
        (noise(4, 4), {}, "x must have more samples than dimensions .*, found N=4 and d=4"),
        (noise(4, 4), {"method": "gaussian"}, "d=4 asks for more than 4 samples"),
        (torch.zeros(0), {}, "x must have shape"),
    ],
)
def test_wrong_samples_are_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        entropy(x, **options)


def test_whole_numbers_are_fine_where_a_covariance_is_all():
    counts = torch.from_numpy(np.random.default_rng(0).poisson(100, (400, 2)))
    found = mutual_information(counts, counts.flip(0), method="gaussian")
    assert abs(float(found)) < 0.05
    assert float(entropy(counts, method="gaussian")) == pytest.approx(
        2 * (UNIT + math.log(10)), abs=0.1
    )


def relu(n, d=1, seed=0):
    return noise(n, d, seed=seed).relu()


def test_relu_features_without_dependence_read_nothing():
    x, y, z = (relu(1000, seed=seed) for seed in range(3))
    for found in (
        mutual_information(x, y, null=19),
        total_correlation([x, y, z], method="ksg"),
        conditional_mutual_information(x, y, z, method="ksg"),
        conditional_mutual_information(x, y, noise(1000, 1, seed=3), method="ksg"),
        mutual_information(torch.arange(1000) % 2, x, method="label"),
    ):
        assert abs(float(found)) < 0.08
        assert found < found.ceiling
        assert found.tie_fraction == pytest.approx(0.5, abs=0.05)
        assert any("zeros of a ReLU" in note for note in found.warnings)


def test_relu_features_keep_the_information_of_their_signs():
    # Both zero with probability p = 1/4 + asin(rho) / 2 pi: what the signs share is a lower bound,
    # and what the features share before the ReLU an upper one.
    rho = 0.9
    x, y = (part.relu() for part in gaussian_pair(3000, rho))
    both = 0.25 + math.asin(rho) / (2 * math.pi)
    signs = math.log(2) - stats.entropy([2 * both, 1 - 2 * both])
    assert signs - 0.05 < float(mutual_information(x, y)) < truth(rho)
    on = (x > 0).double()
    found = mutual_information(on, (y > 0).double())
    assert float(found) == pytest.approx(signs, abs=0.03)
    itself = mutual_information(on, on)
    assert float(itself) == pytest.approx(math.log(2), abs=1e-3)
    assert itself < itself.ceiling


def test_a_constant_has_no_information_in_mixed_either():
    found = mutual_information(torch.ones(100), noise(100), method="mixed")
    assert float(found) == 0
    assert any("x is constant" in note for note in found.warnings)


LABELS = torch.arange(120) % 3
CALLS = {
    "pairs": lambda x, y, method: mutual_information(x, y, method=method, null=1),
    "canonical": lambda x, y, method: mutual_information(x, y, reduce=method),
    "labels": lambda x, y, method: mutual_information(LABELS, x, method=method, null=1),
    "given": lambda x, y, method: conditional_mutual_information(x, y, x * y, method=method),
    "classes": lambda x, y, method: conditional_mutual_information(x, y, LABELS, method=method),
    "together": lambda x, y, method: total_correlation([x, y], method=method, null=1),
    "alone": lambda x, y, method: entropy(x, method=method, ci="subsample"),
    "left": lambda x, y, method: conditional_entropy(LABELS, x, probe=method),
}


@pytest.mark.parametrize(
    ("call", "method"),
    [
        *(("pairs", name) for name in ("ksg", "gaussian", "copula", "histogram", "renyi")),
        *(("pairs", name) for name in ("mixed", "infonce")),
        *(("canonical", name) for name in ("cca", "pca")),
        *(("labels", name) for name in ("label", "probe")),
        *(("given", name) for name in ("ksg", "gaussian", "cnce")),
        *(("classes", name) for name in ("ksg", "gaussian", "cnce")),
        *(("together", name) for name in ("ksg", "gaussian")),
        *(("alone", name) for name in ("kl", "gaussian", "histogram", "renyi")),
        *(("left", name) for name in ("linear", "mlp")),
    ],
)
def test_neither_default_device_nor_dtype_nor_global_draws_matter(call, method):
    x, y = (part.numpy() for part in gaussian_pair(120, 0.5, 2))
    state = torch.random.get_rng_state()
    here = float(CALLS[call](x, y, method))
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            there = float(CALLS[call](x, y, method))
    finally:
        torch.set_default_dtype(torch.float32)
    assert there == pytest.approx(here, abs=1e-9)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mutual_information(GOOD, GOOD, null=1, generator=3), "generator must be .* int"),
        (
            lambda: entropy(GOOD, ci="subsample", generator=np.random.default_rng()),
            "generator must be a torch.Generator.* found Generator",
        ),
        (lambda: conditional_entropy(LABELS, LABELS, generator=3), "generator must be"),
        (lambda: mutual_information(GOOD, GOOD, method=Histogram), "found the class Histogram"),
        (lambda: entropy(GOOD, method=Histogram), "found the class Histogram"),
        (lambda: entropy(GOOD, method=Probe()), "method must take .x, settings."),
        (lambda: total_correlation([GOOD, GOOD], method=Histogram()), "must take .xs, settings."),
        (
            lambda: conditional_mutual_information(GOOD, GOOD, GOOD, method=Renyi()),
            "must take .x, y, z, settings.",
        ),
        (
            lambda: mutual_information(GOOD, GOOD, method=lambda x, y, settings: 3.0),
            "method must return a Problem, found float",
        ),
        (lambda: mutual_information(GOOD, GOOD, standardise="no"), "standardise must be True"),
        (lambda: entropy(GOOD, whiten="no"), "whiten must be True or False, found 'no'"),
        (lambda: Renyi(alpha="2"), "alpha must be above 0, found '2'"),
    ],
)
def test_wrong_options_and_methods_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
