"""Models by name."""

import warnings
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from torch import nn

from pnpfuse.fusion.arguments import (
    check_choice,
    check_count,
    check_number,
    check_probability,
)
from pnpfuse.fusion.attention import check_heads
from pnpfuse.fusion.encoders import MLP, default_width
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.fill import FILLS
from pnpfuse.fusion.infobridge import OBJECTIVES
from pnpfuse.fusion.methods import BALANCE, METHODS, Method
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.widths import WIDEST, check_dims, check_width

MODEL_OPTIONS: dict[str, Any] = {
    "encoder": "mlp",
    "width": None,
    "dropout": 0.2,
    "fill": "zero",
    "modality_dropout": 0.0,
}
ENCODER_OPTIONS = ("width", "dropout")


def list_models() -> list[str]:
    """Names that `create_model` takes, sorted."""
    return sorted(METHODS)


def create_model(name: str, dims: Mapping[str, int], classes: int, **options: Any) -> FusionModel:
    """A new classifier, its weights drawn from torch's global random state.

    Parameters
    ----------
    name : one of `list_models`; `pnpfuse.fusion.methods.METHODS` says what each is
    dims : {modality: d}, widths of the raw features, in the order of the cycle
    classes : number of classes, two or more
    **options
        encoder : "mlp", a small encoder and a standardisation in front of the block; None, the
            block takes the raw features
        width : output width of the encoders, one number or {modality: width}; None, min(64, d)
        dropout : of the encoders
        fill : what stands for the features V of an absent modality: "zero", "mean" or "learned"
            (see `pnpfuse.fusion.fill.Fill`); "input", the encoder sees the training mean and
            nobody behind it knows that the modality is absent
        modality_dropout : probability of dropping each modality of each sample in training
        block_width : of a block or back-end whose own width is free
        and those of the method's block and head, with the defaults that `METHODS` states

    Warns
    -----
    UserWarning
        where the preservation loss has nothing to train: no parameters in the block, and no encoder

    Raises
    ------
    ValueError
        for an unknown name, option or value, naming what is accepted
    """
    method = METHODS[check_choice("name", name, list_models())]
    defaults = MODEL_OPTIONS | method.options
    options = {key: value for key, value in options.items() if not _stated(name, key, value)}
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        inner = _of_base(method, options, unknown)
        raise ValueError(
            f"{name!r} has no option {', '.join(unknown)}{inner}; accepted are {sorted(defaults)}"
        )
    if method.bridge is not None:
        return _bridged(name, method, dims, classes, plain(options))
    resolved = plain(defaults | options)
    if isinstance(resolved.get("activation"), nn.Module):
        raise ValueError("activation must be given by name here, so that the model can be saved")
    dims = check_dims(dims)
    _check_block_width(resolved)
    fill_input = check_choice("fill", resolved["fill"], (*FILLS, "input")) == "input"
    probability = check_probability("modality_dropout", resolved["modality_dropout"])
    encoders = _encoders(dims, resolved, given=set(options))
    if encoders is None:
        for key in ENCODER_OPTIONS:
            del resolved[key]
        if fill_input:
            raise ValueError("fill='input' needs an encoder; found encoder=None")
    widths = dims if encoders is None else {m: mlp[-1].out_features for m, mlp in encoders.items()}
    block = method.block(
        widths,
        **_given(resolved, method.block_options),
        **method.fixed,
        fill="zero" if fill_input else resolved["fill"],
        **({"inputs": dims} if getattr(method.block, "wants_inputs", False) else {}),
    )
    head = method.head(block, classes, **_given(resolved, method.head_options))
    if encoders is None and getattr(block, "mapping", None) == "srht":
        warnings.warn(
            "mapping='srht' has no parameters and there is no encoder: the preservation loss is a "
            "constant, and its weight has no effect",
            stacklevel=2,
        )
    experts = isinstance(block, Exchange) and block.mixture is not None
    off = block.losses_off | getattr(head, "losses_off", frozenset())
    weights = method.weights | (BALANCE if experts else {})
    return FusionModel(
        name,
        dims,
        int(classes),
        resolved,
        {loss: weight for loss, weight in weights.items() if loss not in off},
        encoders,
        block,
        head,
        fill_input,
        probability,
    )


