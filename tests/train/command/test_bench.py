"""`mixtape bench`: one thing alone, the times of its kernels, and its figures as JSON. MIXTAPE is
the command, of which the CPU is used, and MIXTAPE_CUDA_ON_CPU the one with the emulated device."""

import json
import os
import subprocess
import tempfile
import time
import unittest

CPU = [os.environ["MIXTAPE"], "bench", "--device", "cpu", "--threads", "2"]
CUDA = [os.environ["MIXTAPE_CUDA_ON_CPU"], "bench", "--device", "cuda", "--threads", "2"]
DEVICES = {"cpu": CPU, "cuda:0": CUDA}
STEPS = [f"step {shape} f32" for shape in ("B32 T64 vocab 500 size 256 blocks 4",
                                           "B32 T128 vocab 64 size 64 blocks 2",
                                           "B12 T64 vocab 65 size 128 blocks 4",
                                           "B32 T64 vocab 500 size 768 blocks 4")]


class BenchTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.json = os.path.join(self.folder.name, "bench.json")

    def bench(self, command, *options, status=0, environment=None):
        """Lines of standard output, and standard error. self.figures: the JSON, or None."""
        result = subprocess.run([*command, "--json", self.json, *options], capture_output=True,
                                text=True, timeout=600, env={**os.environ, **(environment or {})})
        self.assertEqual(result.returncode, status, result.stderr)
        self.figures = None
        if os.path.exists(self.json):
            with open(self.json) as file:
                self.figures = json.load(file)
            os.remove(self.json)
        return result.stdout.splitlines(), result.stderr

    def test_one_thing_runs_alone_and_is_told_in_one_line(self):
        cases = [(["--wkv", "2,40,32"], "wkv (2, 40, 32), forward and backward", 1),
                 (["--wkv", "1,1,1", "--runs", "3"], "wkv (1, 1, 1), forward and backward", 3),
                 (["--step", "2", "--runs", "2"], STEPS[2], 2),
                 (["--step", "1", "--dtype", "bf16"], STEPS[1].replace("f32", "bf16"), 1)]
        for device, command in DEVICES.items():
            for options, what, runs in cases:
                with self.subTest(device=device, options=options):
                    lines, errors = self.bench(command, *options)
                    times = "1 run" if runs == 1 else f"{runs} runs"
                    self.assertEqual(lines, [f"{what}, {times} on {device}"])
                    self.assertEqual(errors, "")
                    self.assertEqual(self.figures["results"], [{"what": what, "runs": runs}])

    def test_one_thing_is_measured_alone(self):
        cases = [(["--wkv", "2,40,32"], "wkv"), (["--step", "2", "--dtype", "bf16"], "step")]
        for options, what in cases:
            with self.subTest(options=options):
                self.bench(CPU, *options, "--repeat", "3")
                [figures] = self.figures["results"]
                self.assertEqual(figures["what"], what)
                self.assertGreater(figures["forward_s" if what == "wkv" else "step_s"], 0.0)

    def test_json_is_printed_unless_it_has_a_file(self):
        alone = ["--wkv", "2,40,32"]
        line = "wkv (2, 40, 32), forward and backward, 1 run on cpu\n"
        for options in (["--json"], ["--json=-"], ["--json", "-"], ["--json", "--runs", "1"]):
            with self.subTest(options=options):
                result = subprocess.run([*CPU, *alone, *options], capture_output=True, text=True,
                                        check=True, cwd=self.folder.name)
                self.assertEqual(json.loads(result.stdout)["device"], "cpu")
                self.assertEqual((result.stderr, os.listdir(self.folder.name)), (line, []))
        for options in (["--json", "a.json"], ["--json=a.json"]):
            result = subprocess.run([*CPU, *alone, *options], capture_output=True, text=True,
                                    check=True, cwd=self.folder.name)
            self.assertEqual((result.stdout, result.stderr), (line, ""))
            os.remove(os.path.join(self.folder.name, "a.json"))
        for options in (["more"], ["--json", "a.json", "more"], ["--json", "--runs", "1", "more"]):
            self.assertIn("unexpected argument 'more'",
                          subprocess.run([*CPU, *alone, *options], capture_output=True, text=True,
                                         cwd=self.folder.name).stderr)

    def test_help_tells_the_shapes_of_steps(self):
        lines, _ = self.bench(CPU, "--help")
        text = " ".join(" ".join(lines).split())
        for number, step in enumerate(STEPS):
            self.assertIn(f"{number}: {step}", text)

    def test_wrong_values_are_wrong_usage_and_named(self):
        shapes = [",", "2,40", "2,40,", "2,40,32,", "2,40,32,1", "2,0,32", "-2,40,32",
                  "2,40,32x", "2;40;32", "a,b,c", "2,40,1048577", "99999999999999999999,1,1"]
        cases = [(["--wkv", shape], f"--wkv {shape}: ") for shape in shapes]
        cases += [(["--step", step], f"--step {step}: not a whole number in 0 .. 3")
                  for step in ["4", "-1", "one", "1.5"]]
        cases += [(["--step", "0", "--runs", runs], f"--runs {runs}: ")
                  for runs in ["0", "-1", "many", "100001"]]
        cases += [([option, ""], f"{option}: an empty value") for option in ("--wkv", "--step")]
        cases += [(["--wkv", "2,40,32", "--dtype", "bf16"], "--dtype is for training steps"),
                  (["--dtype", "f16"], "--dtype f16: not one of f32, f64, bf16")]
        cases += [(["--step", "0", "--wkv", "2,40,32"], "--wkv and --step"),
                  (["--runs", "2"], "--runs needs"), (["--kernels"], "--kernels needs"),
                  (["--wkv", "2,40,32", "--repeat", "3", "--runs", "3"], "--repeat and --runs"),
                  (["--step", "1", "--repeat", "3", "--kernels"], "--repeat and --kernels"),
                  (["--wkv", "2,40,32", "--kernels=yes"], "--kernels")]
        for options, says in cases:
            with self.subTest(options=options):
                lines, errors = self.bench(CPU, *options, status=2)
                self.assertIn(says, errors)
                self.assertEqual((lines, len(errors.splitlines()), self.figures), ([], 1, None))

    def test_a_shape_for_which_there_is_no_memory_is_told(self):
        # Sanitizers end the program at an absurd size unless they are told to fail like malloc.
        sanitizers = dict.fromkeys(["ASAN_OPTIONS", "TSAN_OPTIONS"], "allocator_may_return_null=1")
        for command in DEVICES.values():
            with self.subTest(command=command):
                _, errors = self.bench(command, "--wkv", "1048576,1048576,1048576", status=1,
                                       environment=sanitizers)
                self.assertIn(str(2**62), errors)

    def test_the_cpu_does_not_time_its_kernels(self):
        for what in (["--wkv", "2,40,32"], ["--step", "1"]):
            lines, errors = self.bench(CPU, *what, "--kernels", status=1)
            self.assertIn("cpu does not time its kernels", errors)
            self.assertEqual((lines, self.figures), ([], None))

    def kernels_of(self, *options, runs):
        """Calls of each kernel in a run, once the table and the figures have been checked."""
        lines, errors = self.bench(CUDA, *options, "--runs", str(runs), "--kernels")
        self.assertEqual(errors, "")
        row, = self.figures["results"]
        self.assertEqual(row["runs"], runs)
        times = [kernel["seconds"] for kernel in row["kernels"]]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertAlmostEqual(sum(times), row["kernels_s"], places=9)
        self.assertAlmostEqual(sum(kernel["share"] for kernel in row["kernels"]), 1.0, places=9)
        self.assertGreater(row["wall_s"], 0.0)
        self.assertEqual(lines[1].split(), ["kernel", "calls", "microseconds", "share"])
        self.assertEqual(len(lines), len(row["kernels"]) + 3)
        for line, kernel in zip(lines[2:], row["kernels"]):
            self.assertTrue(line.startswith("  " + kernel["name"] + " "), line)
            calls, time, share, percent = line.removeprefix("  " + kernel["name"]).split()
            self.assertEqual((float(calls), percent), (kernel["calls"], "%"))
            self.assertAlmostEqual(float(time), 1e6 * kernel["seconds"], delta=0.006)
            self.assertAlmostEqual(float(share), 100.0 * kernel["share"], delta=0.06)
        self.assertIn("all kernels", lines[-1])
        return {kernel["name"]: kernel["calls"] for kernel in row["kernels"]}

    def test_the_kernels_of_wkv_are_told_apart(self):
        calls = self.kernels_of("--wkv", "2,700,32", runs=3)
        self.assertEqual(calls, {"wkv": 1.0, "wkv backward": 1.0, "wkv totals": 1.0,
                                 "wkv clearing": 2.0})

    def test_one_chunk_waits_for_no_other(self):
        """So nothing is cleared for it."""
        calls = self.kernels_of("--wkv", "2,40,32", runs=3)
        self.assertEqual(calls, {"wkv": 1.0, "wkv backward": 1.0, "wkv totals": 1.0})

    def test_every_kernel_of_a_step_is_timed(self):
        calls = self.kernels_of("--step", "2", runs=1)
        blocks = 4
        for name in ["wkv", "wkv backward", "wkv totals"]:
            self.assertEqual(calls[name], blocks, name)
        # Of the projections, of which key, value and receptance of self-attention are one, and the
        # head; and so for each gradient.
        products = 5 * blocks + 1
        self.assertEqual(calls["product a b^T + bias"], 4 * blocks + 1)
        self.assertEqual(calls["product a b^T"], blocks) # of feed-forward's key
        for name in ["product a b", "product a^T b", "sum rows"]:
            self.assertEqual(calls[name], products, name)
        self.assertNotIn("bias", calls)
        for name in ["adam", "embedding", "embedding backward", "cross-entropy",
                     "cross-entropy total", "cross-entropy backward"]:
            self.assertEqual(calls[name], 1.0, name)
        for name in ["norm", "norm backward", "norm weights backward", "time mix backward"]:
            self.assertIn(name, calls)
        # As docs/performance.md tells of the first shape, which has as many of each.
        self.assertEqual(calls["copying on the device"], 16)
        self.assertEqual(sum(count for name, count in calls.items()
                             if not name.startswith(("product", "copying"))), 139)

    def test_a_trace_that_fails_is_told(self):
        failing, ended = 1, False
        while not ended:
            environment = {**os.environ, "CUDA_ON_CPU_FAIL_ALLOCATION": str(failing)}
            result = subprocess.run([*CUDA, "--wkv", "1,8,4", "--kernels"], capture_output=True,
                                    text=True, timeout=60, env=environment)
            ended = result.returncode == 0
            if not ended:
                with self.subTest(failing=failing):
                    self.assertEqual(result.returncode, 1, result.stderr)
                    self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
            failing += 1 if failing < 100 else 37
        self.assertGreater(failing, 200)  # the events of a trace have failed, too

    def test_the_whole_benchmark(self):
        lines, errors = self.bench(CPU, "--repeat", "1")
        self.assertEqual(errors, "")
        self.assertIsNone(self.figures["copy_1gib_gb_per_s"])  # where nothing runs behind
        self.assertTrue(self.figures["openblas"])
        rows = self.figures["results"]
        self.assertEqual([row["what"] for row in rows], ["wkv"] * 5 + ["step"] * 3)
        self.assertEqual(len(lines), len(rows))
        for row in rows[:5]:
            for what in ("copy", "stream", "forward", "backward"):
                self.assertGreater(row[what + "_gb_per_s"], 0.0)
                self.assertNotIn(what + "_of_copy_1gib", row)

    def test_wkv_is_compared_with_a_copy_of_1_gib(self):
        """All of the benchmark takes long without a GPU: it is stopped after the first row."""
        with subprocess.Popen([*CUDA, "--repeat", "1", "--json", self.json],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            figures = {}
            while process.poll() is None and not figures.get("results"):
                time.sleep(0.1)
                if os.path.exists(self.json):
                    with open(self.json) as file:
                        figures = json.load(file)
            process.kill()
            lines = process.stdout.read().decode().splitlines()
        self.assertTrue(lines[0].startswith("copy of 1 GiB "), lines)
        self.assertGreater(figures["copy_1gib_gb_per_s"], 0.0)
        row = figures["results"][0]
        for what in ("copy", "stream", "forward", "backward"):
            self.assertAlmostEqual(row[what + "_of_copy_1gib"],
                                   row[what + "_gb_per_s"] / figures["copy_1gib_gb_per_s"])

    def test_without_memory_for_a_copy_of_1_gib_the_benchmark_goes_on(self):
        # To the first row, for which this is too little as well.
        small = {"CUDA_ON_CPU_MEGABYTES": "16"}
        _, errors = self.bench(CUDA, "--repeat", "1", status=1, environment=small)
        note, error = errors.splitlines()
        self.assertIn("a copy of 1 GiB is not measured: ", note)
        self.assertIn(f"no memory for {2**30} bytes", note)
        self.assertIn(f"no memory for {32 * 64 * 512 * 4} bytes", error)
        self.assertIsNone(self.figures["copy_1gib_gb_per_s"])


if __name__ == "__main__":
    unittest.main()
