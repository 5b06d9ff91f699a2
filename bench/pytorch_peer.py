#!/usr/bin/python3
"""The same work in PyTorch: the WKV recurrence as a loop over time, and a training step of the
decoder on top of it. This is what runs where RWKV's CUDA kernel cannot. As a command it measures
what it is asked for, and prints the seconds as JSON:

    bench/pytorch_peer.py THREADS REPEAT WHAT...

WHAT is `wkv`, or the number of a step, with a way to make it behind a comma (0, 0,bf16, ...). Of
each, REPEAT runs are measured after one that is not, and the median counts.
"""

import contextlib
import functools
import json
import math
import re
import sys
import time

import torch

# batch, length, vocabulary, size, blocks
STEPS = [(32, 64, 500, 256, 4), (32, 128, 64, 64, 2), (12, 64, 65, 128, 4), (32, 64, 500, 768, 4)]


def wkv(w, u, k, v, indexed=False):
    """(B, T, C), by the stabilised recurrence, one step of time after another. `indexed` takes
    steps as k[:, t] and writes them to output[:, t], as transformers does: backward then fills or
    copies a whole (B, T, C) for every t. Otherwise steps are taken by unbind and put together by
    stack."""
    batch, _, channels = k.shape
    num = den = torch.zeros(batch, channels)
    largest = torch.full((batch, channels), -1e38)
    outputs, output = [], torch.zeros_like(k) if indexed else None
    by_index = ((k[:, t], v[:, t]) for t in range(k.shape[1]))
    steps = by_index if indexed else zip(k.unbind(1), v.unbind(1))
    for t, (key, value) in enumerate(steps):
        first = u + key
        lead = torch.maximum(largest, first)
        of_state, of_first = torch.exp(largest - lead), torch.exp(first - lead)
        y = (of_state * num + of_first * value) / (of_state * den + of_first)
        if indexed:
            output[:, t] = y
        else:
            outputs.append(y)
        decayed = largest + w
        lead = torch.maximum(decayed, key)
        of_state, of_key = torch.exp(decayed - lead), torch.exp(key - lead)
        num, den, largest = of_state * num + of_key * value, of_state * den + of_key, lead
    return output if indexed else torch.stack(outputs, dim=1)


def shifted(x):
    return torch.nn.functional.pad(x, (0, 0, 1, -1))


class SelfAttention(torch.nn.Module):
    operator = staticmethod(wkv)

    def __init__(self, size):
        super().__init__()
        self.time_decay = torch.nn.Parameter(torch.linspace(-5.0, 3.0, size))
        self.time_first = torch.nn.Parameter(torch.full((size,), math.log(0.3)))
        self.mixes = torch.nn.ParameterList(
            torch.nn.Parameter(torch.rand(1, 1, size)) for _ in range(3))
        self.key, self.value, self.receptance, self.output = (torch.nn.Linear(size, size)
                                                              for _ in range(4))

    def forward(self, x):
        before = shifted(x)
        mixed = [x * mix + before * (1.0 - mix) for mix in self.mixes]
        attended = self.operator(-torch.exp(self.time_decay), self.time_first, self.key(mixed[0]),
                                 self.value(mixed[1]))
        return self.output(torch.sigmoid(self.receptance(mixed[2])) * attended)


