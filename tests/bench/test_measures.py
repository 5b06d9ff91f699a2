"""Programs of bench/ that measure the command, on small models: they end well, with a figure for
each thing that they measure. What the figures are is of no matter here."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
MIXTAPE = os.environ["MIXTAPE"]
HAS_MPI = shutil.which("mpirun") and os.path.exists(
    os.path.join(os.path.dirname(MIXTAPE), "libmixtape_mpi.so"))


def figures(found):
    """All numbers in what JSON holds."""
    if isinstance(found, (dict, list)):
        parts = found.values() if isinstance(found, dict) else found
        return [figure for part in parts for figure in figures(part)]
    return [found] if isinstance(found, (int, float)) and not isinstance(found, bool) else []


class MeasuresTest(unittest.TestCase):
    def measure(self, name, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "found.json")
            done = subprocess.run(
                [sys.executable, os.path.join(BENCH, name), MIXTAPE, *arguments, "--json", path],
                cwd=folder, capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as file:
                return json.load(file)

    def test_saves(self):
        found = self.measure("saves.py", "--rounds", "1", "--steps", "2", "--size", "16",
                             "--blocks", "1", "--length", "9", "--threads", "1")
        self.assertEqual([row["saves"] for row in found], ["at the end", "every step"])
        self.assertTrue(all(row["all_s"] for row in found))

    def test_files(self):
        found = self.measure("files.py", "--rounds", "1", "--size", "16", "--blocks", "1")
        self.assertGreater(found["megabytes"], 0)
        self.assertGreater(len(found["rounds"]), 5)
        for name, builds in found["rounds"].items():
            self.assertGreater(len(figures(builds)), 0, name)

    def test_prompts(self):
        found = self.measure("prompts.py", "--rounds", "1", "--symbols", "5", "--size", "16",
                             "--blocks", "1")
        self.assertEqual([int(batch) for batch in found["medians"]], found["options"]["batches"])

    def test_generate(self):
        found = self.measure("generate.py", "--rounds", "1", "--tokens", "5", "--size", "16",
                             "--blocks", "1", "--threads", "1", "--threads", "2")
        self.assertEqual([(row["threads"], row["weights"]) for row in found],
                         [(threads, kind) for threads in (1, 2) for kind in ("f32", "bf16", "int8")])

    def test_memory(self):
        found = self.measure("memory.py", "--vocabulary", "20", "--size", "16", "--blocks", "1",
                             "--length", "8", "--steps", "2")
        self.assertEqual(len(found), 8)
        self.assertTrue(all(row["peak"] > 0 for row in found))

    @unittest.skipUnless(HAS_MPI, "no mpirun, or Mixtape was built without MPI")
    def test_processes(self):
        found = self.measure("processes.py", "--rounds", "1", "--steps", "2", "--size", "16,1")
        self.assertEqual([(row["processes"], row["threads"]) for row in found],
                         [(1, 1), (1, 2), (2, 1)])


if __name__ == "__main__":
    unittest.main()
