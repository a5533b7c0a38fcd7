"""InfoBridge's claims notice wrong bounds, margins, contexts and losses, and other scores."""

import dataclasses

import numpy as np
import pytest
import torch
from ledger_flips import flips, scored, small_bench, tried
from torch.nn.functional import one_hot

from pnpfuse.fusion.infobridge import TABLE2, TABLE3, bridge
from pnpfuse.fusion.infobridge.contrast import contrast_drawn
from pnpfuse.fusion.model import FusionModel
from pnpfuse.ledger import CORRECTED, FAILS, HOLDS, UNTRIED, CannotTry, Training
from pnpfuse.ledger.infobridge import (
    adversarial,
    alignment_gradient,
    bound_from_objective,
    class_separation,
    cross_modal_prediction,
    learned_critic,
    less_collapse,
    margin_gradient,
    modality_by_class,
    negatives_same_context,
    posterior,
)
from pnpfuse.ledger.measures import gaussian_pairs, kernel_distances, printed_infobridge
from pnpfuse.ledger.measures.encodings import Encoded, encoded
from pnpfuse_analysis import kernel_distance, nce_bound

FULL = Training("infobridge")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"), seeds=3)


def verdict(name, bench):
    return tried(f"infobridge/{name}", bench).verdict


def unweighted(true, drawn, ratio):
    return contrast_drawn(true, drawn, 1)


def swapped(pos, neg, *, n0, n1=1, paper_margin=False):
    return nce_bound(pos, neg, n0=n0, n1=n1, paper_margin=not paper_margin)


@flips("infobridge/posterior", "implementation")
def test_posterior_notices_negatives_without_their_weight(bench, monkeypatch):
    assert verdict("posterior", bench) == HOLDS
    monkeypatch.setattr(posterior, "contrast_drawn", unweighted)
    assert verdict("posterior", bench) == FAILS


@flips("infobridge/bound_sign", "implementation")
@flips("infobridge/more_negatives_tighten", "implementation")
@flips("infobridge/bound_at_five", "implementation")
def test_bounds_notice_the_other_margin(bench, monkeypatch):
    before = {"bound_sign": CORRECTED, "more_negatives_tighten": HOLDS, "bound_at_five": CORRECTED}
    assert {name: verdict(name, bench) for name in before} == before
    found = tried("infobridge/bound_sign", bench).found  # what is known of rho = 0.9
    for form, known in (("derived", 0.376), ("printed", -2.84)):
        assert found[form][1]["mean"] == pytest.approx(known, abs=0.01)
    monkeypatch.setattr(gaussian_pairs, "nce_bound", swapped)
    after = {"bound_sign": HOLDS, "more_negatives_tighten": FAILS, "bound_at_five": FAILS}
    assert {name: verdict(name, bench) for name in after} == after


@flips("infobridge/bound_from_objective", "implementation")
def test_objective_notices_its_sign(bench, monkeypatch):
    assert verdict("bound_from_objective", bench) == CORRECTED
    monkeypatch.setattr(bound_from_objective, "contrast_drawn", lambda *of: -contrast_drawn(*of))
    assert verdict("bound_from_objective", bench) == FAILS


@flips("infobridge/alignment_gradient", "implementation")
def test_gradient_notices_its_sign(bench, monkeypatch):
    found = tried("infobridge/alignment_gradient", bench)
    shares = np.array(found.found["shares"])  # rise with the ratio, up to 1
    assert found.verdict == CORRECTED and (np.diff(shares) > 0).all() and shares.max() < 1.001
    monkeypatch.setattr(alignment_gradient, "contrast_drawn", lambda *of: -contrast_drawn(*of))
    assert verdict("alignment_gradient", bench) == FAILS


@flips("infobridge/learned_critic", "implementation")
def test_critic_notices_a_bound_without_its_guard(bench, monkeypatch):
    assert verdict("learned_critic", bench) == CORRECTED

    def unguarded(found, ratio):
        margin = np.log(ratio)
        return {"bound": margin + torch.nn.functional.logsigmoid(found.ratio - margin).mean(1)}

    monkeypatch.setattr(learned_critic, "nce_bounds", unguarded)
    assert verdict("learned_critic", bench) == FAILS


@flips("infobridge/bound_below", "implementation")
def test_trained_bound_notices_the_other_margin(bench, monkeypatch):
    assert verdict("bound_below", bench) == CORRECTED
    right = bridge.nce_bounds

    def other(found, ratio):
        bounds = right(found, ratio)
        return bounds | {"bound": bounds["printed_bound"], "printed_bound": bounds["bound"]}

    monkeypatch.setattr(bridge, "nce_bounds", other)
    assert verdict("bound_below", bench) == HOLDS


