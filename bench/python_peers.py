#!/usr/bin/python3
"""What the Python package gains, in one run: mixtape.wkv against the loop over time, and
transformers' RWKV model with and without mixtape.transformers.install(). Needs PyTorch and
transformers (scripts/python-env), MIXTAPE_LIBRARY and PYTHONPATH.

    bench/python_peers.py [--threads N] [--rounds N] [--repeat N] [--length T]... [--json FILE]
"""

import argparse
import json
import os
import statistics

import own_kernels

import torch
from transformers import RwkvConfig, RwkvForCausalLM
from transformers.models.rwkv import modeling_rwkv

import mixtape
import mixtape.transformers
import pytorch_peer

OWN = modeling_rwkv.rwkv_linear_attention, modeling_rwkv.load_wkv_cuda_kernel


def use_own():
    modeling_rwkv.rwkv_linear_attention, modeling_rwkv.load_wkv_cuda_kernel = OWN


def wkv_seconds(operator, shape, repeat):
    B, T, C = shape
    torch.manual_seed(1)
    given = [torch.randn(size).requires_grad_() for size in ((C,), (C,), shape, shape)]

    def both():
        for tensor in given:
            tensor.grad = None
        operator(*given).sum().backward()

    return pytorch_peer.median_time(both, repeat)


def model_seconds(length, repeat):
    torch.manual_seed(1)
    model = RwkvForCausalLM(
        RwkvConfig(vocab_size=500, hidden_size=256, num_hidden_layers=4,
                   context_length=length)).train()
    labels = torch.randint(500, (8, length))

    def both():
        model.zero_grad()
        model(labels, labels=labels).loss.backward()

    return pytorch_peer.median_time(both, repeat)


def one_round(repeat, lengths):
    found = {
        "mixtape.wkv (8,256,512)": wkv_seconds(lambda *given: mixtape.wkv(*given)[0],
                                               (8, 256, 512), repeat),
        "loop (8,256,512)": wkv_seconds(lambda d, u, k, v: pytorch_peer.wkv(-torch.exp(d), u, k, v),
                                        (8, 256, 512), repeat),
    }
    for length in lengths:
        use_own()
        found[f"transformers, length {length}"] = model_seconds(length, repeat)
        mixtape.transformers.install()
        found[f"transformers installed, length {length}"] = model_seconds(length, repeat)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--length", type=int, action="append")
    parser.add_argument("--json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lengths = given.length or [64, 256]
    rounds = [one_round(given.repeat, lengths) for _ in range(given.rounds)]
    seconds = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    ratios = {"WKV forward and backward (8,256,512): the loop's time over mixtape.wkv's":
              seconds["loop (8,256,512)"] / seconds["mixtape.wkv (8,256,512)"]}
    for length in lengths:
        what = f"transformers forward and backward (8,{length}), size 256, 4 layers"
        ratios[what + ": its own loop's time over Mixtape's"] = (
            seconds[f"transformers, length {length}"] /
            seconds[f"transformers installed, length {length}"])
    for name, ratio in ratios.items():
        print(f"{ratio:8.2f}  {name}")
    if given.json:
        with open(given.json, "w") as file:
            json.dump(
                {
                    "threads": given.threads, "rounds": given.rounds, "pytorch": torch.__version__,
                    "ratios": ratios, "seconds": seconds
                }, file, indent=2)


if __name__ == "__main__":
    main()
