"""The claims of GMF about fusion and information notice what says otherwise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from ledger_flips import flips, scored, small_bench, tried

from pnpfuse import Views
from pnpfuse.fusion import pmr
from pnpfuse.fusion.maps import LinearMaps
from pnpfuse.ledger import CORRECTED, FAILS, HOLDS, Bench, CannotTry, Training
from pnpfuse.ledger.gmf import (
    best_dimension,
    conditional_entropy_not_increased,
    dominated_gradient,
    entropy_equivalence,
    eq43,
    extractor_unharmed,
    fakeavceleb_accuracy,
    frontend_cost,
    full_rank_probability,
    gmf_lightweight,
    linear_in_modalities,
    lower_entropy,
    mapping_limit,
    mapping_loses,
    performance_bound,
)
from pnpfuse_analysis.information import entropies

HIGH, LOW = [80.0, 81.0, 80.5], [60.0, 61.0, 60.0]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def three(bench):
    return dataclasses.replace(bench, seeds=(0, 1, 2))


class Losses(Bench):
    """A bench whose cross-entropies are planted: {key of a training: (seeds,)}."""

    def plant(self, losses):
        object.__setattr__(self, "planted", {t.key: v for t, v in losses.items()})
        return self

    def scores(self, training):
        values = np.array(self.planted[training.key])[:, None]
        return xr.Dataset({"loss": (("seed", "condition"), values)}, {"condition": ["none"]})


def with_losses(bench, losses):
    fields = (bench.views, bench.folder, bench.seeds, bench.epochs, bench.quick, bench.threads)
    return Losses(*fields).plant(losses)


def planted(name, bench, better, worse):
    """Verdicts where the first model scores higher than the others, and where it does not."""
    high = {Training(better): HIGH} | {Training(other): LOW for other in worse}
    low = {Training(better): LOW} | {Training(other): HIGH for other in worse}
    return [tried(name, scored(bench, scores)).verdict for scores in (high, low)]


@flips("gmf/gmf_above_concat", "measurement")
def test_gmf_above_concat(three):
    assert planted("gmf/gmf_above_concat", three, "gmf", ["concat"]) == [HOLDS, FAILS]


@flips("gmf/frontend_perceiver", "measurement")
def test_frontend_perceiver(three):
    found = planted("gmf/frontend_perceiver", three, "g-perceiver", ["perceiver"])
    assert found == [HOLDS, FAILS]


@flips("gmf/frontend_missing", "measurement")
def test_frontend_missing(three):
    found = planted("gmf/frontend_missing", three, "g-perceiver", ["perceiver"])
    assert found == [HOLDS, FAILS]


@flips("gmf/gmf_missing", "measurement")
def test_gmf_missing(three):
    assert planted("gmf/gmf_missing", three, "gmf", ["misa", "perceiver"]) == [HOLDS, FAILS]
    alike = {Training("gmf"): HIGH, Training("misa"): LOW, Training("perceiver"): HIGH[::-1]}
    assert tried("gmf/gmf_missing", scored(three, alike)).verdict == FAILS


@flips("gmf/gmf_mae", "measurement")
def test_gmf_mae(three):
    assert planted("gmf/gmf_mae", three, "gmf-mae", ["gmf", "concat"]) == [HOLDS, FAILS]


@flips("gmf/vggsound", "measurement")
def test_vggsound(three):
    with pytest.raises(CannotTry, match="VGGSound"):
        tried("gmf/vggsound", three)
    X = {m: np.zeros((600, 2)) for m in ("audio", "video")}
    views = Views.from_arrays(
        X,
        np.arange(600) % 300,
        np.arange(600) < 300,
        class_names=[f"class {i}" for i in range(309)],
    )
    found = planted(
        "gmf/vggsound", dataclasses.replace(three, views=views), "g-perceiver",
        ["misa", "mbt", "perceiver", "concat"],
    )  # fmt: skip
    assert found == [HOLDS, FAILS]


@flips("gmf/extractor_unharmed", "measurement")
def test_extractor_unharmed(three, monkeypatch):
    for gmf, verdict in ((HIGH, HOLDS), (LOW, FAILS)):
        probed = {"gmf": gmf, "concat": HIGH}

        def score(bench, training, probed=probed):
            return np.array(probed.get(training.model, [70.0] * 3))

        monkeypatch.setattr(extractor_unharmed, "_probed", score)
        assert tried("gmf/extractor_unharmed", three).verdict == verdict


@flips("gmf/dominated_gradient", "measurement")
def test_dominated_gradient(three, monkeypatch):
    ratios = {0.1: [0.01, 0.01], 100.0: [9.0, 2.0]}
    monkeypatch.setattr(
        dominated_gradient, "_ratio", lambda b, weight: ratios.get(weight, [0.5, 0.5])
    )
    heavy = dominated_gradient._training(100.0)
    name = "gmf/dominated_gradient"
    assert tried(name, scored(three, {Training("gmf"): HIGH, heavy: LOW})).verdict == HOLDS
    assert tried(name, scored(three, {Training("gmf"): HIGH, heavy: HIGH})).verdict == FAILS
    ratios[100.0] = [0.9, 0.9]  # the loss does not dominate: nothing is shown
    assert tried(name, scored(three, {Training("gmf"): HIGH, heavy: LOW})).verdict == FAILS


@flips("gmf/theorem_3_1", "implementation")
def test_theorem_3_1(bench, monkeypatch):
    assert tried("gmf/theorem_3_1", bench).verdict == FAILS
    preservation = pmr.preservation

    def cut_off(V, back, *rest, **how):
        return preservation(V.detach(), back.detach(), *rest, **how)

    monkeypatch.setattr(pmr, "preservation", cut_off)
    assert tried("gmf/theorem_3_1", bench).verdict == HOLDS


@flips("gmf/best_dimension", "measurement")
def test_best_dimension(three):
    widths = best_dimension.FEWER

    def verdict(losses):
        rows = {
            best_dimension._training(three, w): loss + np.array([0.0, 0.01, -0.01])
            for w, loss in zip(widths, losses, strict=True)
        }
        return tried("gmf/best_dimension", with_losses(three, rows)).verdict

    assert verdict([2.0, 0.5, 0.9]) == HOLDS
    assert verdict([2.0, 0.5, 0.5]) == FAILS  # too high does no harm
    assert verdict([0.5, 0.6, 0.9]) == FAILS


@flips("gmf/lower_task_entropy", "measurement")
def test_lower_task_entropy(three):
    low, high = np.array([0.2, 0.21, 0.19]), np.array([0.4, 0.42, 0.39])
    for ours, theirs, verdict in ((low, high, HOLDS), (high, low, FAILS)):
        losses = {Training("gmf"): ours, Training("concat"): theirs}
        assert tried("gmf/lower_task_entropy", with_losses(three, losses)).verdict == verdict


def by_rank(bench, labels, Z):
    """In a probe's place: what is left of the labels is less with every direction."""
    return 200.0 - int(torch.linalg.matrix_rank(Z))


