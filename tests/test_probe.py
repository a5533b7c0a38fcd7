import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn.linear_model import LogisticRegression
from test_information import noise

from pnpfuse_analysis import Probe, conditional_entropy, entropy, mutual_information
from pnpfuse_analysis.information.classifier import dealt_folds, held_out_losses


def logistic(n, seed=0, slope=3.0):
    """Labels of probability sigmoid(slope z), and z."""
    z = noise(n, 1, seed=seed)
    drawn = torch.rand(n, generator=torch.Generator().manual_seed(seed + 777), dtype=torch.float64)
    return drawn < torch.sigmoid(slope * z[:, 0]), z


def exact_entropy(slope=3.0):
    """H(Y | Z) of `logistic`."""

    def cost(z):
        p = 1 / (1 + math.exp(-slope * z))
        return stats.norm.pdf(z) * stats.bernoulli.entropy(p)

    return integrate.quad(cost, -8, 8)[0]


def test_losses_are_those_of_scikit_learn():
    z = noise(150, 4) * torch.tensor([1.0, 2.0, 0.5, 1.0])
    codes = (z @ noise(4, 3, seed=2) + noise(150, 3, seed=1)).argmax(1)
    fold = dealt_folds(codes, None, 4, torch.Generator().manual_seed(0))
    penalty = 0.01
    found = held_out_losses(codes, z, fold, kind="linear", penalty=penalty)
    for one in range(4):
        train, test = (fold != one).numpy(), (fold == one).numpy()
        seen = int(train.sum())
        model = LogisticRegression(C=1 / (penalty * seen), tol=1e-8, max_iter=1000)
        model.fit(z.numpy()[train], codes.numpy()[train])
        shares = model.predict_proba(z.numpy()[test])[range(test.sum()), codes.numpy()[test]]
        expected = -np.log((seen * shares + 1 / 3) / (seen + 1))
        np.testing.assert_allclose(found[test].numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_the_right_model_comes_close_from_above(probe):
    y, z = logistic(800)
    seeded = torch.Generator().manual_seed(0)
    found = conditional_entropy(y, z, probe=probe, penalty=1e-3, ci="local", generator=seeded)
    assert float(found) == pytest.approx(exact_entropy(), abs=3 * found.stderr)
    assert found.kind == "upper_bound"
    assert found.ci[0] < float(found) < found.ci[1]
    assert found.local.shape == (800,)
    below = mutual_information(y, z, method=Probe(probe, penalty=1e-3), generator=seeded)
    assert below.kind == "lower_bound"
    level = float(entropy(y, method="discrete"))
    assert float(below) == pytest.approx(level - float(found), abs=0.01)
    assert float(mutual_information(z, y, method=Probe(penalty=1e-3))) == pytest.approx(
        float(below), abs=0.01
    )


def test_noise_dimensions_are_kept_down_by_the_penalty():
    y, z = logistic(1000)
    wide = torch.cat((z, noise(1000, 128, seed=7)), 1)
    found = conditional_entropy(y, wide, generator=torch.Generator().manual_seed(0))
    free = conditional_entropy(y[:250], wide[:250], penalty=1e-5)
    assert exact_entropy() < float(found) < exact_entropy() + 0.12
    assert float(free) > math.log(2)  # not clipped
    assert any("exceeds H(Y) = 0.69" in note for note in free.warnings)
    assert not found.warnings


def test_a_curved_boundary_needs_the_hidden_layer():
    z = noise(600, 2)
    y = (z[:, 0] > 0) ^ (z[:, 1] > 0)
    seeded = torch.Generator().manual_seed(0)
    assert float(conditional_entropy(y, z, penalty=1e-2)) > 0.65
    assert float(conditional_entropy(y, z, probe="mlp", penalty=1e-3, generator=seeded)) < 0.25


def test_features_without_a_word_on_the_label():
    y, z = noise(300) > 0, noise(300, 3, seed=1)
    seeded = torch.Generator().manual_seed(0)
    found = mutual_information(y, z, method=Probe(penalty=0.1), null=9, generator=seeded)
    assert abs(float(found)) < 0.03
    assert found.p_value > 0.1


def test_more_dimensions_than_samples_are_only_turned():
    y, z = logistic(60)
    wide = torch.cat((z, noise(60, 9, seed=1)), 1)
    fold = dealt_folds(y.long(), None, 5, torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(noise(200, 10, seed=2)).Q.T
    narrow, spread = (
        held_out_losses(y.long(), x, fold, kind="linear", penalty=0.01) for x in (wide, wide @ turn)
    )
    torch.testing.assert_close(narrow, spread, rtol=0, atol=2e-3)


def test_folds_share_out_classes_and_keep_groups_whole():
    codes = torch.tensor([0] * 50 + [1] * 20 + [2] * 7)
    fold = dealt_folds(codes, None, 5, torch.Generator().manual_seed(0))
    for code, least in ((0, 10), (1, 4), (2, 1)):
        counts = torch.bincount(fold[codes == code], minlength=5)
        assert int(counts.min()) >= least and int(counts.max()) <= least + 1
    groups = torch.arange(77) // 3
    fold = dealt_folds(codes, groups, 5, torch.Generator().manual_seed(0))
    for group in groups.unique():
        assert len(fold[groups == group].unique()) == 1
    assert int(torch.bincount(fold).max()) - int(torch.bincount(fold).min()) <= 3


def test_groups_keep_what_they_share_out_of_the_score():
    # Ten samples to a group, all alike: only groups that are split can be recognised.
    codes = torch.randint(0, 2, (40,), generator=torch.Generator().manual_seed(0))
    groups = torch.arange(400) // 10
    z = noise(40, 20)[groups] + 0.01 * noise(400, 20, seed=1)
    leaky = conditional_entropy(codes[groups], z, penalty=0.01)
    fair = conditional_entropy(codes[groups], z, penalty=0.01, groups=groups)
    assert float(leaky) < 0.35 < 0.6 < float(fair)


def test_rare_classes_and_outliers_cost_something_finite():
    y, z = logistic(100)
    labels = np.where(y.numpy(), "yes", "no").astype(object)
    labels[0] = "perhaps"
    z[1] = 1e30
    found = conditional_entropy(labels, z, penalty=0.1)
    assert math.isfinite(float(found))
    assert float(found.local.max()) <= math.log(3 * 81) + 1e-9
    assert any("1 of 3 classes have fewer samples than folds=5" in n for n in found.warnings)
    # One class only: nothing to tell.
    assert float(conditional_entropy(torch.zeros(30, dtype=torch.int64), z[:30])) == pytest.approx(
        0
    )
    assert float(conditional_entropy(y, torch.ones(100), penalty=1.0)) == pytest.approx(
        float(entropy(y, method="discrete")), abs=0.05
    )


def test_it_trains_where_gradients_are_off_and_repeats_itself():
    y, z = logistic(100)

    def run():
        return conditional_entropy(
            y, z.float().requires_grad_(), penalty=0.1, generator=torch.Generator().manual_seed(1)
        )

    base = run()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = run()
        assert float(found) == float(base)
    assert not base.local.requires_grad


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (noise(20), {}, "y must hold labels"),
        (torch.arange(19), {}, "y and z must be samples of the same rows"),
        (torch.arange(20) % 2, {"probe": "forest"}, "probe must be one of 'linear', 'mlp'"),
        (torch.arange(20) % 2, {"folds": 1}, "folds must be a whole number >= 2"),
        (torch.arange(20) % 2, {"folds": 20}, "folds=20 asks for more than 20 samples"),
        (torch.arange(20) % 2, {"penalty": -1.0}, "penalty must be 'cv' or a number >= 0"),
        (torch.arange(20) % 2, {"penalty": "auto"}, "penalty must be 'cv' or a number >= 0"),
        (torch.arange(20) % 2, {"groups": torch.arange(20) // 10}, "groups must be at least as"),
    ],
)
def test_wrong_input_is_refused(y, options, message):
    with pytest.raises(ValueError, match=message):
        conditional_entropy(y, noise(20, 2), **options)