@flips("infobridge/margin_gradient", "implementation")
def test_margin_notices_that_it_is_trained(bench, monkeypatch):
    assert verdict("margin_gradient", bench) == FAILS

    def trainable(pos, neg, *, n0, n1=1, paper_margin=False):
        sign = -1 if paper_margin else 1
        margin = sign * np.log(n0 / n1) * pos.mean()  # hangs on the features
        return nce_bound(pos, neg, n0=1) + margin

    monkeypatch.setattr(margin_gradient, "nce_bound", trainable)
    assert verdict("margin_gradient", bench) == HOLDS


@flips("infobridge/objective_sign", "implementation")
def test_objective_notices_that_it_is_added(bench, monkeypatch):
    assert verdict("objective_sign", bench) == HOLDS
    monkeypatch.setattr(bridge, "contrast_drawn", lambda *of: -contrast_drawn(*of))
    assert verdict("objective_sign", bench) == FAILS


@flips("infobridge/adversarial", "implementation")
def test_adversaries_are_noticed(bench, monkeypatch):
    monkeypatch.setattr(adversarial, "SEEDS", 3)
    assert verdict("adversarial", bench) == FAILS
    rows = bridge.InfoBridge._rows

    def reversed_gradient(self, V, masks):
        z, present = rows(self, V, masks)
        return 2 * z.detach() - z, present

    monkeypatch.setattr(bridge.InfoBridge, "_rows", reversed_gradient)
    assert verdict("adversarial", bench) == HOLDS


@flips("infobridge/negatives_same_context", "implementation")
def test_negatives_notice_a_context_that_is_ignored(bench, monkeypatch):
    monkeypatch.setattr(negatives_same_context, "SETS", 3)
    assert verdict("negatives_same_context", bench) == CORRECTED
    monkeypatch.setattr(bridge.Context, "forward", lambda self, X, masks, T, s: torch.zeros_like(T))
    assert verdict("negatives_same_context", bench) == FAILS


@flips("infobridge/any_base", "implementation")
def test_answers_notice_a_label_that_leaks(bench, monkeypatch):
    assert verdict("any_base", bench) == HOLDS
    right = FusionModel.forward

    def leaking(self, features, present=None, labels=None):
        output = right(self, features, present, labels)
        if labels is None:
            return output
        return dataclasses.replace(output, logits=output.logits + one_hot(labels, self.classes))

    monkeypatch.setattr(FusionModel, "forward", leaking)
    found = tried("infobridge/any_base", bench)
    assert found.verdict == FAILS and "labels" in found.why


@flips("infobridge/margin_helps", "measurement")
@flips("infobridge/context_helps", "measurement")
@flips("infobridge/above_infonce", "measurement")
@flips("infobridge/above_joint_training", "measurement")
@flips("infobridge/above_ogm_ge", "measurement")
def test_pairs_notice_the_scores(bench):
    others = {
        "margin_helps": Training("infobridge", TABLE2["w/o protective margin"]),
        "context_helps": Training("infobridge", TABLE2["w/o context-aware prior"]),
        "above_infonce": Training("infobridge", {"objective": "infonce", "condition": "none"}),
        "above_joint_training": Training("concat"),
        "above_ogm_ge": Training("ogm-ge"),
    }
    for name, other in others.items():
        better = scored(bench, {FULL: [60.0, 61.0, 62.0], other: [50.0, 51.5, 51.0]})
        assert verdict(name, better) == HOLDS
        noisy = scored(bench, {FULL: [60.0, 51.0, 62.0], other: [50.0, 61.5, 51.0]})
        assert verdict(name, noisy) == FAILS


@flips("infobridge/contexts", "measurement")
@flips("infobridge/above_unimodal", "measurement")
def test_the_best_notices_one_that_is_as_good(bench):
    full = dataclasses.replace(bench, quick=False)
    others = {
        "contexts": Training("infobridge", TABLE3["retrieval (3 levels)"]),
        "above_unimodal": Training("concat", only=("profiles",)),
    }
    scores = {FULL: [60.0, 61.0, 62.0]}
    for name, other in others.items():
        assert verdict(name, scored(full, scores)) == HOLDS
        assert verdict(name, scored(full, scores | {other: [62.0, 60.0, 61.0]})) == FAILS


def planted(full, without):
    """Stands for `encoded`: noise of either kind, by whether the training has the objective."""

    def found(bench, training, seed, part="test"):
        random = torch.Generator().manual_seed(seed + 10 * (part == "train"))
        a, b = torch.randn(2, 90, 4, generator=random, dtype=torch.float64)
        labels = torch.arange(90) % 3
        plain = training.model == "infobridge" and training.options.get("objective") in (
            "none",
            "infonce",
        )
        V = dict(zip("ab", (without if plain else full)(a, b, labels), strict=True))
        return Encoded(V, {}, labels, dict.fromkeys(V, torch.ones(90, dtype=torch.bool)))

    return found