@flips("gmf/mapping_loses", "implementation")
def test_mapping_loses(bench, monkeypatch):
    monkeypatch.setattr(mapping_loses, "left_of_labels", by_rank)
    assert tried("gmf/mapping_loses", bench).verdict == CORRECTED
    draw = mapping_loses.up_and_down

    def deficient(width, n, seed):  # all rows alike
        up, down = draw(width, n, seed)
        return up[:1].expand_as(up), down

    monkeypatch.setattr(mapping_loses, "up_and_down", deficient)
    assert tried("gmf/mapping_loses", bench).verdict == HOLDS


@flips("gmf/mapping_limit", "measurement")
def test_mapping_limit(bench, monkeypatch):
    for at_one, narrow, verdict in ((70, 50, HOLDS), (90, 50, CORRECTED), (90, 90, FAILS)):
        scores = {None: 90.0, 0.0625: narrow, 1.0: at_one, 4.0: 90.0}
        monkeypatch.setattr(
            mapping_limit, "_held_out", lambda b, sides, n, seed, s=scores: s[n] + 0.01 * seed
        )
        assert tried("gmf/mapping_limit", bench).verdict == verdict


@flips("gmf/full_rank_probability", "implementation")
def test_full_rank_probability(bench, monkeypatch):
    assert tried("gmf/full_rank_probability", bench).verdict == CORRECTED
    draw = full_rank_probability.up_and_down
    monkeypatch.setattr(
        full_rank_probability, "up_and_down", lambda *given: [U.sign() for U in draw(*given)]
    )
    assert tried("gmf/full_rank_probability", bench).verdict == HOLDS


