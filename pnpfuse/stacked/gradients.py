"""The losses of a stack and their gradients, written out for the usual options."""

import torch
from torch import Tensor

from pnpfuse.fusion.encoders import HIDDEN
from pnpfuse.fusion.maps import SIDES
from pnpfuse.fusion.pmr import PMR
from pnpfuse.stacked.errors import cosine_error, squared_error
from pnpfuse.stacked.room import Room
from pnpfuse.stacked.weights import Weights
from pnpfuse.weighting import TASK

Named = dict[str, Tensor]
WASTE = 1.5  # how many times the fewest multiplications maps multiplied first may take


class Gradients:
    """Encoders, PMR Eq. 4-6, head and losses of P models, forward and back.

    The same as `pnpfuse.stacked.losses.Losses` and its backward pass, in tensors that are made
    once: for stacks of small models the memory that autograd asks for anew in each step, and the
    page faults of it, take longer than the arithmetic.

    Each side s of the boundary is one map of V, P_s P_dis,s, multiplied first: without an
    activation P (D V) = (P D) V.

    Parameters
    ----------
    weights : of the P models
    weight : of the preservation loss
    dropout : probability
    """

    def __init__(self, weights: Weights, weight: float, dropout: float):
        model = weights.models[0]
        assert isinstance(model.block, PMR)
        self.weights, self.weight = weights, weight
        self.block, self.widths = model.block, model.block.widths
        self.hidden, self.fill_input = model.encoders is not None, model.fill_input
        self.scale = 1 / (1 - dropout)
        self.room = Room(weights.rest.values)
        self.w = weights.named
        self.g = {
            m: {kind: one.grad for kind, one in kinds.items() if one.grad is not None}
            for m, kinds in self.w.items()
        }

    @torch.no_grad()
    def __call__(self, X: Named, masks: Named | None, noise: Named | None, labels: Tensor) -> Named:
        """Every loss (P,) by name; the weights have the gradient of their sum, as weighted.

        Parameters
        ----------
        X : {modality: (P, batch, d)}, standardised, zero where absent
        masks : {modality: bool (P, batch)}, or None if nothing is absent
        noise : {modality: (P, batch, 64)}, factors of dropout, or None
        labels : int64 (P, batch)
        """
        known = None if self.fill_input else masks
        self.shape = labels.shape  # P, batch
        H = {m: self._hidden(m, x, noise) for m, x in X.items()} if self.hidden else {}
        V = {m: self._encoded(m, H[m], known) for m in H} if self.hidden else X
        maps = {m: {s: self._map(m, s) for s in SIDES} for m in V}
        own = {m: {s: self._part(m, s, V[m], *maps[m][s]) for s in SIDES} for m in V}
        parts = {
            m: {"shared": own[self.block.source_of(m)]["shared"], "specific": own[m]["specific"]}
            for m in V
        }
        task, dlogits = self._task(parts, labels)
        dparts: dict[str, Named] = {m: {} for m in V}  # by the modality whose V made them
        dV, terms = {}, []
        for m in V:
            kept = None if known is None else known[m] & known[self.block.source_of(m)]
            term, dV[m], drecon = self._preserved(m, V[m], parts[m], kept)
            terms.append(term)
            for s in SIDES:
                whose = self.block.source_of(m) if s == "shared" else m
                dparts[whose][s] = self._part_back(m, s, parts[m][s], drecon, dlogits)
        for m in V:
            for s in SIDES:
                self._map_back(m, s, V[m], dparts[m][s], maps[m][s][0], dV[m])
            if self.hidden:
                self._encoder_back(m, X[m], H[m], dV[m], known)
        return {TASK: task, "preservation": torch.stack(terms).sum(0)}

    def _hidden(self, m: str, x: Tensor, noise: Named | None) -> Tensor:
        w = self.w[m]
        H = self.room("H", m, *self.shape, HIDDEN)
        torch.baddbmm(w["hidden_bias"][:, None], x, w["hidden"].mT, out=H).relu_()
        return H if noise is None else H.mul_(noise[m])

    def _encoded(self, m: str, H: Tensor, masks: Named | None) -> Tensor:
        w = self.w[m]
        V = self.room("V", m, *self.shape, self.widths.dims[m])
        torch.baddbmm(w["encoded_bias"][:, None], H, w["encoded"].mT, out=V)
        return V if masks is None else V.masked_fill_(~masks[m][..., None], 0)

    def _map(self, m: str, s: str) -> tuple[Tensor, Tensor | None]:
        """P_s P_dis,s (P, outputs, l) and its bias (P, outputs)."""
        w = self.w[m]
        outer, inner = w[s], w[f"dissolve_{s}"]
        product = self.room(f"map {s}", m, *outer.shape[:2], inner.shape[2])
        torch.bmm(outer, inner, out=product)
        if f"{s}_bias" not in w:
            return product, None
        # Not a batched product: with a single column that takes many times as long.
        terms = self.room("outer", m, *outer.shape)
        torch.mul(outer, w[f"dissolve_{s}_bias"][:, None], out=terms)
        return product, terms.sum(2).add_(w[f"{s}_bias"])

    def _part(self, m: str, s: str, V: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The part on side s (P, batch, outputs), PMR Eq. 5."""
        part = self.room(s, m, *self.shape, weight.shape[1])
        if bias is None:
            return torch.bmm(V, weight.mT, out=part)
        return torch.baddbmm(bias[:, None], V, weight.mT, out=part)

    def _task(self, parts: dict[str, Named], labels: Tensor) -> tuple[Tensor, Tensor]:
        """The cross-entropy (P,), and the gradient for the logits, (P, classes, batch)."""
        # Classes before rows: there a softmax over few classes is ten times as fast.
        bias = self.weights.head_bias
        logits = self.room("logits", "", *bias.shape, labels.shape[1])
        logits.copy_(bias[..., None])
        for m, w in self.w.items():
            for s in SIDES:
                if f"head_{s}" in w:
                    logits.baddbmm_(w[f"head_{s}"], parts[m][s].mT)
        likelihood = torch.log_softmax(logits, 1)  # (P, classes, batch)
        chosen = labels[:, None]  # (P, 1, batch)
        loss = -likelihood.gather(1, chosen)[:, 0].mean(1)
        slope = torch.exp(likelihood, out=logits)
        slope.scatter_add_(1, chosen, self.room("minus", "", *chosen.shape).fill_(-1))
        slope.div_(labels.shape[1])
        torch.sum(slope, 2, out=bias.grad)
        return loss, slope

    def _preserved(
        self, m: str, V: Tensor, parts: Named, keep: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One term of PMR Eq. 6 (P,), and its gradients for V and for what P_recon made."""
        w, block = self.w[m], self.block
        found = self.room("recon", m, *V.shape)
        if "recon_bias" in w:
            found.copy_(w["recon_bias"][:, None])
        else:
            found.zero_()
        for s in SIDES:
            found.baddbmm_(parts[s], w[f"recon_{s}"].mT)
        if keep is None:
            share = V.new_full(self.shape, 1 / V.shape[1])  # (P, batch)
        else:
            share = keep.to(V.dtype) / keep.sum(1, keepdim=True).clamp(min=1)
        slopes = self.room("dV", m, *V.shape), self.room("drecon", m, *V.shape)
        if block.metric == "cosine":
            error = cosine_error(V, found, self.weight * share, *slopes, self.room)
        else:
            mean = block.reduction == "mean"
            error = squared_error(V, found, self.weight * share, *slopes, self.room, mean)
        if block.gradient == "detach_target":
            slopes[0].zero_()
        if keep is not None:
            error = torch.where(keep, error, error.new_zeros(()))
        return (error * share).sum(1), *slopes

    def _part_back(self, m: str, s: str, part: Tensor, dfound: Tensor, dlogits: Tensor) -> Tensor:
        """The gradient for a part (P, batch, outputs) that m receives; that of what reads it."""
        w, g = self.w[m], self.g[m]
        torch.bmm(dfound.mT, part, out=g[f"recon_{s}"])
        if s == "shared" and "recon_bias" in g:
            torch.sum(dfound, 1, out=g["recon_bias"])
        dpart = torch.bmm(dfound, w[f"recon_{s}"], out=self.room(f"d {s}", m, *part.shape))
        if f"head_{s}" in w:
            torch.bmm(dlogits, part, out=g[f"head_{s}"])
            dpart.baddbmm_(dlogits.mT, w[f"head_{s}"])
        return dpart

    def _map_back(
        self, m: str, s: str, V: Tensor, dpart: Tensor, product: Tensor, dV: Tensor
    ) -> None:
        """The gradients of P_s and P_dis,s; adds to that of V."""
        w, g = self.w[m], self.g[m]
        outer, inner = w[s], w[f"dissolve_{s}"]
        dproduct = self.room(f"d map {s}", m, *product.shape)
        torch.bmm(dpart.mT, V, out=dproduct)
        torch.bmm(dproduct, inner.mT, out=g[s])
        torch.bmm(outer.mT, dproduct, out=g[f"dissolve_{s}"])
        if f"{s}_bias" in g:
            slope = torch.sum(dpart, 1, out=g[f"{s}_bias"])[..., None]  # (P, outputs, 1)
            g[s].addcmul_(slope, w[f"dissolve_{s}_bias"][:, None])
            terms = torch.mul(outer, slope, out=self.room("outer", m, *outer.shape))
            torch.sum(terms, 1, out=g[f"dissolve_{s}_bias"])
        if self.hidden:
            dV.baddbmm_(dpart, product)

    def _encoder_back(self, m: str, x: Tensor, H: Tensor, dV: Tensor, masks: Named | None) -> None:
        w, g = self.w[m], self.g[m]
        if masks is not None:
            dV.masked_fill_(~masks[m][..., None], 0)
        torch.bmm(dV.mT, H, out=g["encoded"])
        torch.sum(dV, 1, out=g["encoded_bias"])
        dH = self.room("dH", m, *H.shape)
        # What dropout kept it scaled; what it dropped, and what ReLU did, is 0 in H.
        torch.baddbmm(dH, dV, w["encoded"], beta=0, alpha=self.scale, out=dH)
        torch.ops.aten.threshold_backward.grad_input(dH, H, 0, grad_input=dH)
        torch.bmm(dH.mT, x, out=g["hidden"])
        torch.sum(dH, 1, out=g["hidden_bias"])


def written_out(weights: Weights, batch: int) -> bool:
    """Whether `Gradients` knows the options of the models, and does not multiply out too much."""
    block = weights.models[0].block
    assert isinstance(block, PMR)
    if block.activation is not None or block.domain != "input" or block.gradient == "block_only":
        return False
    in_turn = multiplied = 0
    for m, width in block.dims.items():
        for s in SIDES:
            _, outputs, channels = weights.named[m][s].shape
            in_turn += batch * channels * (width + outputs)
            multiplied += outputs * width * (channels + batch)
    return multiplied <= WASTE * in_turn
