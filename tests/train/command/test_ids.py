"""Training on token ids: every kind of file, documents, vocabularies, and what is refused."""

import gzip
import os
import re
import resource
import struct
import subprocess
import unittest

import h5py
import numpy

import test_command
from test_command import MIXTAPE, read

SIZES = ["--size", "16", "--blocks", "1", "--batch", "4", "--length", "16"]
SHORT = [*SIZES, "--steps", "6"]


def binidx(name, documents, dtype, code):
    """NAME.bin and NAME.idx, as Megatron's builder writes them: a sequence for each document."""
    numpy.concatenate(documents).astype(dtype).tofile(name + ".bin")
    lengths = [len(document) for document in documents]
    places = numpy.cumsum([0, *lengths[:-1]]) * numpy.dtype(dtype).itemsize
    with open(name + ".idx", "wb") as file:
        file.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(lengths), len(lengths) + 1))
        file.write(numpy.array(lengths, "<i4").tobytes() + places.astype("<i8").tobytes())
        file.write(numpy.arange(len(lengths) + 1, dtype="<i8").tobytes())


def llmc(name, ids, magic, version, dtype):
    header = numpy.zeros(256, "<i4")
    header[:3] = magic, version, len(ids)
    with open(name, "wb") as file:
        file.write(header.tobytes() + numpy.asarray(ids, dtype).tobytes())


class IdsTest(test_command.CommandTest):
    def setUp(self):
        super().setUp()
        self.ids = numpy.cumsum(numpy.random.default_rng(1).integers(1, 4, 2000)) % 40

    def train(self, *arguments, out="run", **options):
        return self.run_command("train", "ids", *arguments, "--out", out,
                                **options).stderr.decode()

    def save(self, name, ids=None, dtype="<u2"):
        """An .npy, or else integers alone."""
        ids = self.ids if ids is None else numpy.asarray(ids)
        if name.endswith(".npy"):
            numpy.save(self.path(name), ids.astype(dtype))
        else:
            ids.astype(dtype).tofile(self.path(name))

    def losses(self, run):
        return [row.split(",")[1] for row in read(self.path(run, "metrics.csv")).splitlines()]


