#!/usr/bin/env python3
"""bench/read_apart.py FILE [ROUNDS]: what it costs to read a file of weights in a child process.

A file is opened and a model is made of it, which checks every value, in this process and in a
child of it, in turns: seconds of the processor, and of the clock. MIXTAPE_LIBRARY is the library
that is measured.
"""

import ctypes
import os
import resource
import statistics
import sys
import time

library = ctypes.CDLL(os.environ["MIXTAPE_LIBRARY"])
library.mt_error_message.restype = ctypes.c_char_p


def check(status):
    if status != 0:
        sys.exit(library.mt_error_message().decode())


def processor_seconds():
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def load(path, apart):
    """Seconds of the processor, and of the clock."""
    weights, model, device = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    library.mt_weights_read_apart(apart)
    check(library.mt_device_open(b"cpu", ctypes.byref(device)))
    used, began = processor_seconds(), time.monotonic()
    check(library.mt_weights_open(path.encode(), ctypes.byref(weights)))
    check(library.mt_weights_model(weights, device, ctypes.byref(model)))
    library.mt_weights_close(weights)
    taken = processor_seconds() - used, time.monotonic() - began
    library.mt_model_destroy(model)
    library.mt_device_close(device)
    return taken


def main():
    path, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    taken = {False: [], True: []}
    for _ in range(rounds):
        for apart, times in taken.items():
            times.append(load(path, apart))
    print(f"{path}: {os.path.getsize(path) / 1e9:.2f} GB, medians of {rounds} rounds")
    for apart, times in taken.items():
        processor, clock = map(statistics.median, zip(*times))
        print(f"{'in a child' if apart else 'here':10} {processor:6.2f} s of the processor, "
              f"{clock:6.2f} s")


if __name__ == "__main__":
    main()
