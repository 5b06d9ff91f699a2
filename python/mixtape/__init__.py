"""Mixtape for Python.

    mixtape.wkv               RWKV's WKV operator for PyTorch tensors, with gradients and a carried
                              state
    mixtape.transducer_loss   the loss of an RNN transducer for PyTorch tensors, with gradients
    mixtape.espnet.install()  ESPnet's RWKV decoder on it: on the CPU, or on a GPU without ninja or
                              a compiler
    mixtape.transformers.install()  transformers' RWKV model on it
    mixtape.files             weights between Mixtape's HDF5 files and PyTorch's .pth
    mixtape.tokenize          text to token ids, by the tokenizers of mixtape.tokenizer

Both operators call libmixtape by ctypes: nothing is compiled. The library is looked for where the
environment variable MIXTAPE_LIBRARY says, then beside the command `mixtape` that PATH has, then in
the package, where a wheel has it, then where the system finds libmixtape.so.
"""

import importlib

_OPERATORS = {"wkv": "operator", "transducer_loss": "transducer"}


def __getattr__(name):  # PyTorch is needed by the operators alone, the library by what asks it
    if name == "__version__":
        from mixtape.library import library

        return library().mt_version().decode()
    if name in _OPERATORS:
        function = getattr(importlib.import_module(f"mixtape.{_OPERATORS[name]}"), name)
        globals()[name] = function  # PyTorch 2.1 compiles no calls of what it does not find here
        return function
    raise AttributeError(f"module 'mixtape' has no attribute '{name}'")