class KindsTest(IdsTest):
    def test_the_same_ids_in_every_kind_of_file_are_the_same_run(self):
        self.save("a.npy")
        self.save("big.npy", dtype=">i8")
        self.save("a.bin")
        self.save("wide.raw", dtype="<u4")
        llmc(self.path("llmc.bin"), self.ids, 20240520, 1, "<u2")
        llmc(self.path("llama.bin"), self.ids, 20240801, 7, "<u4")
        with h5py.File(self.path("a.h5"), "w") as file:
            file.create_dataset("ids", data=self.ids.astype("i4"), chunks=(128,),
                                compression="gzip")
            file["deep/ids"] = self.ids.astype("u1")
            file["scores"] = numpy.zeros(4)
        expected = None
        for data in (["a.npy"], ["big.npy"], ["a.bin"], ["wide.raw", "--ids-type", "uint32"],
                     ["llmc.bin"], ["llama.bin"], ["a.h5"], ["a.h5:/deep/ids"]):
            with self.subTest(data=data):
                out = "run-" + data[0].replace("/", "-")
                said = self.train("--data", *data, *SHORT, out=out)
                self.assertIn("1800 ids to train on, 200 to validate on, in 1 document; a "
                              "vocabulary of 40, from the largest id", said)
                weights = self.run_command("info", "--all", out).stdout.decode().split(
                    "parameters")[-1]
                expected = expected or weights
                self.assertEqual(weights, expected)

    def test_documents_in_every_kind_of_file_are_the_same_run(self):
        rows = self.ids.reshape(40, 50)
        numpy.save(self.path("rows.npy"), rows.astype("<u2"))
        binidx(self.path("index"), list(rows), "<i4", 4)
        with h5py.File(self.path("rows.h5"), "w") as file:
            file["ids"] = rows.astype("u2")
        expected = None
        for data in ("rows.npy", "index", "index.bin", "index.idx", "rows.h5"):
            with self.subTest(data=data):
                said = self.train("--data", data, *SHORT, "--length", "60", out="run-" + data)
                self.assertIn("1800 ids to train on, 200 to validate on, in 40 documents", said)
                evaluated = self.run_command("eval", "run-" + data).stdout
                self.assertIn(b"counted 196\n", evaluated)
                expected = expected or evaluated
                self.assertEqual(evaluated, expected)

    def test_files_and_folders_of_several_kinds_are_one_text(self):
        os.makedirs(self.path("folder", "deep"))
        self.save("folder/deep/b.bin", self.ids[1000:])
        self.save("folder/a.npy", self.ids[500:1000], ">u4")
        self.write("folder/README.md", "no ids")
        self.save("first.npy", self.ids[:500])
        said = self.train("--data", "first.npy", "folder", *SHORT)
        self.assertIn("1800 ids to train on, 200 to validate on, in 3 documents", said)
        said = self.train("--data", "first.npy", "--data", "folder", *SHORT, out="again")
        self.assertEqual(self.losses("run"), self.losses("again"))
        measured = self.run_command("eval", "run", "--data", "folder").stdout
        self.assertEqual(
            self.run_command("eval", "run", "--data", "folder/a.npy", "folder/deep/b.bin").stdout,
            measured)

    def test_what_a_folder_holds_to_validate_on_is_told(self):
        for folder, names in (("nano", ["train.bin", "val.bin"]),
                              ("shards", ["fineweb_train_000001.bin", "fineweb_val_000000.bin",
                                          "fineweb_val_000001.bin"]),
                              ("plain", ["a.bin", "val.bin"])):
            os.mkdir(self.path(folder))
            for name in names:
                self.save(os.path.join(folder, name))
        self.write("nano/meta.pkl", b"\x80\4\x95")
        told = "by its name to validate on (--valid-data), and trained on"
        for i, (data, says) in enumerate((
                (["nano"], f"nano/val.bin: {told}"),
                (["shards"], f"shards/fineweb_val_000000.bin (and 1 more): {told}"),
                (["plain"], ""), (["nano/train.bin", "--valid-data", "nano/val.bin"], ""))):
            with self.subTest(data):
                said = self.train("--data", *data, *SHORT, out=f"run{i}")
                self.assertEqual(told in said, says != "", said)
                self.assertIn(says, said)

    def test_a_share_or_files_are_validated_on(self):
        self.save("a.npy")
        said = self.train("--data", "a.npy", "--valid-share", "0.25", *SHORT)
        self.assertIn("1500 ids to train on, 500 to validate on", said)
        self.save("valid.npy", self.ids[:33])
        said = self.train("--data", "a.npy", "--valid-data", "valid.npy", *SHORT, out="other")
        self.assertIn("2000 ids to train on, 33 to validate on", said)
        self.assertIn(b"counted 32\n", self.run_command("eval", "other").stdout)
        self.assertIn(b"counted 1999\n",
                      self.run_command("eval", "other", "--data", "a.npy").stdout)

    def test_what_follows_from_the_ids_is_learnt(self):
        self.save("a.npy", numpy.arange(3000) * 7 % 40)
        self.train("--data", "a.npy", *SIZES, "--steps", "300", "--lr", "1e-2")
        evaluated = self.run_command("eval", "run").stdout.decode()
        accuracy = float(evaluated.split("accuracy ")[1].split()[0])
        self.assertGreater(accuracy, 0.9)
        numbers = self.run_command("generate", "run", "--ids", "--prompt", "0 7 14", "--length",
                                   "5", "--temperature", "0").stdout.decode().split()
        self.assertEqual([int(number) for number in numbers], [i * 7 % 40 for i in range(8)])

    def test_more_ids_than_memory_are_trained_on(self):
        """4 * 10^11 of them, most of them zeros that no disk holds; in 2 GB, as HDF5's and
        OpenBLAS's own."""
        with open(self.path("a.bin"), "wb") as file:
            file.truncate(800_000_000_000)
        limits = (resource.RLIMIT_AS, (2 << 30, 2 << 30))
        done = subprocess.run([MIXTAPE, "train", "ids", "--data", "a.bin", "--ids-type", "uint16",
                               "--vocab-size", "50", *SHORT, "--out", "run", "--threads", "1"],
                              cwd=self.folder.name, capture_output=True, timeout=300,
                              preexec_fn=lambda: resource.setrlimit(*limits))
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn(b"360000000000 ids to train on, 40000000000 to validate", done.stderr)


