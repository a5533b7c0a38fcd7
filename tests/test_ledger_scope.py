"""SCOPE's claims notice wrong implementations, and measurements that say otherwise."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ledger_flips import flips, scored, small_bench, tried

from pnpfuse.dominance import probing
from pnpfuse.fusion import diffusion
from pnpfuse.fusion.diffusion import attention, with_self_loops
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.scope import TABLE6, block, printed_weights, simplex
from pnpfuse.fusion.scope.block import SCOPE
from pnpfuse.ledger import CORRECTED, FAILS, HOLDS, Bench, Training
from pnpfuse.ledger.measures import batch_attention, laziness_probes
from pnpfuse.ledger.measures.scope_states import WHOLE, State, fused
from pnpfuse.ledger.scope import (
    cross_sample_information,
    energy_falls,
    higher_at_small_steps,
    identity_like,
    largest_gain,
    learned_weights,
    less_collapse,
    loss_scale,
    preserves_variation,
    row_sums,
)
from pnpfuse.oversmoothing import study
from pnpfuse.weighting import PrintedWeights
from pnpfuse_analysis import knn_graph

solved, coefficients = simplex._solved, diffusion.coefficients


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"), seeds=3)


def verdict(name, bench):
    return tried(f"scope/{name}", bench).verdict


def rate_times(factor):
    def wrong(cost, valid):
        weight, rate = solved(cost, valid)
        return weight, factor * rate

    return wrong


def weights_from(wrong):
    """A solver whose weights are wrong(its weights)."""
    return lambda cost, valid: (wrong(solved(cost, valid)[0]), solved(cost, valid)[1])


@flips("scope/multiplier_upper_bound", "implementation")
def test_multiplier_upper_bound(bench, monkeypatch):
    assert verdict("multiplier_upper_bound", bench) == HOLDS
    monkeypatch.setattr(simplex, "_solved", rate_times(1 / 2))
    assert verdict("multiplier_upper_bound", bench) == FAILS


@flips("scope/multiplier_lower_bound", "implementation")
def test_multiplier_lower_bound(bench, monkeypatch):
    assert verdict("multiplier_lower_bound", bench) == CORRECTED
    monkeypatch.setattr(simplex, "_solved", rate_times(2))
    assert verdict("multiplier_lower_bound", bench) == FAILS
    monkeypatch.setattr(simplex, "_solved", rate_times(1 / 50))
    assert verdict("multiplier_lower_bound", bench) == HOLDS


@flips("scope/row_sums", "implementation")
def test_row_sums(bench, monkeypatch):
    assert verdict("row_sums", bench) == CORRECTED
    with monkeypatch.context() as planted:  # the division left out
        planted.setitem(row_sums.FORMS, "normalised", printed_weights)
        assert verdict("row_sums", bench) == FAILS
    ties = torch.ones(5, 30, dtype=torch.float64)
    monkeypatch.setattr(row_sums, "neighbour_costs", lambda bench: {"ties": ties})
    assert verdict("row_sums", bench) == HOLDS


@flips("scope/closed_form_minimises", "implementation")
def test_closed_form_minimises(bench, monkeypatch):
    assert verdict("closed_form_minimises", bench) == CORRECTED
    monkeypatch.setattr(simplex, "_solved", weights_from(lambda g: 0.99 * g + 0.01 / g.shape[-1]))
    assert verdict("closed_form_minimises", bench) == FAILS


@flips("scope/scale_invariance", "implementation")
def test_scale_invariance(bench, monkeypatch):
    assert verdict("scale_invariance", bench) == HOLDS
    monkeypatch.setattr(simplex, "_least_cost", lambda cost: 1e-3)  # a width, as a kernel has
    assert verdict("scale_invariance", bench) == FAILS


@flips("scope/parameter_free", "implementation")
def test_parameter_free(bench, monkeypatch):
    assert verdict("parameter_free", bench) == CORRECTED
    monkeypatch.setattr(simplex, "_farthest", lambda cost, valid: cost.amax(-1, keepdim=True))
    assert verdict("parameter_free", bench) == FAILS


@flips("scope/no_single_neighbour", "implementation")
def test_no_single_neighbour(bench, monkeypatch):
    assert verdict("no_single_neighbour", bench) == HOLDS
    nearest = weights_from(lambda g: (torch.arange(g.shape[-1]) == 0).to(g).expand_as(g))
    monkeypatch.setattr(simplex, "_solved", nearest)
    assert verdict("no_single_neighbour", bench) == FAILS


def taking(**forms):
    """Coefficients with some forms replaced by others."""
    return lambda form, steps, xi=0.3: coefficients(forms.get(form, form), steps, xi)


@flips("scope/diffusion_row_stochastic", "implementation")
def test_diffusion_row_stochastic(bench, monkeypatch):
    assert verdict("diffusion_row_stochastic", bench) == CORRECTED
    monkeypatch.setattr(diffusion, "coefficients", taking(renormalised="truncated"))
    assert verdict("diffusion_row_stochastic", bench) == FAILS
    monkeypatch.setattr(diffusion, "coefficients", taking(truncated="renormalised"))
    assert verdict("diffusion_row_stochastic", bench) == HOLDS


@flips("scope/masked_attention", "implementation")
def test_masked_attention(bench, monkeypatch):
    assert verdict("masked_attention", bench) == CORRECTED
    for planted, expected in (("printed", FAILS), ("neighbours", HOLDS)):

        def always(query, key, edges, *, mask, planted=planted):
            return attention(query, key, edges, mask=planted)

        monkeypatch.setattr(batch_attention, "attention", always)
        assert verdict("masked_attention", bench) == expected


@flips("scope/higher_energy", "implementation")
def test_higher_energy(bench, monkeypatch):
    assert verdict("higher_energy", bench) == HOLDS
    monkeypatch.setattr(study, "coefficients", taking(renormalised="stack"))
    assert verdict("higher_energy", bench) == FAILS


@flips("scope/higher_at_small_steps", "measurement")
def test_higher_at_small_steps(bench, monkeypatch):
    assert verdict("higher_at_small_steps", bench) == FAILS
    monkeypatch.setattr(
        higher_at_small_steps, "TABLE5", {"planted": ((2.0, 2.0, 2.0), (4.0, 3.0, 2.5))}
    )
    assert verdict("higher_at_small_steps", bench) == HOLDS


@flips("scope/largest_gain", "measurement")
def test_largest_gain(bench, monkeypatch):
    assert verdict("largest_gain", bench) == FAILS
    for claimed, expected in ((7.86, HOLDS), (29.63, CORRECTED)):
        monkeypatch.setattr(largest_gain, "CLAIMED", claimed)
        assert verdict("largest_gain", bench) == expected


def random_state(bench, seed):
    """Gaussian features about 1 and attention over their neighbours."""
    draw = torch.Generator().manual_seed(seed)
    z = 1 + torch.randn(60, 6, generator=draw, dtype=torch.float64)
    edges = knn_graph(z, 8)
    return State(z, attention(z, z, with_self_loops(edges, 60)), edges)


@flips("scope/preserves_variation", "implementation")
def test_preserves_variation(bench, monkeypatch):
    assert tried("scope/preserves_variation", bench).found["before"]  # of trained models
    monkeypatch.setattr(preserves_variation, "state", random_state)
    assert verdict("preserves_variation", bench) == HOLDS
    monkeypatch.setattr(diffusion, "coefficients", taking(renormalised="stack"))
    assert verdict("preserves_variation", bench) == FAILS


@flips("scope/energy_falls", "implementation")
def test_energy_falls(bench, monkeypatch):
    assert tried("scope/energy_falls", bench).found["residual"]  # of trained models
    monkeypatch.setattr(energy_falls, "state", random_state)
    assert verdict("energy_falls", bench) == CORRECTED
    monkeypatch.setattr(diffusion, "coefficients", taking(renormalised="residual"))
    assert verdict("energy_falls", bench) == FAILS
    monkeypatch.setattr(diffusion, "coefficients", taking(residual="renormalised"))
    assert verdict("energy_falls", bench) == HOLDS


@flips("scope/batch_dependence", "implementation")
def test_batch_dependence(bench, monkeypatch):
    assert verdict("batch_dependence", bench) == CORRECTED
    with monkeypatch.context() as planted:  # nobody to look at
        planted.setattr(SCOPE, "_within", lambda self: False)
        assert verdict("batch_dependence", bench) == HOLDS
    monkeypatch.setattr(SCOPE, "_within", lambda self: True)  # the bank forgotten
    monkeypatch.setattr(FusionModel, "fuse", lambda self, V, masks=None: self.block(V, masks))
    assert verdict("batch_dependence", bench) == FAILS


@flips("scope/loss_scale", "implementation")
def test_loss_scale(bench, monkeypatch):
    assert verdict("loss_scale", bench) == CORRECTED
    monkeypatch.setattr(loss_scale, "disentanglement", loss_scale._summed)
    assert verdict("loss_scale", bench) == FAILS


@flips("scope/learned_weights", "implementation")
def test_learned_weights(bench, monkeypatch):
    monkeypatch.setattr(learned_weights, "FEW", 60)
    assert verdict("learned_weights", bench) == CORRECTED
    for trained, expected in ((True, FAILS), (False, HOLDS)):

        def wrong(names, seed, _, trained=trained):
            return PrintedWeights(names, seed, trained)

        monkeypatch.setattr(learned_weights, "PrintedWeights", wrong)
        assert verdict("learned_weights", bench) == expected


@flips("scope/cross_sample_information", "implementation")
def test_cross_sample_information(bench, monkeypatch):
    monkeypatch.setattr(cross_sample_information, "SHIFTS", (1,))
    assert verdict("cross_sample_information", bench) == FAILS
    monkeypatch.setattr(cross_sample_information, "SHIFTS", (0,))  # samples beside themselves

    def alike(model, views, rows):
        one = fused(model, views, rows).refined["pixels"]
        return SimpleNamespace(refined={"one": one, "other": one + 0.1 * one.roll(1, 0)})

    monkeypatch.setattr(cross_sample_information, "fused", alike)
    assert verdict("cross_sample_information", bench) == HOLDS


@flips("scope/identity_like", "measurement")
def test_identity_like(bench, monkeypatch):
    assert -1 < tried("scope/identity_like", bench).found["with"][0] < 1  # of trained models
    for others, expected in ((0.1, HOLDS), (0.6, FAILS)):

        def planted(bench, training, others=others):
            spread = np.array([[0.0, 0.01], [0.01, 0.0], [0.02, 0.02]])
            return spread + ([0.8, others] if training == WHOLE else [0.5, 0.4])

        monkeypatch.setattr(identity_like, "_cosines", planted)
        assert verdict("identity_like", bench) == expected


@flips("scope/less_collapse", "measurement")
def test_less_collapse(bench, monkeypatch):
    assert len(tried("scope/less_collapse", bench).found["one"]) == 3  # of trained models

    def planted(bench, training):
        return [9.0, 9.5, 9.2] if training == WHOLE else [4.0, 4.6, 4.1]

    monkeypatch.setattr(less_collapse, "_ranks", planted)
    assert verdict("less_collapse", bench) == HOLDS
    monkeypatch.setattr(less_collapse, "_ranks", lambda bench, training: [4.0, 4.6, 4.1])
    assert verdict("less_collapse", bench) == FAILS


@flips("scope/graphs_agree", "implementation")
def test_graphs_agree(bench, tmp_path, monkeypatch):
    assert verdict("graphs_agree", bench) == HOLDS
    loss = block.alignment_loss
    monkeypatch.setattr(block, "alignment_loss", lambda *given: -loss(*given))
    apart = tried("scope/graphs_agree", small_bench(tmp_path))
    assert apart.verdict == FAILS and apart.found["difference"]["mean"] < 0


LOW, HIGH, MIXED = [50.0, 51.5, 51.0], [60.0, 61.0, 62.0], [60.0, 45.0, 52.0]
ABLATIONS = {
    "refinement_helps": Training("scope", TABLE6["w/o AFR"]),
    "disentanglement_helps": Training("scope", TABLE6["w/o MID"]),
    "alignment_helps": Training("scope", TABLE6["w/o SCA"]),
    "balanced_fusion_helps": Training("scope", TABLE6["w/o BF"]),
    "steps_help": Training("scope", {"steps": 0}),
}


@flips("scope/refinement_helps", "measurement")
@flips("scope/disentanglement_helps", "measurement")
@flips("scope/alignment_helps", "measurement")
@flips("scope/balanced_fusion_helps", "measurement")
@flips("scope/steps_help", "measurement")
def test_a_part_helps(bench):
    for name, without in ABLATIONS.items():
        for whole, expected in ((HIGH, HOLDS), (MIXED, FAILS)):
            planted = scored(bench, {WHOLE: whole, without: LOW}, rest=0)
            assert verdict(name, planted) == expected, name


@flips("scope/complementary_parts", "measurement")
def test_complementary_parts(bench):
    one, neither = (Training("scope", TABLE6[row]) for row in ("w/o AFR", "w/o AFR & MID"))
    assert verdict("complementary_parts", scored(bench, {one: HIGH, neither: LOW})) == HOLDS
    assert verdict("complementary_parts", scored(bench, {one: LOW, neither: HIGH})) == FAILS


@flips("scope/neighbours_trade_off", "measurement")
def test_neighbours_trade_off(bench):
    few = Training("scope", {"k": 10})
    assert verdict("neighbours_trade_off", scored(bench, {WHOLE: HIGH, few: LOW})) == HOLDS
    assert verdict("neighbours_trade_off", scored(bench, {WHOLE: LOW, few: HIGH})) == FAILS


@flips("scope/accuracy", "measurement")
@flips("scope/unimodal_robustness", "measurement")
def test_beside_baselines(bench):
    best, late_is_better = {WHOLE: HIGH}, {WHOLE: HIGH, Training("late"): [70.0, 71.0, 70.5]}
    for name in ("accuracy", "unimodal_robustness"):
        assert verdict(name, scored(bench, best, rest=50)) == HOLDS
        assert verdict(name, scored(bench, late_is_better, rest=50)) == FAILS


def reading(scores):
    """A probe that finds scores[name of the model, whether it was trained alone]."""

    def read(model, views, modality, beside):
        score = scores[model.name, len(model.dims) == 1]
        return ((score.pop(0) / 100,) * 2,) * 2

    return read


@pytest.fixture
def ranked(bench, monkeypatch):
    """Fourier is the weakest modality and pixels the strongest, and only SCOPE is trained."""
    model = Bench.model

    def stand_in(bench, training, seed):
        if training == WHOLE:
            return model(bench, training, seed)
        return SimpleNamespace(name=training.model, dims=training.only or bench.views.names)

    monkeypatch.setattr(Bench, "model", stand_in)
    alone = {Training("concat", only=(m,)): s for m, s in (("fourier", LOW), ("pixels", HIGH))}
    return scored(bench, alone, rest=55)


@flips("scope/laziness_baselines", "measurement")
@flips("scope/laziness_cured", "measurement")
def test_laziness(ranked, monkeypatch):
    for name, ours in (("baselines", ("concat", True)), ("cured", ("scope", False))):
        for better, expected in ((HIGH, HOLDS), (MIXED, FAILS)):
            scores = {ours: [*better], ("concat", False): [*LOW]}
            monkeypatch.setattr(laziness_probes, "probe_modality", reading(scores))
            assert verdict(f"laziness_{name}", ranked) == expected


@flips("scope/weak_as_strong", "implementation")
def test_weak_as_strong(ranked, monkeypatch):
    monkeypatch.setattr(laziness_probes, "FEW", 40)
    represent = probing.represent

    def with_nothing_of_the_weak(model, views, rows, modality):
        found = represent(model, views, rows, modality)
        return (0 * found[0], found[1]) if modality == "fourier" else found

    def of_another(model, views, rows, modality):
        return represent(model, views, rows, "pixels")

    for planted, expected in ((with_nothing_of_the_weak, FAILS), (of_another, HOLDS)):
        monkeypatch.setattr(probing, "represent", planted)
        assert verdict("weak_as_strong", ranked) == expected


def test_costs_are_those_of_the_samples(bench):
    """The distances against a slow version, for a modality that some rows lack."""
    from pnpfuse.ledger.measures.neighbours import neighbour_costs

    train = bench.views.train
    few = {m: X[:20].copy() for m, X in train.features.items()}
    had = {m: np.ones(20, bool) for m in few}
    had["pixels"][5:] = False
    part = type(train)(few, train.labels[:20], train.split[:20], train.class_names, "few", had)
    found = neighbour_costs(SimpleNamespace(views=SimpleNamespace(train=part), quick=True))
    assert found["pixels"].shape == (5, 4) and found["fourier"].shape == (20, 19)
    x = few["profiles"].astype(float)
    x = x[:, x.std(0) > 0]
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    slow = [
        sorted(((a - b) ** 2).sum() for j, b in enumerate(x) if j != i) for i, a in enumerate(x)
    ]
    order = np.random.default_rng(0)
    order.permutation(np.flatnonzero(had["pixels"]))
    order.permutation(20)
    rows = order.permutation(20)
    np.testing.assert_allclose(found["profiles"].numpy(), np.array(slow)[rows], rtol=1e-5)
