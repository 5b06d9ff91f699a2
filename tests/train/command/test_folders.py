"""Folders of Hugging Face's that are written: where, and what is left of an export that ended."""

import json
import os
import signal
import subprocess
import time
import unittest

from test_command import MIXTAPE, CommandTest

LARGE = ["--size", "256", "--blocks", "6"]
SMALL = ["--size", "16", "--blocks", "1"]


class FolderTest(CommandTest):
    def make_run(self, size):
        self.run_command("train", "copy", *size, "--batch", "2", "--eval-batches", "1", "--steps",
                         "1", "--no-bias", "--norm-eps", "1e-5", "--out", "run")
        os.mkdir(self.path("to"))

    def entries(self):
        return sorted(os.listdir(self.path("to")))


class EndedTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.make_run(LARGE)

    def export_until(self, number):
        """Begins an export, and sends it a signal once it has begun to write."""
        process = subprocess.Popen([MIXTAPE, "export", "run", "--layout", "hf", "-o", "to/model"],
                                   cwd=self.folder.name, stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL)
        while process.poll() is None and not self.entries():
            time.sleep(0.0005)
        process.send_signal(number)
        return process.communicate()[1], process.returncode

    def test_an_export_that_a_signal_ends_leaves_nothing(self):
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            with self.subTest(signal=number):
                error, status = self.export_until(number)
                self.assertEqual(error, b"")
                if status == 0:  # it was as good as done
                    os.rename(self.path("to", "model"), self.path(f"done-{number}"))
                else:
                    self.assertEqual(status, 128 + number)
                self.assertEqual(self.entries(), [])

    def test_what_a_killed_export_leaves_is_removed_by_the_next(self):
        while not any(name.endswith(".part") for name in self.entries()):
            self.export_until(signal.SIGKILL)
        self.run_command("export", "run", "--layout", "hf", "-o", "to/model")
        self.assertEqual(self.entries(), ["model"])
        self.run_command("import", "to/model", "-o", "model.h5")


class PlaceTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.make_run(SMALL)

    def refuse_output(self, output, says, status=1):
        self.refuse("export", "run", "--layout", "hf", "-o", output, status=status, says=says)

    def test_a_place_that_is_taken_is_told_and_stays(self):
        self.write("to/file", "precious")
        self.refuse_output("to", ["to: a folder that is not empty", "name a new one"])
        self.refuse_output("to/", "not empty")
        self.refuse_output("run", "not empty")
        self.refuse_output(".", "not empty")
        self.refuse_output("to/file", ["to/file: Not a directory", "name a new one"])
        self.refuse_output("none/model", "none/model: No such file or directory")
        self.refuse_output("", "--output: an empty value", status=2)
        self.assertEqual(self.entries(), ["file"])

    def test_a_link_leads_to_where_the_folder_goes(self):
        os.symlink("to/model", self.path("link"))
        self.run_command("export", "run", "--layout", "hf", "-o", "link")
        self.assertTrue(os.path.islink(self.path("link")))
        with open(self.path("to", "model", "config.json")) as file:
            self.assertEqual(json.load(file)["model_type"], "rwkv")


if __name__ == "__main__":
    unittest.main()
