"""From where this is imported on, OpenBLAS chooses its kernels by the processor, whatever the
environment says: in what is started, and here if it is loaded later. So it comes before NumPy and
PyTorch. Where it takes the processor for the oldest it knows, it is told better, as the command
tells it (train/command/blas_kernels.c)."""

import os
import subprocess
import sys

ASK = """
import ctypes
of = ctypes.CDLL("libopenblas.so.0").openblas_get_corename
of.restype = ctypes.c_char_p
print(of().decode())
"""


def chosen():
    """The processor whose kernels the system's OpenBLAS runs, or None where there is none."""
    child = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True)
    return child.stdout.strip() or None


def best():
    with open("/proc/cpuinfo") as file:
        flags = next((line.split() for line in file if line.startswith("flags")), [])
    return "SkylakeX" if "avx512f" in flags else "Haswell" if "avx2" in flags else None


for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":
    os.environ.pop(name, None)
if chosen() == "Prescott" and best() is not None:
    os.environ["OPENBLAS_CORETYPE"] = best()
