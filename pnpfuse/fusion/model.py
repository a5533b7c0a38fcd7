"""A whole classifier: scaling, encoders, fusion block, head."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pnpfuse.fusion.block import Block
from pnpfuse.fusion.dropout import drop_modalities
from pnpfuse.fusion.encoders import MLP, Standardise
from pnpfuse.fusion.infobridge import InfoBridge
from pnpfuse.fusion.outputs import FusionOutput, ModelOutput
from pnpfuse.fusion.presence import (
    Features,
    Presence,
    check_features,
    check_labels,
    resolve_present,
    working_dtype,
    zero_absent,
)
from pnpfuse.fusion.reference import Bank, Reference


class FusionModel(nn.Module):
    """Raw features to logits, in three steps that can be called one by one.

    Made by `create_model`; `name`, `dims`, `classes` and `options` are what it was made from.

    Parameters
    ----------
    name : name of the method
    dims : {modality: d}, widths of the raw features
    classes : number of classes
    options : every option of the method, resolved
    loss_weights : {loss: weight}, what the method recommends for each of its losses
    encoders : {modality: MLP}, or None to fuse the raw features
    block : the fusion block, for the encoders' output widths
    head : classifier of the block's output, see `pnpfuse.fusion.heads`
    fill_input : whether an absent modality enters the encoder as its training mean and nobody
        behind it knows (the option ``fill="input"``)
    modality_dropout : probability of dropping each modality of each sample in training
    bridge : companion that compares the encoded modalities, see
        `pnpfuse.fusion.infobridge.InfoBridge`; it gives losses and has no part in the logits

    Attributes
    ----------
    bank : training rows beside which a sample is judged, see `pnpfuse.fusion.reference.Bank`; None
        for a block that judges a sample by itself
    """

    def __init__(
        self,
        name: str,
        dims: Mapping[str, int],
        classes: int,
        options: dict[str, Any],
        loss_weights: Mapping[str, float],
        encoders: Mapping[str, MLP] | None,
        block: Block,
        head: nn.Module,
        fill_input: bool = False,
        modality_dropout: float = 0.0,
        bridge: InfoBridge | None = None,
    ):
        super().__init__()
        self.name = name
        self.dims = dict(dims)
        self.classes = classes
        self.options = options
        self.loss_weights = dict(loss_weights)
        self.encoders = None if encoders is None else nn.ModuleDict(encoders)
        self.scales = None if encoders is None else nn.ModuleDict()
        if self.scales is not None:
            for m, width in self.dims.items():
                self.scales[m] = Standardise(width)
        self.block = block
        # `encode` has searched the raw features; a V that overflows is the training's to report.
        self.block.check_values = False
        self.head = head
        self.fill_input = fill_input
        self.modality_dropout = modality_dropout
        self.bridge = bridge
        rows = self.block.reference_rows
        self.bank = Bank(self.dims, rows) if rows else None

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
        labels : int64 (batch,), for the auxiliary losses that need them; these are left out
            without

        Returns
        -------
        ModelOutput

        Raises
        ------
        ValueError
            as `pnpfuse.fusion.presence.resolve_present`
        """
        if labels is not None:
            check_labels(labels, features)
        if self.training and self.modality_dropout > 0:
            reference = check_features(features, self.dims, present)
            names = list(self.dims)
            present = drop_modalities(names, present, reference, self.modality_dropout)
        X, masks = self._scaled(features, present)  # each (batch, d)
        V = self._encoded(self.block.hide(X), masks)  # each (batch, l_m)
        if self.block.wants_inputs:
            fusion = self.block(V, None if self.fill_input else masks, target=X)
        else:
            fusion = self.fuse(V, masks)
        logits, losses = self.head(fusion, labels)
        losses = fusion.losses | losses
        # At test time there is nothing to compare: the companion has no part in the logits.
        if self.bridge is not None and (self.training or labels is not None):
            losses |= self.bridge(V, masks, labels, X)
        return ModelOutput(logits, losses, fusion)

    def encode(self, features: Features, present: Presence | None = None) -> dict[str, Tensor]:
        """Encoded features V, {modality: (batch, l_m)}, zero where absent."""
        return self._encoded(*self._scaled(features, present))

    def fuse(self, V: Features, present: Presence | None = None) -> FusionOutput:
        """The block's output for encoded features V, {modality: (batch, l_m)}."""
        masks = None if self.fill_input else present
        if self.bank is None or self.training:
            return self.block(V, masks)
        return self.block(V, masks, reference=self._reference(self.bank))

    def bounds(
        self, features: Features, labels: Tensor | None, present: Presence | None = None
    ) -> dict[str, Tensor]:
        """What the companion says of the information between modalities; {} without one.

        Of a batch of raw features, {name: ()} as `pnpfuse.fusion.infobridge.InfoBridge.bound`: a
        bound only on rows that it was not trained on.
        """
        if self.bridge is None:
            return {}
        if labels is not None:
            check_labels(labels, features)
        X, masks = self._scaled(features, present)  # each (batch, d)
        V = self._encoded(X, masks)  # each (batch, l_m)
        return self.bridge.bound(V, masks, labels, X)

    def classify(self, fusion: FusionOutput) -> Tensor:
        """Logits, (batch, classes)."""
        return self.head(fusion)[0]

    def set_scale(self, features: Features, present: Presence | None = None) -> None:
        """Take the standardisation from training rows, {modality: (rows, d)}.

        With `present`, {modality: bool (rows,)}, only from those that are present; a modality that
        no row has keeps its own. Without encoders there is none to set and the call has no
        effect. ValueError as for a batch, for values that are not finite on whatever device.
        """
        check_features(features, self.dims, present)
        on_cpu = {m: X.detach().cpu() for m, X in features.items()}  # each (rows, d)
        had = present and {m: mask.cpu() for m, mask in present.items()}
        rows, masks = resolve_present(on_cpu, had, self.dims)
        for m, scale in (self.scales or {}).items():
            assert isinstance(scale, Standardise)
            seen = rows[m] if masks is None else rows[m][masks[m]]  # (present, d)
            if len(seen):
                scale.fit(seen)

    @property
    def reference_rows(self) -> int:
        """How many training rows `set_reference` takes at most; 0, none are needed."""
        return max(self.block.reference_rows, getattr(self.bridge, "reference_rows", 0))

    def set_reference(self, features: Features, present: Presence | None = None) -> None:
        """Take what the model needs to know of the training rows, {modality: (rows, d)}.

        After `set_scale`, with at most `reference_rows` of them, drawn at random and in random
        order. No effect on a model that needs none. ValueError as for a batch, and for more rows.
        """
        if not self.reference_rows:
            return
        count = max((len(X) for X in features.values()), default=0)
        if count > self.reference_rows:
            raise ValueError(
                f"features has {count} rows; {self.name!r} keeps {self.reference_rows}: draw so "
                "many of them at random"
            )
        rows, masks = resolve_present(features, present, self.dims, dtype=working_dtype(self))
        if self.bank is not None:
            self.bank.fill(rows, masks)  # the first of them: the companion may want more
        if self.bridge is not None:
            self.bridge.set_reference(*self._scaled(features, present))

    def extra_repr(self) -> str:
        return f"name={self.name!r}, dims={self.dims}, classes={self.classes}"

    def _reference(self, bank: Bank) -> Reference:
        """The bank's rows as the encoders see them now."""
        rows, present = bank()
        filled = torch.stack(list(present.values())).any(0)  # (rows,)
        present = {m: mask | ~filled for m, mask in present.items()}
        V = self.encode(rows, present)
        if self.fill_input:
            present = {m: torch.ones_like(filled) for m in present}
        return Reference(V, present, filled)

    def _scaled(
        self, features: Features, present: Presence | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """Standardised features, zero where absent, and complete masks or None."""
        dtype = working_dtype(self)
        X, masks = resolve_present(features, present, self.dims, dtype=dtype)  # each (batch, d)
        if self.scales is not None:
            X = {m: self.scales[m](x) for m, x in X.items()}  # (batch, d)
            if masks is not None:
                X = {m: zero_absent(x, masks[m]) for m, x in X.items()}  # the training mean
        return X, None if self.fill_input else masks

    def _encoded(self, X: dict[str, Tensor], masks: dict[str, Tensor] | None) -> dict[str, Tensor]:
        if self.encoders is None:
            return X
        V = {m: self.encoders[m](x) for m, x in X.items()}  # (batch, l_m)
        if masks is not None:
            # The encoder of a zero is not zero, and absent means V = 0.
            V = {m: zero_absent(v, masks[m]) for m, v in V.items()}  # (batch, l_m)
        return V


def check_model(model: FusionModel) -> FusionModel:
    """`model`, or a ValueError if it is something else, a block alone for example."""
    if not isinstance(model, FusionModel):
        raise ValueError(
            f"model must be a whole model, as create_model makes it; found {type(model).__name__}"
        )
    return model
