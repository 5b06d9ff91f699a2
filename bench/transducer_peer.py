#!/usr/bin/python3
"""The transducer loss, forward and backward, in one run: Mixtape's against torchaudio's, and
against a stream of the logits in and the gradient out, which is the least that it can take. The
gradient is written to memory of its own, and over the logits. Prints seconds and ratios as JSON.
Needs MIXTAPE_LIBRARY and PYTHONPATH.

    bench/transducer_peer.py [--threads N] [--rounds N] [--json FILE]
"""

import argparse
import json
import statistics
import time

import own_kernels

import torch
from torchaudio.functional import rnnt_loss

import mixtape
from mixtape import library

SIZES = [(8, 200, 40, 500)]


class Problem:
    def __init__(self, B, T, U, V):
        torch.manual_seed(1)
        self.logits = torch.randn(B, T, U + 1, V)
        self.grad = torch.empty_like(self.logits)
        self.rows = (torch.randint(1, V, (B, U), dtype=torch.int32),
                     torch.full((B,), T, dtype=torch.int32), torch.full((B,), U, dtype=torch.int32))

    def seconds(self, loss, **options):
        """Of forward and backward; no gradient is held when the next is made, as in training."""
        logits = self.logits.clone().requires_grad_()
        begin = time.perf_counter()
        loss(logits, *self.rows, **options).backward()
        return time.perf_counter() - begin

    def stream_seconds(self):
        begin = time.perf_counter()
        torch.mul(self.logits, 0.5, out=self.grad)
        return time.perf_counter() - begin


def measure(size, rounds):
    problem = Problem(*size)
    ways = {
        "stream": problem.stream_seconds,
        "mixtape": lambda: problem.seconds(mixtape.transducer_loss),
        "over the logits": lambda: problem.seconds(mixtape.transducer_loss, overwrite_logits=True),
        "torchaudio": lambda: problem.seconds(rnnt_loss, blank=0),
    }
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(way())
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return {"seconds": median,
            "least seconds": {name: min(times) for name, times in seconds.items()},
            "torchaudio / mixtape": median["torchaudio"] / median["mixtape"],
            "mixtape / stream": median["mixtape"] / median["stream"],
            "over the logits / stream": median["over the logits"] / median["stream"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    library.library().mt_cpu_set_threads(options.threads)
    found = {str(size): measure(size, options.rounds) for size in SIZES}
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        with open(options.json, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
