"""The WKV operator for PyTorch tensors."""

import ctypes

import torch

from mixtape import library, registration
from mixtape.tensors import (TYPES, addresses, as_current, check_real, check_type, device_of, plain,
                             wide_of)

EMPTY_MAX = -1e38
# What k, v, y and their gradients may be in.
STORED = {**TYPES, torch.bfloat16: library.BF16, torch.float16: library.F16}


def _saved(k, save):
    """Room for what backward needs of forward. mt_wkv_saved_size would ask a device, and want sizes
    that are numbers, which those of compiled programs may not be."""
    B, T, C = k.shape
    steps = 16 if k.dtype == torch.float64 else 32
    shape = ((T + steps - 1) // steps + 1, 3, B, C) if save else 0
    return k.new_empty(shape, dtype=wide_of(k.dtype))


def _saved_size(device, k):
    return library.library().mt_wkv_saved_size(device.handle, STORED[k.dtype], *k.shape)


def _workspace(device, k):
    """What the kernel needs while it runs: PyTorch's memory, which knows of streams and of CUDA
    graphs that are being captured."""
    size = library.library().mt_wkv_workspace_size(device.handle, STORED[k.dtype], *k.shape)
    return torch.empty(size, dtype=torch.uint8, device=k.device) if size > 0 else None


def _carry(state, state_out):
    """No time passes: the state stays, or is that before all time."""
    if state is not None:
        state_out.copy_(state)
    else:
        state_out.zero_()
        state_out[2].fill_(EMPTY_MAX)


def _carry_back(dstate_out, dstate_in):
    if dstate_out is None:
        dstate_in.zero_()
    else:
        dstate_in.copy_(dstate_out)


def forward(w, u, k, v, state=None, state_out=None, y=None, save=False):
    """Runs the kernel on plain tensors of one device, k, v and y of one type and the others of
    wide_of it. Returns (y, saved), `saved` without elements unless asked for."""
    B, T, C = k.shape
    y = torch.empty_like(k) if y is None else y
    saved = _saved(k, save)
    if k.numel() == 0:
        if state_out is not None and T == 0:
            _carry(state, state_out)
        return y, saved
    with as_current(k):
        device, stream = device_of("wkv", k)
        with device.lock:
            if save and saved.nelement() * saved.element_size() < _saved_size(device, k):
                raise library.MixtapeError(f"wkv: {tuple(saved.shape)} is too small for what this "
                                           "build of the library saves")
            arrays = (w, u, k, v, state, y, state_out, saved if save else None,
                      _workspace(device, k))
            arguments = library.WKVForward(B, T, C, *addresses("wkv", *arrays))
            library.check(library.library().mt_wkv_forward(device.handle, stream, STORED[k.dtype],
                                                           ctypes.byref(arguments)))
    return y, saved


def backward(w, u, k, v, saved, dy, dstate_out, dw, du, dk, dv, dstate_in):
    """Runs the backward kernel; outputs that are None are not computed."""
    B, T, C = k.shape
    if k.numel() == 0:
        for total in (dw, du):
            if total is not None:
                total.zero_()
        if dstate_in is not None:
            _carry_back(dstate_out, dstate_in)
        return
    with as_current(k):
        device, stream = device_of("wkv", k)
        with device.lock:
            arrays = (w, u, k, v, saved, dy, dstate_out, dw, du, dk, dv, dstate_in,
                      _workspace(device, k))
            arguments = library.WKVBackward(B, T, C, *addresses("wkv", *arrays))
            library.check(library.library().mt_wkv_backward(device.handle, stream, STORED[k.dtype],
                                                            ctypes.byref(arguments)))


def _states(k):
    return k.new_empty((3, k.shape[0], k.shape[2]), dtype=wide_of(k.dtype))


def _forward_kernel(w, u, k, v, state, save):
    check_type("wkv", "k", k, STORED)
    wide = wide_of(k.dtype)
    w, u, k, v = plain(w, wide), plain(u, wide), plain(k, k.dtype), plain(v, k.dtype)
    state = None if state is None else plain(state, wide)
    state_out = _states(k)
    y, saved = forward(w, u, k, v, state, state_out, save=save)
    return y, state_out, saved


def _forward_shapes(w, u, k, v, state, save):
    check_type("wkv", "k", k, STORED)
    return k.new_empty(k.shape), _states(k), _saved(k, save)


def _gradients(w, u, k, v, wanted):
    """Tensors for the gradients of w, u, k, v and the state; those not wanted have no elements."""
    wide = wide_of(k.dtype)
    kinds = ((w.shape, wide), (u.shape, wide), (k.shape, k.dtype), (v.shape, k.dtype),
             ((3, k.shape[0], k.shape[2]), wide))
    return tuple(k.new_empty(shape if one else 0, dtype=dtype)
                 for (shape, dtype), one in zip(kinds, wanted))


def _backward_kernel(w, u, k, v, state, saved, dy, dstate, wanted):
    check_type("wkv", "k", k, STORED)
    wide = wide_of(k.dtype)
    w, u, saved = (plain(x, wide) for x in (w, u, saved))
    k, v = plain(k, k.dtype), plain(v, k.dtype)
    dy = None if dy is None else plain(dy, k.dtype)
    state, dstate = (None if x is None else plain(x, wide) for x in (state, dstate))
    if saved.numel() == 0:  # transforms of functions hide from wkv that gradients will be wanted
        _, saved = forward(w, u, k, v, state, save=True)
    gradients = _gradients(w, u, k, v, wanted)
    backward(w, u, k, v, saved, dy, dstate,
             *(x if one else None for x, one in zip(gradients, wanted)))
    return gradients


def _backward_shapes(w, u, k, v, state, saved, dy, dstate, wanted):
    check_type("wkv", "k", k, STORED)
    return _gradients(w, u, k, v, wanted)


_backward = registration.differentiated_once(
    registration.define(
        "wkv_backward(Tensor w, Tensor u, Tensor k, Tensor v, Tensor? state, Tensor saved, "
        "Tensor? dy, Tensor? dstate, bool[5] wanted) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
        _backward_kernel, _backward_shapes))


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:5], output[2])
    ctx.mark_non_differentiable(output[2])
    registration.leave_out_gradients(ctx)


