"""Models by name."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from pnpfuse.fusion.arguments import check_choice, check_count
from pnpfuse.fusion.baselines import Concat
from pnpfuse.fusion.encoders import MLP, default_width
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.heads import ConcatHead
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.pmr import GMF, PMR
from pnpfuse.fusion.widths import WIDEST, check_dims

MODEL_OPTIONS: dict[str, Any] = {"encoder": "mlp", "width": None, "dropout": 0.2}

_GMF_OPTIONS: dict[str, Any] = {"n": 4, "b": 0.5}
_PMR_OPTIONS: dict[str, Any] = _GMF_OPTIONS | {
    "domain": "input",
    "reduction": "mean",
    "mapping": "linear",
    "experts": None,
    "gradient": "full",
    "pairing": "next",
    "bias": True,
    "activation": None,
}


class Method(NamedTuple):
    """How to build the block of a method, with its options and the head's."""

    block: Callable[..., Exchange | Concat]
    block_options: dict[str, Any]
    head_options: dict[str, Any]


METHODS = {
    "concat": Method(Concat, {}, {}),
    "gmf": Method(GMF, _GMF_OPTIONS, {"parts": "all"}),
    "rpmr": Method(PMR, {"metric": "cosine"} | _PMR_OPTIONS, {"parts": "all"}),
    "spmr": Method(PMR, {"metric": "mse"} | _PMR_OPTIONS, {"parts": "all"}),
}


def list_models() -> list[str]:
    """Names that `create_model` takes, sorted."""
    return sorted(METHODS)


def create_model(name: str, dims: Mapping[str, int], classes: int, **options: Any) -> FusionModel:
    """A new classifier, its weights drawn from torch's global random state.

    Parameters
    ----------
    name : "concat", no fusion; "gmf", the GMF paper's block; "spmr" and "rpmr", the PMR block with
        the squared error and the cosine form of Eq. 6. "spmr" with its default mean equals "gmf".
    dims : {modality: d}, widths of the raw features, in the order of the cycle
    classes : number of classes, two or more
    **options
        encoder : "mlp", a small encoder and a standardisation in front of the block; None, the
            block takes the raw features
        width : output width of the encoders, one number or {modality: width}; None, min(64, d)
        dropout : of the encoders
        parts : what the classifier sees, "all", "specific" or "shared" (not for "concat")
        n, b : as in `PMR` (not for "concat")
        domain, reduction, mapping, experts, gradient, pairing, bias, activation : as in `PMR`, for
            "spmr" and "rpmr"; the metric is given by the name

    Raises
    ------
    ValueError
        for an unknown name, option or value, naming what is accepted
    """
    method = METHODS[check_choice("name", name, list_models())]
    defaults = MODEL_OPTIONS | method.block_options | method.head_options
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        raise ValueError(
            f"{name!r} has no option {', '.join(unknown)}; accepted are {sorted(defaults)}"
        )
    resolved = plain(defaults | options)
    if "metric" in resolved and resolved["metric"] != defaults["metric"]:
        raise ValueError(
            f"metric is {defaults['metric']!r} in {name!r}; found {resolved['metric']!r}: "
            "take 'spmr' for 'mse', 'rpmr' for 'cosine'"
        )
    if isinstance(resolved.get("activation"), nn.Module):
        raise ValueError("activation must be given by name here, so that the model can be saved")
    dims = check_dims(dims)
    encoders = _encoders(dims, resolved, given=set(options))
    if encoders is None:
        del resolved["width"], resolved["dropout"]
    widths = dims if encoders is None else {m: mlp[-1].out_features for m, mlp in encoders.items()}
    block = method.block(widths, **{key: resolved[key] for key in method.block_options})
    parts = resolved.get("parts", "all")
    head = ConcatHead(block.part_widths(parts), classes, parts)
    return FusionModel(name, dims, head.linear.out_features, resolved, encoders, block, head)


def _encoders(
    dims: dict[str, int], options: dict[str, Any], given: set[str]
) -> dict[str, MLP] | None:
    encoder, width, dropout = options["encoder"], options["width"], options["dropout"]
    if encoder is None:
        useless = sorted(given & {"width", "dropout"})
        if useless:
            raise ValueError(f"{', '.join(useless)} needs an encoder; found encoder=None")
        return None
    check_choice("encoder", encoder, ["mlp", None])
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise ValueError(f"dropout must be a probability in [0, 1); found {dropout!r}")
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
