"""Whole runs on the CUDA device against the CPU. MIXTAPE has both devices: on CUDA-on-CPU, or on a
real GPU."""

import csv
import os
import subprocess
import tempfile
import unittest

import numpy

try:
    import h5py
except ImportError:
    h5py = None

MIXTAPE = os.environ["MIXTAPE"]
EMULATED = os.environ.get("MIXTAPE_EMULATED") == "1"
SHAPE = [
    "--size", "16", "--blocks", "2", "--batch", "8", "--threads", "2", "--eval-batches", "2",
    "--log-every", "1"
]
SMALL = [*SHAPE, "--length", "3", "--symbols", "4"]
STEPS = 40 if EMULATED else 200


class DeviceTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, *names):
        return os.path.join(self.folder.name, *names)

    def run_command(self, *arguments, status=0, environment=None):
        result = subprocess.run([MIXTAPE, *arguments], capture_output=True, cwd=self.folder.name,
                                timeout=600, env={**os.environ, **(environment or {})})
        self.assertEqual(result.returncode, status, result.stderr.decode())
        return result

    def train(self, name, device, *options, task="copy", steps=STEPS):
        small = SMALL if task == "copy" else SHAPE
        self.run_command("train", task, *small, "--steps", str(steps), "--device", device, "--out",
                         self.path(name), *options)
        return self.path(name)

    def losses(self, run):
        with open(os.path.join(run, "metrics.csv")) as file:
            return numpy.array([float(row["loss"]) for row in csv.DictReader(file)])

    def assert_same_weights(self, one, other):
        files = []
        for run in (one, other):
            file = os.path.join(run, "weights.h5")
            self.run_command("export", run, "--last", "--layout", "mixtape", "-o", file)
            with open(file, "rb") as opened:
                files.append(opened.read())
        self.assertTrue(files[0] == files[1], f"{one} and {other} differ")

    def test_texts_and_figures_agree(self):
        with open(self.path("text.txt"), "w") as file:
            file.write("the quick brown fox jumps over the lazy dog\n" * 40)
        run = self.train("run", "cpu", "--data", self.path("text.txt"), "--length", "8",
                         task="text")

        def generate(device, *options):
            return self.run_command("generate", run, "--temperature", "0", "--length", "12",
                                    "--device", device, *options).stdout

        for first, second in (("cpu", "cuda"), ("cuda", "cpu")):
            begun = generate(first, "--prompt", "the ", "--save-state", "state.h5")
            self.assertEqual(begun, generate(second, "--prompt", "the "))
            self.assertEqual(generate(second, "--state", "state.h5"),
                             generate(first, "--state", "state.h5"))
        for weights in "f32", "bf16", "int8":
            losses = [
                float(self.run_command("eval", run, "--data", self.path("text.txt"), "--device",
                                       device, "--weights", weights).stdout.split()[1])
                for device in ("cpu", "cuda")
            ]
            self.assertAlmostEqual(*losses, delta=2e-5)

    def test_loss_curves_agree(self):
        cpu, cuda = self.train("cpu", "cpu"), self.train("cuda", "cuda")
        numpy.testing.assert_allclose(self.losses(cuda), self.losses(cpu), atol=1e-3)

    def test_loss_curves_of_bfloat16_agree(self):
        wide = self.train("wide", "cpu")
        for device in "cpu", "cuda":
            run = self.train(device, device, "--dtype", "bf16")
            numpy.testing.assert_allclose(self.losses(run), self.losses(wide), atol=2e-2)

    def test_updates_of_bfloat16_are_replayed_with_the_same_bits(self):
        runs = [self.train("graph" + graph, "cuda", "--dtype", "bf16", "--dropout", "0.2",
                           "--cuda-graph", graph, "--eval-every", "7") for graph in ("on", "off")]
        self.assert_same_weights(*runs)

    @unittest.skipUnless(EMULATED, "asks for another GPU")
    def test_a_gpu_without_products_of_bfloat16_is_told_of(self):
        for capability, said in ("7", 1), ("8", 0):
            result = self.run_command("train", "copy", *SMALL, "--steps", "1", "--device", "cuda",
                                      "--dtype", "bf16", "--out", self.path(capability),
                                      environment={"CUDA_ON_CPU_CAPABILITY": capability})
            self.assertEqual(result.stderr.decode().count("the GPU has no instructions"), said)

    @unittest.skipUnless(h5py, "needs h5py")
    def test_gradients_agree_in_double(self):
        # After one step of Adam without its square root's help, m is 0.1 times the gradient.
        options = ["--dtype", "f64", "--clip", "0"]
        runs = [self.train(device, device, *options, steps=1) for device in ("cpu", "cuda")]
        moments = []
        for run in runs:
            with h5py.File(os.path.join(run, "checkpoint.h5")) as file:
                moments.append({key: file["optimizer/m"][key][()] for key in file["optimizer/m"]})
        for key in moments[0]:
            numpy.testing.assert_allclose(moments[1][key], moments[0][key], rtol=1e-5, atol=1e-12,
                                          err_msg=key)

    def test_replayed_updates_have_the_same_bits(self):
        for options in ([], ["--dropout", "0.2"], ["--dropout", "0.2",
                                                   "--recompute"], ["--norm", "scale_norm"]):
            with self.subTest(options=options):
                name = "".join(options).replace("-", "")
                runs = [
                    self.train(name + graph, "cuda", "--cuda-graph", graph, "--eval-every", "7",
                               *options) for graph in ("on", "off")
                ]
                self.assert_same_weights(*runs)
                numpy.testing.assert_array_equal(self.losses(runs[0]), self.losses(runs[1]))

    def test_batches_of_many_shapes_are_replayed(self):
        tokens = self.path("tokens.txt")
        with open(tokens, "w") as file:
            file.write("\n".join(["<blank>", "<unk>", "a", "b", "c", "<sos/eos>"]) + "\n")
        transcripts = self.path("text")
        with open(transcripts, "w") as file:
            for i in range(60):
                file.write(f"utterance-{i:02} {'abc' * (1 + i % 11)}\n")
        options = ["--data", transcripts, "--token-list", tokens, "--size", "16"]
        runs = [self.train("tokens" + graph, "cuda", "--cuda-graph", graph, *options, task="tokens")
                for graph in ("on", "off")]
        self.assert_same_weights(*runs)

    def test_dropout_drops_the_same_on_every_device(self):
        runs = [
            self.train(device, device, "--dropout", "0.3", "--dtype", "f64", steps=10)
            for device in ("cpu", "cuda")
        ]
        numpy.testing.assert_allclose(self.losses(runs[1]), self.losses(runs[0]), rtol=1e-9)

    def test_accumulation_agrees(self):
        for batches, steps in ((3, 6), (25, 2)):  # 25 are more than may be on their way at once
            with self.subTest(batches=batches):
                runs = [
                    self.train(f"{device}{batches}", device, "--accumulate", str(batches),
                               "--dtype", "f64", steps=steps) for device in ("cpu", "cuda")
                ]
                self.assertEqual(len(self.losses(runs[0])), steps)
                numpy.testing.assert_allclose(self.losses(runs[1]), self.losses(runs[0]), rtol=1e-9)

    def test_a_run_goes_on_on_the_other_device(self):
        for first, second in (("cpu", "cuda"), ("cuda", "cpu")):
            with self.subTest(first=first):
                whole = self.train("whole" + first, first, "--dtype", "f64")
                run = self.train("half" + first, first, "--dtype", "f64", "--schedule", "constant",
                                 steps=10)
                self.run_command("train", "--resume", run, "--device", second, "--steps", "20")
                self.assertEqual(len(self.losses(run)), 20)
                self.assertTrue(numpy.isfinite(self.losses(run)).all())
                result = self.run_command("eval", whole, "--device", second)
                self.assertIn("loss", result.stdout.decode())

    def test_resuming_gives_the_same_bits(self):
        options = ["--schedule", "constant", "--dropout", "0.1"]
        whole = self.train("whole", "cuda", *options, steps=20)
        half = self.train("half", "cuda", *options, steps=9)
        self.run_command("train", "--resume", half, "--steps", "20")
        self.assert_same_weights(whole, half)

    @unittest.skipUnless(h5py, "needs h5py")
    def test_outputs_agree(self):
        run = self.train("run", "cpu", "--dtype", "f64", steps=5)
        with h5py.File(self.path("in.h5"), "w") as file:
            file["labels"] = numpy.arange(21, dtype="int32").reshape(3, 7) % 5
        outputs = []
        for device in ("cpu", "cuda"):
            out = self.path(device + ".h5")
            self.run_command("forward", run, "--input", self.path("in.h5"), "--output", out,
                             "--device", device)
            with h5py.File(out) as file:
                outputs.append({key: file[key][()] for key in file})
        for key in outputs[0]:
            numpy.testing.assert_allclose(outputs[1][key], outputs[0][key], rtol=1e-10, atol=1e-12)

    def test_gradients_are_right(self):
        result = self.run_command("gradcheck", "--device", "cuda")
        self.assertNotIn("WRONG", result.stdout.decode())

    def test_a_device_that_is_not_there_is_refused(self):
        result = self.run_command("train", "copy", *SMALL, "--device", "cuda:99", "--out",
                                  self.path("none"), status=1)
        self.assertIn("cuda:99", result.stderr.decode())
        self.assertEqual(len(result.stderr.decode().strip().splitlines()), 1)
        self.assertFalse(os.path.exists(self.path("none")))

    @unittest.skipUnless(EMULATED, "a machine's driver cannot be taken away")
    def test_without_driver_or_device(self):
        for machine, says in (("no-driver", "driver"), ("no-device", "no CUDA-capable device")):
            with self.subTest(machine=machine):
                environment = {"CUDA_ON_CPU_MACHINE": machine}
                result = self.run_command("train", "copy", *SMALL, "--device", "cuda", "--out",
                                          self.path("none"), status=1, environment=environment)
                self.assertIn(says, result.stderr.decode())
                self.assertEqual(len(result.stderr.decode().strip().splitlines()), 1)
                result = self.run_command("train", "copy", *SMALL, "--device", "auto", "--steps",
                                          "2", "--out", self.path(machine), environment=environment)
                self.assertIn("on cpu", result.stderr.decode())

    @unittest.skipUnless(EMULATED, "a machine's cuBLAS cannot be taken away")
    def test_a_device_without_cublas_is_refused_before_there_is_a_run(self):
        environment = {"CUDA_ON_CPU_MACHINE": "no-blas"}
        result = self.run_command("train", "copy", *SMALL, "--device", "cuda", "--out",
                                  self.path("none"), status=1, environment=environment)
        self.assertIn("cuBLAS was not found", result.stderr.decode())
        self.assertFalse(os.path.exists(self.path("none")))
        result = self.run_command("train", "copy", *SMALL, "--steps", "2", "--out",
                                  self.path("auto"), environment=environment)
        self.assertIn("on cpu", result.stderr.decode())

    @unittest.skipUnless(EMULATED, "a real device cannot be made to fail")
    def test_a_device_that_fails_leaves_the_checkpoint_whole(self):
        run = self.train("run", "cuda", "--eval-every", "0", steps=2)
        with open(os.path.join(run, "checkpoint.h5"), "rb") as file:
            before = file.read()
        ends = {
            "CUDA_ON_CPU_FAIL_ALLOCATION": 0, "CUDA_ON_CPU_FAIL_LAUNCH": 0,
            "CUDA_ON_CPU_CRASH_LAUNCH": 0
        }
        for variable in ends:
            failing, stride = 1, 7 if variable.endswith("ALLOCATION") else 61
            while True:
                arguments = ["train", "--resume", run, "--steps", "3"]
                result = subprocess.run([MIXTAPE, *arguments], capture_output=True,
                                        cwd=self.folder.name, timeout=300,
                                        env={**os.environ, variable: str(failing)})
                if result.returncode == 0:
                    break
                errors = result.stderr.decode()
                with self.subTest(variable=variable, failing=failing):
                    self.assertEqual(result.returncode, 1, errors)
                    self.assertEqual(
                        len([line for line in errors.splitlines() if line.startswith("mixtape: ")]),
                        1, errors)
                    step = self.run_command("info", os.path.join(
                        run, "checkpoint.h5")).stdout.decode().splitlines()[2]
                    self.assertIn(step.split(",")[0], ("step 2", "step 3"))
                    self.assertFalse([name for name in os.listdir(run) if name.endswith(".part")])
                ends[variable] = failing
                failing += stride
                with open(os.path.join(run, "checkpoint.h5"), "wb") as file:
                    file.write(before)
        self.assertGreater(ends["CUDA_ON_CPU_FAIL_ALLOCATION"], 20)
        self.assertGreater(ends["CUDA_ON_CPU_FAIL_LAUNCH"], 100)
        self.assertGreater(ends["CUDA_ON_CPU_CRASH_LAUNCH"], 100)


if __name__ == "__main__":
    unittest.main()
