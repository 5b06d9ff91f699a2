"""The same work in PyTorch: the WKV recurrence as a loop over time, and a training step of the decoder on top of it. This is
what runs where RWKV's CUDA kernel cannot."""

import math
import time

import torch


def wkv(w, u, k, v, indexed=False):
    """(B, T, C), by the stabilised recurrence, one step of time after another."""
    batch, _, channels = k.shape
    num = den = torch.zeros(batch, channels)
    largest = torch.full((batch, channels), -1e38)
    outputs = []
    # k[:, t], as transformers has it, fills a whole (B, T, C) in backward for every t; unbind does not.
    steps = ((k[:, t], v[:, t]) for t in range(k.shape[1])) if indexed else zip(k.unbind(1), v.unbind(1))
    for key, value in steps:
        first = u + key
        lead = torch.maximum(largest, first)
        of_state, of_first = torch.exp(largest - lead), torch.exp(first - lead)
        outputs.append((of_state * num + of_first * value) / (of_state * den + of_first))
        decayed = largest + w
        lead = torch.maximum(decayed, key)
        of_state, of_key = torch.exp(decayed - lead), torch.exp(key - lead)
        num, den, largest = of_state * num + of_key * value, of_state * den + of_key, lead
    return torch.stack(outputs, dim=1)


def shifted(x):
    return torch.nn.functional.pad(x, (0, 0, 1, -1))


class SelfAttention(torch.nn.Module):
    operator = staticmethod(wkv)

    def __init__(self, size):
        super().__init__()
        self.time_decay = torch.nn.Parameter(torch.linspace(-5.0, 3.0, size))
        self.time_first = torch.nn.Parameter(torch.full((size,), math.log(0.3)))
        self.mixes = torch.nn.ParameterList(torch.nn.Parameter(torch.rand(1, 1, size)) for _ in range(3))
        self.key, self.value, self.receptance, self.output = (torch.nn.Linear(size, size) for _ in range(4))

    def forward(self, x):
        before = shifted(x)
        mixed = [x * mix + before * (1.0 - mix) for mix in self.mixes]
        attended = self.operator(-torch.exp(self.time_decay), self.time_first, self.key(mixed[0]), self.value(mixed[1]))
        return self.output(torch.sigmoid(self.receptance(mixed[2])) * attended)


class FeedForward(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.mixes = torch.nn.ParameterList(torch.nn.Parameter(torch.rand(1, 1, size)) for _ in range(2))
        self.key, self.value = torch.nn.Linear(size, 4 * size), torch.nn.Linear(4 * size, size)
        self.receptance = torch.nn.Linear(size, size)

    def forward(self, x):
        before = shifted(x)
        mixed = [x * mix + before * (1.0 - mix) for mix in self.mixes]
        return torch.sigmoid(self.receptance(mixed[1])) * self.value(torch.relu(self.key(mixed[0])) ** 2)


class Decoder(torch.nn.Module):
    def __init__(self, vocabulary, size, blocks):
        super().__init__()
        norm = lambda: torch.nn.LayerNorm(size, eps=1e-12)
        self.embed, self.embed_norm, self.final_norm = torch.nn.Embedding(vocabulary, size), norm(), norm()
        self.blocks = torch.nn.ModuleList(
            torch.nn.ModuleList([norm(), SelfAttention(size), norm(), FeedForward(size)]) for _ in range(blocks))
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
    w, u = -torch.rand(channels, generator=generator) - 0.1, torch.randn(channels, generator=generator)
    k, v, g = (torch.randn(batch, length, channels, generator=generator) for _ in range(3))

    def forward():
        with torch.no_grad():
            wkv(w, u, k, v)

    def both():
        leaves = [tensor.clone().requires_grad_() for tensor in (w, u, k, v)]
        wkv(*leaves).backward(g)

    return median_time(forward, repeat), median_time(both, repeat)


def time_step(batch, length, vocabulary, size, blocks, repeat, operator=wkv):
    """Seconds of one training step: forward, backward, clipping, Adam."""
    SelfAttention.operator = staticmethod(operator)
    torch.manual_seed(1)
    model = Decoder(vocabulary, size, blocks)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    labels = torch.randint(vocabulary, (batch, length))

    def step():
        adam.zero_grad()
        logits = model(labels)
        torch.nn.functional.cross_entropy(logits.reshape(-1, vocabulary), labels.reshape(-1)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        adam.step()

    return median_time(step, repeat)
