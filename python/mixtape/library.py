"""libmixtape by ctypes: its C interface for bindings (mixtape/wkv.h, mixtape/transducer.h), and the
functions of mixtape/weights.h that need no structure."""

import ctypes
import ctypes.util
import os
import pathlib
import shutil
import threading

VERSION = 7
F32, F64, BF16, F16 = 0, 1, 2, 3

_pointer, _size = ctypes.c_void_p, ctypes.c_int64
_index = ctypes.c_int32


class WKVForward(ctypes.Structure):
    _fields_ = ([(name, _size) for name in ("B", "T", "C")] +
                [(name, _pointer) for name in ("w", "u", "k", "v", "state_in", "y", "state_out",
                                               "saved", "workspace")])


class WKVBackward(ctypes.Structure):
    _fields_ = ([(name, _size) for name in ("B", "T", "C")] +
                [(name, _pointer) for name in ("w", "u", "k", "v", "saved", "dy", "dstate_out",
                                               "dw", "du", "dk", "dv", "dstate_in", "workspace")])


class TransducerForward(ctypes.Structure):
    _fields_ = ([(name, _size) for name in ("B", "T", "U", "V")] + [("blank", _index)] +
                [(name, _pointer) for name in ("logits", "labels", "frames", "label_lengths",
                                               "losses", "betas", "alphas", "nodes")])


class TransducerBackward(ctypes.Structure):
    _fields_ = ([(name, _size) for name in ("B", "T", "U", "V")] +
                [("blank", _index), ("fastemit_lambda", ctypes.c_double)] +
                [(name, _pointer) for name in ("logits", "labels", "frames", "label_lengths",
                                               "betas", "alphas", "dlosses", "dlogits")])


class MixtapeError(RuntimeError):
    """What a function of the library says went wrong."""


def _beside_the_command():
    """The library of the command that PATH has: in its folder, as where it was built, or in the
    folder of libraries next to it, as where it was installed. None where there is none."""
    command = shutil.which("mixtape")
    if command is None:
        return None
    folder = pathlib.Path(command).resolve().parent
    for place, name in ((folder, "libmixtape.so"), (folder.parent, "lib*/libmixtape.so"),
                        (folder.parent, "lib/*-linux-*/libmixtape.so")):
        for library in place.glob(name):
            return str(library)
    return None


def _of_the_package():
    """The library in the package itself, as a wheel brings it. None where there is none."""
    library = pathlib.Path(__file__).resolve().parent / "libmixtape.so"
    return str(library) if library.exists() else None


def _load():
    path = (os.environ.get("MIXTAPE_LIBRARY") or _beside_the_command() or _of_the_package() or
            ctypes.util.find_library("mixtape") or "libmixtape.so")
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"libmixtape was not found ({error}); install it, or set "
                          "MIXTAPE_LIBRARY to libmixtape.so") from None
    if not hasattr(library, "mt_bindings_version"):
        raise ImportError(f"{path} is not libmixtape")
    library.mt_bindings_version.restype = ctypes.c_int
    found = library.mt_bindings_version()
    if found != VERSION:
        raise ImportError(f"{path} has version {found} of the interface for bindings, this package "
                          f"needs {VERSION}")
    library.mt_error_message.restype = library.mt_version.restype = ctypes.c_char_p
    library.mt_device_open.argtypes = [ctypes.c_char_p, ctypes.POINTER(_pointer)]
    for size in (library.mt_wkv_saved_size, library.mt_wkv_workspace_size):
        size.argtypes = [_pointer, ctypes.c_int, _size, _size, _size]
        size.restype = ctypes.c_size_t
    library.mt_wkv_forward.argtypes = [_pointer, _pointer, ctypes.c_int, ctypes.POINTER(WKVForward)]
    library.mt_wkv_backward.argtypes = [_pointer, _pointer, ctypes.c_int,
                                        ctypes.POINTER(WKVBackward)]
    library.mt_transducer_forward.argtypes = [_pointer, _pointer, ctypes.c_int,
                                              ctypes.POINTER(TransducerForward)]
    library.mt_transducer_backward.argtypes = [_pointer, _pointer, ctypes.c_int,
                                               ctypes.POINTER(TransducerBackward)]
    library.mt_transducer_check.argtypes = [_size, _size, _size, _size, _index, _pointer, _pointer,
                                            _pointer]
    library.mt_wkv_check.argtypes = [_size, _size, _size, _size]
    library.mt_layout_parse.argtypes = [ctypes.c_char_p, ctypes.POINTER(_pointer)]
    library.mt_weights_open.argtypes = [ctypes.c_char_p, ctypes.POINTER(_pointer)]
    library.mt_weights_convert.argtypes = [_pointer, ctypes.c_char_p, _pointer]
    library.mt_weights_read_apart.argtypes = [ctypes.c_bool]
    library.mt_weights_read_apart.restype = None
    library.mt_weights_assumed.argtypes = [_pointer]
    library.mt_weights_assumed.restype = ctypes.c_char_p
    library.mt_weights_close.argtypes = [_pointer]
    library.mt_weights_close.restype = None
    return library


_lock = threading.RLock()
_library = None
_devices = {}


def _after_fork():
    """In a child of this process the threads are gone that may hold a lock."""
    global _lock
    _lock = threading.RLock()
    for opened in _devices.values():
        opened.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def library():
    """The library, loaded on first use."""
    global _library
    with _lock:
        if _library is None:
            _library = _load()
    return _library


def check(status):
    if status != 0:
        raise MixtapeError(library().mt_error_message().decode(errors="surrogateescape"))


class Device:
    """An open device. `lock` is held around calls: a device serves one thread at a time."""

    def __init__(self, name):
        self.handle, self.lock = _pointer(), threading.Lock()
        check(library().mt_device_open(name.encode(), ctypes.byref(self.handle)))


def device(name):
    """The device of this name, opened on first use and kept."""
    with _lock:
        if name not in _devices:
            _devices[name] = Device(name)
        return _devices[name]


def convert_weights(source, target, layout=None):
    """Writes the weights of a file into another one, under the names of a layout, or of its own.
    Gives what of the model had to be assumed, in words, or ""."""
    weights, names = _pointer(), _pointer()
    with _lock:  # HDF5 serves one thread at a time
        library().mt_weights_read_apart(True)  # a hostile file crashes no program
        if layout is not None:
            check(library().mt_layout_parse(layout.encode(), ctypes.byref(names)))
        check(library().mt_weights_open(os.fsencode(source), ctypes.byref(weights)))
        try:
            check(library().mt_weights_convert(weights, os.fsencode(target), names))
            return library().mt_weights_assumed(weights).decode()
        finally:
            library().mt_weights_close(weights)
