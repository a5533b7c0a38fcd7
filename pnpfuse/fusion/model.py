"""A whole classifier: scaling, encoders, fusion block, head."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pnpfuse.fusion.baselines import Concat
from pnpfuse.fusion.encoders import MLP, Standardise
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.heads import ConcatHead
from pnpfuse.fusion.outputs import FusionOutput, ModelOutput
from pnpfuse.fusion.presence import (
    Features,
    Presence,
    check_features,
    check_finite,
    resolve_present,
    working_dtype,
    zero_absent,
)


class FusionModel(nn.Module):
    """Raw features to logits, in three steps that can be called one by one.

    Made by `create_model`; `name`, `dims`, `classes` and `options` are what it was made from.

    Parameters
    ----------
    name : name of the method
    dims : {modality: d}, widths of the raw features
    classes : number of classes
    options : every option of the method, resolved
    encoders : {modality: MLP}, or None to fuse the raw features
    block : the fusion block, for the encoders' output widths
    head : classifier of the block's output
    """

    def __init__(
        self,
        name: str,
        dims: Mapping[str, int],
        classes: int,
        options: dict[str, Any],
        encoders: Mapping[str, MLP] | None,
        block: Exchange | Concat,
        head: ConcatHead,
    ):
        super().__init__()
        self.name = name
        self.dims = dict(dims)
        self.classes = classes
        self.options = options
        self.encoders = None if encoders is None else nn.ModuleDict(encoders)
        self.scales = None if encoders is None else nn.ModuleDict()
        if self.scales is not None:
            for m, width in self.dims.items():
                self.scales[m] = Standardise(width)
        self.block = block
        # `encode` has searched the raw features; a V that overflows is the training's to report.
        self.block.check_values = False
        self.head = head

    def forward(
        self, features: Features, present: Presence | None = None, labels: Tensor | None = None
    ) -> ModelOutput:
        """Classify a batch.

        Parameters
        ----------
        features : {modality: (batch, d)}, raw; a modality that is absent for the whole batch may
            be left out
        present : {modality: bool (batch,)}, a modality that it does not name is present; None if
            nothing is absent
        labels : int64 (batch,), for auxiliary losses that need them; none of the losses here do

        Returns
        -------
        ModelOutput

        Raises
        ------
        ValueError
            as `pnpfuse.fusion.presence.resolve_present`
        """
        V = self.encode(features, present)  # each (batch, l_m)
        fusion = self.fuse(V, present)  # each (batch, l* + l_m)
        return ModelOutput(self.classify(fusion), fusion.losses, fusion)

    def encode(self, features: Features, present: Presence | None = None) -> dict[str, Tensor]:
        """Encoded features V, {modality: (batch, l_m)}, zero where absent."""
        dtype = working_dtype(self)
        X, masks = resolve_present(features, present, self.dims, dtype=dtype)  # each (batch, d)
        if self.encoders is None or self.scales is None:
            return X
        V = {m: self.encoders[m](self.scales[m](x)) for m, x in X.items()}  # (batch, l_m)
        if masks is not None:
            # Once more: the encoder of a zero is not zero, and absent means V = 0.
            V = {m: zero_absent(v, masks[m]) for m, v in V.items()}  # (batch, l_m)
        return V

    def fuse(self, V: Features, present: Presence | None = None) -> FusionOutput:
        """The block's output for encoded features V, {modality: (batch, l_m)}."""
        return self.block(V, present)

    def classify(self, fusion: FusionOutput) -> Tensor:
        """Logits, (batch, classes)."""
        return self.head(fusion)

    def set_scale(self, features: Features) -> None:
        """Take the standardisation from training rows, {modality: (rows, d)}.

        Without encoders there is none to set and the call has no effect. ValueError for features
        that do not fit or are not finite, on whatever device.
        """
        check_features(features, self.dims)
        rows = {m: X.detach().cpu() for m, X in features.items()}  # each (rows, d)
        check_finite(rows)
        if self.scales is not None:
            for m, scale in self.scales.items():
                assert isinstance(scale, Standardise)
                scale.fit(rows[m])

    def extra_repr(self) -> str:
        return f"name={self.name!r}, dims={self.dims}, classes={self.classes}"


def check_model(model: FusionModel) -> FusionModel:
    """`model`, or a ValueError if it is something else, a block alone for example."""
    if not isinstance(model, FusionModel):
        raise ValueError(
            f"model must be a whole model, as create_model makes it; found {type(model).__name__}"
        )
    return model
