"""The pickle in a file of torch.save's, read as a small language of plain values and tensors.

Nothing that it holds is run: a function is a name in it, which is looked up in a table here. No
operation of it copies what another one made, so that a pickle takes no more memory than a limited
number of operations can; storages are read when their numbers are asked for.
"""

import math
import pickletools

import numpy

MOST_OPERATIONS = 1 << 21  # of a pickle, where a tensor takes about 40
MOST_DIMENSIONS = 32  # NumPy's
LONGEST_NAME = 256  # of a class or function

DAMAGED = "not a state_dict as torch.save writes it, or damaged"
MORE = "holds more than tensors, which is not loaded"

STORAGES = {  # the type's name in PyTorch, and in NumPy, to which bfloat16 is but bits
    "torch.DoubleStorage": ("torch.float64", "f8"),
    "torch.FloatStorage": ("torch.float32", "f4"),
    "torch.HalfStorage": ("torch.float16", "f2"),
    "torch.BFloat16Storage": ("torch.bfloat16", "u2"),
    "torch.LongStorage": ("torch.int64", "i8"),
    "torch.IntStorage": ("torch.int32", "i4"),
    "torch.ShortStorage": ("torch.int16", "i2"),
    "torch.CharStorage": ("torch.int8", "i1"),
    "torch.ByteStorage": ("torch.uint8", "u1"),
    "torch.BoolStorage": ("torch.bool", "?"),
    "torch.ComplexDoubleStorage": ("torch.complex128", "c16"),
    "torch.ComplexFloatStorage": ("torch.complex64", "c8"),
    "torch.QInt8Storage": ("torch.qint8", "i1"),
    "torch.QUInt8Storage": ("torch.quint8", "u1"),
    "torch.QInt32Storage": ("torch.qint32", "i4"),
    "torch.storage.UntypedStorage": ("bytes", "V1"),
}
REALS = ("torch.float64", "torch.float32", "torch.float16", "torch.bfloat16")
COUNTERS = ("torch.int64", "torch.int32", "torch.int16", "torch.int8", "torch.uint8", "torch.bool")


class PthError(Exception):
    """What is wrong with a file, in words for one line."""


def show(value):
    """A value of a pickle, for a message. Of a list the type alone, since it may hold the same list
    many times over."""
    if isinstance(value, (str, bytes)):
        return repr(value[:128])
    return repr(value)[:128] if isinstance(value, (int, float)) else kind(value)


def kind(value):
    """The name of a value's type, as Python and PyTorch have it."""
    if isinstance(value, Name):
        return str(value)
    return {Dictionary: "dict", OddTensor: "Tensor"}.get(type(value), type(value).__name__)


# ---- what a pickle may hold, beside plain values ----


class Name(str):
    """A class or function of Python's. It stands for itself: nothing is imported."""


class Beside(Name):
    """A value that may stand beside tensors, of which nothing but its class is known."""


class Dictionary(list):
    """A dictionary as it was filled: keys and values by turns, so that no key need be hashed."""

    def items(self):
        return zip(self[::2], self[1::2])

    def get(self, name):
        """The last value of this key, or None."""
        found = None
        for key, value in self.items():
            if type(key) is str and key == name:
                found = value
        return found


class Storage:
    """Numbers of one type, side by side, which its file reads when they are asked for."""

    def __init__(self, file, name, key, count):
        if name not in STORAGES:
            raise PthError(f"{MORE}: {name}")
        self.dtype, code = STORAGES[name]
        self.code = numpy.dtype(code).newbyteorder(file.order)
        self.file, self.key, self.count, self.content = file, key, count, None

    def bytes(self):
        if self.content is None:
            found = self.file.bytes_of(self.key)
            if len(found) != self.count * self.code.itemsize:
                raise PthError(f"storage {show(self.key)}: {self.count} numbers of {self.dtype} in "
                               f"{len(found)} bytes")
            self.content = found
        return self.content


