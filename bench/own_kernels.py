"""From where this is imported on, OpenBLAS chooses its kernels by the processor, whatever the
environment says: in what is started, and here if it is loaded later. So it comes before NumPy and
PyTorch."""

import os

for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":
    os.environ.pop(name, None)
