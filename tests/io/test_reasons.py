"""What is said of a file that HDF5 cannot read: why, and "damaged" of damage alone."""

import fcntl
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import h5py
import support


class ReasonsTest(support.CommandTest):
    def setUp(self):
        super().setUp()
        self.run_command("train", "copy", "--size", "8", "--blocks", "1", "--steps", "1", "--batch",
                         "2", "--symbols", "4", "--length", "3", "--threads", "1", "--out", "run")
        self.file = shutil.copy(self.path("run", "checkpoint.h5"), self.path("x.h5"))

    def refuse(self, says, damaged=False):
        message = self.run_command("info", "--all", "x.h5", status=1)
        self.assertIn(says, message)
        self.assertEqual(damaged, "damaged" in message, message)
        self.assertEqual(1, message.count("\n"), message)

    def change(self, at, to):
        with open(self.file, "r+b") as file:
            file.seek(at)
            file.write(to)

    def test_no_lock_is_needed(self):
        with open(self.file, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as good as a file system that has none
            self.run_command("info", "x.h5")

    def test_a_file_is_open_for_writing(self):
        with h5py.File(self.file, "r+"):
            self.refuse("another program has it open for writing")

    def test_its_writer_was_killed(self):
        subprocess.run([sys.executable, "-c", "import h5py, os, sys; "
                        "file = h5py.File(sys.argv[1], 'r+'); os._exit(0)", self.file], check=True)
        self.refuse("h5clear -s")

    def test_a_newer_hdf5_wrote_it(self):
        self.change(len(b"\x89HDF\r\n\x1a\n"), b"\x09")
        self.refuse("a newer HDF5 wrote it")

    def test_it_was_cut(self):
        os.truncate(self.file, os.path.getsize(self.file) // 2)
        self.refuse("it was cut short")

    def test_its_values_are_damaged(self):
        with h5py.File(self.file) as file:
            at = file["model/embed.weight"].id.get_chunk_info(0).byte_offset
        self.change(at, b"\xff")
        self.refuse("embed.weight: its values: damaged", damaged=True)


if __name__ == "__main__":
    unittest.main()
