"""The transducer loss for PyTorch tensors."""

import ctypes
import math
import operator

import torch

from mixtape import library, registration
from mixtape.tensors import (TYPES, addresses, as_current, check_dense, check_real, check_type,
                             device_of, new_like, plain)

_NAME = "transducer_loss"
_NODE = 2  # doubles that the library works with for a node
_INT32_MIN, _INT32_MAX = -2**31, 2**31 - 1
_REDUCTIONS = {"none": lambda losses: losses, "mean": torch.mean, "sum": torch.sum}


def _sizes(logits):
    B, T, positions, V = logits.shape
    return B, T, positions - 1, V


def _check_rows(logits, rows, blank):
    """Looks at the numbers themselves, for which a GPU is waited for."""
    on_host = [tensor.cpu() for tensor in rows]
    try:
        library.check(library.library().mt_transducer_check(*_sizes(logits), blank,
                                                            *addresses(_NAME, *on_host)))
    except library.MixtapeError as error:
        raise ValueError(str(error)) from None


def _call(function, arguments, logits):
    device, stream = device_of(_NAME, logits)
    with device.lock:
        library.check(function(device.handle, stream, TYPES[logits.dtype],
                               ctypes.byref(arguments)))


def _forward_shapes(logits, labels, frames, label_lengths, blank, fastemit_lambda, overwrite, save):
    check_type(_NAME, "logits", logits, TYPES)
    sums = (2, *logits.shape[:3]) if save else 0  # betas and alphas, for backward
    return logits.new_empty(logits.shape[0]), logits.new_empty(sums, dtype=torch.float64)


def _forward_kernel(logits, *rest):
    *rows, blank, _, _, save = rest
    logits, rows = plain(logits, logits.dtype), [plain(x, torch.int32) for x in rows]
    losses, sums = _forward_shapes(logits, *rest)
    if len(logits) == 0:
        return losses, sums
    _check_rows(logits, rows, blank)
    nodes = sums.new_empty(*logits.shape[:3], _NODE)
    betas, alphas = sums if save else (sums.new_empty(logits.shape[:3]), None)
    with as_current(logits):
        arguments = library.TransducerForward(
            *_sizes(logits), blank, *addresses(_NAME, logits, *rows, losses, betas, alphas, nodes))
        _call(library.library().mt_transducer_forward, arguments, logits)
    return losses, sums


def _write_gradient(logits, rows, sums, dlosses, blank, fastemit_lambda, dlogits):
    with as_current(logits):
        arguments = library.TransducerBackward(
            *_sizes(logits), blank, fastemit_lambda,
            *addresses(_NAME, logits, *rows, *sums, dlosses, dlogits))
        _call(library.library().mt_transducer_backward, arguments, logits)


def _backward_kernel(logits, *rest):
    *rows, sums, dlosses, blank, fastemit_lambda = rest
    check_type(_NAME, "logits", logits, TYPES)
    logits, sums, dlosses = (plain(x, x.dtype) for x in (logits, sums, dlosses))
    rows = [plain(x, torch.int32) for x in rows]
    dlogits = new_like(logits)
    if len(logits) == 0:
        return dlogits
    if sums.numel() == 0:  # transforms of functions hide that gradients will be wanted
        _, sums = _forward_kernel(logits, *rows, blank, 0.0, False, True)
    _write_gradient(logits, rows, sums, dlosses, blank, fastemit_lambda, dlogits)
    return dlogits


def _backward_shapes(logits, *_):
    check_type(_NAME, "logits", logits, TYPES)
    return logits.new_empty(logits.shape)


_backward = registration.differentiated_once(
    registration.define(
        "transducer_backward(Tensor logits, Tensor labels, Tensor frames, Tensor label_lengths, "
        "Tensor sums, Tensor dlosses, int blank, float fastemit_lambda) -> Tensor",
        _backward_kernel, _backward_shapes))


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:4], output[1])
    ctx.options = inputs[4:7]
    ctx.mark_non_differentiable(output[1])
    registration.leave_out_gradients(ctx)


