"""Files of token ids, for `mixtape train ids`, written in constant memory.

    NAME.npy               an array of NumPy
    NAME.bin               ids alone, as nanoGPT writes them
    NAME.idx and NAME.bin  those of Megatron and RWKV-LM ("binidx"), which keep documents

Each is written beside its place and renamed when it is whole.
"""

import errno
import os
import struct
import tempfile

import numpy

from mixtape import beside

MAGIC = b"MMIDIDX\0\0"
TYPES = {"uint16": 8, "int32": 4}  # the codes of an index
LONGEST_SEQUENCE = 1 << 30  # an index has lengths of 32 bits
NPY_HEADER = 128


class _Part:
    """A file on its way to its name."""

    def __init__(self, path):
        self.path = os.path.realpath(path)
        self.part = beside.name(self.path)
        self.file = None

    def open(self):
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise FileExistsError(errno.EEXIST, "it is there, and no file", self.path)
        beside.remove_left(self.path)
        try:
            self.file = open(beside.create(self.part), "w+b")
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None

    def flush(self):
        self.file.flush()
        os.fsync(self.file.fileno())

    def rename(self):
        self.file.close()
        os.replace(self.part, self.path)

    def discard(self):
        if self.file is not None:
            self.file.close()
        if os.path.exists(self.part):
            os.unlink(self.part)


class Writer:
    """Ids alone; what an .npy and an index have beside them is added by those."""

    wide = "<u4"

    def __init__(self, path, size):
        self.path = path
        self.dtype = numpy.dtype("<u2" if size <= 1 << 16 else self.wide)
        self.count = self.documents = 0
        self.parts = []

    def open(self):
        self.ids = self._part(self.path)

    def _part(self, path):
        part = _Part(path)
        self.parts.append(part)  # to be discarded, whatever happens from here on
        part.open()
        return part.file

    def names(self):
        return [part.path for part in self.parts]

    def write(self, ids):
        self.ids.write(numpy.asarray(ids, self.dtype).tobytes())
        self.count += len(ids)

    def end_document(self):
        self.documents += 1

    def finish(self):
        """Writes what stands before the ids, or in another file."""

    def close(self):
        """Puts the files in place."""
        self.finish()
        for part in self.parts:
            part.flush()
        for part in self.parts:
            part.rename()

    def discard(self):
        for part in self.parts:
            part.discard()


class NpyWriter(Writer):
    def open(self):
        super().open()
        self.ids.write(bytes(NPY_HEADER))

    def finish(self):
        shape = f"{{'descr': '{self.dtype.str}', 'fortran_order': False, 'shape': ({self.count},)}}"
        begin = b"\x93NUMPY\x01\0" + struct.pack("<H", NPY_HEADER - 10)
        self.ids.seek(0)
        self.ids.write(begin + shape.encode().ljust(NPY_HEADER - len(begin) - 1) + b"\n")


class IndexedWriter(Writer):
    """The lengths of sequences and the borders of documents wait in files of their own."""

    wide = "<i4"

    def open(self):
        base = self.path[:-len(".idx")] if self.path.endswith(".idx") else self.path
        self.ids = self._part(base + ".bin")
        self.index = self._part(base + ".idx")
        folder = os.path.dirname(self.names()[0])
        self.lengths, self.borders = (tempfile.TemporaryFile(dir=folder) for _ in range(2))
        self.length = self.sequences = 0
        self._begin_document()

    def _begin_document(self):
        self.borders.write(struct.pack("<q", self.sequences))

    def _end_sequence(self):
        self.lengths.write(struct.pack("<i", self.length))
        self.length = 0
        self.sequences += 1

    def write(self, ids):
        super().write(ids)
        if self.length > LONGEST_SEQUENCE:
            self._end_sequence()
        self.length += len(ids)

    def end_document(self):
        super().end_document()
        self._end_sequence()
        self._begin_document()

    def finish(self):
        self.index.write(MAGIC + struct.pack("<QBQQ", 1, TYPES[self.dtype.name], self.sequences,
                                             self.documents + 1))
        for pieces in (_pieces(self.lengths, "<i4"), self._places(), _pieces(self.borders, "<i8")):
            for piece in pieces:
                self.index.write(piece.tobytes())

    def _places(self):
        place = 0
        for lengths in _pieces(self.lengths, "<i4"):
            ends = place + numpy.cumsum(lengths, dtype="<i8") * self.dtype.itemsize
            yield numpy.concatenate([[place], ends[:-1]]).astype("<i8")
            place = int(ends[-1])


def _pieces(file, dtype):
    file.seek(0)
    while piece := file.read(1 << 20):
        yield numpy.frombuffer(piece, dtype)


def writer_of(path, size):
    """A writer of ids below `size`, of the kind that the name says, not open yet."""
    kinds = {".npy": NpyWriter, ".bin": Writer}
    base, suffix = os.path.splitext(path)
    index = base + ".idx"
    if suffix == ".bin" and os.path.lexists(index):
        raise FileExistsError(errno.EEXIST, f"{index} would be taken for its index: remove that, "
                              f"or write both (-o {index})", path)
    return kinds.get(suffix, IndexedWriter)(path, size)