class VocabularyTest(IdsTest):
    def test_it_is_said_found_or_the_models(self):
        self.save("a.npy")
        self.train("--data", "a.npy", *SHORT, "--vocab-size", "50277")
        self.assertIn(b"vocab_size 50277, input_size 0, output_size 50277",
                      self.run_command("info", "run").stdout)
        said = self.train("--data", "a.npy", *SHORT, "--init", "run", out="other")
        self.assertIn("a vocabulary of 50277", said)
        self.assertNotIn("from the largest id", said)
        self.assertIn("vocab-size: 50277\n", read(self.path("other", "config.yaml")))
        self.refuse("train", "ids", "--data", "a.npy", *SHORT, "--init", "run", "--vocab-size",
                    "40", status=2,
                    says=["--init " + self.path("run"), "of 50277, and --vocab-size 40",
                          "leave that out"])
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.h5")
        self.write("text", "some text " * 100)
        self.refuse("train", "text", "--data", "text", *SHORT, "--init", "run.h5", status=2,
                    says=["--init " + self.path("run.h5"), "of which it has 50277, and the text 7",
                          "--tokenizer"])

    def test_label_0_is_a_label_like_others(self):
        self.save("a.npy")
        self.train("--data", "a.npy", *SHORT)
        with h5py.File(self.path("run", "best.h5")) as file:
            self.assertTrue(numpy.any(file["model/embed.weight"][0] != 0))
            self.assertEqual(file["model"].attrs.get("embed_pad", -1), -1)
        self.train("--data", "a.npy", *SHORT, "--embed-pad", "0", out="padded")
        with h5py.File(self.path("padded", "best.h5")) as file:
            self.assertFalse(numpy.any(file["model/embed.weight"][0] != 0))

    def test_ids_beyond_it_are_told_with_file_and_place(self):
        self.save("a.npy", [*self.ids[:50], 40, *self.ids[51:]])
        self.refuse("train", "ids", "--data", "a.npy", *SIZES, "--steps", "200", "--vocab-size",
                    "40", "--out", "run", status=1,
                    says=["a.npy: id 50 is 40, not in 0 .. 39"])
        self.save("valid.npy", [1, 2, -3], "<i4")
        self.refuse("train", "ids", "--data", "a.npy", "--valid-data", "valid.npy", *SHORT,
                    status=1, says=["valid.npy: id 2 is -3, not in 0 .. 16777215"])
        self.refuse("train", "ids", "--data", "a.npy", "--valid-data", "valid.npy", *SHORT,
                    "--vocab-size", "41", "--out", "other", status=1,
                    says=["valid.npy: id 2 is -3, not in 0 .. 40"])
        self.assertFalse(os.path.exists(self.path("other")))  # no step was made

    def test_ids_that_no_validation_reads_are_not_looked_at(self):
        self.save("a.npy", self.ids)
        self.save("valid.npy", [*self.ids[:1000], -3], "<i4")
        common = ["--data", "a.npy", "--valid-data", "valid.npy", *SHORT, "--vocab-size", "41"]
        self.train(*common, "--eval-batches", "1")
        self.refuse("train", "ids", *common, "--eval-batches", "1000", status=1,
                    says=["valid.npy: id 1000 is -3"])

    def test_what_was_learnt_before_they_went_bad_is_saved(self):
        self.save("a.npy", self.ids)
        self.save("valid.npy", [1, 2, 3], "<i4")
        process = subprocess.Popen(
            [MIXTAPE, "train", "ids", "--data", "a.npy", "--valid-data", "valid.npy", *SIZES,
             "--vocab-size", "41", "--eval-every", "1", "--steps", "100000000", "--out", "run"],
            cwd=self.folder.name, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        while b"validation loss" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        with open(self.path("valid.npy"), "r+b") as file:  # which the run has open
            file.seek(-4, os.SEEK_END)
            file.write(b"\xfd\xff\xff\xff")
        said = process.communicate(timeout=100)[1].decode()
        self.assertEqual(process.returncode, 1)
        step = re.search(r"validation after step (\d+): \S+valid.npy: id 2 is -3, not in 0 .. 40 "
                         r"\(saved after step \1\)\n$", said)[1]
        self.save("valid.npy", [1, 2, 3], "<i4")
        more = str(int(step) + 2)
        self.run_command("train", "--resume", "run", "--valid-data", "valid.npy", "--steps", more)
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            self.assertEqual(file["train"].attrs["step"], int(more))

    def test_training_ids_beyond_it_end_a_run_that_is_saved(self):
        """It goes on with ids that are mended, to the bits of a run that always had them."""
        common = [*SIZES, "--steps", "40", "--vocab-size", "40", "--save-every", "0"]
        self.save("a.npy", self.ids)
        self.train("--data", "a.npy", *common, out="whole")
        self.save("a.npy", [*self.ids[:700], 40, *self.ids[701:]])
        self.refuse("train", "ids", "--data", "a.npy", *common, "--out", "run", status=1,
                    says=["a.npy: id 700 is 40, not in 0 .. 39", "(saved after step 18)"])
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            self.assertEqual(file["train"].attrs["step"], 18)
        self.save("a.npy", self.ids)
        self.run_command("train", "--resume", "run", "--data", "a.npy")
        self.assertEqual(*(self.run_command("info", "--all", run).stdout.split(b"parameters")[-1]
                           for run in ("run", "whole")))


class ResumeTest(IdsTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("data"))
        binidx(self.path("data", "index"), list(self.ids.reshape(40, 50)), "<u2", 8)

    def resume(self, *arguments, **options):
        return self.run_command("train", "--resume", "run", *arguments, **options).stderr.decode()

    def test_resuming_gives_the_same_bits_as_not_stopping(self):
        self.train("--data", "data", *SIZES, "--steps", "12", out="whole")
        self.train("--data", "data", *SIZES, "--steps", "12", "--save-every", "5", out="run")
        self.train("--data", "data/index", *SIZES, "--steps", "6", out="first")
        said = self.run_command("train", "--resume", self.path("first"), "--steps", "12",
                                cwd="/").stderr.decode()
        self.assertNotIn("other data", said)
        info = [self.run_command("info", "--all", name).stdout.decode().split("parameters")[-1]
                for name in ("whole", "run")]
        self.assertEqual(info[0], info[1])

    def test_data_that_changed_under_their_name_are_refused(self):
        self.train("--data", "data", *SHORT)
        index = read(self.path("data", "index.idx"), mode="rb")
        for change in (lambda: binidx(self.path("data", "index"), [self.ids[::-1]] * 2, "<u2", 8),
                       lambda: self.save("data/more.bin")):
            change()
            self.refuse("train", "--resume", "run", "--steps", "8", status=2,
                        says=["data: it changed since the run began", "--data"])
            binidx(self.path("data", "index"), list(self.ids.reshape(40, 50)), "<u2", 8)
        os.remove(self.path("data", "more.bin"))
        self.assertEqual(read(self.path("data", "index.idx"), mode="rb"), index)
        self.write("data/notes.txt", "which are not read")
        self.assertNotIn("other data", self.resume("--steps", "8"))
        said = self.resume("--steps", "10", "--valid-share", "0.3")
        self.assertIn("other data to train on; other data to validate on", said)

    def test_held_out_data_that_changed_are_measured_and_told(self):
        self.save("ids.bin")
        self.train("--data", "ids.bin", *SHORT)
        self.assertNotIn("changed", self.run_command("eval", "run").stderr.decode())
        self.save("ids.bin", self.ids[::-1])
        measured = self.run_command("eval", "run")
        self.assertIn(b"loss", measured.stdout)
        self.assertEqual(measured.stderr.decode(),
                         self.path("ids.bin") + ": it changed since the run was saved, and is "
                         "measured as it is: still 4000 bytes, but not the same\n")

    def test_other_data_need_steps_that_are_left(self):
        self.save("ids.bin")
        self.save("other.bin", self.ids[::-1])
        self.train("--data", "ids.bin", *SHORT)
        before = self.files("run")
        self.refuse("train", "--resume", "run", "--data", "other.bin", status=2,
                    says=["no step is left", "step 6 of 6", "--steps N"])
        self.assertEqual(before, self.files("run"))
        self.resume("--data", "ids.bin")
        self.assertIn("other data", self.resume("--data", "other.bin", "--steps", "8"))

    def test_of_long_files_pieces_are_looked_at(self):
        self.save("long.bin", numpy.arange(34 << 20) % 30000)
        run = ["--data", "long.bin", *SHORT, "--vocab-size", "30000"]
        self.train(*run)
        with self.subTest("a copy, and an edit that no piece has, are told"):
            with open(self.path("long.bin"), "r+b") as file:
                file.seek(67000)
                file.write(b"\1\0")
            os.utime(self.path("long.bin"), (10**9, 10**9))
            said = self.resume("--steps", "8")
            self.assertIn("written anew since", said)
            self.assertNotIn("other data", said)
            self.assertNotIn("written anew since", self.resume("--steps", "9"))
        with self.subTest("other ids are refused"):
            self.save("long.bin", numpy.arange(34 << 20) % 29999)
            self.refuse("train", "--resume", "run", "--steps", "10", status=2, says="it changed")


class RefusedTest(IdsTest):
    def test_what_is_no_ids_is_told_in_one_line(self):
        os.mkdir(self.path("none"))
        self.write("none/readme.txt", "no ids")
        os.mkfifo(self.path("pipe.bin"))
        self.save("float.npy", self.ids / 2, "<f4")
        numpy.save(self.path("fortran.npy"), numpy.asfortranarray(self.ids.reshape(40, 50)))
        self.save("cut.npy")
        os.truncate(self.path("cut.npy"), 1001)
        self.write("odd.bin", b"abc")
        self.write("empty.bin", b"")
        self.write("text.txt", "some text")
        self.write("lfs.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:"
                   f"{64 * '4'}\nsize 123456\n")
        self.save("wide.bin", dtype="<u4")
        with gzip.open(self.path("packed.bin.gz"), "wb") as file:
            file.write(self.ids.astype("<u2").tobytes())
        with h5py.File(self.path("deep.h5"), "w") as file:
            file["g/ids"] = self.ids
        self.refuse("train", "ids", "--data", "none", *SHORT, status=2,
                    says="none: no .npy, .bin, .idx, .h5 or .hdf5 in that folder")
        cases = {"pipe.bin": "not a regular file", "float.npy": "<f4",
                 "fortran.npy": "fortran_order", "cut.npy": "it was cut", "odd.bin": "3 bytes",
                 "empty.bin": "empty", "text.txt": "but text", "lfs.bin": "Git LFS",
                 "wide.bin": "--ids-type uint32", "missing.npy": "No such file",
                 "packed.bin.gz": "compressed by gzip (gunzip unpacks it)",
                 "deep.h5:g/ids": "FILE:/PATH: deep.h5:/g/ids)"}
        for name, says in cases.items():
            with self.subTest(name=name):
                self.refuse("train", "ids", "--data", name, *SHORT, "--out", "run", status=1,
                            says=[name + ": ", says])
                self.assertFalse(os.path.exists(self.path("run")))

    def test_options_that_leave_nothing_are_refused(self):
        self.save("a.npy", self.ids[:30])
        numpy.save(self.path("one.npy"), self.ids.reshape(1, 2000))
        numpy.save(self.path("ones.npy"), self.ids.reshape(2000, 1))
        self.refuse("train", "ids", *SHORT, status=2, says=["ids: no files", "--data"])
        self.refuse("train", "ids", "--data", "a.npy", "a.npy", *SHORT, status=2,
                    says=["a.npy: it is named twice"])
        self.refuse("train", "ids", "--data", "-", *SHORT, status=2, says="-: token ids are read")
        self.save("some.npy")
        self.train("--data", "some.npy", *SHORT)
        self.refuse("eval", "run", "--data", "some.npy", "./some.npy", status=2,
                    says=["./some.npy: it is named twice"])
        self.save("long.npy")
        self.refuse("train", "ids", "--data", "long.npy", *SHORT, "--length", "64",
                    "--context-size", "32", status=2,
                    says=["length 64 exceeds context_size 32", "--length", "--context-size"])
        self.refuse("train", "ids", "--data", "one.npy", "--valid-share", "0.0001", *SHORT,
                    status=2, says=["2000 ids", "--valid-data"])
        self.refuse("train", "ids", "--data", "ones.npy", *SHORT, status=2,
                    says=["ones.npy", "two ids"])
        self.save("one.bin", self.ids[:1])
        self.refuse("train", "ids", "--data", "one.bin", *SHORT, status=2,
                    says=["one.bin: a share of 0.1 of 1 id leaves"])
        for data, valid, use in (("one.bin", "long.npy", "train"), ("long.npy", "one.bin",
                                                                    "validate")):
            self.refuse("train", "ids", "--data", data, "--valid-data", valid, *SHORT, status=2,
                        says=[f"one.bin: none of the documents to {use} on has two ids"])
        for share in ("0", "1"):
            self.refuse("train", "ids", "--data", "long.npy", "--valid-share", share, *SHORT,
                        status=2, says=[f"--valid-share {share}: not a number in"])
        self.refuse("train", "ids", "--data", "one.npy", "--valid-data", "long.npy",
                    "--valid-share", "0.2", *SHORT, status=2,
                    says=["--valid-share 0.2: ", "--valid-data"])
        self.refuse("train", "text", "--data", "a.npy", "--vocab-size", "9", status=2,
                    says=["--vocab-size 9", "text does not read it"])

    def test_a_file_that_shrinks_during_a_run_ends_it(self):
        self.save("a.npy")
        process = subprocess.Popen([MIXTAPE, "train", "ids", "--data", "a.npy", *SIZES, "--out",
                                    "run", "--steps", "100000000", "--eval-every", "0"],
                                   cwd=self.folder.name, stderr=subprocess.PIPE)
        for line in process.stderr:
            if line.startswith(b"step 1/"):
                break
        os.truncate(self.path("a.npy"), 1000)
        said = process.communicate(timeout=60)[1].decode()
        self.assertEqual(process.returncode, 1, said)
        self.assertIn("a.npy: it was cut to 1000 bytes", said)
        self.assertIn("(saved after step ", said)


if __name__ == "__main__":
    unittest.main()