def apart(a, b, labels):
    return a - 2, b + 2


def together(a, b, labels):  # the classes' places, the same in both
    places = 3 * one_hot(labels, 4)
    return 0.1 * a + places, 0.1 * b + places


@flips("infobridge/alpha_kernel_distance", "implementation")
@flips("infobridge/within_class_closer", "implementation")
def test_distances_notice_a_modality_beside_itself(bench, monkeypatch):
    names = ("alpha_kernel_distance", "within_class_closer")
    monkeypatch.setattr(kernel_distances, "encoded", planted(together, apart))
    assert [verdict(name, bench) for name in names] == [HOLDS, HOLDS]

    def itself(x, y, labels, bandwidth):
        return kernel_distance(y, y - y, labels, bandwidth=bandwidth)

    monkeypatch.setattr(kernel_distances, "kernel_distance", itself)
    monkeypatch.setattr(kernel_distances, "encoded", planted(lambda a, b, T: (a - 9, b), apart))
    assert verdict("alpha_kernel_distance", bench) == HOLDS  # though they lie further apart
    monkeypatch.setattr(kernel_distances, "kernel_distance", kernel_distance)
    assert [verdict(name, bench) for name in names] == [FAILS, FAILS]


@flips("infobridge/cross_modal_prediction", "measurement")
@flips("infobridge/less_collapse", "measurement")
@flips("infobridge/class_separation", "measurement")
def test_features_are_noticed(bench, monkeypatch):
    for module, better, worse in (
        (cross_modal_prediction, lambda a, b, T: (a, a.flip(1) + 0.1 * b), apart),
        (less_collapse, apart, lambda a, b, T: (a[:, :1] + 0.1 * a, b[:, :1] + 0.1 * b)),
        (class_separation, together, apart),
    ):
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, "encoded", planted(better, worse))
        assert verdict(name, bench) == HOLDS, name
        monkeypatch.setattr(module, "encoded", planted(worse, better))
        assert verdict(name, bench) == FAILS, name


def test_encoded_rows_are_those_of_the_model(bench):
    found = encoded(bench, Training("concat"), 0)
    model, test = bench.model(Training("concat"), 0), bench.views.test
    X = {m: torch.from_numpy(x) for m, x in test.features.items()}
    for m, z in model.encode(X).items():
        assert torch.equal(found.features[m], z.double())
    assert found.labels.tolist() == test.labels.tolist() and len(found.pairs()) == 3
    gone = {m: torch.zeros_like(mask) for m, mask in found.present.items()}
    with pytest.raises(CannotTry, match="no rows in common"):
        found._replace(present=gone).pairs()


@flips("infobridge/modality_by_class", "measurement")
def test_classes_notice_the_recalls(bench, monkeypatch):
    rows = np.full(bench.views.classes, 50)

    def recalls(best):
        def found(bench, training):
            values = np.full((3, len(rows)), 0.5)
            if training.only[0] in best:
                values[:, best[training.only[0]]] = 0.95
            return values, rows

        return found

    monkeypatch.setattr(modality_by_class, "_recalls", recalls({"pixels": 0, "fourier": 1}))
    assert verdict("modality_by_class", bench) == HOLDS
    monkeypatch.setattr(modality_by_class, "_recalls", recalls({"pixels": 0}))
    assert verdict("modality_by_class", bench) == FAILS


@flips("infobridge/printed_tables", "measurement")
@flips("infobridge/printed_rows", "measurement")
@flips("infobridge/printed_lead", "measurement")
def test_printed_numbers_are_read(bench, monkeypatch):
    assert [verdict(f"printed_{n}", bench) for n in ("tables", "rows", "lead")] == [
        FAILS,
        FAILS,
        UNTRIED,
    ]
    ours = (85.0, 86.0, 87.0, 91.15)
    for table in printed_infobridge.TABLES.values():
        monkeypatch.setitem(table, printed_infobridge.OURS, ours)
    monkeypatch.setitem(
        printed_infobridge.TABLE1, "Joint-Train", printed_infobridge.TABLE2["w/o CMI objective"]
    )
    clusters = (61.1, 67.7, 82.5, 90.6)
    monkeypatch.setitem(printed_infobridge.TABLE2, "w/o semantic context", clusters)
    monkeypatch.setitem(printed_infobridge.TABLE3, "cluster (k = 5)", clusters)
    assert [verdict(f"printed_{n}", bench) for n in ("tables", "rows", "lead")] == [HOLDS] * 3
