#!/usr/bin/python3
"""The efficiency of several GPUs that share each batch, on paper: from bytes, operations and rates
that others have measured. Nothing is run.

    bench/efficiency.py [--gpus N] [--peak FLOP/S] [--reached SHARE] [--memory BYTES/S] ...

A step computes for 6 operations per parameter and symbol, exchanges the gradients of float32 as
rings do, 2 (N - 1) / N of their bytes, and updates: 28 bytes for a parameter. Beside backward,
which is two thirds of the computation, the sums of all pieces but the last are hidden.
"""

import argparse

SIZES = ((169e6, 16384), (430e6, 16384), (1.5e9, 16384), (3e9, 8192), (7.4e9, 4096))
PIECES = 32 # of the gradients


def efficiencies(given, parameters, symbols, link):
    """One after the other, and beside backward."""
    computing = 6 * parameters * symbols / (given.peak * given.reached)
    updating = 28 * parameters / given.memory
    sums = 2 * (given.gpus - 1) / given.gpus * 4 * parameters / link
    shown = max(0, sums - 2 / 3 * computing) + sums / PIECES
    alone = computing + updating
    return alone / (alone + sums), alone / (alone + shown)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--peak", type=float, default=989e12, help="bfloat16, dense")
    parser.add_argument("--reached", type=float, default=0.4, help="of it")
    parser.add_argument("--memory", type=float, default=4.8e12)
    parser.add_argument("--nvlink", type=float, default=360e9, help="each way")
    parser.add_argument("--pcie", type=float, default=50e9, help="each way")
    given = parser.parse_args()
    print("| parameters | symbols of a GPU | link | after | beside |")
    print("|---|---|---|---|---|")
    for parameters, symbols in SIZES:
        for name, link in ("NVLink", given.nvlink), ("PCIe", given.pcie):
            shares = efficiencies(given, parameters, symbols, link)
            print(f"| {parameters / 1e9:.3g} billion | {symbols} | {name} | "
                  + " | ".join(f"{share:.2f}" for share in shares) + " |")


if __name__ == "__main__":
    main()
