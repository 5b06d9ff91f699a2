"""Tokenizers that are kept with models: text to ids to a model to text, by the command."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

import support
import tokenizers_of_tests as made


def setUpModule():
    support.need("numpy", "h5py", "tokenizers", "sentencepiece")
    global numpy, h5py, tokenizer
    import h5py
    import numpy

    from mixtape import tokenizer


KINDS = ("huggingface", "sentencepiece", "world")


class TokenizerTest(support.CommandTest):
    def setUp(self):
        super().setUp()
        os.environ["MIXTAPE_PYTHON"] = sys.executable
        self.write("text", made.TEXT * 20)

    def train(self, path, *options, **more):
        self.run_command("tokenize", "text", "--tokenizer", path, "-o", "ids", "--quiet")
        return self.run_command("train", "ids", "--data", "ids", "--valid-data", "ids",
                                "--size", "16", "--blocks", "1", "--steps", "1", "--length", "16",
                                "--batch", "2", "--tokenizer", path, "--out", "run", *options,
                                **more)

    def generate(self, *arguments, **more):
        return self.run_command("generate", "run", *arguments, **more)

    def text(self, *arguments):
        result = subprocess.run([support.MIXTAPE, *arguments], cwd=self.folder,
                                capture_output=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout


class KeptTest(TokenizerTest):
    def test_training_on_text_tells_the_vocabulary_as_that(self):
        path = made.sentencepiece(self.folder)
        done = subprocess.run([support.MIXTAPE, "train", "text", "--data", "text", "--tokenizer",
                               path, "--size", "16", "--blocks", "1", "--steps", "1"],
                              cwd=self.folder, capture_output=True, timeout=300, check=True)
        self.assertRegex(done.stderr.decode(), "to validate on; a vocabulary of [0-9]+\n")

    def test_it_stays_with_the_model_in_each_file(self):
        for kind in KINDS:
            with self.subTest(kind):
                path = getattr(made, kind)(self.folder)
                self.train(path, "--out", kind)
                self.run_command("train", "--resume", kind, "--steps", "2")
                self.run_command("train", "ids", "--data", "ids", "--valid-data", "ids",
                                 "--init", kind, "--steps", "1", "--length", "16", "--out",
                                 kind + "-2")
                self.run_command("export", kind + "-2", "--layout", "espnet-model", "-o", "out.h5")
                self.run_command("import", "out.h5", "-o", "in.h5")
                for model in (kind, kind + "-2", "out.h5", "in.h5"):
                    self.run_command("info", model, "--tokenizer", "back")
                    self.assertEqual(tokenizer.read_file(self.path("back")),
                                     tokenizer.read_file(path))

    def test_a_folder_of_hugging_faces_has_it(self):
        for kind in KINDS:
            with self.subTest(kind):
                path = getattr(made, kind)(self.folder)
                self.train(path, "--out", kind, "--norm-eps", "1e-5", "--no-bias")
                for to, says in ((kind + "-hf", ""),
                                 (kind + ".safetensors", f"{kind}.safetensors has no tokenizer: "
                                  f"the model's is in {kind}\n")):
                    done = subprocess.run([support.MIXTAPE, "export", kind, "--layout", "hf",
                                           "-o", to],
                                          cwd=self.folder, capture_output=True, check=True)
                    self.assertEqual(done.stderr.decode(), says)
                names = set(os.listdir(self.path(kind + "-hf")))
                self.assertEqual(len(names), 3, names)
                name, = names - {"model.safetensors", "config.json"}
                self.assertEqual(tokenizer.find(self.path(kind + "-hf")),
                                 self.path(kind + "-hf", name))
                self.run_command("import", kind + "-hf", "-o", "in.h5")
                for model in (kind + "-hf", "in.h5"):
                    self.run_command("info", model, "--tokenizer", "back")
                    self.assertEqual(tokenizer.read_file(self.path("back")),
                                     tokenizer.read_file(path))
                self.assertIn(b"the fox", self.text("generate", kind + "-hf", "--prompt",
                                                    "the fox", "--length", "3"))

    def test_a_run_goes_on_without_its_file(self):
        path = made.world(self.folder)
        self.train(path)
        os.unlink(path)
        self.run_command("train", "--resume", "run", "--steps", "2")
        self.assertIn("tokenizer of ", self.run_command("info", "run"))

    def test_models_without_one_say_so(self):
        self.run_command("train", "copy", "--steps", "1", "--size", "16", "--out", "run")
        self.assertIn("run/best.h5: it was saved without a tokenizer",
                      self.run_command("info", "run", "--tokenizer", "x", status=2))

    def test_damage_is_told(self):
        self.train(made.world(self.folder))
        path = self.path("run", "best.h5")
        for change, message in (
                (lambda file: file["tokenizer"].attrs.modify("size", 3), "bytes that size says, 3"),
                (lambda file: file["tokenizer"].attrs.modify("size", -1), "size says, -1"),
                (lambda file: file["tokenizer"].attrs.modify("size", 1 << 40), "size says, 1099"),
                (lambda file: file.__delitem__("tokenizer/file"), "file: missing"),
                (lambda file: file["tokenizer"].attrs.__delitem__("size"), "size")):
            with open(path, "rb") as file:
                good = file.read()
            with h5py.File(path, "r+") as file:
                change(file)
            self.assertIn(message, self.run_command("info", "run", status=1))
            with open(path, "wb") as file:
                file.write(good)
        with h5py.File(path) as file:
            place = file["tokenizer/file"].id.get_offset() or \
                file["tokenizer/file"].id.get_chunk_info(0).byte_offset
        with open(path, "r+b") as file:
            file.seek(place + 40)
            file.write(b"?")
        self.run_command("info", "run", status=1)


class TextTest(TokenizerTest):
    def test_prompts_become_ids_and_ids_text(self):
        for kind in KINDS:
            with self.subTest(kind):
                found = tokenizer.load(getattr(made, kind)(self.folder))
                self.train(found.name, "--out", kind)
                prompt = "the naïve fox 東京"
                ids = found.encode(prompt.encode())
                numbers = self.run_command("generate", kind, "--ids", "--length", "40", "--prompt",
                                           " ".join(map(str, ids)))
                shown = self.text("generate", kind, "--length", "40", "--prompt", prompt)
                self.assertEqual(list(map(int, numbers.split()))[:len(ids)], ids)
                self.assertEqual(shown, found.decode(map(int, numbers.split())) + b"\n")

    def test_the_options_tokenizer_comes_first(self):
        self.train(made.world(self.folder))
        path = made.huggingface(self.folder)
        found = tokenizer.load(path)
        ids = [0, *found.encode(b"fox")]
        padding = [option for index in range(found.size, max(made.world_pieces()) + 1)
                   for option in ("--without", str(index))]
        expected = self.generate("--length", "5", "--ids", *padding, "--prompt",
                                 " ".join(map(str, ids)))
        shown = self.text("generate", "run", "--length", "5", "--tokenizer", path, "--prompt",
                          "<|endoftext|>fox")
        self.assertEqual(shown, found.decode(map(int, expected.split())) + b"\n")
        self.assertIn("--tokenizer", self.generate("--tokenizer", path, "--ids", status=2))

    def test_lines_are_answered_in_text(self):
        self.train(made.sentencepiece(self.folder))
        run = subprocess.run([support.MIXTAPE, "generate", "run", "--interactive", "--length", "3"],
                             input="the fox\nÜ\n".encode(), cwd=self.folder, capture_output=True,
                             timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        self.assertGreaterEqual(run.stdout.count(b"\n"), 2)

    def test_texts_side_by_side_are_those_of_each_alone(self):
        """Characters of several tokens are put together, each text's by themselves."""
        lines = ["the naïve fox 東京", "", "🎵", "東", "quick"]
        self.write("prompts", "\n".join(lines))
        readable = lambda text: re.sub("\ufffd+", "\ufffd", text.decode(errors="replace"))
        for kind in KINDS:
            self.train(getattr(made, kind)(self.folder), "--out", kind)
            for options in (["--length", "40"], ["--length", "40", "--stop", "e"]):
                with self.subTest(kind, options=options):
                    records = map(json.loads, self.text("generate", kind, "--prompts", "prompts",
                                                        *options).splitlines())
                    found = [record["prompt"] + record["answer"] + "\n" for record in records]
                    alone = [self.text("generate", kind, *(["--prompt", line] if line else []),
                                       *options, "--seed", str(1 + i))
                             for i, line in enumerate(lines)]
                    self.assertEqual([readable(text.encode()) for text in found],
                                     [readable(text) for text in alone])

    def test_symbols_are_named_as_the_vocabulary_spells_them(self):
        self.train(self.list("abcd", "e", "f"))
        without = ("--length", "3", "--prompt", "e", "--without", "<|endoftext|>", "--without",
                   "e")
        self.assertEqual(self.generate(*without, "--without", "abcd"), "efff\n")
        self.assertEqual(self.generate(*without, "--without", "f"), "eabcdabcdabcd\n")
        self.assertIn("--without: 'ef' is 2 symbols, not one", self.generate(
            "--without", "ef", status=2))

    def test_a_text_ends_within_a_piece(self):
        self.train(self.list("abcd", "e", "f"))
        shown = self.generate("--length", "3", "--prompt", "eabcde", "--without", "<|endoftext|>",
                              "--without", "e", "--without", "f", "--stop", "dab")
        self.assertEqual(shown, "eabcdeabcdab\n")

    def test_a_unit_beside_a_tokenizer_is_refused(self):
        path = self.list("abcd", "e")
        self.train(path)
        read = "--unit {}: text is read by a tokenizer, whose pieces are the symbols"
        numbers = "--unit {}: not with --"
        for arguments, says in ((("generate", "run"), read),
                                (("generate", "run", "--tokenizer", path), read),
                                (("generate", "run", "--ids"), numbers),
                                (("eval", "run", "--data", "text"), read),
                                (("eval", "run", "--data", "ids.idx"), numbers),
                                (("train", "text", "--data", "text", "--tokenizer", path), read),
                                (("train", "text", "--data", "text", "--init", "run"), read)):
            for unit in ("char", "byte"):
                with self.subTest(arguments, unit=unit):
                    self.assertEqual(self.run_command(*arguments, "--unit", unit, status=2).count(
                        says.format(unit)), 1)

    def test_a_model_without_a_head_tells_no_text(self):
        self.train(self.list("abcd", "e"))
        self.run_command("export", "run", "--layout", "espnet", "-o", "out.h5")
        self.assertIn("it has no head", self.run_command("generate", "out.h5", status=2))

    def list(self, *pieces):
        self.write("text", "".join(pieces) * 20)
        return self.write("list", "".join(made.world_line(index, piece.encode())
                                          for index, piece in enumerate(pieces, 1)))

    def test_a_wrong_byte_is_told_with_its_file_and_place(self):
        with open(self.path("wrong"), "wb") as file:
            file.write(b"e\n\xff\n")
        self.train(made.huggingface(self.folder))
        self.assertIn("wrong: byte 0xff at 2 is not UTF-8", self.run_command(
            "eval", "run", "--data", "text", "wrong", status=1))
        self.train(self.list("e", "\n"), "--out", "of-list")
        self.assertIn("wrong: byte 0xff at 2 begins no piece of the World list", self.run_command(
            "eval", "of-list", "--data", "text", "wrong", status=2))

    def test_text_is_measured(self):
        for kind in KINDS:
            with self.subTest(kind):
                found = tokenizer.load(getattr(made, kind)(self.folder))
                self.train(found.name, "--out", kind)
                shown = dict(line.split() for line in self.run_command(
                    "eval", kind, "--data", "text").splitlines())
                of_ids = dict(line.split() for line in self.run_command(
                    "eval", kind, "--data", "ids.idx").splitlines())
                self.assertEqual(shown["loss"], of_ids["loss"])
                self.assertEqual(int(shown["counted"]),
                                 len(found.encode((made.TEXT * 20).encode())) - 1)
                self.assertAlmostEqual(int(shown["bytes"]), len((made.TEXT * 20).encode()), delta=9)


