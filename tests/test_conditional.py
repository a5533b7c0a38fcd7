import math

import naive_information as naive
import numpy as np
import pytest
import torch
from test_information import gaussian_pair, noise

from pnpfuse_analysis import conditional_mutual_information, mutual_information, total_correlation
from pnpfuse_analysis.information.conditional import _exchange_near, _exchange_within


def chain(n, seed=0, strength=0.5):
    """x and y that share z, and a link of I(x; y | z) = log(1 + strength^2) / 2 of their own."""
    own, other, z = noise(n, 3, seed=seed).split(1, 1)
    return own + z, other + strength * own + z, z


TRUTH = math.log(1.25) / 2


@pytest.mark.parametrize(("method", "bias"), [("gaussian", 0.0), ("copula", 0.005), ("ksg", 0.03)])
def test_what_is_left_once_z_is_known(method, bias):
    x, y, z = chain(2000)
    seeded = torch.Generator().manual_seed(0)
    found = conditional_mutual_information(
        x, y, z, method=method, null=19, ci="local", generator=seeded
    )
    assert float(found) == pytest.approx(TRUTH, abs=3 * found.stderr + bias)
    assert found.p_value == 0.05
    assert abs(found.null_mean) < 0.02
    x, y, z = chain(1000, strength=0.0)
    assert float(mutual_information(x, y)) > 0.1  # all of it through z
    apart = conditional_mutual_information(x, y, z, method=method, null=19, generator=seeded)
    assert abs(float(apart)) < 0.03
    assert apart.p_value > 0.05


def test_gaussian_agrees_with_determinants_and_is_unbiased():
    found, raw = [], []
    for seed in range(150):
        mix = noise(8, 8, seed=seed)
        rows = noise(40, 8, seed=1000 + seed)
        x, y, z = (rows @ noise(8, 8, seed=7)).split([2, 2, 4], 1)
        found.append(float(conditional_mutual_information(x @ mix[:2, :2], y, z @ mix[:4, :4])))
        raw.append(naive.gaussian_conditional_information(*(p.numpy() for p in (x, y, z))))
    covariance = (noise(8, 8, seed=7).T @ noise(8, 8, seed=7)).numpy()

    def half_log_det(*columns):
        return np.linalg.slogdet(covariance[np.ix_(columns, columns)])[1] / 2

    given = (4, 5, 6, 7)
    exact = half_log_det(0, 1, *given) + half_log_det(2, 3, *given)
    exact -= half_log_det(*given) + half_log_det(*range(8))
    error = np.std(found) / math.sqrt(150)
    assert abs(np.mean(found) - exact) < 3 * error
    assert np.mean(raw) - np.mean(found) > 3 * error
    assert np.ptp(np.array(raw) - np.array(found)) < 1e-9  # the correction is a constant


def test_ksg_agrees_with_its_definition():
    x, y, z = noise(80, 2), noise(80, 1, seed=1), noise(80, 2, seed=2)
    found = conditional_mutual_information(x, y + x[:, :1], z, method="ksg", standardise=False)
    expected = naive.ksg_conditional_information(x.numpy(), (y + x[:, :1]).numpy(), z.numpy(), 3)
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_what_z_determines_carries_nothing_more():
    x, y, z = noise(500, 2), noise(500, 2, seed=1), noise(500, 3, seed=2)
    base = float(conditional_mutual_information(x, y + x, z))
    for dtype in (torch.float64, torch.float32):
        wide = torch.cat((x, z @ noise(3, 2, seed=3)), 1).to(dtype)
        found = conditional_mutual_information(wide, y + x, z.to(dtype))
        assert float(found) == pytest.approx(base, abs=1e-3)
    assert float(conditional_mutual_information(z[:, :1], y, z)) == 0
    assert float(conditional_mutual_information(x, x + z[:, :2], z)) == math.inf
    for constant in (torch.ones(500), torch.zeros(500, 2)):
        found = conditional_mutual_information(x, y + x, constant)
        assert float(found) == pytest.approx(
            float(mutual_information(x, y + x, method="gaussian")), abs=1e-9
        )


