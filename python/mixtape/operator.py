"""The WKV operator for PyTorch tensors."""

import ctypes

import torch

from mixtape import library
from mixtape.tensors import TYPES, addresses, as_current, device_of, plain

EMPTY_MAX = -1e38


def _workspace(device, kind, k):
    """What the kernel needs while it runs: PyTorch's memory, which knows of streams and of CUDA
    graphs that are being captured."""
    size = library.library().mt_wkv_workspace_size(device.handle, kind, *k.shape)
    return torch.empty(size, dtype=torch.uint8, device=k.device) if size > 0 else None


def forward(w, u, k, v, state=None, state_out=None, y=None, save=False):
    """Runs the kernel on plain tensors of one type and device. Returns (y, saved), `saved` None
    unless asked for."""
    B, T, C = k.shape
    kind = TYPES[k.dtype]
    y = torch.empty_like(k) if y is None else y
    if B == 0 or C == 0:
        return y, None
    with as_current(k):
        device, stream = device_of("wkv", k)
        with device.lock:
            saved = None
            if save:
                size = library.library().mt_wkv_saved_size(device.handle, kind, B, T, C)
                saved = torch.empty(size, dtype=torch.uint8, device=k.device)
            workspace = _workspace(device, kind, k)
            arrays = (w, u, k, v, state, y, state_out, saved, workspace)
            arguments = library.WKVForward(B, T, C, *addresses("wkv", *arrays))
            library.check(library.library().mt_wkv_forward(device.handle, stream, kind,
                                                           ctypes.byref(arguments)))
    return y, saved


def backward(w, u, k, v, saved, dy, dstate_out, dw, du, dk, dv, dstate_in):
    """Runs the backward kernel; outputs that are None are not computed."""
    B, T, C = k.shape
    kind = TYPES[k.dtype]
    if B == 0 or C == 0:
        for total in (dw, du):
            if total is not None:
                total.zero_()
        return
    with as_current(k):
        device, stream = device_of("wkv", k)
        with device.lock:
            workspace = _workspace(device, kind, k)
            arrays = (w, u, k, v, saved, dy, dstate_out, dw, du, dk, dv, dstate_in, workspace)
            arguments = library.WKVBackward(B, T, C, *addresses("wkv", *arrays))
            library.check(library.library().mt_wkv_backward(device.handle, stream, kind,
                                                            ctypes.byref(arguments)))


class _WKV(torch.autograd.Function):
    @staticmethod
    def forward(ctx, save, w, u, k, v, num, den, largest):
        w, u, k, v = (plain(x, k.dtype) for x in (w, u, k, v))
        state = None if num is None else torch.stack((num, den, largest))
        state_out = torch.empty((3, k.shape[0], k.shape[2]), dtype=k.dtype, device=k.device)
        y, saved = forward(w, u, k, v, state, state_out, save=save and any(ctx.needs_input_grad))
        ctx.save_for_backward(w, u, k, v, saved)
        ctx.carried = state is not None
        # not views: they may be changed in place
        num, den, largest = (part.clone() for part in state_out)
        ctx.mark_non_differentiable(largest)
        return y, num, den, largest

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy, dnum, dden, _):
        w, u, k, v, saved = ctx.saved_tensors
        dstate_out = torch.stack((dnum, dden, torch.zeros_like(dnum)))
        dw, du, dk, dv = (torch.empty_like(x) if needed else None
                          for x, needed in zip((w, u, k, v), ctx.needs_input_grad[1:5]))
        dstate = torch.empty_like(dstate_out) if ctx.carried else None
        backward(w, u, k, v, saved, plain(dy, k.dtype), dstate_out, dw, du, dk, dv, dstate)
        num_den = dstate[:2] if ctx.carried else (None, None)
        return (None, dw, du, dk, dv, *num_den, None)


def _check(time_decay, time_first, key, value, state):
    if state is not None and not (isinstance(state, (tuple, list)) and len(state) == 3):
        raise ValueError("wkv: state is not (num, den, max)")
    parts = [(f"state[{i}]", tensor) for i, tensor in enumerate(state or ())]
    for name, tensor in [("time_decay", time_decay), ("time_first", time_first), ("key", key),
                         ("value", value), *parts]:
        if (not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided
                or not tensor.is_floating_point()):
            raise ValueError(f"wkv: {name} is not a dense tensor of real numbers")
    if key.dim() != 3 or key.shape != value.shape:
        raise ValueError(
            f"wkv: key {tuple(key.shape)} and value {tuple(value.shape)}: both must be (B, T, C)")
    B, _, C = key.shape
    for name, tensor, shape in [("time_decay", time_decay, (C,)), ("time_first", time_first, (C,)),
                                *((name, tensor, (B, C)) for name, tensor in parts)]:
        if tuple(tensor.shape) != shape:
            raise ValueError(f"wkv: {name} {tuple(tensor.shape)}, expected {shape}")
        if tensor.device != key.device:
            raise ValueError(f"wkv: {name} on {tensor.device}, key on {key.device}")
    if value.device != key.device:
        raise ValueError(f"wkv: value on {value.device}, key on {key.device}")


def wkv(time_decay, time_first, key, value, state=None):
    """RWKV's weighted key-value average over time, with w = -exp(time_decay) and u = time_first.

    time_decay, time_first (C); key, value (B, T, C); state None, or (num, den, max), (B, C) each,
    as an earlier call returned it. Returns (output (B, T, C), state). CPU and CUDA tensors, float32
    and float64; half types are computed in float32 and the output is of key's type. Gradients flow
    to everything but the state's max. On CUDA the work goes to the current stream, which may be
    capturing a graph once calls of the same type and direction have been made.
    """
    _check(time_decay, time_first, key, value, state)
    wide = torch.float64 if key.dtype == torch.float64 else torch.float32
    num, den, largest = (None, None, None) if state is None else (x.to(wide) for x in state)
    output, num, den, largest = _WKV.apply(
        # forward itself cannot know it: what it saves is of use to backward alone
        torch.is_grad_enabled(),
        -torch.exp(time_decay.to(wide)), time_first.to(wide), key.to(wide), value.to(wide),
        num, den, largest)
    return output.to(key.dtype), (num, den, largest)


# torch.compile leaves the call alone: else it would try each step and fail at each of the library's
if hasattr(torch, "compiler"):
    wkv = torch.compiler.disable(wkv)