class OtherTokenizerTest(TokenizerTest):
    """Tokenizers that options name, and that are not the model's."""

    def training(self, task, data, *more):
        length = () if task == "tokens" else ("--length", "16")
        return ("train", task, "--data", data, "--valid-data", data, "--size", "16", "--blocks",
                "1", "--batch", "2", "--steps", "1", *length, *more)

    def refused(self, message, *arguments):
        self.assertIn(message, self.run_command(*arguments, status=2))

    def test_it_must_have_the_pieces_of_the_token_list(self):
        for kind in ("huggingface", "sentencepiece"):
            path = getattr(made, kind)(self.folder)
            found = tokenizer.load(path)
            pieces = [found.piece(index).decode() for index in range(found.size)]
            self.run_command("tokenize", "text", "--tokenizer", path, "-o", "ids", "--quiet")
            with self.subTest(kind + ", ESPnet's list of the same size"):
                tokens = ["<blank>", "<unk>", *pieces[3:], "<sos/eos>"]
                self.assertEqual(len(tokens), found.size)
                says = f"{path}: its id 0 is '{pieces[0]}', in the model's token list '<blank>'"
                self.train_on(tokens)
                verbs = (("generate", "run"), ("eval", "run", "--data", "text", "--task", "text"))
                for verb in verbs: # the pieces of SentencePiece are looked up in the list
                    if kind == "sentencepiece":
                        self.run_command(*verb, "--tokenizer", path)
                    else:
                        self.refused(says, *verb, "--tokenizer", path)
                for task, data in (("text", "text"), ("ids", "ids")):
                    self.refused(says, *self.training(task, data, "--init", "run", "--tokenizer",
                                                      path, "--out", "new"))
                    self.assertFalse(os.path.exists(self.path("new")))
            with self.subTest(kind + ", a list that differs at its end"):
                self.train_on([*pieces[:-1], "other"])
                self.refused(f"its id {found.size - 1} is '{pieces[-1]}', in the model's token "
                             "list 'other'" if kind == "huggingface" else
                             f"whose token {found.size - 1}, 'other', is no piece of it",
                             "generate", "run", "--tokenizer", path)
            with self.subTest(kind + ", its own pieces, padded"):
                self.train_on([*pieces, "<pad-1>", "<pad-2>"])
                self.run_command("generate", "run", "--tokenizer", path, "--prompt", "the fox")

    def train_on(self, tokens):
        """A model of transcripts with this token list."""
        self.write("tokens.txt", "".join(f"{token}\n" for token in tokens))
        self.write("transcripts", f"u1 {tokens[5]} {tokens[6]}\n")
        shutil.rmtree(self.path("run"), ignore_errors=True)
        self.run_command(*self.training("tokens", "transcripts", "--unit", "word", "--token-list",
                                        "tokens.txt", "--embed-pad", "-1", "--out", "run"))

    def test_a_world_list_must_have_the_pieces_of_the_token_list(self):
        self.write("text", "abc" * 50)
        self.run_command(*self.training("text", "text", "--out", "run"))
        self.run_command("generate", "run", "--tokenizer", self.list(b"b", b"c"))
        self.refused("its id 2 is 'd', in the model's token list 'c'", "generate", "run",
                     "--tokenizer", self.list(b"b", b"d"))

    def list(self, *pieces):
        return self.write("list", "".join(made.world_line(*item)
                                          for item in enumerate(pieces, 1)))

    def test_one_that_replaces_the_models_is_told(self):
        path = made.world(self.folder)
        self.train(path)
        with open(path, "rb") as file:
            same = file.read()
        with open(self.path("same"), "wb") as file:
            file.write(same)
        with open(self.path("other"), "wb") as file:
            file.write(same.rstrip(b"\n"))
        for arguments in (("generate", "run"), ("eval", "run", "--data", "text"),
                          self.training("text", "text", "--init", "run", "--out", "new"),
                          self.training("ids", "ids", "--init", "run", "--out", "new")):
            for name, count in (("same", 0), ("other", 1)):
                with self.subTest(arguments, name=name):
                    result = subprocess.run(
                        [support.MIXTAPE, *arguments, "--tokenizer", name], cwd=self.folder,
                        capture_output=True, timeout=60)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertEqual(len(re.findall( # a run keeps the whole path
                        rf"--tokenizer \S*\b{name}: used instead of the model's own",
                        result.stderr.decode())), count)
                    shutil.rmtree(self.path("new"), ignore_errors=True)

    def test_a_folder_has_one_by_its_usual_name(self):
        os.mkdir(self.path("folder"))
        path = made.huggingface(self.path("folder"))
        self.run_command("tokenize", "text", "--tokenizer", path, "-o", "ids", "--quiet")
        self.run_command(*self.training("text", "text", "--tokenizer", "folder", "--out", "run"))
        self.run_command("info", "run", "--tokenizer", "back")
        self.assertEqual(tokenizer.read_file(self.path("back")), tokenizer.read_file(path))
        self.run_command("generate", "run", "--tokenizer", "folder")
        os.unlink(path)
        for arguments in (("generate", "run"), self.training("text", "text", "--out", "new")):
            self.assertIn("folder: a folder without tokenizer.json", self.run_command(
                *arguments, "--tokenizer", "folder", status=1))