@flips("gmf/eq43", "implementation")
def test_eq43(bench, monkeypatch):
    assert tried("gmf/eq43", bench).verdict == CORRECTED

    class Unequal:
        @staticmethod
        def logpmf(k, n, p):  # the coefficient left out
            return k * np.log(p) + (n - k) * np.log1p(-p)

    monkeypatch.setattr(eq43, "binom", Unequal)
    assert tried("gmf/eq43", bench).verdict == FAILS


def half_specific(monkeypatch):
    """GMF's specific map with every second output at rest."""
    maps_of, separate = pmr.GMF.maps_of, LinearMaps.separate

    def fewer(block, modality):
        found = maps_of(block, modality)
        weight, bias = found["specific"]
        keep = (torch.arange(len(weight)) % 2).to(weight)[:, None]
        return found | {"specific": (weight * keep, bias)}

    def kept(maps, V, share=None):
        own, specific = separate(maps, V, share)
        return own, specific * (torch.arange(specific.shape[-1]) % 2).to(specific)

    monkeypatch.setattr(pmr.GMF, "maps_of", fewer)
    monkeypatch.setattr(LinearMaps, "separate", kept)


@flips("gmf/reconstruction", "implementation")
def test_reconstruction(bench, monkeypatch):
    assert tried("gmf/reconstruction", bench).verdict == CORRECTED
    half_specific(monkeypatch)
    assert tried("gmf/reconstruction", bench).verdict == FAILS


@flips("gmf/conditional_entropy_not_increased", "implementation")
def test_conditional_entropy_not_increased(bench, monkeypatch):
    monkeypatch.setattr(conditional_entropy_not_increased, "left_of_labels", by_rank)
    assert tried("gmf/conditional_entropy_not_increased", bench).verdict == HOLDS
    half_specific(monkeypatch)
    assert tried("gmf/conditional_entropy_not_increased", bench).verdict == FAILS


@flips("gmf/lower_mutual_information", "implementation")
def test_lower_mutual_information(bench, monkeypatch):
    assert tried("gmf/lower_mutual_information", bench).verdict == FAILS
    separate = LinearMaps.separate

    def narrow(maps, V, share=None):  # one channel is left
        own, specific = separate(maps, V, share)
        return own, specific[..., :1].expand_as(specific)

    monkeypatch.setattr(LinearMaps, "separate", narrow)
    assert tried("gmf/lower_mutual_information", bench).verdict == HOLDS


@flips("gmf/lower_entropy", "measurement")
def test_lower_entropy(bench, monkeypatch):
    see = lower_entropy.encoded

    for scale, verdict in ((1e-6, CORRECTED), (1e6, FAILS)):

        def scaled(*given, scale=scale, **how):
            own = see(*given, **how)
            fused = {m: scale * v for m, v in own.features.items()}
            return own._replace(fused=fused)

        monkeypatch.setattr(lower_entropy, "encoded", scaled)
        assert tried("gmf/lower_entropy", bench).verdict == verdict