class FeedForward(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.mixes = torch.nn.ParameterList(
            torch.nn.Parameter(torch.rand(1, 1, size)) for _ in range(2))
        self.key, self.value = torch.nn.Linear(size, 4 * size), torch.nn.Linear(4 * size, size)
        self.receptance = torch.nn.Linear(size, size)

    def forward(self, x):
        before = shifted(x)
        mixed = [x * mix + before * (1.0 - mix) for mix in self.mixes]
        hidden = torch.relu(self.key(mixed[0])) ** 2
        return torch.sigmoid(self.receptance(mixed[1])) * self.value(hidden)


class Decoder(torch.nn.Module):
    def __init__(self, vocabulary, size, blocks):
        super().__init__()
        norm = lambda: torch.nn.LayerNorm(size, eps=1e-12)
        self.embed = torch.nn.Embedding(vocabulary, size)
        self.embed_norm, self.final_norm = norm(), norm()
        self.blocks = torch.nn.ModuleList(
            torch.nn.ModuleList([norm(), SelfAttention(size), norm(), FeedForward(size)])
            for _ in range(blocks))
        self.head = torch.nn.Linear(size, vocabulary)

    def forward(self, labels):
        x = self.embed_norm(self.embed(labels))
        for norm_att, att, norm_ffn, ffn in self.blocks:
            x = x + att(norm_att(x))
            x = x + ffn(norm_ffn(x))
        return self.head(self.final_norm(x))


def median_time(run, repeat):
    run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)[repeat // 2]


def time_wkv(batch, length, channels, repeat):
    """Seconds of forward alone, and of forward and backward."""
    generator = torch.Generator().manual_seed(1)
    w = -torch.rand(channels, generator=generator) - 0.1
    u = torch.randn(channels, generator=generator)
    k, v, g = (torch.randn(batch, length, channels, generator=generator) for _ in range(3))

    def forward():
        with torch.no_grad():
            wkv(w, u, k, v)

    def both():
        leaves = [tensor.clone().requires_grad_() for tensor in (w, u, k, v)]
        wkv(*leaves).backward(g)

    return median_time(forward, repeat), median_time(both, repeat)


def make_adam(parameters):
    try:
        return torch.optim.Adam(parameters, lr=1e-3, fused=True)
    except (RuntimeError, TypeError):  # before PyTorch 2.4
        return torch.optim.Adam(parameters, lr=1e-3)


def half():
    return torch.autocast("cpu", torch.bfloat16)


def time_step(batch, length, vocabulary, size, blocks, repeat, *, operator=wkv,
              precision=contextlib.nullcontext, compiled=False):
    """Seconds of one training step: forward, backward, clipping, Adam."""
    SelfAttention.operator = staticmethod(operator)
    torch.manual_seed(1)
    model = Decoder(vocabulary, size, blocks)
    adam = make_adam(list(model.parameters()))
    labels = torch.randint(vocabulary, (batch, length))

    def loss():
        with precision():
            logits = model(labels)
            return torch.nn.functional.cross_entropy(logits.reshape(-1, vocabulary),
                                                     labels.reshape(-1))

    loss = torch.compile(loss) if compiled else loss

    def step():
        adam.zero_grad()
        loss().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        adam.step()

    return median_time(step, repeat)


# Ways to make a step, by the name behind its number.
WAYS = {
    "": {},
    "indexed": {"operator": functools.partial(wkv, indexed=True)},
    "bf16": {"precision": half},
    "compiled": {"compiled": True},
    "compiled bf16": {"precision": half, "compiled": True},
}


def name_of(shape, way):
    return " ".join(["step", "x".join(map(str, shape)), way]).rstrip()


def blas_library():
    """The BLAS that PyTorch has in it, or the file of the one that it runs on, with its folder."""
    if "BLAS_INFO=mkl" in torch.__config__.show():
        return "mkl"
    with open("/proc/self/maps") as file:
        found = re.findall(r"/\S*?([^/\s]+/[^/\s]*(?:blas|mkl)[^/\s]*\.so\S*)", file.read())
    return found[0] if found else ""


def main():
    threads, repeat = map(int, sys.argv[1:3])
    torch.set_num_threads(threads)
    found = {}
    for what in sys.argv[3:]:
        if what == "wkv":
            forward, both = time_wkv(8, 1024, 512, repeat)
            found |= {"wkv 8x1024x512 forward": forward, "wkv 8x1024x512 both": both}
        else:
            number, _, way = what.partition(",")
            shape = STEPS[int(number)]
            found[name_of(shape, way)] = time_step(*shape, repeat, **WAYS[way])
    print(json.dumps({"pytorch": torch.__version__, "blas": blas_library(), "seconds": found}))


if __name__ == "__main__":
    main()
