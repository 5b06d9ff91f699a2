"""The converters between HDF5 and .pth."""

import argparse
import collections
import contextlib
import datetime
import io
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest
import warnings
from unittest import mock

import support


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
        result = subprocess.run([sys.executable, "-c", code, source, target], cwd=self.folder,
                                capture_output=True, timeout=120)
        errors = result.stderr.decode()
        if fails_with is None:
            self.assertEqual(result.returncode, 0, errors)
            return errors
        self.assertEqual(result.returncode, 1, errors)
        self.assertEqual(len(errors.strip().splitlines()), 1, errors)
        self.assertIn(fails_with, errors)
        self.assertFalse(os.path.exists(self.path(target)))
        self.assertFalse(
            [name for name in os.listdir(self.folder) if name.startswith(target + ".")])
        return errors

    def refuse(self, function, source, target, says):
        """The same for many, in this process: status 1, one line that says it, nothing on the other
        streams, and nothing written."""
        before, errors = sorted(os.listdir(self.folder)), io.StringIO()
        here = os.getcwd()
        os.chdir(self.folder)
        try:
            with mock.patch.object(sys, "argv", ["mixtape-" + function, source, target]), \
                    contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors), \
                    warnings.catch_warnings(), self.assertRaises(SystemExit) as end:
                warnings.simplefilter("always")
                getattr(files, function)()
        finally:
            os.chdir(here)
        self.assertIsInstance(end.exception.code, str)
        self.assertEqual(len(end.exception.code.splitlines()), 1, end.exception.code)
        self.assertIn(says, end.exception.code)
        self.assertNotIn("weights_only", end.exception.code)
        self.assertEqual(errors.getvalue(), "")
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def small_run(self, *options):
        self.run_command("train", "copy", "--size", "16", "--batch", "8", "--length", "3",
                         "--steps", "2", "--eval-batches", "1", "--out", "run", *options)

    def test_rwkv_lm_both_ways_gives_the_same_bits(self):
        self.small_run("--no-bias", "--norm-eps", "1e-5")
        self.run_command("export", "run", "--layout", "rwkv-lm", "-o", "weights.h5")
        self.convert("to_pth", "weights.h5", "model.pth")
        state = torch.load(self.path("model.pth"), weights_only=True)
        for name in ("emb.weight", "blocks.0.ln0.weight", "blocks.1.att.time_mix_k",
                     "blocks.1.ffn.key.weight", "ln_out.bias", "head.weight"):
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
        state = {
            name: value.to(torch.bfloat16)
            for name, value in torch.load(self.path("model.pth"), weights_only=True).items()
        }
        torch.save(state, self.path("half.pth"))
        self.convert("from_pth", "half.pth", "half.h5")
        with h5py.File(self.path("half.h5")) as file:
            for name, value in state.items():
                numpy.testing.assert_array_equal(file[name][()], value.float().numpy())

    def test_scalars_of_norms_are_kept(self):
        self.small_run("--norm", "scale_norm")
        self.convert("to_espnet", os.path.join("run", "checkpoint.h5"), "decoder.pth")
        self.convert("to_espnet", "run", "best.pth")
        self.convert("to_espnet", "run", "out.h5", fails_with="out.h5: this file is PyTorch's")
        self.convert("from_pth", "best.pth", "out.pt", fails_with="out.pt: this file is HDF5")
        os.chmod(self.path("best.pth"), 0o600)
        self.convert("to_espnet", "run", "best.pth")
        self.assertEqual(os.stat(self.path("best.pth")).st_mode & 0o777, 0o600)
        self.convert("to_espnet", os.path.join("run", "best.h5"), "same.pth")
        best, same = (torch.load(self.path(name)) for name in ("best.pth", "same.pth"))
        self.assertTrue(all(torch.equal(best[name], same[name]) for name in same))
        self.assertEqual(
            torch.load(self.path("decoder.pth"), weights_only=True)["final_norm.scale"].shape, ())

    def test_pickles_that_are_more_than_a_state_dict_are_refused_and_not_executed(self):
        torch.save({"embed.weight": torch.zeros(2, 2), "trap": Trap(self.path("sprung"))},
                   self.path("trap.pth"))
        self.convert("from_pth", "trap.pth", "out.h5",
                     fails_with="trap.pth: holds more than tensors, which is not loaded: "
                     f"{open.__module__}.open")
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
            result = subprocess.run([
                sys.executable, "-c", "from mixtape import files; files.from_pth()", "one.pth",
                target
            ], cwd=self.folder, capture_output=True, timeout=60)
            self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1),
                             result.stderr)
            self.assertFalse(os.path.isfile(self.path(target)))

    def test_its_help_tells_what_it_reads_and_writes(self):
        shown = io.StringIO()
        with mock.patch.object(sys, "argv", ["mixtape-from-pth", "--help"]), \
                contextlib.redirect_stdout(shown), self.assertRaises(SystemExit) as end:
            files.from_pth()
        self.assertEqual(end.exception.code, 0)
        for part in ("FOLDER", "WEIGHTS.safetensors", "pytorch_model.bin"):
            self.assertIn(part, shown.getvalue())

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_output_that_cannot_be_written_is_a_failure(self):
        torch.save({"a": torch.ones(2)}, self.path("one.pth"))
        for function, *arguments in (("to_espnet", "--help"), ("to_pth", "--help"),
                                     ("from_pth", "--help"), ("from_pth", "one.pth", "one.h5")):
            code = f"from mixtape import files; files.{function}()"
            self.refuse_full_output(sys.executable, "-c", code, *arguments, program="-c")
        self.convert("to_pth", "one.h5", "two.pth", "one.h5")  # it is whole, but no model
        closed = subprocess.run(["sh", "-c", "\"$@\" >&-", "sh", sys.executable, "-c", code,
                                 "--help"], cwd=self.folder, capture_output=True, timeout=60)
        self.assertEqual((closed.returncode, closed.stderr.decode()),
                         (1, "-c: standard output: Bad file descriptor\n"))

    def test_pickles_that_are_no_plain_state_dict_are_refused(self):
        plain = torch.ones(2, 2)
        for number, (state, says) in enumerate((
            ([plain], "not a state_dict: list"),
            (plain, "not a state_dict: Tensor"),
            (None, "not a state_dict: NoneType"),
            ({}, "not a state_dict: empty"),
            ({"a": 1}, "not a plain state_dict: 'a' is a int"),
            ({"a": 1.5}, "not a plain state_dict: 'a' is a float"),
            ({"a": [plain] * 3}, "not a plain state_dict: 'a' is a list"),
            ({(1, 2): plain}, "not a plain state_dict: tuple is a Tensor"),
            ({"a": plain.dtype}, "not a plain state_dict: 'a' is a torch.float32"),
            ({1: plain}, "not a plain state_dict: 1 is a Tensor"),
            ({"a": plain, "b": {"c": plain}}, "not a plain state_dict: 'b' is a dict"),
            ({"model": {"a": plain, "b": [plain]}}, "not a plain state_dict: 'b' is a list"),
            ({"a": torch.nn.Linear(1, 1)},
             "holds more than tensors, which is not loaded: torch.nn.modules.linear.Linear"),
            ({"a": numpy.ones(2)}, "not a plain state_dict: 'a' is a numpy"),
            ({"a": plain.to_sparse()},
             "a: not a dense tensor of real numbers: sparse"),
            ({"a": plain.to("meta")},
             "a: not a dense tensor of real numbers: on the device meta"),
            ({"a": plain, "b": plain.to(
                torch.complex64)}, "b: not a dense tensor of real numbers: torch.complex64"),
            ({"a": plain.long(),
              "b": plain.bool()}, "holds no tensor of real numbers (a is torch.int64)"),
            ({"a": plain, "a/b": plain}, "a/b: no name for an array"),
            ({"a\0b": plain}, "a\\x00b: no name for an array"),
            ({"a\x1b\x9b\u202e/": plain}, "a\\x1B\\u009B\\u202E/: no name for an array"),
            ({"": plain}, ": no name for an array"),
            ({"a" * 1000000 + "/": plain}, "a" * 256 + "...: no name for an array"),
            ({".": plain}, ".: no name for an array"),
            ({"a\udc80": plain}, "a\\x80: 'utf-8' codec can't encode"),
            ({"a": torch.ones((1,) * 33)}, "a tensor that has no storage, or not 0 to 32 dim"),
            ({"a": torch.ones(1).expand(1 << 50)}, "1 tensors of 4503599627370496 bytes in a file"),
            ({"a": torch.ones(1000), "b": torch.ones(1).expand(1 << 14, 4)}, "2 tensors of 266144"),
            ({str(i): state for i, state in enumerate([torch.ones(1000)] * 50)},
             "50 tensors of 200000"),
        )):
            with self.subTest(says=says):
                torch.save(state, self.path(f"{number}.pth"))
                self.refuse("from_pth", f"{number}.pth", "out.h5", f"{number}.pth: {says}")

    def test_no_warning_stands_beside_the_refusal(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save({"a": torch.ones(2, 2).to_sparse_csr()}, self.path("sparse.pth"))
        self.convert("from_pth", "sparse.pth", "out.h5",
                     fails_with="sparse.pth: a: not a dense tensor of real numbers")

    def test_names_and_shapes_of_all_kinds_are_kept(self):
        state = {
            "größe.重み": torch.ones(2, 3).t(), "n" * 5000: torch.ones(1, 3).expand(2, 3),
            "six": torch.ones(1, 2, 1, 2, 1, 2), "none": torch.ones(0, 3), "double": torch.ones(
                2, dtype=torch.float64), "half": torch.ones(2).half(), "a\nb": torch.ones(1)
        }
        torch.save({**state, "num_batches_tracked": torch.tensor(3)}, self.path("many.pth"))
        self.convert("from_pth", "many.pth", "out.h5")
        with h5py.File(self.path("out.h5")) as file:
            self.assertEqual(sorted(file), sorted(state))
            for name, value in state.items():
                self.assertEqual(file[name].shape, tuple(value.shape))
                self.assertEqual(file[name].dtype, "f8" if name == "double" else "f4")

    def test_an_odd_tensor_outside_the_decoder_does_not_matter(self):
        state = {
            "decoder.rwkv_blocks.0.att.time_decay": torch.ones(2),
            "encoder.mask": torch.ones(2).to_sparse()
        }
        torch.save(state, self.path("model.pth"))
        self.convert("from_pth", "model.pth", "out.h5")
        with h5py.File(self.path("out.h5")) as file:
            self.assertEqual(list(file), ["decoder.rwkv_blocks.0.att.time_decay"])

    def test_rubbish_is_refused(self):
        generator = random.Random(1)
        torch.save({"a": torch.randn(30, 30), "b": torch.ones(3)}, self.path("new.pth"))
        torch.save({"a": torch.randn(30, 30), "b": torch.ones(3)}, self.path("old.pth"),
                   _use_new_zipfile_serialization=False)
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), self.path("script.pth"))
        contents = [
            b"", b"hello\n", b"not a pickle",
            struct.pack("<q", 1), *(generator.randbytes(length) for length in (1, 10, 1000))
        ]
        contents += [
            bytes(generator.choices(b"\x80\x02cposix\nsystem.RqK(]}aeust012\x00\x85", k=60))
            for _ in range(30)
        ]
        for name in ("new.pth", "old.pth"):
            with open(self.path(name), "rb") as file:
                whole = file.read()
            contents += [
                whole[:length]
                for length in (4, 30, 100, 300, len(whole) // 2, len(whole) - 30, len(whole) - 1)
            ]
        for content in contents:
            with self.subTest(content=content[:60]):
                with open(self.path("rubbish.pth"), "wb") as file:
                    file.write(content)
                self.refuse("from_pth", "rubbish.pth", "out.h5", "rubbish.pth: ")
                self.refuse("to_pth", "rubbish.pth", "out.pth", "rubbish.pth: ")
        self.refuse("from_pth", "script.pth", "out.h5",
                    "script.pth: holds more than tensors, which is not loaded: TorchScript")

    def exported_state(self, layout, *options):
        self.small_run("--no-bias", "--norm-eps", "1e-5")
        self.run_command("export", "run", "--layout", layout, "-o", "weights.h5")
        with h5py.File(self.path("weights.h5")) as file:
            return {name: torch.as_tensor(file[name][()]) for name in file}

    def check_import(self, saved, state, layout):
        torch.save(saved, self.path("saved.pth"))
        self.convert("from_pth", "saved.pth", "found.h5")
        self.run_command("import", "found.h5", "-o", "checkpoint.h5")
        self.run_command("export", "checkpoint.h5", "--layout", layout, "-o", "again.h5")
        with h5py.File(self.path("again.h5")) as file:
            self.assertEqual(sorted(file), sorted(state))
            for name, value in state.items():
                numpy.testing.assert_array_equal(file[name][()], value.numpy())

    def test_what_training_tools_put_around_a_state_dict_is_taken_off(self):
        state = self.exported_state("rwkv-lm")
        wrapped = {f"_forward_module._orig_mod.{name}": value for name, value in state.items()}
        for saved in ({"state_dict": wrapped, "epoch": 3, "hyper_parameters": {"lr": 0.1}},
                      {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
                      {"module": {f"module.{name}": value for name, value in state.items()},
                       "ds_version": "0.9"},
                      {"model": {"state_dict": wrapped}, "optimizers": [{"state": {}}]}):
            with self.subTest(keys=list(saved)):
                self.check_import(saved, state, "rwkv-lm")

    def test_options_dates_and_counters_may_stand_beside_a_state_dict(self):
        state = self.exported_state("rwkv-lm")
        counts = collections.defaultdict(list, {"loss": [1.0]})
        beside = {
            "options": argparse.Namespace(lr=0.1), "path": pathlib.PosixPath("/a/b"),
            "time": datetime.timedelta(seconds=3), "date": datetime.datetime(2026, 1, 1),
            "number": numpy.float64(3.0), "array": numpy.arange(5), "counts": counts,
            "device": torch.device("cpu"), "dtype": torch.float16
        }
        self.check_import({"state_dict": state, **beside}, state, "rwkv-lm")
        for name in "options", "path", "number":
            torch.save({**state, "b": beside[name]}, self.path("within.pth"))
            self.refuse("from_pth", "within.pth", "out.h5", "not a plain state_dict: 'b' is a ")

    def test_the_head_of_a_wrapped_espnet_model_is_kept(self):
        state = self.exported_state("espnet-model")
        self.assertIn("lm_lin.weight", state)
        for prefix in "module.", "module._orig_mod.", "model.":
            with self.subTest(prefix=prefix):
                wrapped = {prefix + name: value for name, value in state.items()}
                wrapped[prefix + "encoder.weight"] = torch.ones(3)
                self.check_import({"model": wrapped}, state, "espnet-model")

    def hugging_face_folder(self, shards):
        """A folder with its weights in so many files, as older versions of transformers saved."""
        state = self.exported_state("hf")
        os.mkdir(self.path("folder"))
        with open(self.path("folder", "config.json"), "w") as file:
            json.dump({"model_type": "rwkv", "context_length": 77}, file)
        if shards == 1:
            torch.save(state, self.path("folder", "pytorch_model.bin"))
            return state
        places = {name: f"pytorch_model-{i % shards + 1}.bin" for i, name in enumerate(state)}
        for place in set(places.values()):
            torch.save({name: state[name] for name in state if places[name] == place},
                       self.path("folder", place))
        with open(self.path("folder", "pytorch_model.bin.index.json"), "w") as file:
            json.dump({"weight_map": places}, file)
        return state

    def test_a_folder_of_hugging_faces_becomes_one_that_the_command_reads(self):
        for shards in 1, 3:
            with self.subTest(shards=shards):
                state = self.hugging_face_folder(shards)
                told = self.run_command("info", "folder", status=1)
                self.assertIn("`mixtape-from-pth folder folder/model.safetensors`", told)
                self.convert("from_pth", "folder", "folder/model.safetensors")
                self.assertIn("context_size 77", self.run_command("info", "folder"))
                self.convert("to_pth", "folder", "again.pth")
                again = torch.load(self.path("again.pth"), weights_only=True)
                self.assertTrue(all(torch.equal(again[name], state[name]) for name in state))
                self.run_command("export", "folder", "--layout", "hf", "-o", "again.h5")
                with h5py.File(self.path("again.h5")) as file:
                    for name, value in state.items():
                        numpy.testing.assert_array_equal(file[name][()], value.numpy())
                shutil.rmtree(self.path("folder"))
                shutil.rmtree(self.path("run"))

    def test_an_index_of_pickles_that_lies_is_refused(self):
        state = self.hugging_face_folder(2)
        index = self.path("folder", "pytorch_model.bin.index.json")
        with open(index) as file:
            places = json.load(file)["weight_map"]
        name = next(iter(state))
        for changed, says in ((None, "no index"), ([], "no index"), ({}, "no index"),
                              ({"weight_map": {name: 3}}, "3: no name of a file"),
                              ({"weight_map": {**places, name: "../a.bin"}}, "no name of a file"),
                              ({"weight_map": {**places, name: "none.bin"}}, "No such file"),
                              ({"weight_map": {**places, "x": places[name]}}, "x is not in it"),
                              ({"weight_map": {key: place for key, place in places.items()
                                               if key != name}}, f"{name} is in it")):
            with self.subTest(says=says):
                with open(index, "w") as file:
                    json.dump(changed, file)
                self.refuse("from_pth", "folder", "out.h5", says)
        with open(index, "w") as file:
            file.write("[" * 100000)
        self.refuse("from_pth", "folder", "out.h5", "no index")

    def test_sources_that_are_no_files_are_refused(self):
        os.mkdir(self.path("folder"))
        os.mkfifo(self.path("pipe"))
        for function in ("from_pth", "to_pth", "to_espnet"):
            folder = ("folder: neither pytorch_model.bin nor" if function == "from_pth" else
                      "folder: a folder of no run (best.h5, checkpoint.h5) and of no model")
            for name, says in (("folder", folder), ("pipe", "pipe: not a regular file"),
                               ("none", "none: No such file"), ("", ": No such file"),
                               ("a\nb", "a\\x0Ab: No such file")):
                with self.subTest(function=function, name=name):
                    self.refuse(function, name, "out", says)

    def test_a_run_stands_for_its_best_model(self):
        self.small_run()
        self.refuse("to_pth", "run", "out.pth", "run/best.h5: a checkpoint has no layout")
        os.unlink(self.path("run", "best.h5"))
        self.refuse("to_pth", "run", "out.pth", "run/checkpoint.h5: a checkpoint has no layout")

    def exported(self, layout="espnet"):
        """An exported file's name."""
        self.small_run()
        self.run_command("export", "run", "--layout", layout, "-o", "weights.h5")
        return "weights.h5"

    def test_hdf5_is_read_by_the_rules_of_the_command(self):
        """libmixtape reads it: tests/io has what all it refuses."""
        name, values = "final_norm.weight", numpy.ones(16, "f4")
        self.write("secret", "A" * 64)

        def external_storage(file):
            file.create_dataset(name, (16,), "f4", external=[(self.path("secret"), 0, 64)])

        def external_link(file):
            file[name] = h5py.ExternalLink(self.path("secret"), "/x")

        def soft_link(file):
            file[name] = h5py.SoftLink("/embed.weight")

        def virtual(file):
            layout = h5py.VirtualLayout((16,), "f4")
            layout[...] = h5py.VirtualSource(self.path("secret"), "x", (16,))
            file.create_virtual_dataset(name, layout)

        def other_filter(file):
            file.create_dataset(name, data=values, chunks=(16,), compression="lzf")

        def never_written(file):
            file.create_dataset(name, (16,), "f4")

        def integers(file):
            file[name] = values.astype("i4")

        def no_numbers(file):
            file[name] = h5py.Empty("f4")

        source = self.exported()
        for change in (external_storage, external_link, soft_link, virtual, other_filter,
                       never_written, integers, no_numbers):
            shutil.copy(self.path(source), self.path("other.h5"))
            with h5py.File(self.path("other.h5"), "r+") as file:
                del file[name]
                change(file)
            for function in ("to_pth", "to_espnet"):
                with self.subTest(change=change.__name__, function=function):
                    self.refuse(function, "other.h5", "out.pth", f"{name}: ")

    def test_weights_of_other_programs_are_translated(self):
        source = self.exported()
        self.run_command("export", "run", "--layout", "espnet", "-o", "weights.safetensors")
        for name in (source, "weights.safetensors"):
            self.convert("to_pth", name, name + ".pth")
        one, other = (torch.load(self.path(name + ".pth"), weights_only=True)
                      for name in (source, "weights.safetensors"))
        self.assertEqual(list(one), sorted(one))
        self.assertEqual(list(one), list(other))
        self.assertTrue(all(torch.equal(one[name], other[name]) for name in one))

    def test_the_source_is_not_written_over(self):
        torch.save({"a": torch.ones(2)}, self.path("one.pth"))
        os.symlink("one.pth", self.path("link.pth"))
        for target in ("one.pth", "link.pth", os.path.join(".", "one.pth")):
            self.refuse("from_pth", "one.pth", target, "the source itself")
        os.mkdir(self.path("run"))
        self.write(os.path.join("run", "best.h5"), "a model")
        self.refuse("to_espnet", "run", os.path.join("run", "best.h5"), "the source itself")
        self.assertEqual(list(torch.load(self.path("one.pth"), weights_only=True)), ["a"])

    def test_an_existing_file_is_replaced_by_the_whole_new_one(self):
        torch.save({"a": torch.ones(2)}, self.path("one.pth"))
        self.write("out.h5", "what was there")
        called = []
        for module, name in ((os, "fsync"), (os, "replace")):
            real = getattr(module, name)
            patch = mock.patch.object(
                module, name, lambda *given, name=name, real=real:
                (called.append(name), real(*given)))
            patch.start()
            self.addCleanup(patch.stop)
        files.write_weights(self.path("out.h5"), {"a": numpy.ones(2)})
        self.assertEqual(called, ["fsync", "replace", "fsync"])
        with h5py.File(self.path("out.h5")) as file:
            self.assertEqual(list(file), ["a"])

    def test_what_cannot_be_written_leaves_nothing(self):
        torch.save({"a": torch.ones(2)}, self.path("one.pth"))
        self.write("out.h5", "what was there")
        for name in ("fsync", "fchmod", "replace"):
            for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
                with self.subTest(name=name), mock.patch.object(
                        os, name, side_effect=error), self.assertRaises(BaseException):
                    files.write_weights(self.path("out.h5"), {"a": numpy.ones(2)})
                self.assertEqual(sorted(os.listdir(self.folder)), ["one.pth", "out.h5"])
                with open(self.path("out.h5")) as file:
                    self.assertEqual(file.read(), "what was there")
        with mock.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device")):
            self.refuse("from_pth", "one.pth", "new.h5", "new.h5: No space left on device")
        for target, says in (("none/new.h5", "No such file"), ("one.pth/new.h5", "Not a directory"),
                             ("new/", "not a regular file"), ("n" * 300, "File name too long"),
                             ("/proc/new.h5", "No such file"), ("/dev/full", "not a regular file")):
            with self.subTest(target=target):
                self.refuse("from_pth", "one.pth", target, f"{target}: {says}")

    def test_each_write_fails_once(self):
        """HDF5 and PyTorch would crash where a write of theirs fails."""

        class FailingFile(io.FileIO):
            """The write or change of length that comes after a number of them fails."""

            left = 0

            def count(self):
                if self.left == 0:
                    raise OSError(28, "No space left on device")
                self.left -= 1

            def write(self, data):
                self.count()
                return super().write(data)

            def truncate(self, size=None):
                self.count()
                return super().truncate(size)

        weights = {name: numpy.ones((60, 60), "f4") for name in "abc"}
        for write in (files.write_weights, files.write_state_dict):
            for successes in range(1000):
                def opened(handle, *_, successes=successes, **__):
                    file = FailingFile(handle, "w+b")
                    file.left = successes
                    return file

                with mock.patch.object(files, "open", opened, create=True):
                    try:
                        write(self.path("out"), weights)
                        break
                    except files.FilesError as error:
                        self.assertEqual(str(error),
                                         self.path("out") + ": No space left on device")
                self.assertEqual(os.listdir(self.folder), [])
            self.assertGreater(successes, 10)
            os.unlink(self.path("out"))

    def stop_while_it_writes(self, number):
        code = "import time\nfrom mixtape import files\ndef save(path, content, weights):\n" \
            "    content.write(b'x')\n    time.sleep(600)\nfiles._save_hdf5 = save\n" \
            "files.from_pth()"
        run = subprocess.Popen([sys.executable, "-c", code, "one.pth", "out.h5"], cwd=self.folder,
                               stderr=subprocess.PIPE)
        before = os.listdir(self.folder)
        while len(os.listdir(self.folder)) == len(before) and run.poll() is None:
            time.sleep(0.01)
        run.send_signal(number)
        return run.communicate(timeout=60)[1], run.returncode

    def test_what_is_interrupted_leaves_nothing(self):
        torch.save({"a": torch.ones(3)}, self.path("one.pth"))
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            self.assertEqual(self.stop_while_it_writes(number), (b"", 128 + number))
            self.assertEqual(os.listdir(self.folder), ["one.pth"])

    def test_what_was_left_when_it_was_killed_is_removed(self):
        torch.save({"a": torch.ones(3)}, self.path("one.pth"))
        self.stop_while_it_writes(signal.SIGKILL)
        self.assertEqual(len(os.listdir(self.folder)), 2)
        self.convert("from_pth", "one.pth", "out.h5")
        self.assertEqual(sorted(os.listdir(self.folder)), ["one.pth", "out.h5"])

    def test_a_full_disk_is_told(self):
        torch.save({name: torch.ones(300, 300) for name in "ab"}, self.path("one.pth"))
        self.exported()
        before = sorted(os.listdir(self.folder))
        for function, source in (("from_pth", "one.pth"), ("to_pth", "weights.h5")):
            for limit in (0, 1000, 30000):
                with self.subTest(function=function, limit=limit):
                    result = subprocess.run(
                        [
                            sys.executable, "-c", f"from mixtape import files; files.{function}()",
                            source, "out"
                        ], cwd=self.folder, capture_output=True, timeout=60,
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                              (limit, limit)))
                    self.assertEqual(result.returncode, 1)
                    self.assertRegex(result.stderr.decode(), r"\A-c: out: File too large.*\n\Z")
                    self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_what_is_assumed_of_a_decoder_is_said(self):
        self.small_run()
        self.run_command("export", "run", "--layout", "mixtape", "-o", "told.safetensors")
        self.convert("to_pth", "told.safetensors", "bare.pth")
        self.convert("from_pth", "bare.pth", "bare.safetensors")
        self.assertEqual(self.convert("to_espnet", "run", "decoder.pth"), "")
        self.assertEqual(self.convert("to_espnet", "told.safetensors", "decoder.pth"), "")
        self.assertEqual(
            self.convert("to_espnet", "bare.safetensors", "decoder.pth"),
            "bare.safetensors: it does not tell, and so assumed: eps 1e-12, context_size 1024 "
            "(ESPnet takes those of its decoder_conf)\n")

    def test_the_decoder_is_taken_of_any_layout(self):
        self.small_run()
        self.convert("to_espnet", "run", "decoder.pth")
        self.convert("to_pth", os.path.join("run", "checkpoint.h5"), "out.pth",
                     fails_with="export it first")
        expected = torch.load(self.path("decoder.pth"), weights_only=True)
        self.assertNotIn("head.weight", expected)
        for layout in ("espnet", "espnet-model", "mixtape"):
            self.run_command("export", "run", "--layout", layout, "-o", "weights.h5")
            self.convert("to_espnet", "weights.h5", "decoder.pth")
            found = torch.load(self.path("decoder.pth"), weights_only=True)
            self.assertEqual(sorted(found), sorted(expected))
            self.assertTrue(all(torch.equal(found[name], expected[name]) for name in found))

    def test_several_decoders_are_refused(self):
        state = {prefix + "rwkv_blocks.0.att.time_decay": torch.zeros(2) for prefix in ("a.", "b.")}
        torch.save(state, self.path("two.pth"))
        self.convert("from_pth", "two.pth", "out.h5", fails_with="several decoders: a., b.")

    def test_a_folder_that_cannot_be_written(self):
        self.small_run()
        self.convert("to_espnet", os.path.join("run", "checkpoint.h5"), "none/out.pth",
                     fails_with="none/out.pth: No such file")


if __name__ == "__main__":
    unittest.main()