@pytest.mark.parametrize("method", ["gaussian", "copula", "ksg", "label"])
def test_labels_as_z(method):
    labels = np.repeat(["a", "b"], 600)
    x, y = gaussian_pair(1200, 0.0)
    near, far = gaussian_pair(600, 0.9, seed=1)
    x[600:], y[600:] = near + 5, far + 5
    seeded = torch.Generator().manual_seed(0)
    found = conditional_mutual_information(x, y, labels, method=method, null=19, generator=seeded)
    # Nothing within a, -log(1 - 0.81) / 2 within b; the step between them is known.
    assert float(found) == pytest.approx(-math.log(1 - 0.81) / 4, abs=0.05)
    assert found.p_value == 0.05
    parts = [
        mutual_information(x[rows], y[rows], method="ksg" if method == "label" else method)
        for rows in (slice(600), slice(600, None))
    ]
    if method != "label":
        assert float(found) == pytest.approx(sum(map(float, parts)) / 2, abs=1e-12)
    apart = conditional_mutual_information(
        x[:600], y[:600] * 3, labels[:600], method=method, null=19, generator=seeded
    )
    assert apart.p_value > 0.05


@pytest.mark.parametrize("method", ["gaussian", "label"])
def test_classes_far_apart_are_each_seen_at_their_own_scale(method):
    labels = torch.arange(1000) % 2
    x, y = gaussian_pair(1000, 0.8)
    found = conditional_mutual_information(x + 1e6 * labels[:, None], y, labels, method=method)
    assert float(found) == pytest.approx(-math.log(1 - 0.64) / 2, abs=0.08)


