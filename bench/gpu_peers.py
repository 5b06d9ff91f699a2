#!/usr/bin/env python3
"""The peers on a GPU, measured beside `mixtape bench --device cuda --json`: ESPnet's WKV kernel,
built from its own source where it is given; flash-linear-attention's operator, where it is
installed; and the training step in PyTorch with ESPnet's kernel in place of the loop over time.

    gpu_peers.py MIXTAPE.json OUT.json [FOLDER with wkv_op.cpp and wkv_cuda.cu]
    gpu_peers.py --build FOLDER     compiles that kernel, which takes a minute, for a later call
    gpu_peers.py --table OUT.json

A peer that is not there, or computes something else than the recurrence, is a line that says so.
"""

import json
import math
import os
import statistics
import sys
import time

CONTEXT_SIZE = 1024  # ESPnet's own; the kernel has arrays of this length
EMPTY = -1e38  # the running exponent of an empty state


def time_on_device(torch, run, repeat=15):
    """Median seconds of one run, by events around several, as bench_time in train/command/bench.c:
    after 0.3 s of warming up, and so many at a time that they take 2 ms."""
    began, warmed = time.monotonic(), 0
    while warmed == 0 or time.monotonic() - began < 0.3:
        for _ in range(10):
            run()
        torch.cuda.synchronize()
        warmed += 10
    runs = max(10, math.ceil(2e-3 * warmed / (time.monotonic() - began)))
    times = []
    for _ in range(repeat):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(runs):
            run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / runs)
    return statistics.median(times)


def time_replayed(torch, run, stream):
    """The same, recorded as a graph, so that only the device's time counts; or None where what is
    run cannot be recorded."""
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            run()
        return time_on_device(torch, graph.replay)
    except Exception:
        torch.cuda.synchronize()
        return None


def inputs_of(torch, shape, device):
    """time_decay, time_first, key, value, and the gradient of what comes out."""
    B, T, C = shape
    torch.manual_seed(1)
    decay, first = torch.rand(C, device=device) - 1.0, torch.randn(C, device=device)
    return decay, first, *(torch.randn(B, T, C, device=device) for _ in range(3))


class Espnet:
    """ESPnet's kernel, as its operator calls it. It works on the default stream alone, so it cannot
    be recorded; it costs a launch, and two for the sums over the batch that follow backward."""

    def __init__(self, torch, folder):
        self.torch, self.kernel = torch, build_kernel(folder)

    def function(self):
        torch, kernel = self.torch, self.kernel

        class WKV(torch.autograd.Function):
            @staticmethod
            def forward(ctx, w, u, k, v):
                w, u, k, v = (x.contiguous() for x in (w, u, k, v))
                y = torch.empty_like(k)
                kernel.forward(w, u, k, v, y)
                ctx.save_for_backward(w, u, k, v, y)
                return y

            @staticmethod
            def backward(ctx, gy):
                w, u, k, v, y = ctx.saved_tensors
                gw, gu = (k.new_empty(k.shape[0], k.shape[2]) for _ in range(2))
                gk, gv = torch.empty_like(k), torch.empty_like(v)
                kernel.backward(w, u, k, v, y, gy.contiguous(), gw, gu, gk, gv)
                return gw.sum(0), gu.sum(0), gk, gv

        return WKV.apply

    def operator(self, decay, first, key, value):
        return self.function()(-self.torch.exp(decay), first, key, value)

    def can(self, shape):
        return shape[1] <= CONTEXT_SIZE

    def measure(self, shape):
        torch, kernel = self.torch, self.kernel
        decay, u, k, v, gy = inputs_of(torch, shape, "cuda")
        w = -torch.exp(decay)
        y, gk, gv = (torch.empty_like(k) for _ in range(3))
        gw, gu = (torch.empty(shape[0], shape[2], device="cuda") for _ in range(2))

        def backward():
            kernel.backward(w, u, k, v, y, gy, gw, gu, gk, gv)
            return gw.sum(0), gu.sum(0)

        return {"forward_s": time_on_device(torch, lambda: kernel.forward(w, u, k, v, y)),
                "backward_s": time_on_device(torch, backward)}


class FlashLinearAttention:
    """The operator of the package fla-core, through autograd, as it is used. It keeps the state of
    every step for backward, and takes time_decay itself."""

    def __init__(self, torch, _):
        from fla.ops.rwkv4 import fused_recurrent_rwkv4

        self.torch, self.fused = torch, fused_recurrent_rwkv4

    def operator(self, decay, first, key, value):
        B, _, C = key.shape
        state = key.new_zeros(B, 3, 1, C)
        state[:, 2] = EMPTY
        return self.fused(decay, first, key, value, state)[0]

    def can(self, shape):
        return True

    def measure(self, shape):
        """On a stream of its own, on which it can be recorded, so that only the device counts."""
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            *given, gy = inputs_of(torch, shape, "cuda")
            given = [x.requires_grad_() for x in given]
            y = self.operator(*given)

            def forward():
                return self.operator(*given)

            def backward():
                return torch.autograd.grad(y, given, gy, retain_graph=True)

            found = {}
            for name, run in {"forward": forward, "backward": backward}.items():
                found[f"{name}_autograd_s"] = time_on_device(torch, run)
                replayed = time_replayed(torch, run, stream)
                found[f"{name}_s"] = replayed or found[f"{name}_autograd_s"]
                found[f"{name}_replayed"] = replayed is not None
        return found


PEERS = {"espnet": Espnet, "flash-linear-attention": FlashLinearAttention}
NAMES = {"espnet": "ESPnet's kernel", "flash-linear-attention": "flash-linear-attention"}