def _bridged(
    name: str, method: Method, dims: Mapping[str, int], classes: int, options: dict[str, Any]
) -> FusionModel:
    """The model that `options` name as the base, with a companion beside it."""
    own = method.bridge_options | {k: options[k] for k in method.bridge_options if k in options}
    shared = {k: options[k] for k in MODEL_OPTIONS if k in options}
    alpha = check_number("alpha", own["alpha"])
    companion = check_choice("objective", own["objective"], (*OBJECTIVES, "none")) != "none"
    if companion:
        dims = check_dims(dims, at_least=2)
    inner = _base_options(method, own)
    model = create_model(own["base"], dims, classes, **shared, **inner)
    own["base_options"] = {k: v for k, v in model.options.items() if k not in MODEL_OPTIONS}
    shared = {k: v for k, v in model.options.items() if k in MODEL_OPTIONS}
    model.name, model.options = name, shared | own
    if companion:
        assert method.bridge is not None
        check_width(own["critic_width"], "critic_width")
        apart = ("base", "base_options", "alpha")
        given = {"width" if k == "critic_width" else k: v for k, v in own.items() if k not in apart}
        model.bridge = method.bridge(model.block.dims, model.dims, model.classes, **given)
        model.loss_weights["nce"] = alpha
    return model


def _base_options(method: Method, own: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the base among `own`, after a check that they are no others."""
    others = [m for m in list_models() if METHODS[m].bridge is None]
    base, inner = check_choice("base", own["base"], others), own["base_options"]
    if not isinstance(inner, Mapping):
        raise ValueError(f"base_options must be a mapping {{option: value}}; found {inner!r}")
    accepted = set(METHODS[base].options) | set(METHODS[base].fixed)
    for key in inner:
        if key in MODEL_OPTIONS:
            raise ValueError(
                f"base_options has {key}, which every model has: give it beside base_options"
            )
        if key not in accepted:
            beside = ": give it beside base_options" if key in method.bridge_options else ""
            known = sorted(accepted - set(MODEL_OPTIONS))
            raise ValueError(
                f"base_options has {key}, which {base!r} does not have{beside}; it has {known}"
            )
    return dict(inner)


def _of_base(method: Method, options: Mapping[str, Any], unknown: list[str]) -> str:
    """Where to give what is an option of the base instead."""
    if method.bridge is None:
        return ""
    base = METHODS.get(str(options.get("base", method.bridge_options["base"])))
    found = [key for key in unknown if base is not None and key in base.options]
    return f" (give {', '.join(found)} in base_options, {{option: value}})" if found else ""


def _given(resolved: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The arguments of a block or a head among the options; its width is called block_width."""
    return {"width" if key == "block_width" else key: resolved[key] for key in names}


def _check_block_width(resolved: Mapping[str, Any]) -> None:
    """ValueError by the name that it has here, before a block says "width", the encoders' here."""
    width = resolved.get("block_width")
    if width is not None and "heads" in resolved:
        check_heads(width, resolved["heads"], "block_width")
    elif width is not None:
        check_width(width, "block_width")


def _stated(name: str, key: str, value: Any) -> bool:
    """Whether the name itself says `key`=`value`; ValueError if it says otherwise."""
    method = METHODS[name]
    if key not in method.fixed:
        return False
    if value != method.fixed[key]:
        wanted = method.fixed | {key: value}
        others = [
            m for m, one in METHODS.items() if one.fixed == wanted and one.head is method.head
        ]
        raise ValueError(
            f"{key} is {method.fixed[key]!r} in {name!r}; found {value!r}"
            + (f": take {' or '.join(map(repr, others))}" if others else "")
        )
    return True


def _encoders(
    dims: dict[str, int], options: dict[str, Any], given: set[str]
) -> dict[str, MLP] | None:
    encoder, width, dropout = options["encoder"], options["width"], options["dropout"]
    if encoder is None:
        useless = sorted(given & set(ENCODER_OPTIONS))
        if useless:
            raise ValueError(f"{', '.join(useless)} needs an encoder; found encoder=None")
        return None
    check_choice("encoder", encoder, ["mlp", None])
    check_probability("dropout", dropout)
    if isinstance(width, Mapping):
        if set(width) != set(dims):
            named = sorted(map(str, width))
            raise ValueError(f"width names {named}; give one for each of {list(dims)}")
        widths = {m: check_count(f"width[{m!r}]", width[m], most=WIDEST) for m in dims}
    elif width is None:
        widths = {m: default_width(d) for m, d in dims.items()}
    else:
        widths = dict.fromkeys(dims, check_count("width", width, most=WIDEST))
    return {m: MLP(d, widths[m], dropout) for m, d in dims.items()}


def plain(value: Any) -> Any:
    """`value` with every number in it as Python's own, which JSON can hold."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Real) and not isinstance(value, int):  # a Fraction, a longdouble
        return float(value)
    return value
