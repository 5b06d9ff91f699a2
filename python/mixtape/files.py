"""Weights between Mixtape's HDF5 files and PyTorch's .pth.

    mixtape-to-espnet RUN.h5 decoder.pth     a decoder for ESPnet's --init_param decoder.pth::decoder
    mixtape-to-pth WEIGHTS.h5 OUT.pth        an exported file of any layout, under the same names
    mixtape-from-pth IN.pth OUT.h5           a state_dict of any layout, for `mixtape import OUT.h5 -o CHECKPOINT.h5`
"""

import argparse
import os
import sys
import tempfile

import h5py
import numpy

DECAY = "rwkv_blocks.0.att.time_decay"
HEAD = "head."


class FilesError(Exception):
    """What is wrong with a file, in one line."""


def _first_line(error):
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def _datasets(group):
    found = {}
    for name, item in group.items():
        if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f":
            raise FilesError(f"{group.file.filename}: {name}: not an array of numbers")
        found[name] = item[()]
    return found


def read_weights(path):
    """(kind, {name: array}) of a file of Mixtape's: "checkpoint", or the layout of an exported file."""
    try:
        with h5py.File(path, "r") as file:
            kind = _text(file.attrs.get("format", ""))
            if kind == "mixtape-checkpoint" and isinstance(file.get("model"), h5py.Group):
                return "checkpoint", _datasets(file["model"])
            if kind == "mixtape-weights":
                return _text(file.attrs["layout"]), _datasets(file)
    except (OSError, KeyError) as error:
        raise FilesError(f"{path}: {_first_line(error)}") from None
    raise FilesError(f"{path}: neither a checkpoint nor exported weights of Mixtape's")


def _replace(path, write):
    """Writes beside `path` and renames, so that nothing half-written stands there."""
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise FilesError(f"{path}: not a regular file")
    try:
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=os.path.basename(path) + ".")
    except OSError as error:
        raise FilesError(f"{path}: {error.strerror}") from None
    os.close(handle)
    mask = os.umask(0)
    os.umask(mask)
    try:
        write(temporary)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp made it private
        os.replace(temporary, path)
    except Exception as error:
        os.unlink(temporary)
        raise FilesError(f"{path}: {_first_line(error)}") from None
    except BaseException:
        os.unlink(temporary)
        raise


def write_state_dict(path, weights):
    import torch

    state = {name: torch.from_numpy(numpy.array(value)) for name, value in weights.items()}
    _replace(path, lambda temporary: torch.save(state, temporary))


def read_state_dict(path):
    """A plain state_dict; whatever else a pickle may hold is refused and never executed."""
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError, EOFError) as error:
        raise FilesError(f"{path}: not a plain state_dict: {_first_line(error)}") from None
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]  # as ESPnet's checkpoint.pth has it
    if not isinstance(state, dict) or not state or not all(
            isinstance(name, str) and name and isinstance(value, torch.Tensor) and value.layout == torch.strided
            for name, value in state.items()):
        raise FilesError(f"{path}: not a plain state_dict of tensors")
    return {name: (value if value.dtype == torch.float64 else value.float()).detach().numpy() for name, value in state.items()
            if value.is_floating_point()}


def find_decoder(path, weights):
    """The decoder of a whole model, by its prefix, under the names of Mixtape's layouts espnet and espnet-model. What is no
    ESPnet model is left as it is."""
    prefixes = sorted(name[:-len(DECAY)] for name in weights if name.endswith(DECAY) and not name.startswith("blocks."))
    if not prefixes or prefixes == [""]:
        return weights
    if len(prefixes) > 1:
        raise FilesError(f"{path}: several decoders: {', '.join(prefixes)}")
    prefix = prefixes[0]
    found = {"decoder." + name[len(prefix):]: value for name, value in weights.items() if name.startswith(prefix)}
    found.update({name: value for name, value in weights.items() if name.startswith("lm_lin.")})
    return found


def with_biases(weights):
    """ESPnet's projections have biases: zeros for those of a model without."""
    found = dict(weights)
    for name, value in weights.items():
        if ".proj_" in name and name.endswith(".weight"):
            found.setdefault(name[:-len("weight")] + "bias", numpy.zeros(value.shape[0], value.dtype))
    return found


def write_weights(path, weights):
    def write(temporary):
        # In the format of 1.10 the index of a dataset's chunks has a checksum too.
        with h5py.File(temporary, "w", libver=("v110", "v110")) as file:
            for name, value in weights.items():
                file.create_dataset(name, data=value, fletcher32=value.ndim > 0, fillvalue=numpy.nan)

    _replace(path, write)


def _command(description, source, target, work):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("source", metavar=source)
    parser.add_argument("target", metavar=target)
    given = parser.parse_args()
    try:
        work(given.source, given.target)
    except FilesError as error:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {error}")
    print(given.target)


def to_espnet():
    def work(source, target):
        kind, weights = read_weights(source)
        if kind not in ("checkpoint", "mixtape", "espnet"):
            raise FilesError(f"{source}: layout {kind}, which is not ESPnet's decoder alone")
        write_state_dict(target, with_biases({name: value for name, value in weights.items() if not name.startswith(HEAD)}))

    _command("Writes a checkpoint's decoder for ESPnet's --init_param FILE.pth::decoder.", "RUN.h5", "FILE.pth", work)


def to_pth():
    def work(source, target):
        kind, weights = read_weights(source)
        if kind == "checkpoint":
            raise FilesError(f"{source}: a checkpoint; export it first (mixtape export --layout)")
        write_state_dict(target, weights)

    _command("Writes exported weights as a PyTorch state_dict.", "WEIGHTS.h5", "FILE.pth", work)


def from_pth():
    def work(source, target):
        write_weights(target, find_decoder(source, read_state_dict(source)))

    _command("Writes a PyTorch state_dict for `mixtape import`.", "FILE.pth", "WEIGHTS.h5", work)
