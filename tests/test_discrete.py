import math

import naive_information as naive
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from pnpfuse_analysis import Histogram, entropy, mutual_information, total_correlation


def drawn(shares, n, seed=0):
    """Pairs (x, y) from a table of joint probabilities."""
    flat = np.random.default_rng(seed).choice(shares.size, n, p=shares.ravel())
    return np.unravel_index(flat, shares.shape)


def exact(shares):
    """Information of a table of joint probabilities."""
    outer = shares.sum(1, keepdims=True) * shares.sum(0, keepdims=True)
    return float((shares * np.log(shares / outer)).sum())


TABLE = np.array([[0.1, 0.05, 0.25], [0.3, 0.2, 0.1]])


def test_counts_in_exact_proportion_give_the_value_of_their_law():
    n = 2000
    x, y = (
        np.repeat(i.ravel(), (n * TABLE).round().astype(int).ravel()) for i in np.indices((2, 3))
    )
    found = mutual_information(x, y, method="discrete")
    assert float(found) == pytest.approx(exact(TABLE) + (2 + 3 - 6 - 1) / (2 * n), abs=1e-12)
    assert float(entropy(y, method="discrete")) == pytest.approx(
        -float((TABLE.sum(0) * np.log(TABLE.sum(0))).sum()) + 2 / (2 * n), abs=1e-12
    )
    assert found.local.shape == (n,)
    assert not found.warnings


def test_miller_and_madow_take_most_of_the_bias_away():
    found, plug_in = [], []
    for seed in range(300):
        x, y = drawn(TABLE, 60, seed)
        found.append(float(mutual_information(x, y, method="discrete")))
        plug_in.append(mutual_info_score(x, y))
    error = np.std(found) / math.sqrt(300)
    assert abs(np.mean(found) - exact(TABLE)) < 3 * error
    assert np.mean(plug_in) - exact(TABLE) > 4 * error


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=2, max_size=40),
    st.permutations(range(5)),
)
def test_any_labels_agree_with_the_loop_and_their_names_do_not_matter(pairs, names):
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    found = float(mutual_information(x, y, method="discrete"))
    expected = naive.miller_madow_information(x.tolist(), y.tolist())
    assert found == pytest.approx(expected, abs=1e-12)
    renamed = np.array(["abcde"[names[one]] for one in y])
    assert float(mutual_information(renamed, x, method="discrete")) == pytest.approx(
        found, abs=1e-12
    )


@pytest.mark.parametrize(
    "as_type",
    [
        torch.from_numpy,
        lambda x: x.astype(np.uint8),
        lambda x: x.astype(">i4"),
        lambda x: x.astype(str),
        lambda x: x.astype(str).astype(object),
        lambda x: torch.from_numpy(x).to(torch.int8) - 5,
        lambda x: np.stack((x, 0 * x), 1),
    ],
)
def test_labels_of_every_type_are_read(as_type):
    x, y = drawn(TABLE, 200)
    base = float(mutual_information(x, y, method="discrete"))
    assert float(mutual_information(as_type(x), y > 0, method="discrete")) == pytest.approx(
        float(mutual_information(x, y > 0, method="discrete")), abs=1e-12
    )
    assert float(mutual_information(y, as_type(x), method="discrete")) == pytest.approx(
        base, abs=1e-12
    )


def test_a_label_knows_itself_and_independent_ones_nothing():
    x, y = drawn(np.full((4, 5), 1 / 20), 3000)
    itself = mutual_information(x, x, method="discrete")
    assert float(itself) == pytest.approx(float(entropy(x, method="discrete")), abs=1e-12)
    apart = mutual_information(
        x, y, method="discrete", null=39, generator=torch.Generator().manual_seed(0)
    )
    assert abs(float(apart)) < 0.005
    assert apart.p_value > 0.05


def test_labels_that_hardly_repeat_are_reported():
    x = np.arange(100)
    found = mutual_information(x, x // 50, method="discrete")
    assert any("100% of the samples" in note for note in found.warnings)
    assert entropy(x, method="discrete").warnings
    assert not entropy(x // 10, method="discrete").warnings


def test_intervals_of_labels_cover_their_law():
    hits = {"subsample": 0, "local": 0, "splits": 0}
    for seed in range(40):
        x, y = drawn(TABLE, 300, seed)
        for ci in hits:
            found = mutual_information(
                x, y, method="discrete", ci=ci, generator=torch.Generator().manual_seed(seed)
            )
            hits[ci] += found.ci[0] <= exact(TABLE) <= found.ci[1]
    # Of 40 trials at 95 %, fewer than 35 have probability 0.014.
    assert min(hits.values()) >= 35, hits


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.ones(20), r"y must hold labels \(whole numbers, .*, found torch.float64; .*y.long"),
        (np.ones(20, complex), "y must hold labels"),
        (np.ones(19, int), "N=20 on cpu and N=19"),
        (np.ones((20, 2, 1), int), "y must have shape"),
        (np.ones((20, 0), int), "y must have shape"),
        (np.array(["a", None] * 10, object), "y must hold numbers of a dtype"),
        (["a"] * 20, "y must be a torch tensor or a NumPy array, found list"),
        (np.ma.masked_array(np.ones(20, int), np.arange(20) < 2), "no masked values, found 2"),
    ],
)
def test_what_are_no_labels_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(np.arange(20) % 3, y, method="discrete")


def test_no_value_exceeds_its_ceiling():
    apart = torch.arange(200)
    for found in (
        entropy(apart, method="discrete"),
        mutual_information(apart, apart, method="discrete"),
        mutual_information(torch.rand(200), torch.rand(200), method=Histogram(bins=200)),
        total_correlation([apart, apart, apart], method="discrete"),
    ):
        assert float(found) == pytest.approx(found.ceiling, abs=1e-12)
