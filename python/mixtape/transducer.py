"""The transducer loss for PyTorch tensors."""

import ctypes

import torch

from mixtape import library
from mixtape.tensors import TYPES, addresses, as_current, device_of, new_like, plain

_NAME = "transducer_loss"
_NODE = 3  # doubles that the library keeps of a node
_INT32 = torch.iinfo(torch.int32)
_REDUCTIONS = {"none": lambda losses: losses, "mean": torch.mean, "sum": torch.sum}


def _sizes(logits):
    B, T, positions, V = logits.shape
    return B, T, positions - 1, V


def _forward(logits, rows, blank, save):
    """Runs the kernel on plain tensors. Returns (losses, nodes), the latter for backward."""
    B, T, U, V = _sizes(logits)
    losses = logits.new_empty(B)
    nodes = logits.new_empty((B, T, U + 1, _NODE), dtype=torch.float64)
    betas, alphas = (nodes.new_empty((B, T, U + 1)) if wanted else None for wanted in (True, save))
    with as_current(logits):
        device, stream = device_of(_NAME, logits)
        arguments = library.TransducerForward(
            B, T, U, V, blank, *addresses(_NAME, logits, *rows, losses, nodes, betas, alphas))
        with device.lock:
            library.check(library.library().mt_transducer_forward(
                device.handle, stream, TYPES[logits.dtype], ctypes.byref(arguments)))
    return losses, nodes


def _backward(logits, rows, blank, fastemit_lambda, nodes, dlosses, dlogits):
    with as_current(logits):
        device, stream = device_of(_NAME, logits)
        arguments = library.TransducerBackward(
            *_sizes(logits), blank, fastemit_lambda,
            *addresses(_NAME, logits, *rows, nodes, dlosses, dlogits))
        with device.lock:
            library.check(library.library().mt_transducer_backward(
                device.handle, stream, TYPES[logits.dtype], ctypes.byref(arguments)))


class _TransducerLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, save, overwrite, blank, fastemit_lambda, logits, *rows):
        own = plain(logits, logits.dtype)
        save = save and ctx.needs_input_grad[4]
        losses, nodes = _forward(own, rows, blank, save)
        if save:
            ctx.save_for_backward(own, nodes, *rows)
        ctx.options = blank, fastemit_lambda, overwrite or own.data_ptr() != logits.data_ptr()
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dlosses):
        logits, nodes, *rows = ctx.saved_tensors
        blank, fastemit_lambda, overwrite = ctx.options
        dlogits = logits.detach() if overwrite else new_like(logits)
        _backward(logits, rows, blank, fastemit_lambda, nodes, plain(dlosses, logits.dtype),
                  dlogits)
        if overwrite:
            dlogits[:0].zero_()  # tells PyTorch that what it saved has changed
        return None, None, None, None, dlogits, None, None, None


def _numbers(name, tensor, shape, device):
    """The tensor as int32, for the library; what is beyond stays out of every range."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise ValueError(f"{_NAME}: {name} is not a dense tensor")
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(f"{_NAME}: {name} is of {tensor.dtype}, expected integers")
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{_NAME}: {name} {tuple(tensor.shape)}, expected {shape}")
    if tensor.device != device:
        raise ValueError(f"{_NAME}: {name} on {tensor.device}, logits on {device}")
    if tensor.dtype == torch.int64:
        tensor = tensor.clamp(_INT32.min, _INT32.max)
    return plain(tensor, torch.int32)


def _check(logits, blank, fastemit_lambda, reduction):
    if (not isinstance(logits, torch.Tensor) or logits.layout != torch.strided
            or not logits.is_floating_point()):
        raise ValueError(f"{_NAME}: logits is not a dense tensor of real numbers")
    if logits.dim() != 4:
        raise ValueError(f"{_NAME}: logits {tuple(logits.shape)}, expected (B, T, U + 1, V)")
    if isinstance(blank, bool) or not isinstance(blank, int) or not 0 <= blank < logits.shape[3]:
        raise ValueError(f"{_NAME}: blank {blank!r}, not in 0 .. {logits.shape[3] - 1}")
    if not 0 <= fastemit_lambda < float("inf"):
        raise ValueError(
            f"{_NAME}: fastemit_lambda {fastemit_lambda}, expected a number from 0 on")
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{_NAME}: reduction {reduction!r}, expected one of "
                         f"{', '.join(_REDUCTIONS)}")


def _check_rows(logits, rows, blank):
    """Looks at the numbers themselves, for which a GPU is waited for."""
    on_host = [tensor.cpu() if tensor.device.type == "cuda" else tensor for tensor in rows]
    try:
        library.check(library.library().mt_transducer_check(*_sizes(logits), blank,
                                                            *addresses(_NAME, *on_host)))
    except library.MixtapeError as error:
        raise ValueError(str(error)) from None


def transducer_loss(logits, labels, frames, label_lengths, blank=0, fastemit_lambda=0.0,
                    reduction="mean", *, overwrite_logits=False):
    """Minus the logarithm of the probability of each row's labels, summed over all alignments with
    its frames (Graves 2012).

    logits (B, T, U + 1, V), not normalised; labels (B, U) of integers; frames and label_lengths
    (B): how many of T and U a row has. What lies beyond is never read. `reduction` is "mean" over
    the batch, "sum", or "none" for losses (B). fastemit_lambda weighs the gradient, and not the
    loss, towards emitting labels early (FastEmit, Yu et al. 2021).

    CPU and CUDA tensors, float32 and float64; of half types, the loss is computed and returned in
    float32. The gradient flows to logits alone. With overwrite_logits it is written over them, for
    which nothing else may need their values by then; that saves as much memory as they take.
    """
    _check(logits, blank, fastemit_lambda, reduction)
    B, _, U, _ = _sizes(logits)
    rows = [_numbers("labels", labels, (B, U), logits.device),
            _numbers("frames", frames, (B,), logits.device),
            _numbers("label_lengths", label_lengths, (B,), logits.device)]
    wide = logits if logits.dtype in TYPES else logits.float()
    if B == 0:
        return _REDUCTIONS[reduction](wide.sum((1, 2, 3)))
    _check_rows(logits, rows, blank)
    losses = _TransducerLoss.apply(
        # forward itself cannot know it: what it saves is of use to backward alone
        torch.is_grad_enabled(),
        overwrite_logits or wide is not logits, blank, fastemit_lambda, wide, *rows)
    return _REDUCTIONS[reduction](losses)


# torch.compile leaves the call alone, as it does mixtape.wkv
if hasattr(torch, "compiler"):
    transducer_loss = torch.compiler.disable(transducer_loss)