def _overwrite(logits, rows, sums, dlosses, blank, fastemit_lambda):
    dlogits = logits.detach()
    _write_gradient(logits, rows, sums, plain(dlosses, logits.dtype), blank, fastemit_lambda,
                    dlogits)
    dlogits[:0].zero_()  # tells PyTorch that what it saved has changed
    return dlogits


def _through(ctx, dlosses, _):
    if dlosses is None:
        return (None,) * 8
    logits, *rows, sums = ctx.saved_tensors
    blank, fastemit_lambda, overwrite = ctx.options
    # PyTorch sees nothing of overwriting, which create_graph=True would take for a constant.
    unseen = overwrite and not torch.is_grad_enabled()
    whole = unseen and sums.numel() > 0 and logits.is_contiguous()
    function = _overwrite if whole else lambda *given: _backward(given[0], *given[1], *given[2:])
    return (function(logits, rows, sums, dlosses, blank, fastemit_lambda), *(None,) * 7)


_forward = registration.with_gradients(
    registration.define(
        "transducer_forward(Tensor logits, Tensor labels, Tensor frames, Tensor label_lengths, "
        "int blank, float fastemit_lambda, bool overwrite, bool save) -> (Tensor, Tensor)",
        _forward_kernel, _forward_shapes), _setup_context, _through)


def _numbers(name, tensor, shape, device):
    """The tensor as int32, for the library; what is beyond stays out of every range."""
    check_dense(_NAME, name, tensor)
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(f"{_NAME}: {name} is of {tensor.dtype}, expected integers")
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{_NAME}: {name} {tuple(tensor.shape)}, expected {shape}")
    if tensor.device != device:
        raise ValueError(f"{_NAME}: {name} on {tensor.device}, logits on {device}")
    if tensor.dtype == torch.int64:
        tensor = tensor.clamp(_INT32_MIN, _INT32_MAX)
    return plain(tensor, torch.int32)


def _check_logits(logits):
    check_real(_NAME, "logits", logits)
    if logits.dim() != 4 or 0 in logits.shape[1:]:
        raise ValueError(f"{_NAME}: logits {tuple(logits.shape)}, expected (B, T, U + 1, V), the "
                         "last three from 1 on")


def _blank(blank, V):
    """Its number, of Python's integers or others, as NumPy's."""
    try:
        number = -1 if isinstance(blank, bool) else operator.index(blank)
    except TypeError:
        number = -1
    if not 0 <= number < V:
        raise ValueError(f"{_NAME}: blank {blank!r}, not in 0 .. {V - 1}")
    return number


def _weight(fastemit_lambda):
    try:
        weight = float(fastemit_lambda)
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise ValueError(
            f"{_NAME}: fastemit_lambda {fastemit_lambda!r}, expected a number from 0 on")
    return weight


def _reduction(name):
    if name not in tuple(_REDUCTIONS):
        raise ValueError(f"{_NAME}: reduction {name!r}, expected one of {', '.join(_REDUCTIONS)}")
    return _REDUCTIONS[name]


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
    which nothing else may need their values by then; that saves as much memory as they take. In
    compiled programs it has no effect.
    """
    _check_logits(logits)
    B, _, U, V = _sizes(logits)
    blank, weight, reduce = _blank(blank, V), _weight(fastemit_lambda), _reduction(reduction)
    rows = [_numbers("labels", labels, (B, U), logits.device),
            _numbers("frames", frames, (B,), logits.device),
            _numbers("label_lengths", label_lengths, (B,), logits.device)]
    wide = logits if logits.dtype in TYPES else logits.float()
    # In a graph nothing is known of who else needs the values.
    overwrite = overwrite_logits and not registration.in_graph()
    save = torch.is_grad_enabled() and wide.requires_grad
    losses, _ = _forward(wide, *rows, blank, weight, overwrite, save)
    return reduce(losses)