def build_kernel(folder):
    """ESPnet's kernel. Once: its source registers a library, which a process can have once."""
    if folder is None:
        raise FileNotFoundError("no folder with its source was given")
    from torch.utils.cpp_extension import load

    flags = ["--maxrregcount", "60", "--use_fast_math", "-O3", "--extra-device-vectorization",
             f"-DTmax={CONTEXT_SIZE}"]
    sources = [os.path.join(folder, name) for name in ("wkv_op.cpp", "wkv_cuda.cu")]
    return load(name="espnet_wkv", sources=sources, extra_cuda_cflags=flags)


def check(torch, operator, device, shape=(2, 48, 64)):
    """Raises if the operator's output or gradients are not those of the loop over time."""
    import pytorch_peer

    def loop(decay, first, key, value):
        return pytorch_peer.wkv(-torch.exp(decay), first, key, value)

    *given, gy = inputs_of(torch, shape, "cpu")
    found = []
    for run, at in ((loop, "cpu"), (operator, device)):
        leaves = [x.to(at).requires_grad_() for x in given]
        y = run(*leaves)
        found.append([x.cpu() for x in (y, *torch.autograd.grad(y, leaves, gy.to(at)))])
    names = ["y", "d time_decay", "d time_first", "d key", "d value"]
    for name, right, other in zip(names, *found):
        off = float((other - right).norm() / right.norm())
        if not off < 1e-3:
            raise ValueError(f"computes something else: {name} is off by {off:.2g}")


def measure_step(torch, peer, row):
    import pytorch_peer

    pytorch_peer.SelfAttention.operator = staticmethod(peer.function())
    torch.manual_seed(1)
    model = pytorch_peer.Decoder(row["vocab"], row["size"], row["blocks"]).cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    labels = torch.randint(0, row["vocab"], (row["B"], row["T"]), device="cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        logits = model(labels).flatten(0, 1)
        torch.nn.functional.cross_entropy(logits, labels.flatten()).backward()
        optimizer.step()

    return time_on_device(torch, step)


def text_of(error):
    return f"{type(error).__name__}: {error}"[:500]


def write(result, out):
    with open(out + ".part", "w") as file:
        json.dump(result, file, indent=2)
    os.replace(out + ".part", out)


def open_peers(torch, folder, device="cuda"):
    """The peers that are there and right, by name, and of each other one what is wrong."""
    peers, errors = {}, {}
    for name, make in PEERS.items():
        try:
            peer = make(torch, folder)
            check(torch, peer.operator, device)
            peers[name] = peer
        except Exception as error:
            errors[name] = text_of(error)
    return peers, errors


def measure_row(torch, peers, row):
    """What each peer takes for one row of Mixtape's results."""
    found = {}
    for name, peer in peers.items():
        try:
            if row["what"] == "wkv" and peer.can(row["shape"]):
                found[name] = peer.measure(row["shape"])
            elif row["what"] == "step" and hasattr(peer, "function"):
                found[name] = {"step_s": measure_step(torch, peer, row)}
        except Exception as error:
            found[name] = {"error": text_of(error)}
    return found


def measure(mixtape, out, folder):
    import torch

    with open(mixtape) as file:
        ours = json.load(file)
    result = {"device": torch.cuda.get_device_name(), "pytorch": torch.__version__,
              "cuda": torch.version.cuda, "mixtape": ours, "errors": {}, "peers": []}
    write(result, out)
    peers, result["errors"] = open_peers(torch, folder)
    for row in ours["results"]:
        result["peers"].append(measure_row(torch, peers, row))
        write(result, out)


def describe_wkv(row):
    line = f"wkv {tuple(row['shape'])}:"
    for part in ("forward", "backward"):
        share = 100 * row[f"{part}_gb_per_s"] / row["copy_gb_per_s"]
        line += f" {part} {1e3 * row[f'{part}_s']:.3f} ms, {row[f'{part}_gb_per_s']:.0f} GB/s"
        line += f" = {share:.0f} % of copy;"
    return line


def describe_step(row):
    sizes = "B{B} T{T} vocab {vocab} size {size} blocks {blocks}".format(**row)
    return (f"step {sizes}: {1e3 * row['step_s']:.3f} ms,"
            f" replayed {1e3 * row['replayed_s']:.3f} ms;")


def describe_peer(name, peer, row):
    if "error" in peer:
        return f"{NAMES[name]}: {peer['error']}"
    if "step_s" in peer:
        return f"PyTorch with {NAMES[name]} takes {peer['step_s'] / row['replayed_s']:.1f} x"
    each = [peer[part] / row[part] for part in ("forward_s", "backward_s")]
    both = (peer["forward_s"] + peer["backward_s"]) / (row["forward_s"] + row["backward_s"])
    return f"{NAMES[name]} takes {both:.1f} x (forward {each[0]:.1f}, backward {each[1]:.1f})"


def table(path):
    with open(path) as file:
        result = json.load(file)
    print(f"{result['device']}, PyTorch {result['pytorch']}")
    for name, error in result["errors"].items():
        print(f"{NAMES[name]} is not measured: {error}")
    for row, peers in zip(result["mixtape"]["results"], result["peers"]):
        line = {"wkv": describe_wkv, "step": describe_step}[row["what"]](row)
        print(line, "; ".join(describe_peer(name, peer, row) for name, peer in peers.items()))


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--table":
        table(sys.argv[2])
    elif len(sys.argv) == 3 and sys.argv[1] == "--build":
        build_kernel(sys.argv[2])
    elif len(sys.argv) in (3, 4):
        measure(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else None)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