def test_small_classes_count_as_nothing_and_are_named():
    labels = torch.tensor([0] * 300 + [1, 2, 2])
    x, y = gaussian_pair(303, 0.8)
    found = conditional_mutual_information(x, y, labels, method="ksg", ci="subsample")
    base = mutual_information(x[:300], y[:300])
    assert float(found) == pytest.approx(float(base) * 300 / 303, abs=1e-9)
    assert any("2 of 3 classes" in n and "3 of N=303" in n for n in found.warnings)
    with pytest.raises(
        ValueError, match=r"a class of more than 3 samples \(k=3\), found at most 2"
    ):
        conditional_mutual_information(x, y, torch.arange(303) // 2, method="ksg")


def test_near_exchange_keeps_z_and_uses_each_sample_about_once():
    z = noise(400, 1)
    x = torch.arange(400.0)[:, None]
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    moved, same_y, same_z = _exchange_near((x, x, z), order)
    assert same_y is x and same_z is z
    source = moved[:, 0].long()
    assert bool((source != torch.arange(400)).all())
    assert float((z[source] - z).abs().median()) < 0.02
    assert len(source.unique()) > 330
    # Equal values of z are exchanged at random, not with the same few rows.
    tied = _exchange_near((x, x, torch.zeros(400, 1)), order)[0][:, 0]
    assert len(tied.unique()) > 330


def test_exchange_within_classes_keeps_each_class():
    labels = torch.tensor([2, 0, 1, 0, 2, 2, 0, 1] * 20)
    x = torch.arange(160)[:, None]
    order = torch.randperm(160, generator=torch.Generator().manual_seed(0))
    moved = _exchange_within((x, x, labels), order)[0][:, 0]
    assert torch.equal(labels[moved], labels)
    assert torch.equal(moved.sort().values, x[:, 0])
    assert float((moved != x[:, 0]).double().mean()) > 0.9


def test_constants_carry_nothing():
    x, one = noise(60, 1), torch.ones(60, 2)
    labels = torch.arange(60) % 2
    for a, b in ((one, x), (x, one), (one, one), (labels.double(), labels.double() * 2)):
        assert float(conditional_mutual_information(a, b, labels, method="ksg")) == 0
    assert float(conditional_mutual_information(one, one, x, method="ksg")) == 0
    assert float(mutual_information(labels, one, method="label")) == 0
    assert float(total_correlation([one, x, one], method="ksg")) == 0
    y = x + noise(60, 1, seed=1)
    assert float(total_correlation([x, one, y], method="ksg")) == pytest.approx(
        float(mutual_information(x, y)), abs=1e-9
    )


@pytest.mark.parametrize(
    ("z", "options", "message"),
    [
        (noise(30, 1), {"method": "label"}, "z must hold labels"),
        (noise(29, 1), {}, "N=29 on cpu"),
        (noise(30, 29), {}, "d_x . d_y . d_z=31 asks for more than 31 samples, found 30"),
        (
            noise(30, 1),
            {"method": "cmi"},
            "method must be one of 'gaussian', 'copula'",
        ),
        (noise(30, 1), {"method": "ksg", "k": 30}, "k=30 asks for more than 30"),
        (torch.zeros(29, dtype=torch.int64), {}, "N=29 on cpu"),
    ],
)
def test_wrong_input_is_refused(z, options, message):
    with pytest.raises(ValueError, match=message):
        conditional_mutual_information(noise(30, 1), noise(30, 1, seed=1), z, **options)


@pytest.mark.parametrize(("method", "bias"), [("gaussian", 0.0), ("copula", 0.01), ("ksg", 0.08)])
def test_total_correlation_of_a_gaussian(method, bias):
    mix = torch.tensor([[1, 0.6, 0], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)
    rows = noise(2000, 3) @ mix
    covariance = mix.T @ mix
    exact = float(covariance.diagonal().log().sum() - torch.linalg.slogdet(covariance)[1]) / 2
    found = total_correlation(list(rows.T), method=method, ci="local")
    assert float(found) == pytest.approx(exact, abs=3 * found.stderr + bias)
    assert found.d == 3
    pair = [rows[:, :1], rows[:, 1:]]
    assert float(total_correlation(pair, method=method)) == pytest.approx(
        float(mutual_information(*pair, method=method)), abs=1e-9
    )


@pytest.mark.parametrize("method", ["gaussian", "ksg"])
def test_total_correlation_against_its_null(method):
    x, y = gaussian_pair(400, 0.0)
    seeded = torch.Generator().manual_seed(0)
    # Pairs are independent; the three are not.
    parity = x.sign() * y.sign() * noise(400, 1, seed=3).abs()
    found = total_correlation([x, y, parity], method=method, null=19, generator=seeded)
    assert (found.p_value == 0.05) == (method == "ksg")
    assert abs(found.null_mean) < 0.05


def test_total_correlation_of_a_copy_and_of_wrong_input():
    x = noise(100, 2)
    assert float(total_correlation([x, noise(100, 1), x], method="gaussian")) == math.inf
    for xs, found in ((x, "Tensor"), (x.numpy(), "ndarray"), ([x], "1"), ({"a": x}, "dict")):
        with pytest.raises(ValueError, match=f"xs must be a list .*, found {found}"):
            total_correlation(xs)
    with pytest.raises(ValueError, match=r"xs\[0\] and xs\[1\] must be samples of the same rows"):
        total_correlation([x, x[:50]])
    with pytest.raises(ValueError, match="method must be one of 'gaussian', 'copula'"):
        total_correlation([x, x], method="kl")


def test_labels_given_labels_and_together():
    # The third is the parity of the others: each pair is independent, the three are not.
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(0, 2, (2, 2000), generator=generator)
    z = x ^ y
    given = conditional_mutual_information(x, y, z, method="discrete", null=19, generator=generator)
    assert float(given) == pytest.approx(math.log(2), abs=0.005)
    assert given.p_value == 0.05
    assert abs(float(mutual_information(x, y, method="discrete"))) < 0.003
    total = total_correlation([x, y, z], method="discrete", null=19, generator=generator)
    assert float(total) == pytest.approx(math.log(2), abs=0.005)
    assert abs(total.null_mean) < 0.003
    with pytest.raises(ValueError, match=r"xs\[1\] must hold labels"):
        total_correlation([x, noise(2000)], method="discrete")


@pytest.mark.parametrize("bend", [torch.square, lambda z: torch.sin(5 * z)])
def test_a_bent_dependence_on_z_is_named(bend):
    for seed in range(5):
        drawn = torch.Generator().manual_seed(seed)
        z, e, f = torch.randn(3, 600, generator=drawn, dtype=torch.float64)
        for method in ("gaussian", "copula"):
            found = conditional_mutual_information(
                bend(z) + 0.3 * e, bend(z) + 0.3 * f, z, method=method
            )
            assert float(found) > 0.3  # truth 0
            assert any("other ways than by a straight line" in note for note in found.warnings)
        straight = conditional_mutual_information(z + e, bend(z) + f, z)
        assert not any("straight line" in note for note in straight.warnings)


@pytest.mark.parametrize(("size", "warned"), [(8, True), (20, True), (100, True), (1000, False)])
def test_classes_too_small_for_their_dimensions_are_named(size, warned):
    drawn = torch.Generator().manual_seed(0)
    x, e = torch.randn(2, 4000, 2, generator=drawn, dtype=torch.float64)
    y = (x + e) / math.sqrt(2)  # log 2 = 0.69 of information
    z = torch.arange(4000) % (4000 // size)
    found = conditional_mutual_information(x, y, z, method="ksg")
    assert (float(found) < 0.6) == warned
    assert any("reads low" in note for note in found.warnings) == warned
