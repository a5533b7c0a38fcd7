"""Models by name: steps, options, presence, and reopening a saved one."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from pnpfuse.fusion import FusionModel, create_model, list_models, saved
from pnpfuse.fusion.encoders import Standardise
from pnpfuse.fusion.saved import load_model, save_model

DIMS = {"text": 70, "audio": 5, "video": 9}


def features_for(dims=DIMS, batch=6, seed=0):
    random = torch.Generator().manual_seed(seed)
    return {m: torch.randn(batch, d, generator=random) for m, d in dims.items()}


def model_for(name, dims=DIMS, seed=0, **options):
    torch.manual_seed(seed)
    return create_model(name, dims, 3, **options).eval()


def test_names():
    assert {"concat", "gmf", "rpmr", "spmr"} <= set(list_models())
    assert list_models() == sorted(list_models())


@pytest.mark.parametrize("encoder", ["mlp", None])
@pytest.mark.parametrize("name", ["concat", "gmf", "rpmr", "spmr"])
class TestEveryModel:
    def test_steps_give_what_the_call_gives(self, name, encoder):
        model = model_for(name, encoder=encoder)
        X = {m: x.requires_grad_() for m, x in features_for().items()}
        assert isinstance(model, FusionModel)
        out = model(X, labels=torch.zeros(6, dtype=torch.int64))
        V = model.encode(X)
        fusion = model.fuse(V)
        assert out.logits.shape == (6, 3)
        assert torch.equal(model.classify(fusion), out.logits)
        assert set(out.losses) == (set() if name == "concat" else {"preservation"})
        assert {m: v.shape[1] for m, v in V.items()} == (
            {"text": 64, "audio": 5, "video": 9} if encoder else DIMS
        )
        grads = torch.autograd.grad(out.logits.sum(), list(out.fusion.fused.values()))
        assert all(g.abs().max() > 0 for g in grads)  # Z is in the graph

    def test_order_of_the_features_plays_no_part(self, name, encoder):
        model, X = model_for(name, encoder=encoder), features_for()
        assert torch.equal(model(X).logits, model(dict(reversed(X.items()))).logits)

    def test_absent_rows_count_as_zero_features(self, name, encoder):
        model, X = model_for(name, encoder=encoder), features_for()
        present = {"audio": torch.tensor([True, False, True, True, False, True])}
        spoilt = X | {"audio": torch.where(present["audio"][:, None], X["audio"], torch.nan)}
        spoilt["audio"].requires_grad_()
        out = model(spoilt, present)
        assert torch.equal(out.logits, model(X, present).logits)
        assert (model.encode(spoilt, present)["audio"][~present["audio"]] == 0).all()
        (out.logits.sum() + sum(out.losses.values())).backward()
        assert spoilt["audio"].grad.isfinite().all()
        gone = {"audio": torch.zeros(6, dtype=torch.bool)}
        without = model({m: x for m, x in X.items() if m != "audio"}, gone)
        assert torch.equal(without.logits, model(X, gone).logits)

    def test_reopened_model_is_the_same_bit_by_bit(self, name, encoder, tmp_path):
        model, X = model_for(name, encoder=encoder), features_for()
        model.set_scale({m: 3 * x + 1 for m, x in X.items()})
        state = torch.get_rng_state()
        reopened = load_model(save_model(model, tmp_path / "new" / "folder"))
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(reopened(X).logits, model(X).logits)
        assert (reopened.name, reopened.options) == (name, model.options)
        assert list(reopened.dims) == list(DIMS) and not reopened.training

    def test_bad_input_is_named(self, name, encoder):
        model, X = model_for(name, encoder=encoder), features_for()
        for bad, message in [
            ({m: X[m] for m in ("text", "audio")}, "lacks video"),
            (X | {"audio": X["audio"][:, :4]}, r"shape \(batch, 5\)"),
            (X | {"audio": X["audio"] * torch.nan}, "NaN"),
            (X | {"audio": X["audio"].double()}, "float64"),
        ]:
            with pytest.raises(ValueError, match=message):
                model(bad)


def test_concat_is_a_linear_map_of_the_features_side_by_side():
    model, X = model_for("concat", encoder=None), features_for()
    joined = torch.cat(list(X.values()), 1)
    linear = model.head.linear
    torch.testing.assert_close(model(X).logits, joined @ linear.weight.T + linear.bias)


def test_concat_takes_one_modality():
    model = model_for("concat", {"text": 4}, encoder=None)
    assert model(features_for({"text": 4})).logits.shape == (6, 3)


def test_metric_follows_the_name_and_spmr_is_gmf():
    X = features_for()
    spmr, gmf, rpmr = (model_for(name)(X) for name in ("spmr", "gmf", "rpmr"))
    assert torch.equal(spmr.logits, gmf.logits) and torch.equal(spmr.logits, rpmr.logits)
    assert torch.equal(spmr.losses["preservation"], gmf.losses["preservation"])
    cosines = [
        torch.cosine_similarity(model_for("rpmr").encode(X)[m], rpmr.fusion.reconstruction[m])
        for m in DIMS
    ]
    torch.testing.assert_close(rpmr.losses["preservation"], sum(1 - c.mean() for c in cosines))


@pytest.mark.parametrize(
    ("parts", "width"), [("all", 78 + 3 * 5), ("specific", 78), ("shared", 3 * 5)]
)
def test_parts_that_the_classifier_sees(parts, width):
    model = model_for("rpmr", parts=parts)
    assert model.head.linear.in_features == width
    assert model(features_for()).logits.shape == (6, 3)


def test_options_reach_the_block_and_the_encoders():
    b = {"text": 0.25, "audio": 0.5, "video": 0.75}
    model = model_for("rpmr", n=2, b=b, gradient="block_only", width=16, dropout=0.5)
    assert (model.block.n, model.block.b, model.block.gradient) == (2, b, "block_only")
    assert model.block.dims == dict.fromkeys(DIMS, 16)
    assert model.encoders["audio"][2].p == 0.5
    each = model_for("gmf", width={"text": 8, "audio": 4, "video": 2})
    assert each.block.dims == {"text": 8, "audio": 4, "video": 2}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pmr", {}, "name must be one of"),
        ("concat", {"n": 2}, "no option n"),
        ("gmf", {"metric": "mse"}, "no option metric"),
        ("rpmr", {"depth": 2}, "no option depth"),
        ("rpmr", {"metric": "mse"}, "take 'spmr'"),
        ("rpmr", {"activation": torch.nn.ReLU()}, "by name"),
        (["rpmr"], {}, "name must be one of"),
        ("rpmr", {"encoder": "resnet"}, r"\['mlp', None\]"),
        ("rpmr", {"parts": ["all"]}, "parts must be one of"),
        ("rpmr", {"width": {"text": 8, 3: 4}}, "one for each"),
        ("rpmr", {"encoder": None, "width": 8}, "needs an encoder"),
        ("rpmr", {"width": 0}, "width"),
        ("rpmr", {"width": {"text": 8}}, "one for each"),
        ("rpmr", {"dropout": 1.0}, "dropout"),
        ("rpmr", {"parts": "half"}, "parts"),
        ("rpmr", {"b": 1.5}, "strictly between"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, DIMS, 3, **options)


@pytest.mark.parametrize("classes", [1, 2.5, True])
def test_bad_classes(classes):
    with pytest.raises(ValueError, match="classes"):
        create_model("concat", DIMS, classes)


def test_standardisation_is_that_of_the_training_rows():
    scale = Standardise(3)
    x = np.random.default_rng(0).normal(5, 3, (50, 3)).astype(np.float32)
    x[:, 1] = 0.1  # constant: its rounding must not be blown up
    scale.fit(torch.from_numpy(x))
    y = scale(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(y[:, [0, 2]].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(y[:, [0, 2]].std(0), 1, atol=1e-5)
    np.testing.assert_allclose(y[:, 1], 0, atol=1e-6)
    assert set(scale.state_dict()) == {"mean", "std"}


def test_standardisation_is_that_of_the_present_rows():
    model, X = model_for("concat"), features_for()
    present = {
        "text": torch.tensor([True, True, False, True, False, True]),
        "audio": torch.zeros(6, dtype=torch.bool),
    }
    X["text"][~present["text"]] = torch.nan  # whatever an absent row holds
    before = model.scales["audio"].mean.clone(), model.scales["audio"].std.clone()
    model.set_scale({m: x for m, x in X.items() if m != "audio"}, present)
    for m, rows in (("text", X["text"][present["text"]]), ("video", X["video"])):
        np.testing.assert_allclose(model.scales[m].mean, rows.numpy().mean(0), atol=1e-6)
        np.testing.assert_allclose(model.scales[m].std, rows.numpy().std(0), rtol=1e-5)
    assert torch.equal(model.scales["audio"].mean, before[0])
    assert torch.equal(model.scales["audio"].std, before[1])
    with pytest.raises(ValueError, match="torch.bool"):
        model.set_scale(X, {"text": torch.ones(6)})


def test_raw_features_are_not_scaled_without_encoders():
    model, X = model_for("rpmr", encoder=None), features_for()
    before = model(X).logits
    model.set_scale(X)
    assert torch.equal(model(X).logits, before)
    assert model.encode(X)["text"] is X["text"]


def test_saved_double_precision_model_stays_double(tmp_path):
    model = model_for("gmf").double()
    X = {m: x.double() for m, x in features_for().items()}
    assert torch.equal(load_model(save_model(model, tmp_path))(X).logits, model(X).logits)


def test_numpy_numbers_are_numbers(tmp_path):
    options = {"n": np.int64(2), "b": {m: np.float32(0.5) for m in DIMS}, "width": np.int64(8)}
    model, X = model_for("rpmr", **options), features_for()
    assert torch.equal(model(X).logits, model_for("rpmr", n=2, b=0.5, width=8)(X).logits)
    assert load_model(save_model(model, tmp_path)).options["b"] == dict.fromkeys(DIMS, 0.5)


def test_fractions_are_numbers(tmp_path):
    model = model_for("gmf", n=Fraction(5, 2), b=np.longdouble(0.5))
    assert load_model(save_model(model, tmp_path)).options["n"] == 2.5


def test_features_that_are_not_finite_set_no_scale():
    model, X = model_for("rpmr"), features_for()
    X["audio"][3, 1] = torch.inf
    with pytest.raises(ValueError, match=r"features\['audio'\] has NaN or infinite values in 1 "):
        model.set_scale(X)
    assert all((scale.mean == 0).all() for scale in model.scales.values())


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_kill_while_saving_leaves_no_false_model(tmp_path, monkeypatch, when):
    old, new = model_for("rpmr"), model_for("spmr", seed=1)
    save_model(old, tmp_path)

    def killed(*_):
        raise Killed

    monkeypatch.setattr(saved, {"before": "save_file", "between": "save_text"}[when], killed)
    with pytest.raises(Killed):
        save_model(new, tmp_path)
    if when == "before":
        reopened, X = load_model(tmp_path), features_for()
        assert torch.equal(reopened(X).logits, old(X).logits)
    else:  # the weights of spmr fit rpmr name by name and shape by shape
        with pytest.raises(ValueError, match="does not fit model.json: it was saved with another"):
            load_model(tmp_path)
    monkeypatch.undo()
    save_model(new, tmp_path)
    assert load_model(tmp_path).name == "spmr"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_a_description_may_be_laid_out_anew(tmp_path):
    path = save_model(model_for("rpmr"), tmp_path) / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert load_model(tmp_path).name == "rpmr"


def test_what_could_not_be_opened_is_not_saved(tmp_path):
    folded = model_for("rpmr")
    folded.block = folded.block.fold()
    own, other = model_for("concat"), model_for("concat")
    own.name = "mine"
    other.encoders["text"][1] = torch.nn.GELU()  # the weights fit, the numbers would not
    larger, strange = model_for("spmr"), model_for("spmr")
    larger.head.linear = torch.nn.Linear(larger.head.linear.in_features, 9)
    strange.options["n"] = object()
    state = torch.get_rng_state()
    for model, message in [
        (folded, "no longer what create_model makes .*'block'"),
        (own, "cannot be made again .*name must be one of"),
        (other, "'encoders.text.1' was changed"),
        (larger, "'head.linear.weight' was changed"),
        (strange, "cannot be made again .*JSON"),
    ]:
        with pytest.raises(ValueError, match=message):
            save_model(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert torch.equal(torch.get_rng_state(), state)


def test_only_whole_models_and_paths(tmp_path):
    with pytest.raises(ValueError, match="model must be .* create_model makes it; found PMR"):
        save_model(model_for("rpmr").block, tmp_path)
    for folder in (None, 3):
        with pytest.raises(ValueError, match="folder must be a path"):
            load_model(folder)
        with pytest.raises(ValueError, match="folder must be a path"):
            save_model(model_for("rpmr"), folder)
    with pytest.raises(ValueError, match="no model.json"):
        load_model("x" * 5000)


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="no model.json"):
        load_model(tmp_path / "nowhere")
    folder = save_model(model_for("rpmr"), tmp_path / "model")
    description = json.loads((folder / "model.json").read_text())
    for changes, message in [
        ({"name": "nothing"}, "name must be one of"),
        ({"options": {"depth": 3}}, "no option depth"),
        ({"dims": {"text": 3, "audio": 4}}, "does not fit"),
        ({"dtype": "float3"}, "does not describe"),
    ]:
        (folder / "model.json").write_text(json.dumps(description | changes))
        with pytest.raises(ValueError, match=message):
            load_model(folder)
    (folder / "model.json").write_text("no json")
    with pytest.raises(ValueError, match="does not describe"):
        load_model(folder)
    (folder / "model.json").write_text(json.dumps(description))
    (folder / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="model.safetensors does not fit"):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no model.safetensors"):
        load_model(folder)


def test_width_of_a_block():
    X = features_for()
    for name in ("sum", "cmmp", "misa", "mbt", "perceiver", "g-mbt", "rg-perceiver"):
        wide, narrow = model_for(name), model_for(name, block_width=8)
        assert sum(p.numel() for p in narrow.parameters()) < sum(
            p.numel() for p in wide.parameters()
        )
        assert narrow(X).logits.shape == (6, 3)
    with pytest.raises(ValueError, match="no option block_width"):
        model_for("rpmr", block_width=8)


def test_a_loss_that_trains_nothing_is_told():
    with pytest.warns(UserWarning, match="constant"):
        model_for("rg-srht", encoder=None)


@pytest.mark.parametrize("name", ["gmf", "rg-srht", "rg-umoe", "rg-perceiver", "pmr-robust"])
def test_a_folded_block_serves_its_model(name):
    model, X = model_for(name), features_for()
    before = model(X).logits
    model.block = model.block.fold()
    torch.testing.assert_close(model(X).logits, before, rtol=1e-5, atol=1e-5)
