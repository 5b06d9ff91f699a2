"""The loss that ESPnet imports from warprnnt_pytorch, on mixtape.transducer_loss: what its fork of
warp-transducer has under that name, with its checks. mixtape.espnet gives it to programs under that
name where the package itself is not installed."""

import torch

from mixtape import registration
from mixtape.transducer import transducer_loss

__all__ = ["rnnt_loss", "RNNTLoss"]


def _check(acts, labels, act_lens, label_lens):
    for name, tensor, dimensions in (("acts", acts, 4), ("labels", labels, 2),
                                     ("act_lens", act_lens, 1), ("label_lens", label_lens, 1)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a tensor, not {type(tensor).__name__}")
        if tensor.dim() != dimensions:
            raise ValueError(f"{name} must be {dimensions}D, not {tuple(tensor.shape)}")
        if name != "acts" and tensor.dtype != torch.int32:
            raise TypeError(f"{name} must be torch.int32, not {tensor.dtype}")
        if not tensor.is_contiguous():
            raise ValueError(f"{name} must be contiguous")
        if len(tensor) != len(acts):
            raise ValueError(f"{name} has {len(tensor)} rows, acts {len(acts)}")
    if len(acts) == 0 or acts.is_meta or registration.in_graph():  # which have no numbers
        return
    longest, most = int(act_lens.max()), int(label_lens.max())
    if acts.shape[1] != longest:
        raise ValueError(f"acts has {acts.shape[1]} frames, the longest of act_lens is {longest}")
    if acts.shape[2] != most + 1:
        raise ValueError(f"acts has {acts.shape[2]} places of labels, expected one more than the "
                         f"longest of label_lens, which is {most}")


def rnnt_loss(acts, labels, act_lens, label_lens, blank=0, reduction="mean",
              fastemit_lambda=0.001):
    """acts (B, T, U + 1, V), logits; labels (B, U), act_lens and label_lens (B), int32. The losses
    (B) by reduction "none", else (1): their "sum", or the "mean" over the batch."""
    _check(acts, labels, act_lens, label_lens)
    loss = transducer_loss(acts, labels, act_lens, label_lens, blank, fastemit_lambda, reduction)
    return loss if reduction == "none" else loss.unsqueeze(-1)


class RNNTLoss(torch.nn.Module):
    """rnnt_loss with its options."""

    def __init__(self, blank=0, fastemit_lambda=0.001, reduction="mean"):
        super().__init__()
        self.blank, self.fastemit_lambda, self.reduction = blank, fastemit_lambda, reduction

    def forward(self, acts, labels, act_lens, label_lens):
        return rnnt_loss(acts, labels, act_lens, label_lens, self.blank, self.reduction,
                         self.fastemit_lambda)