def _through(ctx, dy, dstate, _):
    wanted = list(ctx.needs_input_grad[:5])
    gradients = _backward(*ctx.saved_tensors, dy, dstate, wanted)
    return (*(x if one else None for x, one in zip(gradients, wanted)), None)


_forward = registration.with_gradients(
    registration.define(
        "wkv_forward(Tensor w, Tensor u, Tensor k, Tensor v, Tensor? state, bool save) -> "
        "(Tensor, Tensor, Tensor)", _forward_kernel, _forward_shapes), _setup_context, _through)


def _check(time_decay, time_first, key, value, state):
    if state is not None and not (isinstance(state, (tuple, list)) and len(state) == 3):
        raise ValueError("wkv: state is not (num, den, max)")
    parts = [(f"state[{i}]", tensor) for i, tensor in enumerate(state or ())]
    for name, tensor in [("time_decay", time_decay), ("time_first", time_first), ("key", key),
                         ("value", value), *parts]:
        check_real("wkv", name, tensor)
    if key.dim() != 3 or key.shape != value.shape:
        raise ValueError(
            f"wkv: key {tuple(key.shape)} and value {tuple(value.shape)}: both must be (B, T, C)")
    if key.device.type not in ("cpu", "cuda", "meta"):
        raise ValueError(f"wkv: tensors on {key.device}: there are kernels for cpu and cuda")
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
    and float64; half types are computed in float32 and the output is of key's type. The kernels
    read and write float16 and bfloat16 as they are, where key and value are of the same type.
    Gradients flow to everything but the state's max. On CUDA the work goes to the current stream,
    which may be capturing a graph once calls of the same type and direction have been made.
    """
    _check(time_decay, time_first, key, value, state)
    wide = wide_of(key.dtype)
    stored = key.dtype if key.dtype == value.dtype and key.dtype in STORED else wide
    if state is not None:
        num, den, largest = (x.to(wide) for x in state)
        state = torch.stack((num, den, largest.detach()))
    inputs = (-torch.exp(time_decay.to(wide)), time_first.to(wide), key.to(stored),
              value.to(stored), state)
    save = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    output, state, _ = _forward(*inputs, save)
    num, den, largest = (part.clone() for part in state)  # not views: they may be changed in place
    return output.to(key.dtype), (num, den, largest.detach())
