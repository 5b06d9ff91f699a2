#!/usr/bin/python3
"""The transducer loss, forward and backward, in one run: Mixtape's against torchaudio's, and
against a stream of the logits in and the gradient out, which is the least that it can take. Prints
the seconds and the two ratios as JSON. Needs MIXTAPE_LIBRARY and PYTHONPATH.

    bench/transducer_peer.py [--threads N] [--rounds N] [--json FILE]
"""

import argparse
import json
import statistics
import time

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

    def seconds(self, loss):
        """Of forward and backward; the gradient's memory is new each time, as in training."""
        logits = self.logits.requires_grad_()
        logits.grad = None
        begin = time.perf_counter()
        loss(logits, *self.rows).backward()
        return time.perf_counter() - begin

    def stream_seconds(self):
        begin = time.perf_counter()
        torch.mul(self.logits.detach(), 0.5, out=self.grad)
        return time.perf_counter() - begin


def measure(size, rounds):
    problem = Problem(*size)
    seconds = {"mixtape": [], "torchaudio": [], "stream": []}
    for _ in range(rounds):
        seconds["stream"].append(problem.stream_seconds())
        seconds["mixtape"].append(problem.seconds(mixtape.transducer_loss))
        seconds["torchaudio"].append(
            problem.seconds(lambda *given: rnnt_loss(*given, blank=0)))
    found = {name: statistics.median(times) for name, times in seconds.items()}
    found["least"] = {name: min(times) for name, times in seconds.items()}
    found["torchaudio / mixtape"] = found["torchaudio"] / found["mixtape"]
    found["mixtape / stream"] = found["mixtape"] / found["stream"]
    return found


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