class Tensor:
    """A tensor of numbers that lie in a storage."""

    def __init__(self, storage, offset, shape, strides, is_negative):
        self.dtype, self.storage, self.offset = storage.dtype, storage, offset
        self.shape, self.strides, self.is_negative = shape, strides, is_negative
        self.nbytes = math.prod(shape) * storage.code.itemsize

    def numbers(self):
        """An array of float32 or float64; None for counters, which are no weights."""
        if self.dtype in COUNTERS:
            return None
        if self.dtype not in REALS:
            raise PthError(f"not a dense tensor of real numbers: {self.dtype}")
        wide = "f8" if self.dtype == "torch.float64" else "f4"
        if self.nbytes == 0:
            return numpy.zeros(self.shape, wide)
        size = self.storage.code.itemsize
        found = numpy.ndarray(self.shape, self.storage.code, self.storage.bytes(),
                              self.offset * size, [step * size for step in self.strides])
        if self.dtype == "torch.bfloat16":  # the upper half of a float32
            found = found.astype("u4")
            found <<= 16
            found = found.view("f4")
        found = found.astype(wide, copy=False)
        return -found if self.is_negative else found


class OddTensor:
    """A tensor that is no array of numbers: sparse, quantized, or without a storage."""

    nbytes = 0

    def __init__(self, what):
        self.dtype = what

    def numbers(self):
        raise PthError(f"not a dense tensor of real numbers: {self.dtype}")


# ---- the functions that are known, each of which makes a value of its arguments ----


def _are_sizes(values):
    return isinstance(values, tuple) and len(values) <= MOST_DIMENSIONS and all(
        type(value) is int and 0 <= value < 1 << 63 for value in values)


def _make_tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=()):
    if (not isinstance(storage, Storage) or not all(map(_are_sizes, (shape, strides, (offset, ))))
            or len(shape) != len(strides)):
        raise PthError(f"a tensor that has no storage, or not 0 to {MOST_DIMENSIONS} dimensions "
                       "and as many strides")
    # A stride of which no step is taken may be anything.
    strides = tuple(step if size > 1 else 0 for size, step in zip(shape, strides))
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides))
    if 0 not in shape and last >= storage.count:
        raise PthError(f"a tensor reaches element {last} of storage {show(storage.key)}, which has "
                       f"{storage.count}")
    return Tensor(storage, offset, shape, strides, metadata[:2] == ["neg", True])


def _odd(what):
    return lambda *_: OddTensor(what)


def _opaque(name):
    return lambda *_: Beside(name)


# What training tools save beside tensors: options, paths, dates, and what NumPy counted.
USUAL = ("argparse.Namespace", "pathlib.PosixPath", "pathlib._local.PosixPath",  # of Python 3.13
         "datetime.datetime", "datetime.timedelta", "numpy.dtype", "numpy.core.multiarray.scalar",
         "numpy.core.multiarray._reconstruct", "numpy._core.multiarray.scalar",
         "numpy._core.multiarray._reconstruct")
DICTIONARIES = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter",
                "lightning_fabric.utilities.data.AttributeDict",
                "lightning.fabric.utilities.data.AttributeDict",
                "pytorch_lightning.utilities.parsing.AttributeDict")


FUNCTIONS = {
    **{name: lambda *_: Dictionary() for name in DICTIONARIES},
    **{name: _opaque(name) for name in USUAL},
    "torch._utils._rebuild_tensor": _make_tensor,
    "torch._utils._rebuild_tensor_v2": _make_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch._tensor._rebuild_from_type_v2": lambda make, _, given, *__: _call(make, given),
    "torch._utils._rebuild_tensor_v3": lambda *given: OddTensor(show(given[6])),
    "torch._utils._rebuild_sparse_tensor": _odd("sparse"),
    "torch._utils._rebuild_sparse_csr_tensor": _odd("sparse"),
    "torch._utils._rebuild_nested_tensor": _odd("nested"),
    "torch._utils._rebuild_qtensor": _odd("quantized"),
    "torch._utils._rebuild_meta_tensor_no_storage": _odd("on the device meta"),
    # What may stand beside tensors, and is not used.
    "torch.serialization._get_layout": _opaque("torch.layout"),
    "torch.Size": _opaque("torch.Size"),
    "torch.device": _opaque("torch.device"),
    "_codecs.encode": _opaque("bytes"),
    "__builtin__.set": _opaque("set"),
    "builtins.set": _opaque("set"),
}


