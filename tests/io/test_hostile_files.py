"""HDF5 files that are made to lead elsewhere, or to take more memory than they say."""

import os
import shutil
import sys
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import h5py
import numpy
import support

NAME = "model/embed.weight"
# Found by fuzzing, with right checksums: HDF5 1.10.8 divides by zero, or reads what is not there.
CRASHING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "findings",
                        "libhdf5")


class HostileFilesTest(support.CommandTest):
    def setUp(self):
        super().setUp()
        self.run_command("train", "copy", "--size", "8", "--blocks", "1", "--steps", "1", "--batch",
                         "2", "--symbols", "4", "--length", "3", "--threads", "1", "--out", "run")
        os.mkfifo(self.path("pipe"))

    def put_another(self, change):
        """A checkpoint with another dataset in the place of one, whose values are returned."""
        shutil.copy(self.path("run", "checkpoint.h5"), self.path("x.h5"))
        with h5py.File(self.path("x.h5"), "r+") as file:
            values = file[NAME][()]
            del file[NAME]
            change(file, values)
        return values

    def refuse(self, change, says, *command):
        """`info`, or another command, refuses it, and says why."""
        self.put_another(change)
        self.assertIn(says, self.run_command(*(command or ["info", "x.h5"]), status=1))

    def test_what_crashes_hdf5_is_a_message(self):
        crafted = os.path.join(os.path.dirname(os.path.abspath(__file__)), "crafted.h5")
        shutil.copy(crafted, self.path("x.h5"))  # found by fuzzing: HDF5 1.10.8 crashes
        message = self.run_command("info", "x.h5", status=1)
        self.assertIn("x.h5: ", message)
        self.assertEqual(1, message.count("\n"), message)

    def test_links_are_not_followed(self):
        def external(file, _):
            file[NAME] = h5py.ExternalLink(self.path("pipe"), "/x")

        def soft(file, _):
            file[NAME] = h5py.SoftLink("/model/head.weight")

        def whole_group(file, _):
            file.move("model", "elsewhere")
            file["model"] = h5py.SoftLink("/elsewhere")

        for change in (external, soft, whole_group):
            with self.subTest(change.__name__):
                self.refuse(change, "a link to somewhere else")

    def test_bytes_of_other_files_are_not_read(self):
        def external(file, values):
            file.create_dataset(NAME, values.shape, "f4",
                                external=[(self.path("pipe"), 0, h5py.h5f.UNLIMITED)])

        def virtual(file, values):
            layout = h5py.VirtualLayout(values.shape, "f4")
            layout[...] = h5py.VirtualSource(self.path("pipe"), "x", values.shape)
            file.create_virtual_dataset(NAME, layout)

        def endless(file, values):
            """Whose shape is that of what it is made of."""
            space, source = (h5py.h5s.create_simple((1,), (h5py.h5s.UNLIMITED,)) for _ in "12")
            source.select_hyperslab((0,), (h5py.h5s.UNLIMITED,))
            creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            creation.set_virtual(source, self.path("pipe").encode(), b"x", source)
            h5py.h5d.create(file.id, NAME.encode(), h5py.h5t.IEEE_F32LE, space, creation)

        for change in (external, virtual, endless):
            with self.subTest(change.__name__):
                self.refuse(change, "its bytes are in another file")

    def test_filters_are_those_that_mixtape_knows_each_once(self):
        def twice(file, values):
            creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            creation.set_chunk(values.shape)
            creation.set_deflate(9)
            creation.set_deflate(9)
            space = h5py.h5s.create_simple(values.shape)
            h5py.h5d.create(file.id, NAME.encode(), h5py.h5t.IEEE_F32LE, space, creation)
            file[NAME][...] = values

        def another(file, values):
            file.create_dataset(NAME, data=values, chunks=values.shape, compression="lzf")

        for change, says in ((twice, "2 filters, "), (another, "filter 32000 (lzf), ")):
            with self.subTest(change.__name__):
                self.refuse(change, says + "where deflate and Fletcher-32 may be")

    def make_chunks(self, file, values, chunk, *filters):
        """A dataset of which no chunk is filled with anything where it is not written."""
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk(chunk)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        for each in filters:
            creation.set_fletcher32() if each == "sum" else creation.set_deflate(9)
        space = h5py.h5s.create_simple(values.shape)
        return h5py.Dataset(h5py.h5d.create(file.id, NAME.encode(), h5py.h5t.IEEE_F32LE, space,
                                            creation))

    def test_deflated_weights_are_read(self):
        def written_by_hdf5(*filters):
            def change(file, values):
                self.make_chunks(file, values, (2, 3), *filters)[...] = values

            return change

        def not_deflated(file, values):
            made = self.make_chunks(file, values, values.shape, "deflate")
            made.id.write_direct_chunk((0, 0), values.tobytes(), filter_mask=1)

        for change in (written_by_hdf5("deflate"), written_by_hdf5("deflate", "sum"),
                       written_by_hdf5("sum", "deflate"), not_deflated):
            values = self.put_another(change)
            self.run_command("export", "x.h5", "-o", "y.h5")
            with h5py.File(self.path("y.h5")) as file:
                numpy.testing.assert_array_equal(file["embed.weight"][()], values)
            os.remove(self.path("y.h5"))

    def test_chunks_are_there_and_whole(self):
        """What HDF5 makes of others is what memory held before."""
        def missing(*filters):
            def change(file, values):
                self.make_chunks(file, values, (2, 8), *filters)[:2] = values[:2]

            return change

        def written(change, *filters):
            def put(file, values):
                made = self.make_chunks(file, values, values.shape, *filters)
                made.id.write_direct_chunk((0, 0), change(values.tobytes()))

            return put

        half = lambda values: zlib.compress(values[:len(values) // 2])
        for change, says in (
                (missing("deflate"), "embed.weight: its chunk of row 2"),
                (missing("deflate", "sum"), "embed.weight: its chunk of row 2"),
                (written(half, "deflate"), "its chunk of row 0 does not unpack to a whole one"),
                (written(half, "sum", "deflate"), "does not unpack to a whole one"),
                (written(lambda values: zlib.compress(values + values), "deflate"),
                 "does not unpack to a whole one"),
                (written(lambda values: zlib.compress(values)[:-9], "deflate"),
                 "does not unpack to a whole one"),
                (written(lambda values: values, "sum"), "is not as long as a chunk"),
                (written(lambda values: values + b"12345678", "sum"), "is not as long as")):
            with self.subTest(says):
                self.refuse(change, says, "export", "x.h5", "-o", "y.h5")
                self.assertFalse(os.path.exists(self.path("y.h5")))

    def outputs_with(self, kind, values):
        """What forward makes of the checkpoint with NAME's values, or its own, stored as a type;
        and those values as HDF5 reads them again.
        """
        shutil.copy(self.path("run", "checkpoint.h5"), self.path("x.h5"))
        with h5py.File(self.path("x.h5"), "r+") as file:
            values = file[NAME][()] if values is None else values
            del file[NAME]
            array = h5py.h5d.create(file.id, NAME.encode(), kind,
                                    h5py.h5s.create_simple(values.shape))
            array.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
            rounded = numpy.empty_like(values)
            array.read(h5py.h5s.ALL, h5py.h5s.ALL, rounded)
        return self.forward("x.h5", numpy.array([[1, 2, 3]]))[0], rounded

    def test_floats_of_16_bits_are_widened(self):
        own, whole = self.outputs_with(h5py.h5t.IEEE_F32LE, None)
        for fraction, exponent, bias in ((10, 5, 15), (7, 8, 127)):  # IEEE's, and bfloat16
            narrow = h5py.h5t.IEEE_F32LE.copy()
            narrow.set_fields(15, fraction, exponent, 0, fraction)
            narrow.set_precision(16)
            narrow.set_ebias(bias)
            narrow.set_size(2)
            outputs, rounded = self.outputs_with(narrow, whole)
            wide, _ = self.outputs_with(h5py.h5t.IEEE_F32LE, rounded)
            self.assertEqual(outputs.tobytes(), wide.tobytes())
            self.assertNotEqual(outputs.tobytes(), own.tobytes())

    def test_a_file_that_crashes_libhdf5_is_a_message(self):
        for name in sorted(os.listdir(CRASHING)):
            with self.subTest(name):
                said = self.run_command("info", os.path.join(CRASHING, name), status=1)
                self.assertRegex(said, rf"^mixtape: .*{name}: .*\n$")

    def test_labels_are_those_of_the_vocabulary(self):
        for label in (-1, 6, 2**40, -2**40):
            with h5py.File(self.path("in.h5"), "w") as file:
                file["labels"] = numpy.array([[1, 2], [label, 1]], "i8")
            self.assertRegex(
                self.run_command("forward", "run", "--input", "in.h5", "--output", "o.h5",
                                 status=1), r"in\.h5: labels: -?\d+ in row 1, not in 0 \.\. 5")

    def test_labels_are_not_read_through_links(self):
        with h5py.File(self.path("other.h5"), "w") as file:
            file["labels"] = numpy.ones((1, 3), "i4")
        for to in ("other.h5", "pipe"):
            with h5py.File(self.path("link.h5"), "w") as file:
                file["labels"] = h5py.ExternalLink(self.path(to), "/labels")
            self.assertIn("a link to somewhere else",
                          self.run_command("forward", "run", "--input", "link.h5", "--output",
                                           "o.h5", status=1))


if __name__ == "__main__":
    unittest.main()
