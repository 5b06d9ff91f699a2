"""Weights between Mixtape's files and PyTorch's .pth.

    mixtape-to-espnet RUN decoder.pth   a decoder for ESPnet's --init_param decoder.pth::decoder
    mixtape-to-pth WEIGHTS OUT.pth      an exported file of any layout, under the same names
    mixtape-from-pth IN.pth OUT.h5      a state_dict of any layout, for
                                        `mixtape import OUT.h5 -o CHECKPOINT.h5`
    mixtape-from-pth FOLDER FOLDER/model.safetensors
                                        a folder of Hugging Face's with pytorch_model.bin, for
                                        `mixtape import FOLDER -o CHECKPOINT.h5`

Weights are read by libmixtape, with all that the command checks, and .pth by mixtape.pth: neither
h5py nor PyTorch sees a file that it did not write.
"""

import importlib
import io
import json
import os
import stat
import sys
import tempfile

import numpy

from mixtape import beside, ending, folders, library, pth, wrappers
from mixtape.console import OutputError, Parser, printable, say
from mixtape.pth_pickle import Dictionary, OddTensor, PthError, Tensor, kind, show

DECAY = "rwkv_blocks.0.att.time_decay"
LONGEST_NAME = 256  # in a message
SAFETENSORS_TYPES = {"F32": "<f4", "F64": "<f8"}
MOST_TENSORS = 1 << 16
MOST_TIMES = 4  # the length of a file that its tensors take, where several are of one storage
MARGIN = 1 << 26  # bytes that HDF5 needs to write: where it gets no memory it may crash


class FilesError(Exception):
    """What is wrong with a file, in one line."""


def _reason(error):
    """What a library or the system complains of, without what HDF5 adds in further lines."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    lines = str(error).splitlines()[:1]
    if isinstance(error, MemoryError):
        return ": ".join(["no memory for it", *lines])
    return lines[0] if lines else type(error).__name__


def _brief(name):
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "..."


def _each(path, items, work):
    """{name: work(name, value)}; whatever goes wrong is told with the file and the name."""
    found = {}
    for name, value in items:
        try:
            if not isinstance(name, str) or name in ("", ".") or "/" in name or "\0" in name:
                raise ValueError("no name for an array")
            name.encode()
            found[name] = work(name, value)
        except Exception as error:
            raise FilesError(f"{path}: {_brief(name)}: {_reason(error)}") from None
    return found


def _check_regular(path):
    """A pipe is refused, not waited for."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise FilesError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise FilesError(f"{path}: not a regular file")


def _read_safetensors(path):
    """{name: array}, by name, of a file that libmixtape wrote a moment ago."""
    content = numpy.memmap(path, "u1", "r")
    begin = 8 + int(content[:8].view("<u8")[0])
    header = json.loads(content[8:begin].tobytes())
    header.pop("__metadata__", None)
    return {
        name: content[begin:][slice(*array["data_offsets"])].view(
            SAFETENSORS_TYPES[array["dtype"]]).reshape(array["shape"])
        for name, array in sorted(header.items())
    }


def read_weights(path, target, layout=None):
    """{name: array} of a file of any format that libmixtape reads, under the names of a layout:
    its own, unless another is named; and what of the model had to be assumed, in words, or "".
    libmixtape writes them beside the target for that."""
    if os.path.isdir(path):  # a run's, or one of Hugging Face's
        models = (os.path.join(path, name) for name in ("best.h5", "checkpoint.h5"))
        path = next(filter(os.path.lexists, models), path)
    else:
        _check_regular(path)
    try:
        folder = tempfile.TemporaryDirectory(dir=os.path.dirname(target) or ".")
    except OSError as error:
        raise FilesError(f"{target}: {_reason(error)}") from None
    with folder:
        converted = os.path.join(folder.name, "weights.safetensors")
        try:
            assumed = library.convert_weights(path, converted, layout)
        except (ImportError, library.MixtapeError) as error:
            reason = str(error).replace(printable(converted), target)
            if not reason.startswith((printable(path), target)):
                reason = f"{path}: {reason}"
            raise FilesError(reason) from None
        return _read_safetensors(converted), assumed


