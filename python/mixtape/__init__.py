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


def __getattr__(name):  # PyTorch is needed by the operators alone, the library by what asks it
    if name == "__version__":
        from mixtape.library import library

        return library().mt_version().decode()
    if name == "wkv":
        from mixtape.operator import wkv

        return wkv
    if name == "transducer_loss":
        from mixtape.transducer import transducer_loss

        return transducer_loss
    raise AttributeError(f"module 'mixtape' has no attribute '{name}'")
