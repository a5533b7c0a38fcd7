"""`infobridge` around every other model: what it adds, and what it leaves as it is."""

import json

import pytest
import torch
from torch.nn.functional import cross_entropy

from pnpfuse.fusion import PMR, create_model, list_models
from pnpfuse.fusion.block import Block
from pnpfuse.fusion.methods import METHODS
from pnpfuse.fusion.registry import MODEL_OPTIONS
from pnpfuse.fusion.saved import load_model, save_model

DIMS = {"text": 12, "audio": 5, "video": 9}
BASES = [name for name in list_models() if METHODS[name].bridge is None]
every_base = pytest.mark.parametrize("base", BASES)


def model_for(base="concat", dims=DIMS, **options):
    torch.manual_seed(0)
    return create_model("infobridge", dims, 3, base=base, **options)


def batch(rows=8, dims=DIMS):
    random = torch.Generator().manual_seed(0)
    return {m: torch.randn(rows, d, generator=random) for m, d in dims.items()}, (
        torch.arange(rows) % 2
    )


def total(model, out, labels):
    weighted = [model.loss_weights[name] * value for name, value in out.losses.items()]
    return cross_entropy(out.logits, labels) + sum(weighted)


@every_base
def test_logits_are_those_of_the_base_and_one_loss_comes_beside_its_own(base, tmp_path):
    model, (X, labels) = model_for(base).eval(), batch()
    torch.manual_seed(0)
    alone = create_model(base, DIMS, 3).eval()
    assert torch.equal(model(X).logits, alone(X).logits)  # the critics are drawn after it
    assert model.loss_weights == alone.loss_weights | {"nce": 0.1}
    assert set(model(X, labels=labels).losses) == set(model.loss_weights)
    assert "nce" not in model(X).losses  # at test time there is nothing to compare
    assert model.options["base_options"] == {
        k: v for k, v in alone.options.items() if k not in MODEL_OPTIONS
    }
    assert json.loads(json.dumps(model.options)) == model.options
    reopened = load_model(save_model(model, tmp_path))
    assert torch.equal(reopened(X).logits, alone(X).logits)
    assert (reopened.options, reopened.loss_weights) == (model.options, model.loss_weights)


@every_base
@pytest.mark.filterwarnings("ignore:mapping='srht'")
@pytest.mark.parametrize(
    "options",
    [{"encoder": None}, {"fill": "input", "width": {"text": 8, "audio": 4, "video": 6}}],
    ids=lambda options: next(iter(options)),
)
def test_every_parameter_learns_from_the_sum_of_the_losses(base, options):
    model, (X, labels) = model_for(base, modality_dropout=0.3, **options).train(), batch()
    assert model.modality_dropout == 0.3 and model.options["modality_dropout"] == 0.3
    X = {m: x.requires_grad_() for m, x in X.items()}
    total(model, model(X, labels=labels), labels).backward()
    grads = dict(model.named_parameters())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in grads.values())
    assert all(x.grad.isfinite().all() for x in X.values())
    assert any(grads[k].grad.abs().sum() > 0 for k in grads if k.startswith("bridge"))


def test_the_encoders_are_drawn_towards_the_objective():
    model, (X, labels) = model_for(), batch()
    model(X, labels=labels).losses["nce"].backward()
    assert all(mlp[0].weight.grad.abs().sum() > 0 for mlp in model.encoders.values())
    assert model.head.linear.weight.grad is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("condition", ["label", "cluster", "similarity"])
def test_in_other_precisions_it_learns_and_has_bounds(dtype, condition):
    model, (X, labels) = model_for(condition=condition).to(dtype).train(), batch()
    X = {m: x.to(dtype) for m, x in X.items()}
    model.set_reference(X)
    model(X, labels=labels).losses["nce"].backward()
    assert all(p.grad.isfinite().all() for p in model.bridge.parameters())
    assert all(value.isfinite() for value in model.eval().bounds(X, None, labels).values())
    with pytest.raises(ValueError, match="labels must be int64"):
        model.bounds(X, None, labels.double())


