"""The Dataset of a diagnosis: its variables, what they mean, and what they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr


class Variable(NamedTuple):
    """What stands in the Dataset under a name.

    Attributes
    ----------
    group : one of `MEASURES`
    dims : its dimensions
    long_name, units : its attributes
    """

    group: str
    dims: tuple[str, ...]
    long_name: str
    units: str = "1"


MEASURES = ("gradients", "smoothness", "geometry", "information", "labels")
LOSS, POINT, PAIR = ("loss", "point"), ("point",), ("pair",)
VARIABLES = {
    "gradient_cosine": Variable(
        "gradients", LOSS, "cosine between the gradients of the loss and of the main one, all rows"
    ),
    "conflict_rate": Variable(
        "gradients", LOSS, "share of the rows with a cosine below 0, where it is defined"
    ),
    "conflict_rate_low": Variable("gradients", LOSS, "lower end of its 95 % interval (Wilson)"),
    "conflict_rate_high": Variable("gradients", LOSS, "upper end of its 95 % interval (Wilson)"),
    "median_cosine": Variable("gradients", LOSS, "median of the rows' cosines"),
    "undefined_rate": Variable(
        "gradients", LOSS, "share of the rows where one of the two gradients vanishes"
    ),
    "gradient_ratio": Variable(
        "gradients", LOSS, "norm of the loss's gradient over that of the main one, not weighted"
    ),
    "sample_cosine": Variable(
        "gradients",
        (*LOSS, "row"),
        "cosine between the gradients of the loss and of the main one, row by row",
    ),
    "chance_cosine": Variable(
        "gradients", POINT, "size that the cosine of two random directions typically has, 1/sqrt(d)"
    ),
    "relative_spread": Variable(
        "smoothness",
        POINT,
        "spread around the mean over the features' size: 0 collapsed to a point",
    ),
    "dirichlet_energy": Variable(
        "smoothness", POINT, "mean over rows of summed squared distances to nearest neighbours"
    ),
    "rayleigh_quotient": Variable(
        "smoothness", POINT, "energy over variance: roughness that does not depend on scale"
    ),
    "rayleigh_noise": Variable(
        "smoothness", POINT, "Rayleigh quotient of Gaussian noise of as many rows and features"
    ),
    "mean_average_distance": Variable(
        "smoothness", POINT, "mean cosine distance to nearest neighbours: 0 if all point one way"
    ),
    "distance_noise": Variable(
        "smoothness", POINT, "mean average distance of Gaussian noise of as many rows and features"
    ),
    "effective_rank": Variable(
        "geometry", POINT, "directions in which the centred features spread"
    ),
    "width": Variable("geometry", POINT, "number of features"),
    "uniformity": Variable(
        "geometry", POINT, "how evenly directions fill the sphere: less is more even"
    ),
    "cka": Variable(
        "geometry",
        ("point", "other_point"),
        "how alike two representations are whatever their bases: 1 alike, 0 unrelated",
    ),
    "alignment": Variable(
        "geometry", PAIR, "mean squared distance of the two features of a row, at unit length"
    ),
    "modality_gap": Variable("geometry", PAIR, "distance between the centres on the unit sphere"),
    "entropy": Variable(
        "information", POINT, "differential entropy of the leading principal components", "nat"
    ),
    "kept_variance": Variable(
        "information", POINT, "share of the variance that the leading principal components hold"
    ),
    "mutual_information": Variable(
        "information", PAIR, "between the leading principal components of the two points", "nat"
    ),
    "mutual_information_low": Variable(
        "information", PAIR, "lower end of the 95 % interval (sampling error, not bias)", "nat"
    ),
    "mutual_information_high": Variable(
        "information", PAIR, "upper end of the 95 % interval (sampling error, not bias)", "nat"
    ),
    "mutual_information_null": Variable(
        "information", PAIR, "mean after shuffling one: what the estimator calls nothing", "nat"
    ),
    "p_value": Variable(
        "information", PAIR, "shuffles with as much information: 1/21 says that none of 20 has"
    ),
    "label_information": Variable(
        "labels",
        POINT,
        "at least, of the labels: their entropy less a linear probe's loss",
        "nat",
    ),
    "label_information_low": Variable("labels", POINT, "lower end of the 95 % interval", "nat"),
    "label_information_high": Variable("labels", POINT, "upper end of the 95 % interval", "nat"),
    "label_entropy": Variable("labels", POINT, "entropy of the labels of the point's rows", "nat"),
}
COORDINATES = {
    "point": "where in the model",
    "other_point": "where in the model",
    "pair": "two points",
    "loss": "loss beside the main one",
    "row": "row looked at",
}


def as_dataset(
    values: Mapping[str, np.ndarray], coords: Mapping[str, Sequence[Any]], attrs: dict[str, Any]
) -> xr.Dataset:
    """The Dataset of {variable: array}, with the coordinates that these have."""
    dims = {dim for name in values for dim in VARIABLES[name].dims}
    return xr.Dataset(
        {
            name: (
                VARIABLES[name].dims,
                array,
                {"units": VARIABLES[name].units, "long_name": VARIABLES[name].long_name},
            )
            for name, array in values.items()
        },
        coords={
            name: (name, list(labels), {"units": "1", "long_name": COORDINATES[name]})
            for name, labels in coords.items()
            if name in dims
        },
        attrs=attrs,
    )