def _flush_folder(path):
    """A rename reaches the disk with the folder."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _mode_for(path):
    """A file that is replaced keeps its mode, a new one has what the umask leaves."""
    if os.path.exists(path):
        return stat.S_IMODE(os.stat(path).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _refuse_suffix(path, kind, others, converter):
    if path.lower().endswith(others):
        raise FilesError(f"{path}: this file is {kind}; give it another name ({converter})")


class _Sink(io.RawIOBase):
    """A file for libraries that crash where a write of theirs fails: it keeps the first failure,
    and from then on takes what it is given without writing it."""

    def __init__(self, file):
        super().__init__()
        self.file, self.failure = file, None

    def _try(self, work):
        try:
            return work() if self.failure is None else None
        except BaseException as error:  # the user's interruption too
            self.failure = error
            return None

    def write(self, data):
        left = memoryview(data).cast("B")
        size = len(left)
        while len(left) > 0 and self.failure is None:
            written = self._try(lambda: self.file.write(left))
            left = left[written:]
        return size

    def truncate(self, size=None):
        self._try(lambda: self.file.truncate(size))
        return size

    def readinto(self, place):
        return self._try(lambda: self.file.readinto(place)) or 0

    def seek(self, place, origin=os.SEEK_SET):
        return self.file.seek(place, origin)

    def tell(self):
        return self.file.tell()


def _save_to(file, save):
    """Writes what `save` puts into the file that it is given."""
    sink = _Sink(file)
    try:
        save(sink)
    finally:
        if sink.failure is not None:
            raise sink.failure from None


def _replace(named, save):
    """Writes what `save` puts into a file beside the target, flushes it to the disk and renames it,
    so that nothing half-written ever stands there."""
    path = os.path.realpath(named)
    if not os.path.basename(named) or os.path.exists(path) and not os.path.isfile(path):
        raise FilesError(f"{named}: not a regular file")
    temporary = beside.name(path)
    beside.remove_left(path)
    try:
        handle = beside.create(temporary, _mode_for(path))
        with open(handle, "w+b", buffering=0) as file:
            _save_to(file, save)
            os.fchmod(handle, _mode_for(path))
            os.fsync(handle)
        os.replace(temporary, path)
        _flush_folder(os.path.dirname(path))
    except FilesError:
        raise
    except Exception as error:
        raise FilesError(f"{named}: {_reason(error)}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def write_state_dict(path, weights):
    import torch

    _refuse_suffix(path, "PyTorch's", (".h5", ".hdf5", ".safetensors"),
                   "mixtape-from-pth writes HDF5")
    state = _each(path, weights.items(), lambda _, value: torch.from_numpy(numpy.array(value)))
    _replace(path, lambda content: torch.save(state, content))


def read_state_dict(path, choose=lambda path, state: state):
    """{name: array} of the real numbers in a state_dict, or in the one that a training tool's
    checkpoint or Hugging Face's folder holds; `choose` tells which of its tensors are read."""
    if os.path.isdir(path):
        try:
            return folders.read(path, read_state_dict)
        except (folders.FolderError, OSError) as error:
            raise FilesError(f"{path}: {_reason(error)}") from None
    _check_regular(path)
    try:
        with open(path, "rb") as file:
            state = _state_of(path, pth.read(file))
            return _numbers_of(path, choose(path, state), os.fstat(file.fileno()).st_size)
    except (PthError, OSError, MemoryError) as error:
        raise FilesError(f"{path}: {_reason(error)}") from None


def _state_of(path, saved):
    """{name: tensor}"""
    state = wrappers.unpack(saved)
    if not isinstance(state, Dictionary) or not state:
        found = "empty" if isinstance(state, Dictionary) else kind(state)
        raise FilesError(f"{path}: not a state_dict: {found}")
    for name, value in state.items():
        if type(name) is not str or not isinstance(value, (Tensor, OddTensor)):
            raise FilesError(
                f"{path}: not a plain state_dict: {show(name)} is a {kind(value)}")
    return dict(state.items())


def _numbers_of(path, state, length):
    """{name: array}"""
    total = sum(tensor.nbytes for tensor in state.values())
    if total > MOST_TIMES * length or len(state) > MOST_TENSORS:
        raise FilesError(f"{path}: {len(state)} tensors of {total} bytes in a file of {length}: "
                         "views of the same numbers, which `.clone()` makes whole")
    found = _each(path, state.items(), lambda _, tensor: tensor.numbers())
    weights = {name: value for name, value in found.items() if value is not None}
    if not weights:
        name = next(iter(state))
        raise FilesError(f"{path}: holds no tensor of real numbers ({_brief(name)} is "
                         f"{state[name].dtype})")
    return weights


