"""The converters between HDF5 and .pth, and the package as pip installs it."""

import os
import shutil
import subprocess
import sys
import unittest

import support

PYTHON = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python")


def setUpModule():
    support.need("torch", "h5py")
    global torch, numpy, h5py, files
    import h5py
    import numpy
    import torch

    from mixtape import files


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


class FilesTest(support.CommandTest):
    def convert(self, function, source, target, fails_with=None):
        code = f"from mixtape import files; files.{function}()"
        result = subprocess.run([sys.executable, "-c", code, source, target], cwd=self.folder, capture_output=True, timeout=120)
        errors = result.stderr.decode()
        if fails_with is None:
            self.assertEqual(result.returncode, 0, errors)
            return
        self.assertEqual(result.returncode, 1, errors)
        self.assertEqual(len(errors.strip().splitlines()), 1, errors)
        self.assertIn(fails_with, errors)
        self.assertFalse(os.path.exists(self.path(target)))
        self.assertFalse([name for name in os.listdir(self.folder) if name.startswith(target + ".")])

    def small_run(self, *options):
        self.run_command("train", "copy", "--size", "16", "--batch", "8", "--length", "3", "--steps", "2", "--eval-batches", "1",
                         "--out", "run", *options)

    def test_rwkv_lm_both_ways_gives_the_same_bits(self):
        self.small_run("--no-bias", "--norm-eps", "1e-5")
        self.run_command("export", "run", "--layout", "rwkv-lm", "-o", "weights.h5")
        self.convert("to_pth", "weights.h5", "model.pth")
        state = torch.load(self.path("model.pth"), weights_only=True)
        for name in ("emb.weight", "blocks.0.ln0.weight", "blocks.1.att.time_mix_k", "blocks.1.ffn.key.weight", "ln_out.bias", "head.weight"):
            self.assertIn(name, state)
        self.convert("from_pth", "model.pth", "back.h5")
        self.run_command("import", "back.h5", "-o", "checkpoint.h5")
        self.run_command("export", "checkpoint.h5", "--layout", "rwkv-lm", "-o", "again.h5")
        with h5py.File(self.path("weights.h5")) as one, h5py.File(self.path("again.h5")) as other:
            self.assertEqual(sorted(one), sorted(other))
            for name in one:
                numpy.testing.assert_array_equal(one[name][()], other[name][()])

    def test_half_types_are_widened(self):
        self.small_run()
        self.run_command("export", "run", "--layout", "espnet", "-o", "weights.h5")
        self.convert("to_pth", "weights.h5", "model.pth")
        state = {name: value.to(torch.bfloat16) for name, value in torch.load(self.path("model.pth")).items()}
        torch.save(state, self.path("half.pth"))
        self.convert("from_pth", "half.pth", "half.h5")
        with h5py.File(self.path("half.h5")) as file:
            for name, value in state.items():
                numpy.testing.assert_array_equal(file[name][()], value.float().numpy())

    def test_scalars_of_norms_are_kept(self):
        self.small_run("--norm", "scale_norm")
        self.convert("to_espnet", os.path.join("run", "checkpoint.h5"), "decoder.pth")
        self.assertEqual(torch.load(self.path("decoder.pth"))["final_norm.scale"].shape, ())

    def test_pickles_that_are_more_than_a_state_dict_are_refused_and_not_executed(self):
        torch.save({"embed.weight": torch.zeros(2, 2), "trap": Trap(self.path("sprung"))}, self.path("trap.pth"))
        self.convert("from_pth", "trap.pth", "out.h5", fails_with="trap.pth: not a plain state_dict")
        self.assertFalse(os.path.exists(self.path("sprung")))

    def test_parameters_are_taken(self):
        torch.save({"a": torch.nn.Parameter(torch.ones(2))}, self.path("parameters.pth"))
        self.convert("from_pth", "parameters.pth", "out.h5")
        with h5py.File(self.path("out.h5")) as file:
            numpy.testing.assert_array_equal(file["a"][()], numpy.ones(2))

    def test_files_have_the_mode_of_others(self):
        torch.save({"a": torch.ones(2)}, self.path("one.pth"))
        mask = os.umask(0o022)
        self.addCleanup(os.umask, mask)
        self.convert("from_pth", "one.pth", "out.h5")
        self.assertEqual(os.stat(self.path("out.h5")).st_mode & 0o777, 0o644)

    def test_a_target_that_is_no_file_is_left_alone(self):
        torch.save({"a": torch.ones(2)}, self.path("one.pth"))
        os.mkdir(self.path("folder"))
        os.mkfifo(self.path("pipe"))
        for target in ("folder", "pipe"):
            result = subprocess.run([sys.executable, "-c", "from mixtape import files; files.from_pth()", "one.pth", target],
                                    cwd=self.folder, capture_output=True, timeout=60)
            self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1), result.stderr)
            self.assertFalse(os.path.isfile(self.path(target)))

    def test_other_files_are_refused(self):
        torch.save([torch.zeros(2)], self.path("list.pth"))
        torch.save({"a": 1.0}, self.path("numbers.pth"))
        torch.save({1: torch.ones(2)}, self.path("keys.pth"))
        torch.save({}, self.path("nothing.pth"))
        torch.save({"a": torch.ones(2, 2).to_sparse()}, self.path("sparse.pth"))
        torch.save({"a": torch.ones(2), "a/b": torch.ones(2)}, self.path("slash.pth"))
        self.write("text.pth", "not a pickle")
        self.write("empty.pth", "")
        for name, says in (("list.pth", "not a plain state_dict"), ("numbers.pth", "not a plain state_dict"),
                           ("keys.pth", "not a plain state_dict"), ("nothing.pth", "not a plain state_dict"),
                           ("sparse.pth", "not a plain state_dict"), ("slash.pth", "out.h5"),
                           ("text.pth", "not a plain state_dict"), ("empty.pth", "not a plain state_dict"), ("none.pth", "none.pth")):
            with self.subTest(name=name):
                self.convert("from_pth", name, "out.h5", fails_with=says)
        self.write("text.h5", "not HDF5")
        with h5py.File(self.path("foreign.h5"), "w") as file:
            file["x"] = numpy.zeros(3)
        with h5py.File(self.path("group.h5"), "w") as file:
            file.attrs.update({"format": "mixtape-weights", "layout": "espnet"})
            file.create_group("embed.weight")
        os.mkdir(self.path("folder"))
        for name in ("text.h5", "foreign.h5", "none.h5", "group.h5", "folder"):
            with self.subTest(name=name):
                self.convert("to_espnet", name, "out.pth", fails_with=name)

    def test_layouts_that_are_not_the_decoder_alone_are_refused(self):
        self.small_run()
        self.run_command("export", "run", "--layout", "espnet-model", "-o", "model.h5")
        self.convert("to_espnet", "model.h5", "out.pth", fails_with="espnet-model")
        self.convert("to_pth", os.path.join("run", "checkpoint.h5"), "out.pth", fails_with="export it first")

    def test_several_decoders_are_refused(self):
        state = {prefix + "rwkv_blocks.0.att.time_decay": torch.zeros(2) for prefix in ("a.", "b.")}
        torch.save(state, self.path("two.pth"))
        self.convert("from_pth", "two.pth", "out.h5", fails_with="several decoders: a., b.")

    def test_a_folder_that_cannot_be_written(self):
        self.small_run()
        self.convert("to_espnet", os.path.join("run", "checkpoint.h5"), "none/out.pth", fails_with="none/out.pth: No such file")


class PackageTest(support.CommandTest):
    def test_pip_installs_the_package_and_its_commands(self):
        support.need("setuptools", "wheel")
        shutil.copytree(PYTHON, self.path("package"), ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet",
                        "--disable-pip-version-check", "--target", self.path("target"), self.path("package")],
                       check=True, capture_output=True, timeout=120)
        for command in ("mixtape-to-espnet", "mixtape-to-pth", "mixtape-from-pth"):
            result = subprocess.run([self.path("target", "bin", command), "--help"], capture_output=True, timeout=60,
                                    env={**os.environ, "PYTHONPATH": self.path("target")})
            self.assertEqual(result.returncode, 0, result.stderr.decode())
            self.assertIn(command, result.stdout.decode())

    def test_a_library_that_is_not_there_is_named(self):
        result = subprocess.run([sys.executable, "-c", "from mixtape import library; library.library()"], capture_output=True,
                                timeout=60, env={**os.environ, "MIXTAPE_LIBRARY": "/nowhere/libmixtape.so"})
        self.assertIn("/nowhere/libmixtape.so", result.stderr.decode())
        self.assertIn("set MIXTAPE_LIBRARY", result.stderr.decode())


if __name__ == "__main__":
    unittest.main()
