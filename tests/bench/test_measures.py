"""Programs of bench/ that measure the command, on small models: they end well, with a figure for
each thing that they measure. What the figures are is of no matter here."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
MIXTAPE = os.environ["MIXTAPE"]


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


if __name__ == "__main__":
    unittest.main()
