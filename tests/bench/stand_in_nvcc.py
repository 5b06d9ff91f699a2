#!/usr/bin/env python3
"""In place of nvcc, for tests: compiles for CUDA-on-CPU with $CXX, and links with
CUDA_ON_CPU_OBJECTS. It spoils some variants of the WKV kernels, known by their parameters: with
DIRECT_FACTORS=0 they do not compile, with GROUP_CHUNKS=8 a gradient is wrong, and with
FORWARD_BLOCKS=5 they never end."""

import os
import subprocess
import sys
import tempfile

SPOILT = {"-DMT_WKV_GROUP_CHUNKS=8": ("du += direct;", "du -= direct;"),
          "-DMT_WKV_FORWARD_BLOCKS=5": ("take_tile(p, shared);",
                                        "for (;;) { asm volatile(\"\"); }")}


def main():
    include = os.path.join(os.environ["SOURCES"], "tests", "cuda_on_cpu", "include")
    mine = ("-arch=", "-fmad=", "-ftz=", "-Xptxas=")
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith(mine)]
    if "-DMT_WKV_DIRECT_FACTORS=0" in arguments:
        print("error: a spoilt variant")
        return 1
    if "-c" not in arguments:
        objects = os.environ["CUDA_ON_CPU_OBJECTS"].split(":")
        return subprocess.call([os.environ["CXX"], *arguments, *objects])
    place = arguments.index("-c") + 1
    source = arguments[place]
    flags = ["-O1", "-ffp-contract=off", "-I", include, "-x", "c++"]
    for parameter, (right, spoilt) in SPOILT.items():
        if parameter in arguments:
            with open(source) as file:
                text = file.read()
            assert right in text, f"{source} has no {right}"
            with tempfile.TemporaryDirectory() as folder:
                arguments[place] = os.path.join(folder, "spoilt.cu")
                with open(arguments[place], "w") as file:
                    file.write(text.replace(right, spoilt))
                return subprocess.call([os.environ["CXX"], *flags, *arguments])
    return subprocess.call([os.environ["CXX"], *flags, *arguments])


if __name__ == "__main__":
    sys.exit(main())
