import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif
from test_information import gaussian_pair, noise

from pnpfuse_analysis import mutual_information


def overlapping(n, m=5, seed=0):
    """A label of m values, and y uniform on [label, label + 2]; Gao et al., section 5."""
    drawn = np.random.default_rng(seed)
    x = drawn.integers(0, m, n)
    return x, x + 2 * drawn.random(n)


OVERLAP = math.log(5) - 4 * math.log(2) / 5


def test_ross_agrees_with_scikit_learn():
    x, y = overlapping(800)
    theirs = mutual_info_classif(y[:, None], x, n_neighbors=3, random_state=0)
    found = mutual_information(x, y, method="label")
    assert float(found) == pytest.approx(float(theirs[0]), abs=1e-3)
    assert found.local.shape == (800,)
    assert float(mutual_information(y, x, method="label")) == float(found)


@pytest.mark.parametrize("gap", [0.0, 1.0, 4.0])
def test_two_normal_classes_have_their_closed_form(gap):
    def density(y):
        return (stats.norm.pdf(y) + stats.norm.pdf(y - gap)) / 2

    mixture = integrate.quad(lambda y: -density(y) * math.log(density(y)), -10, 14)[0]
    exact = mixture - stats.norm.entropy()
    y = noise(3000)
    label = torch.arange(3000) % 2 == 0
    y = y + gap * label
    found = mutual_information(label, y * 1e6, method="label", ci="local")
    assert float(found) == pytest.approx(exact, abs=3 * found.stderr + 0.01)


def test_labels_by_name_and_features_of_several_columns():
    x, y = overlapping(1500)
    names = np.array(["zero", "one", "two", "three", "four"])[x]
    wide = np.stack((y, np.random.default_rng(1).normal(size=1500)), 1)
    seeded = torch.Generator().manual_seed(0)
    found = mutual_information(
        names, wide, method="label", null=19, ci="subsample", generator=seeded
    )
    # The column of noise costs neighbours some of it.
    assert OVERLAP - 0.3 < float(found) < OVERLAP
    assert found.p_value == 0.05
    assert abs(found.null_mean) < 0.05


def test_labels_seen_once_count_as_the_mean_and_are_named():
    x, y = overlapping(300)
    base = mutual_information(x, y, method="label")
    again = mutual_information(
        np.append(x, [98, 99]), np.append(y, [1.0, 2.0]), method="label", standardise=False
    )
    assert again.local.shape == (302,)
    assert float(again.local.mean()) == pytest.approx(float(again))
    assert float(again) == pytest.approx(float(base), abs=0.05)
    assert any("2 of 7 labels have k=3 samples or fewer" in note for note in again.warnings)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (noise(20), noise(20), "found real numbers in both; use method='ksg'"),
        (torch.arange(20), torch.arange(20), "found labels in both; use method='discrete'"),
        (torch.arange(20) % 2, noise(19), "x and y must be samples of the same rows"),
        (noise(20) / 0, torch.arange(20) % 2, "x must be finite"),
        (torch.arange(20), noise(20), "labels must repeat"),
        (torch.arange(3) % 2, noise(3), "k=3 asks for more than 3 samples"),
    ],
)
def test_what_is_no_label_beside_features_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(x, y, method="label")


def test_mixed_variables_have_their_closed_forms():
    x, y = overlapping(2000)
    found = mutual_information(torch.from_numpy(x), y, method="mixed", ci="local")
    assert float(found) == pytest.approx(OVERLAP, abs=3 * found.stderr + 0.01)
    # No ties: the KSG estimate, with log N for psi(N).
    u, v = gaussian_pair(500, 0.8)
    plain = float(mutual_information(u, v)) + math.log(500) - float(digamma(500))
    assert float(mutual_information(u, v, method="mixed")) == pytest.approx(plain, abs=1e-9)
    # Nothing but ties: counts, so that a value knows itself.
    whole = torch.arange(2000) % 4
    assert float(mutual_information(whole, whole, method="mixed")) == pytest.approx(
        math.log(4), abs=0.01
    )
    # A value of its own beside a Gaussian pair: H of the switch, and half of the information.
    off = noise(4000) > 0
    u, v = (torch.where(off, -9, part[:, 0]) for part in gaussian_pair(4000, 0.6, seed=1))
    exact = math.log(2) - math.log(1 - 0.36) / 4
    found = mutual_information(u, v, method="mixed")
    assert float(found) == pytest.approx(exact, abs=0.05)
    assert found.tie_fraction == pytest.approx(0.5, abs=0.03)


def test_the_ceiling_is_the_entropy_of_the_labels_and_no_alarm():
    label = torch.arange(900) % 3
    found = mutual_information(label, noise(900) + 100 * label, method="label")
    assert found.ceiling == pytest.approx(math.log(3) + 2 / 1800, abs=1e-5)
    assert float(found) == pytest.approx(found.ceiling, abs=1e-9)
    assert found.warnings == ()