def test_without_the_objective_it_is_the_base(tmp_path):
    model, (X, labels) = model_for("rpmr", objective="none").train(), batch()
    assert model.bridge is None and model.loss_weights == {"preservation": 0.1}
    assert set(model(X, labels=labels).losses) == {"preservation"}
    reopened = load_model(save_model(model, tmp_path))
    assert reopened.bridge is None and reopened.options == model.options
    assert create_model("infobridge", {"a": 4}, 2, objective="none").bridge is None


def test_losses_that_come_with_an_option_of_the_base_are_weighted_too():
    model, (X, labels) = model_for("rpmr", base_options={"experts": "moe"}, alpha=0.5), batch()
    assert model.loss_weights == {"preservation": 0.1, "balance": 0.01, "nce": 0.5}
    assert set(model(X, labels=labels).losses) == set(model.loss_weights)


def test_options_of_the_base_are_recorded_whole_and_folding_goes_on():
    given = {"n": 2, "b": {"text": 0.25, "audio": 0.5, "video": 0.75}, "metric": "cosine"}
    model = model_for("rpmr", base_options=given).eval()
    assert isinstance(model.block, PMR) and "metric" not in model.options["base_options"]
    assert model.options["base_options"]["n"] == 2
    (X, _), fusion = batch(), model.fuse(model.encode(batch()[0]))
    folded = model.block.fold()(model.encode(X))
    for m, value in fusion.fused.items():
        torch.testing.assert_close(folded.fused[m], value)


@pytest.mark.parametrize(
    "given, said",
    [
        ({"base": "pmrr"}, "base must be one of"),
        ({"base": "infobridge"}, "base must be one of"),
        ({"base": None}, "base must be one of"),
        ({"base_options": "n=2"}, "base_options must be a mapping"),
        ({"base_options": None}, "base_options must be a mapping"),
        ({"base_options": {"width": 8}}, "width, which every model has: give it beside"),
        ({"base_options": {"alpha": 1}}, "alpha, which 'rpmr' does not have: give it beside"),
        ({"base_options": {"N": 2}}, "base_options has N, which 'rpmr' does not have; it has"),
        ({"base_options": {"metric": "mse"}}, "take 'spmr'"),
        ({"base_options": {"n": -1}}, "n must be"),
        ({"n": 2, "b": 0.5}, r"no option b, n \(give b, n in base_options"),
        ({"what": 2}, "no option what; accepted are"),
        ({"alpha": -1}, "alpha must be"),
        ({"critic_width": 0}, "critic_width must be"),
        ({"margin": float("nan")}, "margin must be a finite number; found nan"),
        ({"objective": "mse"}, "objective must be one of"),
    ],
)
def test_errors_name_the_argument_and_where_to_give_it(given, said):
    with pytest.raises(ValueError, match=said):
        create_model("infobridge", DIMS, 3, **{"base": "rpmr"} | given)


def test_one_modality_leaves_no_pair_to_compare():
    with pytest.raises(ValueError, match="dims names 1 modalities .* at least 2"):
        create_model("infobridge", {"a": 4}, 2)


@pytest.mark.parametrize(
    "options, losses",
    [
        ({}, {"disentanglement", "alignment"}),
        ({"align": False}, {"disentanglement"}),
        ({"disentangle": False}, {"alignment"}),
        ({"align": False, "disentangle": False}, set()),
    ],
)
def test_losses_that_are_switched_off_have_no_weight(options, losses):
    model, (X, labels) = create_model("scope", DIMS, 3, **options), batch()
    assert set(model.loss_weights) == losses == set(model(X, labels=labels).losses)
    around = model_for("scope", base_options=options)
    assert set(around.loss_weights) == losses | {"nce"}
    assert Block(DIMS).losses_off == frozenset()
