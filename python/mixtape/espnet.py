"""ESPnet's RWKV transducer on Mixtape's kernels: built, trained and decoded on a CPU, or on a GPU
without ninja or a compiler, and without warp-transducer.

    python3 -m mixtape.espnet -m MODULE [ARGUMENT...]     runs a program of ESPnet so
    python3 -m mixtape.espnet PROGRAM [ARGUMENT...]       ... or a recipe, as ./run.sh
"""

import os
import runpy
import sys

import torch
from torch.autograd.function import once_differentiable

from mixtape import hooks, library, operator, tensors


class Kernel:
    """What ESPnet calls wkv_kernel: forward and backward on its tensors, and context_size."""

    def __init__(self, context_size):
        self.context_size = context_size

    def forward(self, w, u, k, v, y):
        """w = -exp(time_decay), u = time_first (C); k, v (B, T, C); writes y (B, T, C)."""
        wide = torch.float64 if k.dtype == torch.float64 else torch.float32
        given = [tensors.plain(x, wide) for x in (w, u, k, v)]
        if y.dtype == wide and y.is_contiguous():
            operator.forward(*given, y=y)
        else:
            y.copy_(operator.forward(*given)[0])

    def backward(self, w, u, k, v, y, gy, gw, gu, gk, gv):
        """Writes the gradients of time_decay (through w) and of u, k and v. gw and gu are (B, C),
        to be summed over B by the caller: their first row has the sum, the others are zero."""
        wide = torch.float64 if k.dtype == torch.float64 else torch.float32
        w_, u_, k_, v_, gy_ = (tensors.plain(x, wide) for x in (w, u, k, v, gy))
        _, saved = operator.forward(w_, u_, k_, v_, save=True)
        dw, du, dk, dv = (torch.empty_like(x) for x in (w_, u_, k_, v_))
        operator.backward(w_, u_, k_, v_, saved, gy_, None, dw, du, dk, dv, None)
        for row, total in ((gw, w_ * dw), (gu, du)):
            row.zero_()
            row[:1].copy_(total)
        gk.copy_(dk)
        gv.copy_(dv)


def patch(attention):
    """Makes a module of ESPnet's SelfAttention use Mixtape, once."""
    if getattr(attention.load_wkv_kernel, "of_mixtape", False):
        return

    def load_wkv_kernel(context_size):
        if context_size < 1:
            raise ValueError(f"wkv: context_size {context_size}")
        library.library()
        # One object serves every decoder: the longest context counts, and each decoder checks its
        # own.
        before = getattr(attention.wkv_kernel, "context_size", 0)
        if not isinstance(attention.wkv_kernel, Kernel) or before < context_size:
            attention.wkv_kernel = Kernel(max(before, context_size))

    load_wkv_kernel.of_mixtape = True
    attention.load_wkv_kernel = load_wkv_kernel
    # PyTorch would take the gradients for constants where they are differentiated in their turn.
    attention.WKVLinearAttention.backward = staticmethod(
        once_differentiable(attention.WKVLinearAttention.backward))


def install():
    """Makes ESPnet's SelfAttention use Mixtape, and its transducer's loss where warprnnt_pytorch is
    not installed: in this process and in those that it starts from now on. What was built before
    keeps working, on the new kernel."""
    hooks.hook()
    from espnet2.asr_transducer.decoder.modules.rwkv import attention

    patch(attention)


def main():
    if len(sys.argv) < 2 or sys.argv[1:] == ["-m"]:
        sys.exit("usage: python3 -m mixtape.espnet -m MODULE [ARGUMENT...]\n"
                 "       python3 -m mixtape.espnet PROGRAM [ARGUMENT...]")
    hooks.hook()
    if sys.argv[1] == "-m":
        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")


if __name__ == "__main__":
    main()
