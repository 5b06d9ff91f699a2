"""Files that the versions before wrote, in data/VERSION, are read to the bit. Each folder has one
model in every format: a run (after 3 steps on tr.txt), exchange files and a part of it; and a
run of the copy task after 3 steps."""

import glob
import json
import os
import shutil
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "python"))

import h5py
import support

DATA = os.path.join(HERE, "data")
VERSIONS = sorted(os.listdir(DATA))
LAYOUTS = ["mixtape", "espnet", "espnet-model"]


def held(path):
    """What a program finds in an HDF5 file: names, in their order, attributes, and of a dataset
    how it is stored, too."""
    found = []

    def describe(name, thing):
        attributes = [(key, thing.attrs.get_id(key).dtype, thing.attrs.get_id(key).shape,
                       thing.attrs[key].tolist() if hasattr(thing.attrs[key], "tolist")
                       else thing.attrs[key]) for key in thing.attrs]
        stored = (thing.dtype, thing.shape, thing.chunks, thing.fletcher32, str(thing.fillvalue),
                  thing[()].tobytes()) if isinstance(thing, h5py.Dataset) else None
        found.append((name, sorted(attributes, key=lambda one: one[0]), stored))

    with h5py.File(path) as file:
        describe("/", file)
        file.visititems(describe)
    return found


class FormerFilesTest(support.CommandTest):
    def content(self, *path):
        with open(self.path(*path), "rb") as file:
            return file.read()

    def assert_same_tensors(self, name, former, message):
        """The same header and data, but that more may stand in the metadata than did."""
        (header, data), (header_before, data_before) = map(self.split, (name, former))
        metadata, before = header.pop("__metadata__"), header_before.pop("__metadata__")
        self.assertEqual({key: metadata.get(key) for key in before}, before, message)
        self.assertEqual(list(header.items()), list(header_before.items()), message)
        self.assertEqual(data, data_before, message)

    def split(self, name):
        content = self.content(name)
        end = 8 + int.from_bytes(content[:8], "little")
        return json.loads(content[8:end]), content[end:]

    def each_version(self):
        for version in VERSIONS:
            for name in os.listdir(self.folder):
                path = self.path(name)
                (shutil.rmtree if os.path.isdir(path) else os.remove)(path)
            shutil.copytree(os.path.join(DATA, version), self.folder, dirs_exist_ok=True)
            with self.subTest(version=version):
                yield

    def test_there_are_versions(self):
        self.assertIn("0.1.0", VERSIONS)

    def test_checkpoint_has_the_weights_that_were_exported_from_it(self):
        for _ in self.each_version():
            for layout in LAYOUTS:
                self.run_command("export", "run", "--last", "--layout", layout,
                                 "-o", "new.safetensors")
                self.assert_same_tensors("new.safetensors", f"{layout}.safetensors", layout)

    def test_exchange_files_have_the_same_weights_in_either_format(self):
        for _ in self.each_version():
            for path in glob.glob(self.path("*.h5")):
                layout = os.path.basename(path)[:-len(".h5")]
                if layout == "part":
                    continue
                for kind in ("h5", "safetensors"):
                    self.run_command("import", f"{layout}.{kind}", "-o", "model.h5")
                    self.run_command("export", "model.h5", "--layout", layout,
                                     "-o", "new.safetensors")
                    self.assert_same_tensors("new.safetensors", f"{layout}.safetensors",
                                             f"{layout}.{kind}")

    def test_files_written_now_hold_what_those_did(self):
        names = [["--layout", layout, f"{layout}.h5"] for layout in LAYOUTS]
        names.append(["--part", "rwkv_blocks.1.att", "part.h5"])
        for _ in self.each_version():
            for *options, former in names:
                self.run_command("export", "run", "--last", *options, "-o", "new.h5")
                self.assertEqual(held(self.path("new.h5")), held(self.path(former)), former)
            for run in ("run", "copy"):
                former = os.path.join(run, "checkpoint.h5")
                self.run_command("import", former, "-o", "new.h5")
                left = [one for one in held(self.path(former)) if one[0].find("optimizer") != 0]
                self.assertEqual(held(self.path("new.h5")), left, former)

    def test_part_is_that_of_the_model(self):
        part = ["--part", "rwkv_blocks.1.att"]
        for _ in self.each_version():
            self.run_command("export", "run", "--last", *part, "-o", "of_run.safetensors")
            self.run_command("train", "tokens", "--data", "tr.txt", "--token-list", "tokens.txt",
                             "--init", "mixtape.h5", "--steps", "1", "--batch", "4",
                             "--eval-batches", "1", "--threads", "1", "--out", "other")
            self.run_command("import", "part.h5", *part, "--into", "other", "-o", "whole.h5")
            self.run_command("export", "whole.h5", *part, "-o", "of_file.safetensors")
            self.assertEqual(self.content("of_file.safetensors"),
                             self.content("of_run.safetensors"))

    def test_run_goes_on(self):
        for _ in self.each_version():
            self.run_command("train", "--resume", "copy", "--steps", "5", "--threads", "1")
            self.assertIn("step 5", self.run_command("eval", "copy", "--last"))


if __name__ == "__main__":
    unittest.main()