def find_decoder(path, weights):
    """The decoder of a whole model, by its prefix, under the names of Mixtape's layouts espnet and
    espnet-model. What is no ESPnet model is left as it is."""
    weights = wrappers.unwrap(weights)
    prefixes = sorted(name[:-len(DECAY)] for name in weights
                      if name.endswith(DECAY) and not name.startswith("blocks."))
    if not prefixes or prefixes == [""]:
        return weights
    if len(prefixes) > 1:
        raise FilesError(f"{path}: several decoders: {_brief(', '.join(prefixes))}")
    prefix = prefixes[0]
    found = {
        "decoder." + name[len(prefix):]: value
        for name, value in weights.items() if name.startswith(prefix)
    }
    found.update({name: value for name, value in weights.items() if name.startswith("lm_lin.")})
    return found


def _save_safetensors(content, weights):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, value in weights.items():
        begin, end = end, end + value.nbytes
        dtype = "F64" if value.dtype == numpy.float64 else "F32"
        header[name] = {"dtype": dtype, "shape": value.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content.write(len(text).to_bytes(8, "little") + text)
    for name, value in weights.items():
        content.write(value.astype(SAFETENSORS_TYPES[header[name]["dtype"]], copy=False).tobytes())


def _save_hdf5(path, content, weights):
    import h5py

    # In the format of 1.10 the index of a dataset's chunks has a checksum too.
    bytes(MARGIN)
    with h5py.File(content, "w", libver=("v110", "v110")) as file:
        _each(
            path, weights.items(), lambda name, value: file.create_dataset(
                name, data=value, fletcher32=value.ndim > 0, fillvalue=numpy.nan))


def _is_safetensors(path):
    return path.lower().endswith(".safetensors")


def write_weights(path, weights):
    """A file for `mixtape import`: .safetensors where the name ends so, else HDF5."""
    _refuse_suffix(path, "HDF5", (".pth", ".pt", ".bin"), "mixtape-to-pth writes PyTorch's")
    if _is_safetensors(path):
        _replace(path, lambda content: _save_safetensors(content, weights))
    else:
        _replace(path, lambda content: _save_hdf5(path, content, weights))


def _need(module):
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise FilesError(f"{error} (the package's extra `files` brings it)") from None


def _convert(description, source, target, work, needed, find):
    parser = Parser(description=description)
    parser.add_argument("source", metavar=source)
    parser.add_argument("target", metavar=target)
    given = parser.parse_args()
    needed = needed(given.target) if callable(needed) else needed
    if needed is not None:
        _need(needed)
    found = find(given.source)
    if os.path.realpath(found) == os.path.realpath(given.target):
        raise FilesError(f"{given.target}: the source itself, which would be lost")
    work(found, given.target)
    say(printable(given.target))


def _command(description, source, target, work, needed, find=lambda source: source):
    ending.cleanly()
    try:
        _convert(description, source, target, work, needed, find)
    except (FilesError, OutputError) as error:
        reason = str(error)
    except MemoryError as error:
        reason = _reason(error)
    else:
        return
    sys.exit(printable(f"{os.path.basename(sys.argv[0])}: {reason}"))


def _model_of(run):
    """What a run's name stands for, as for the command: its best model, else its last; else what is
    named, a file or a folder of Hugging Face's."""
    for name in ("best.h5", "checkpoint.h5"):
        if os.path.lexists(os.path.join(run, name)):
            return os.path.join(run, name)
    return run


def _write_for_espnet(source, target):
    weights, assumed = read_weights(source, target, "espnet")
    write_state_dict(target, weights)
    if assumed:
        line = f"{source}: it does not tell, and so assumed: {assumed}"
        print(printable(line + " (ESPnet takes those of its decoder_conf)"), file=sys.stderr)


def to_espnet():
    _command(
        "Writes a checkpoint's decoder for ESPnet's --init_param FILE.pth::decoder.", "RUN",
        "FILE.pth", _write_for_espnet, "torch", _model_of)


def to_pth():
    _command("Writes exported weights as a PyTorch state_dict.", "WEIGHTS", "FILE.pth",
             lambda source, target: write_state_dict(target, read_weights(source, target)[0]),
             "torch")


def from_pth():
    _command("Writes a PyTorch state_dict, of a file or of a folder of Hugging Face's with "
             "pytorch_model.bin, for `mixtape import`: as .safetensors where the name ends so, "
             "else as HDF5.", "FILE.pth|FOLDER", "WEIGHTS.h5|WEIGHTS.safetensors",
             lambda source, target: write_weights(target, read_state_dict(source, find_decoder)),
             lambda target: None if _is_safetensors(target) else "h5py")