def _call(function, arguments):
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise PthError(DAMAGED)
    if function not in FUNCTIONS:
        raise PthError(f"{MORE}: {function}")
    return FUNCTIONS[function](*arguments)


def _name(module, name):
    if (not isinstance(module, str) or not isinstance(name, str)
            or len(module) + len(name) > LONGEST_NAME):
        raise PthError(DAMAGED)
    return Name(f"{module}.{name}")


# ---- the pickle's language ----


class Machine:
    """The stack and the memo of a pickle that is being read. `file` makes the storages that it
    names."""

    def __init__(self, file):
        self.file, self.stack, self.below, self.memo = file, [], [], {}

    def push(self, value):
        self.stack.append(value)

    def mark(self):
        self.below.append(self.stack)
        self.stack = []

    def take_marked(self):
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def take(self, count):
        """The topmost values, in the order in which they were pushed."""
        if len(self.stack) < count:
            raise PthError(DAMAGED)
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def put(self, index):
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def extend(self, wanted, items):
        if type(self.stack[-1]) is not wanted or wanted is Dictionary and len(items) % 2 != 0:
            raise PthError(DAMAGED)
        self.stack[-1].extend(items)

    def drop_state(self):
        """The state of a module's OrderedDict has versions in it, which are not used."""
        self.take(1)
        if type(self.stack[-1]) not in (Dictionary, Beside):
            raise PthError(f"{MORE}: the state of a {kind(self.stack[-1])}")

    def push_storage(self):
        reference, = self.take(1)
        if not isinstance(reference, tuple) or len(reference) not in (5, 6):
            raise PthError(DAMAGED)
        word, name, key, _, count, *view = reference
        if (word != "storage" or not isinstance(name, Name) or type(key) is not str
                or not _are_sizes((count, )) or view not in ([], [None])):
            raise PthError(DAMAGED)
        self.push(self.file.storage(name, key, count))


def _push(value_of):
    return lambda machine, argument: machine.push(value_of(argument))


def _pack(count):
    return lambda machine, _: machine.push(tuple(machine.take(count)))


def _pass(machine, argument):
    pass


def _put(machine, index):
    machine.put(index)


def _reduce(machine, _):
    machine.push(_call(*machine.take(2)))


OPERATIONS = {
    "PROTO": _pass,
    "FRAME": _pass,
    "NONE": Machine.push,
    "NEWTRUE": _push(lambda _: True),
    "NEWFALSE": _push(lambda _: False),
    "BININT": Machine.push,
    "BININT1": Machine.push,
    "BININT2": Machine.push,
    "LONG1": Machine.push,
    "BINFLOAT": Machine.push,
    "BINUNICODE": Machine.push,
    "SHORT_BINUNICODE": Machine.push,
    "BINUNICODE8": Machine.push,
    "BINBYTES": Machine.push,
    "SHORT_BINBYTES": Machine.push,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _put,
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "MARK": lambda machine, _: machine.mark(),
    "EMPTY_TUPLE": _push(lambda _: ()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.take_marked())),
    "TUPLE1": _pack(1),
    "TUPLE2": _pack(2),
    "TUPLE3": _pack(3),
    "EMPTY_LIST": _push(lambda _: []),
    "APPEND": lambda machine, _: machine.extend(list, machine.take(1)),
    "APPENDS": lambda machine, _: machine.extend(list, machine.take_marked()),
    "EMPTY_DICT": _push(lambda _: Dictionary()),
    "SETITEM": lambda machine, _: machine.extend(Dictionary, machine.take(2)),
    "SETITEMS": lambda machine, _: machine.extend(Dictionary, machine.take_marked()),
    "GLOBAL": _push(lambda names: _name(*names.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.push(_name(*machine.take(2))),
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "BUILD": lambda machine, _: machine.drop_state(),
    "BINPERSID": lambda machine, _: machine.push_storage(),
}


def read_pickle(stream, file=None):
    """The value of the pickle that begins here. The stream stands behind it then."""
    machine = Machine(file)
    for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if operation.name == "STOP":
            break
        if operation.name not in OPERATIONS or count >= MOST_OPERATIONS:
            raise PthError(f"{MORE}: operation {count} of the pickle is {operation.name}")
        OPERATIONS[operation.name](machine, argument)
    value, = machine.stack
    return value
