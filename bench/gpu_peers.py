#!/usr/bin/env python3
"""The peers on a GPU, measured beside `mixtape bench --device cuda --json`: ESPnet's WKV kernel, built from its own source
where it is given, and the training step in PyTorch with that kernel in place of the loop over time.

    gpu_peers.py MIXTAPE.json OUT.json [FOLDER with wkv_op.cpp and wkv_cuda.cu]
    gpu_peers.py --build FOLDER     compiles that kernel, which takes a minute, for a later call
    gpu_peers.py --table OUT.json
"""

import json
import math
import os
import statistics
import sys
import time


def time_on_device(torch, run, repeat=15):
    """Median seconds of one run, by events around several, as bench_time in train/bench.c: after 0.3 s of warming up, and so many
    at a time that they take 2 ms."""
    began, warmed = time.monotonic(), 0
    while warmed == 0 or time.monotonic() - began < 0.3:
        for _ in range(10):
            run()
        torch.cuda.synchronize()
        warmed += 10
    runs = max(10, math.ceil(2e-3 * warmed / (time.monotonic() - began)))
    times = []
    for _ in range(repeat):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(runs):
            run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / runs)
    return statistics.median(times)


CONTEXT_SIZE = 1024  # ESPnet's own; the kernel has arrays of this length


def build_kernel(folder):
    """ESPnet's kernel. Once: its source registers a library, which a process can have once."""
    from torch.utils.cpp_extension import load

    flags = ["--maxrregcount", "60", "--use_fast_math", "-O3", "--extra-device-vectorization", f"-DTmax={CONTEXT_SIZE}"]
    return load(name="espnet_wkv", sources=[os.path.join(folder, name) for name in ("wkv_op.cpp", "wkv_cuda.cu")],
                extra_cuda_cflags=flags)


def wkv_function(torch, kernel):
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
            gw, gu = (torch.empty(k.shape[0], k.shape[2], device=k.device) for _ in range(2))
            gk, gv = torch.empty_like(k), torch.empty_like(v)
            kernel.backward(w, u, k, v, y, gy.contiguous(), gw, gu, gk, gv)
            return gw.sum(0), gu.sum(0), gk, gv

    return WKV.apply


def measure_wkv(torch, kernel, shape):
    B, T, C = shape
    w, u = -torch.exp(torch.rand(C, device="cuda") - 1.0), torch.randn(C, device="cuda")
    k, v, gy = (torch.randn(B, T, C, device="cuda") for _ in range(3))
    y, gk, gv = torch.empty_like(k), torch.empty_like(k), torch.empty_like(k)
    gw, gu = torch.empty(B, C, device="cuda"), torch.empty(B, C, device="cuda")
    forward = time_on_device(torch, lambda: kernel.forward(w, u, k, v, y))
    backward = time_on_device(torch, lambda: kernel.backward(w, u, k, v, y, gy, gw, gu, gk, gv))
    return {"forward_s": forward, "backward_s": backward}


def measure_step(torch, kernel, row):
    import pytorch_peer

    pytorch_peer.SelfAttention.operator = staticmethod(wkv_function(torch, kernel))
    torch.manual_seed(1)
    model = pytorch_peer.Decoder(row["vocab"], row["size"], row["blocks"]).cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    labels = torch.randint(0, row["vocab"], (row["B"], row["T"]), device="cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(labels).flatten(0, 1), labels.flatten()).backward()
        optimizer.step()

    return time_on_device(torch, step)


def text_of(error):
    return f"{type(error).__name__}: {error}"[:500]


def write(result, out):
    with open(out + ".part", "w") as file:
        json.dump(result, file, indent=2)
    os.replace(out + ".part", out)


def measure(mixtape, out, folder):
    import torch

    with open(mixtape) as file:
        ours = json.load(file)
    result = {"device": torch.cuda.get_device_name(), "pytorch": torch.__version__, "cuda": torch.version.cuda, "mixtape": ours, "peers": []}
    kernel = None
    write(result, out)
    try:
        kernel = build_kernel(folder) if folder else None
    except Exception as error:  # a peer that cannot be built or run is a line of the result, not the end of it
        result["error"] = text_of(error)
    for row in ours["results"]:
        peer = {}
        try:
            if kernel and row["what"] == "wkv" and row["shape"][1] <= CONTEXT_SIZE:
                peer = measure_wkv(torch, kernel, row["shape"])
            elif kernel and row["what"] == "step":
                peer = {"step_s": measure_step(torch, kernel, row)}
        except Exception as error:
            peer = {"error": text_of(error)}
        result["peers"].append(peer)
        write(result, out)


def table(path):
    with open(path) as file:
        result = json.load(file)
    print(result["device"], result.get("error", ""))
    for row, peer in zip(result["mixtape"]["results"], result["peers"]):
        if row["what"] == "wkv":
            line = "wkv {}: forward {:.3f} ms, {:.0f} GB/s = {:.0f} % of copy; backward {:.3f} ms, {:.0f} GB/s = {:.0f} %".format(
                tuple(row["shape"]), 1e3 * row["forward_s"], row["forward_gb_per_s"],
                100 * row["forward_gb_per_s"] / row["copy_gb_per_s"], 1e3 * row["backward_s"], row["backward_gb_per_s"],
                100 * row["backward_gb_per_s"] / row["copy_gb_per_s"])
            if "forward_s" in peer:
                both = row["forward_s"] + row["backward_s"]
                line += "; ESPnet's kernel takes {:.1f} x".format((peer["forward_s"] + peer["backward_s"]) / both)
        else:
            line = "step B{B} T{T} vocab {vocab} size {size} blocks {blocks}: {ms:.3f} ms, replayed {graph:.3f} ms".format(
                ms=1e3 * row["step_s"], graph=1e3 * row["replayed_s"], **row)
            if "step_s" in peer:
                line += "; PyTorch with ESPnet's kernel takes {:.1f} x".format(peer["step_s"] / row["replayed_s"])
        print(line + ("; " + peer["error"] if "error" in peer else ""))


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
