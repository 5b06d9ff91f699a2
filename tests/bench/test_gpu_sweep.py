"""bench/gpu_sweep.py with a compiler that makes programs for CUDA-on-CPU: every way in which a
variant can end is a row, and the rest goes on."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

SOURCES = os.environ["SOURCES"]
sys.path.insert(0, os.path.join(SOURCES, "bench"))
import gpu_sweep  # noqa: E402

SMALL = ["--shapes", "1,70,33 2,9,5", "--runs", "3", "--copy", "4096"]
BUILT = "default;block order;packed;group 8;forward 5;warps 8"


def sweep(*arguments, **environment):
    stand_in = os.path.join(SOURCES, "tests", "bench", "stand_in_nvcc.py")
    program = os.path.join(SOURCES, "bench", "gpu_sweep.py")
    return subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True,
                          env={**os.environ, "NVCC": stand_in, **environment})


class Sweep(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.build = os.path.join(cls.folder.name, "build")
        cls.built = sweep("build", SOURCES, cls.build, "--jobs", "2", "--only", BUILT)

    def out(self, name):
        return os.path.join(self.folder.name, name)

    def run_variants(self, only, *arguments, **environment):
        """(the process, its rows by their names)."""
        out = self.out("sweep.json")
        done = sweep("run", self.build, out, "--only", only, *SMALL, *arguments, **environment)
        with open(out) as file:
            return done, {row["name"]: row for row in json.load(file)["variants"]}

    def test_a_variant_that_does_not_compile_is_told_and_the_others_are_built(self):
        self.assertEqual(self.built.returncode, 0, self.built.stderr)
        self.assertIn("6 of 7 programs built", self.built.stdout)
        self.assertIn("packed: not built", self.built.stderr)

    def test_variants_end_as_they_should(self):
        done, rows = self.run_variants("default;block order;packed;group 8;warps 8;steps 8",
                                       CUDA_ON_CPU_DISORDER="40")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("default", "default, again", "default, at last", "warps 8"):
            self.assertEqual(rows[name]["ended"], "right", rows[name])
            self.assertEqual(list(rows[name]["shapes"]), ["1,70,33", "2,9,5"])
        self.assertEqual(rows["packed"]["ended"], "does not compile")
        self.assertIn("a spoilt variant", rows["packed"]["error"])
        self.assertEqual(rows["group 8"]["ended"], "wrong")
        self.assertIn("du of (1, 1, 1) is off", rows["group 8"]["faults"][0])
        # Its blocks wait in vain.
        self.assertEqual(rows["block order"]["ended"], "failed with status -6")
        self.assertEqual(rows["steps 8"]["ended"], "not built in time")
        self.assertGreater(rows["default"]["copy"], 0)
        shown = sweep("table", self.out("sweep.json")).stdout
        self.assertEqual(shown, done.stdout)
        for name, row in rows.items():
            self.assertEqual(shown.count(f"\n{name:<28}"), 0 if name == "steps 8" else 2, shown)
            if row["ended"] != "right":
                self.assertIn(row["ended"], shown)
        self.assertIn("\nnot built in time: steps 8\n", shown)
        for line in shown.splitlines():
            if line.startswith("group 8 "):
                self.assertNotIn("*", line)  # what is wrong is never the best
        # Of two directions and two shapes; equal times share it.
        self.assertGreaterEqual(shown.count("*"), 4, shown)

    def test_a_variant_that_hangs_is_stopped(self):
        done, rows = self.run_variants("forward 5", "--limit", "1")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(rows["forward 5"]["ended"], "stopped after 1 s")

    def test_no_variant_is_started_when_time_is_up(self):
        done, rows = self.run_variants("default;warps 8", "--seconds", "0")
        self.assertEqual(done.returncode, 1)
        self.assertEqual({row["ended"] for row in rows.values()}, {"no time left"})

    def test_unknown_variants_are_refused(self):
        done = sweep("run", self.build, self.out("x.json"), "--only", "warps 9")
        self.assertIn("no such variant: warps 9", done.stderr)

    def test_probe_measures_dispatch_and_chain(self):
        out = self.out("probe.json")
        done = sweep("probe", self.build, out, CUDA_ON_CPU_RESIDENTS="2")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out) as file:
            found = json.load(file)
        self.assertEqual(len(found["dispatch"]), 27)
        self.assertTrue(all(row["right"] for row in found["chain"]))
        self.assertIn("ns a hop", done.stdout)
        self.assertEqual(sweep("table", out).stdout, done.stdout)
        most = max(row["late"] for row in found["dispatch"])
        sweep("probe", self.build, out, CUDA_ON_CPU_RESIDENTS="2", CUDA_ON_CPU_DISORDER="40")
        with open(out) as file:
            found = json.load(file)
        self.assertGreater(max(row["late"] for row in found["dispatch"]), most)

    def test_probe_that_is_not_there_is_told(self):
        done = sweep("probe", self.out("nowhere"), self.out("none.json"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("probe:", done.stderr)


class Parsing(unittest.TestCase):
    def test_registers_and_spills_are_those_of_the_float32_kernels(self):
        kernels = [("backward", "d", 150, 4), ("backward", "f", 96, 12), ("forward", "d", 120, 0),
                   ("forward", "f", 80, 0)]
        report = "".join(f"ptxas info    : Compiling entry function"
                         f" '_ZN7mt_cuda1_{name}_kernelI{real}EEvNS' for 'sm_90'\n"
                         f"    8 bytes stack frame, {spilled} bytes spill stores,"
                         f" {spilled} bytes spill loads\n"
                         f"ptxas info    : Used {registers} registers, used 1 barriers\n"
                         for name, real, registers, spilled in kernels)
        self.assertEqual(gpu_sweep.resources(report), {"backward": {"registers": 96, "spilled": 24},
                                                       "forward": {"registers": 80, "spilled": 0}})

    def test_every_variant_has_a_folder_of_its_own(self):
        folders = {gpu_sweep.folder_of("", name) for name in gpu_sweep.VARIANTS}
        self.assertEqual(len(folders), len(gpu_sweep.VARIANTS))


if __name__ == "__main__":
    unittest.main()