@flips("gmf/joint_entropy_identity", "implementation")
def test_joint_entropy_identity(bench, monkeypatch):
    assert tried("gmf/joint_entropy_identity", bench).verdict == HOLDS
    whitened = entropies.whitened
    monkeypatch.setattr(  # the logarithm of the determinant forgotten
        entropies, "whitened", lambda *given: whitened(*given)._replace(log_volume=0.0)
    )
    assert tried("gmf/joint_entropy_identity", bench).verdict == FAILS


@flips("gmf/entropy_equivalence", "implementation")
def test_entropy_equivalence(bench, monkeypatch):
    assert tried("gmf/entropy_equivalence", bench).verdict == FAILS
    entropy = entropy_equivalence.entropy
    monkeypatch.setattr(  # of features brought to unit spread
        entropy_equivalence, "entropy", lambda x, **how: entropy(x / x.std(0), **how)
    )
    assert tried("gmf/entropy_equivalence", bench).verdict == HOLDS


@flips("gmf/performance_bound", "implementation")
def test_performance_bound(bench, monkeypatch):
    monkeypatch.setattr(performance_bound, "FUSIONS", ("gmf",))
    assert tried("gmf/performance_bound", bench).verdict == HOLDS
    probe = performance_bound.conditional_entropy

    def leaking(labels, Z, **how):
        seen = torch.nn.functional.one_hot(labels).to(Z)
        return probe(labels, torch.cat([Z, seen], 1), **how)

    monkeypatch.setattr(performance_bound, "conditional_entropy", leaking)
    assert tried("gmf/performance_bound", bench).verdict == FAILS


@flips("gmf/shapes", "implementation")
def test_shapes(bench, monkeypatch):
    assert tried("gmf/shapes", bench).verdict == CORRECTED
    maps_of = pmr.GMF.maps_of

    def transposed(block, modality):
        found = maps_of(block, modality)
        sides = {side: (found[side][0].T, found[side][1]) for side in ("shared", "specific")}
        return found | sides

    monkeypatch.setattr(pmr.GMF, "maps_of", transposed)
    assert tried("gmf/shapes", bench).verdict == HOLDS


@flips("gmf/linear_in_modalities", "implementation")
def test_linear_in_modalities(bench, monkeypatch):
    assert tried("gmf/linear_in_modalities", bench).verdict == HOLDS

    class Pairs(pmr.GMF):
        def __init__(self, dims):
            super().__init__(dims)
            self.pairs = torch.nn.Parameter(torch.zeros(len(dims), len(dims)))

    monkeypatch.setattr(linear_in_modalities, "GMF", Pairs)
    assert tried("gmf/linear_in_modalities", bench).verdict == FAILS


@flips("gmf/gmf_lightweight", "measurement")
def test_gmf_lightweight(bench, monkeypatch):
    counts = {"gmf": [5, 5], "misa": [9, 9], "mbt": [9, 9], "perceiver": [9, 9]}
    monkeypatch.setattr(gmf_lightweight, "_counted", lambda name, **options: counts[name])
    assert tried("gmf/gmf_lightweight", bench).verdict == HOLDS
    counts["mbt"] = [4, 9]
    assert tried("gmf/gmf_lightweight", bench).verdict == CORRECTED
    counts["misa"] = [9, 4]
    assert tried("gmf/gmf_lightweight", bench).verdict == FAILS


@flips("gmf/frontend_cost", "measurement")
def test_frontend_cost(bench, monkeypatch):
    assert tried("gmf/frontend_cost", bench).verdict == HOLDS
    monkeypatch.setitem(frontend_cost.PRINTED, "g-mbt", (45.08, 0.16))
    assert tried("gmf/frontend_cost", bench).verdict == FAILS


@flips("gmf/fakeavceleb_accuracy", "measurement")
def test_fakeavceleb_accuracy(bench, monkeypatch):
    assert tried("gmf/fakeavceleb_accuracy", bench).verdict == FAILS
    monkeypatch.setitem(fakeavceleb_accuracy.ACCURACY, "GMF", 98.9)
    assert tried("gmf/fakeavceleb_accuracy", bench).verdict == HOLDS