class TrainTextTest(TokenizerTest):
    """train text, by a tokenizer."""

    OPTIONS = ("--size", "16", "--blocks", "1", "--length", "16", "--batch", "2", "--steps")

    def test_it_reads_what_tokenize_makes(self):
        for kind in KINDS:
            with self.subTest(kind):
                path = getattr(made, kind)(self.folder)
                self.train(path, "--out", kind)
                self.run_command("train", "text", "--data", "text", "--valid-data", "text",
                                 "--tokenizer", path, *self.OPTIONS, "1", "--out", kind + "-text")
                with h5py.File(self.path(kind + "-text", "best.h5")) as file:
                    shape = file["model/embed.weight"].shape
                self.assertEqual(shape, (tokenizer.load(path).size, 16))
                self.run_command("info", kind + "-text", "--tokenizer", "back")
                self.assertEqual(tokenizer.read_file(self.path("back")), tokenizer.read_file(path))
                ids = len(tokenizer.load(path).encode((made.TEXT * 20).encode()))
                shown = dict(line.split() for line in self.run_command(
                    "eval", kind + "-text").splitlines())
                self.assertEqual(int(shown["counted"]), (ids - 1) // 16 * 16)

    def test_runs_and_weights_bring_their_tokenizer(self):
        path = made.world(self.folder)
        self.train(path, "--vocab-size", "600")
        os.unlink(path)
        self.run_command("train", "text", "--data", "text", "--init", "run", *self.OPTIONS, "2",
                         "--out", "begun")
        self.run_command("train", "--resume", "begun", "--steps", "4")
        self.run_command("train", "text", "--data", "text", "--init", "run", *self.OPTIONS, "4",
                         "--out", "whole")
        models = []
        for run in ("begun", "whole"):
            with h5py.File(self.path(run, "checkpoint.h5")) as file:
                self.assertEqual(file["model/embed.weight"].shape[0], 600)
                models.append({name: file["model"][name][()].tobytes() for name in file["model"]})
        self.assertEqual(*models)
        self.assertIn(b"the fox", self.text("generate", "begun", "--prompt", "the fox"))

    def test_what_is_no_text_is_told_with_the_file(self):
        path = made.huggingface(self.folder)
        with open(self.path("wrong"), "wb") as file:
            file.write(b"a" * 100 + b"\xff")
        self.assertIn("wrong: ", self.run_command(
            "train", "text", "--data", "wrong", "--tokenizer", path, *self.OPTIONS, "1", "--out",
            "new", status=1))
        self.assertFalse(os.path.exists(self.path("new")))

    def test_another_tokenizer_must_fit(self):
        self.train(self.write("list", made.world_line(1, b"t") + "".join(
            made.world_line(index + 2, bytes([index])) for index in range(256) if index != 116)))
        path = made.huggingface(self.folder)
        size = tokenizer.load(path).size
        self.assertIn(f"it has {size} ids, the model a vocabulary of 258", self.run_command(
            "train", "text", "--data", "text", "--init", "run", "--tokenizer", path, *self.OPTIONS,
            "1", "--out", "new", status=2))


class SizesTest(TokenizerTest):
    def test_a_padded_vocabulary_is_told(self):
        path = made.huggingface(self.folder)
        size = tokenizer.load(path).size
        self.train(path, "--vocab-size", str(size + 14))
        with open(self.path("run", "train.log")) as file:
            self.assertIn(f"the tokenizer has {size} ids, the vocabulary {size + 14}", file.read())
        self.assertIn(f"vocab_size {size + 14}", self.run_command("info", "run"))

    def test_two_pieces_with_one_id_are_told_where_the_tokenizer_is_given(self):
        path = made.huggingface(self.folder)
        with open(path) as file:
            model = json.load(file)
        model["model"]["vocab"]["Q"] = model["model"]["vocab"]["R"]
        self.write("tokenizer.json", json.dumps(model))
        small = ("--size", "16", "--blocks", "1", "--steps", "1", "--batch", "2")
        self.train(path)
        for verb in (("train", "ids", "--data", "ids", *small, "--length", "9"),
                     ("train", "text", "--data", "text", *small, "--length", "9"),
                     ("generate", "run", "--length", "1"), ("eval", "run", "--data", "text")):
            result = subprocess.run([support.MIXTAPE, *verb, "--tokenizer", path], cwd=self.folder,
                                    capture_output=True, timeout=300)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertRegex(result.stderr.decode(), "tokenizer.json: '[QR]' and '[QR]' have the "
                             r"same id, \d+: a model cannot tell them apart\n")

    def test_ids_that_are_padding_are_not_chosen(self):
        path = self.write("list", made.world_line(1, b"a") + made.world_line(2, b"b"))
        self.write("text", "ab" * 50)
        self.train(path, "--vocab-size", "400")
        shown = self.generate("--prompt", "a", "--length", "200", "--without", "<|endoftext|>",
                              "--temperature", "100")
        self.assertRegex(shown, "^a[ab]{200}\n$")

    def test_the_vocabulary_is_the_tokenizers(self):
        path = made.huggingface(self.folder)
        self.train(path)
        self.assertIn(f"vocab_size {tokenizer.load(path).size}", self.run_command("info", "run"))

    def test_more_ids_than_the_vocabulary_are_refused_with_both_numbers(self):
        path = made.huggingface(self.folder)
        size = tokenizer.load(path).size
        self.assertIn(f"it has {size} ids, the model a vocabulary of {size - 1}",
                      self.train(path, "--vocab-size", str(size - 1), status=2))
        self.assertFalse(os.path.exists(self.path("run")))
        self.run_command("train", "ids", "--data", "ids", "--valid-data", "ids", "--vocab-size",
                         str(size), "--size", "16", "--blocks", "1", "--steps", "1", "--length",
                         "16", "--out", "run")
        self.write("large", "".join(made.world_line(index, bytes([index % 256, index // 256]))
                                    for index in range(1, size + 1)))
        self.assertIn(f"it has {size + 1} ids, the model a vocabulary of {size}",
                      self.generate("--tokenizer", "large", status=2))


class ProcessTest(TokenizerTest):
    """The process that reads what C does not."""

    def fails(self, message, status=1, **environment):
        result = subprocess.run([support.MIXTAPE, "generate", "run", "--prompt", "a"],
                                cwd=self.folder, capture_output=True, timeout=60,
                                env={**os.environ, **environment})
        self.assertEqual(result.returncode, status)
        self.assertIn(message, result.stderr.decode())
        self.assertEqual(result.stderr.count(b"\n"), 1, result.stderr.decode())

    def program(self, text):
        path = self.write("python", text)
        os.chmod(path, 0o755)
        return path

    def test_what_is_missing_is_told_with_the_cure(self):
        self.train(made.huggingface(self.folder))
        self.fails("run: its tokenizer: nowhere: No such file or directory (tokenizers are read by",
                   MIXTAPE_PYTHON="nowhere")
        self.fails("No module named 'mixtape' (pip install './python[tokenizers]'", PYTHONPATH="")
        without = self.path("without")
        os.mkdir(without)
        with open(os.path.join(without, "tokenizers.py"), "w") as file:
            file.write("raise ImportError")
        self.fails("read by the Python library `tokenizers`, which is not installed",
                   PYTHONPATH=without + os.pathsep + os.environ["PYTHONPATH"])

    def test_its_death_is_one_error(self):
        self.train(made.huggingface(self.folder))
        for text, end in (("#!/bin/sh\nexit 7\n", "status 7"),
                          ("#!/bin/sh\nkill -9 $$\n", "signal 9"),
                          ("#!/bin/sh\nhead -c 20 >/dev/null; exit 3\n", "status 3"),
                          ("#!/bin/sh\nprintf '\\0\\377\\377\\377\\377' >&0; exit 4\n", "status 4"),
                          ("#!/bin/sh\nprintf '\\0\\010' >&0; exit 5\n", "status 5")):
            with self.subTest(text):
                self.fails("ended with " + end, MIXTAPE_PYTHON=self.program(text))

    def test_it_ends_with_the_command(self):
        self.train(made.huggingface(self.folder))
        path = self.program(f'#!/bin/sh\necho $$ >pid\nexec {sys.executable} "$@"\n')
        for number in (signal.SIGKILL, signal.SIGTERM, None):
            run = subprocess.Popen([support.MIXTAPE, "generate", "run", "--interactive"],
                                   cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL,
                                   env={**os.environ, "MIXTAPE_PYTHON": path})
            run.stdin.write(b"a\n")
            run.stdin.flush()
            run.stdout.read(1)
            with open(self.path("pid")) as file:
                child = int(file.read())
            if number is not None:
                run.send_signal(number)
            run.communicate(timeout=60)
            self.wait_for_end(child)

    def test_a_signal_ends_the_wait_for_one_that_does_not_answer(self):
        self.train(made.huggingface(self.folder))
        stops_at = {"encode": (("generate", "run", "--prompt", "a"),
                               ("eval", "run", "--data", "text"),
                               ("train", "text", "--data", "text", "--init", "run", "--length", "4",
                                "--out", "new")),
                    "decode": (("generate", "run", "--save-state", "state.h5"),)}
        for call, verbs in stops_at.items():
            for verb in verbs:
                with self.subTest(verb):
                    status = self.end_stopped(call, verb)
                    self.assertEqual(status, -signal.SIGTERM if call == "encode" else
                                     128 + signal.SIGTERM)
        self.generate("--state", "state.h5", "--length", "3")

    def end_stopped(self, call, verb):
        """The status of a command that was sent SIGTERM when its process had stopped in a call."""
        environment = self.library(f"""
    def {call}(self, *given, **more):
        with open("pid.part", "w") as file:
            file.write(str(os.getpid()))
        os.rename("pid.part", "pid")
        os.kill(os.getpid(), signal.SIGSTOP)
""")
        run = subprocess.Popen([support.MIXTAPE, *verb], cwd=self.folder, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment)
        while not os.path.exists(self.path("pid")) and run.poll() is None:
            time.sleep(0.01)
        with open(self.path("pid")) as file:
            child = int(file.read())
        os.unlink(self.path("pid"))
        while self.state(child) != "T":
            time.sleep(0.01)
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.communicate(timeout=60)[1], b"")
        self.wait_for_end(child)
        return run.returncode

    def library(self, *methods):
        """An environment with a library `tokenizers` that does what a test wants."""
        os.makedirs(self.path("libraries"), exist_ok=True)
        with open(self.path("libraries", "tokenizers.py"), "w") as file:
            file.write("""import os, signal, types
class Tokenizer:
    from_str = classmethod(lambda kind, text: kind())
    def get_vocab(self, with_added_tokens):
        return {"a": 0, "b": 1}
    def no_truncation(self):
        pass
    no_padding = no_truncation
    def encode(self, text, add_special_tokens):
        return types.SimpleNamespace(ids=[0])
""" + "".join(methods))
        return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(
            (self.path("libraries"), os.environ["PYTHONPATH"]))}

    def test_what_it_may_take_is_limited(self):
        self.train(made.huggingface(self.folder))
        for method, says in (
                ("return [0] * (1 << 40)", "it takes more memory than a tokenizer may for 1 bytes"),
                ("resource.setrlimit(resource.RLIMIT_CPU, (1, 99))\n        while True: pass",
                 "it takes longer than a tokenizer may for so many bytes"),
                ("print('x' * 99)\n        os.write(2, b'y')\n        os.abort()",
                 f"the process that reads it ({sys.executable}) ended with signal 6")):
            environment = self.library("\n    def encode(self, *given, **more):\n"
                                       f"        import resource\n        {method}\n")
            self.fails("mixtape: tokenizer.json: " + says, **environment)  # not that of the prompt
        environment = self.library("""
    def encode(self, *given, **more):
        import resource
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        seconds, memory = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_CPU,
                                                                    resource.RLIMIT_AS))
        raise ValueError("limits", 0 < seconds - used <= 31, 1 << 30 < memory < 1 << 32)
""")
        self.fails("('limits', True, True)", **environment)
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 29, limits[1]))
        try:
            self.fails("('limits', True, False)", **environment)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)

    def state(self, child):
        """Its letter in /proc, "" where there is no such process."""
        try:
            with open(f"/proc/{child}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return ""

    def wait_for_end(self, child):
        for _ in range(1000):
            if self.state(child) in ("", "Z"):
                return
            time.sleep(0.03)
        self.fail(f"{child} lives on")

    def test_a_world_list_needs_none(self):
        self.train(made.world(self.folder))
        os.environ["MIXTAPE_PYTHON"] = "nowhere"
        self.assertIn(b"the fox", self.text("generate", "run", "--prompt", "the fox"))

    def test_text_that_is_none_is_told(self):
        self.train(made.huggingface(self.folder))
        result = subprocess.run([support.MIXTAPE, "generate", "run", "--prompt", b"a\xff"],
                                cwd=self.folder, capture_output=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"byte 0xff at 1 is not UTF-8", result.stderr)


if __name__ == "__main__":
    unittest.main()
