"""Models of SentencePiece, read by its C++ library that is linked, and by the Python package: both
answer as the Python library that is installed, and as ESPnet's tokenizer on it."""

import os
import random
import signal
import struct
import subprocess
import sys
import time
import unittest

import support
import tokenizers_of_tests as made

# The program that asks a tokenizer's process, built with the library and without it.
PROGRAMS = [os.environ.get(name, "") for name in ("ANSWERS_LIBRARY", "ANSWERS_PYTHON")]
DONE, FAILED = 0, 1


def setUpModule():
    support.need("sentencepiece")
    global library, tokenizer
    import sentencepiece as library

    from mixtape import tokenizer


KINDS = ({"model_type": "bpe"}, {"model_type": "unigram"}, {"model_type": "char"},
         {"model_type": "word", "vocab_size": 20},
         {"model_type": "bpe", "byte_fallback": True, "vocab_size": 340},
         {"model_type": "unigram", "byte_fallback": True, "vocab_size": 320},
         {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
         {"normalization_rule_name": "nfkc_cf"}, {"add_dummy_prefix": False},
         {"treat_whitespace_as_suffix": True}, {"split_digits": True, "model_type": "bpe"},
         {"user_defined_symbols": "<noise>,▁quick▁fox"},
         {"control_symbols": "<laugh>", "pad_id": 3}, {"unk_surface": "?"},
         {"bos_id": -1, "eos_id": -1})
TEXTS = [*made.HARD, "The quick brown fox jumps over the lazy dog.", "fox 漢字 dog", " two  blanks ",
         "a\tb\t\tc", "\t", "ﬁne Å \u00c5 e\u0301", "a\u200bb\u00a0c", "▁quick▁fox ▁", "<noise>the",
         "<unk> <s> </s> <laugh> <pad> <0x41>", "QUICK Straße", "a\0b", "the quick " * 5000,
         "漢" * 5000]


def texts():
    """Also some that are put together by chance."""
    chance = random.Random(1)
    characters = [*set(made.TEXT), *"\t \u3000漢é🎵▁<>", "the", " fox", "<noise>", "\u0301"]
    return TEXTS + ["".join(chance.choices(characters, k=chance.randint(1, 40)))
                    for _ in range(100)]


def frame(first, data):
    return first + struct.pack("<I", len(data)) + data


def frames(data):
    """[(first, bytes)]"""
    found, at = [], 0
    while at < len(data):
        first, length = struct.unpack_from("<BI", data, at)
        at += 5 + length
        found.append((first, data[at - length:at]))
    return found


def numbers(ids):
    return struct.pack(f"<{len(ids)}i", *ids)


def pieces(found):
    return b"".join(struct.pack("<I", len(piece)) + piece for piece in found)


class ProgramTest(support.CommandTest):
    def setUp(self):
        super().setUp()
        os.environ["MIXTAPE_PYTHON"] = sys.executable

    def model(self, **options):
        return made.sentencepiece(self.folder, **{
            "vocab_size": 70, "byte_fallback": False, "character_coverage": 1.0, **options})

    def run_program(self, program, path, *asked):
        """What a program says to pairs of a letter and bytes: the answers, and its message."""
        done = subprocess.run([program, path], input=b"".join(frame(*pair) for pair in asked),
                              capture_output=True, timeout=300)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return frames(done.stdout), done.stderr.decode()

    def ask(self, program, path, *asked):
        found, said = self.run_program(program, path, *asked)
        self.assertEqual(said, "")
        self.assertEqual(len(found), len(asked))
        return found


class AnswersTest(ProgramTest):
    def questions(self, path):
        """What is asked, and what the Python library says to it."""
        installed = tokenizer.make(tokenizer.read_file(path), path)
        for text in map(str.encode, texts()):
            ids, split = installed.encode(text), installed.split(text)
            yield b"E", text, numbers(ids)
            yield b"S", text, pieces(split)
            yield b"D", numbers(ids), installed.decode(ids)
            yield b"J", pieces(split), installed.join(split)
        every = [installed.piece(index) for index in range(installed.size)]
        chance = random.Random(2)
        for _ in range(200):  # which no text gives
            ids = chance.choices(range(installed.size), k=chance.randint(1, 9))
            yield b"D", numbers(ids), installed.decode(ids)
            yield b"J", pieces([every[i] for i in ids]), installed.join([every[i] for i in ids])
        yield b"D", numbers([5, installed.size, 1 << 30]), installed.decode([5])
        for piece in (*every, b"", b"no piece", "漢字".encode()):
            index = installed.find(piece.decode())
            yield b"F", piece, numbers([-1 if index is None else index])
        yield b"P", b"", pieces(every)
        yield b"V", b"", pieces(installed.token_list())

    def test_both_ways_answer_as_the_library_that_is_installed(self):
        for options in KINDS:
            path = self.model(**options)
            questions = list(self.questions(path))
            for program in PROGRAMS:
                found = self.ask(program, path, *(question[:2] for question in questions))
                for (asked, data, expected), answer in zip(questions, found):
                    with self.subTest(options, program=program, asked=asked, data=data[:99]):
                        self.assertEqual(answer, (DONE, expected))

    def test_the_pieces_are_those_of_espnets_tokenizer(self):
        support.need("espnet2.text.sentencepiece_tokenizer")
        from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer

        path = self.model(model_type="bpe")
        espnet = SentencepiecesTokenizer(path)
        for program in PROGRAMS:
            found = self.ask(program, path, *((b"S", text.encode()) for text in texts()))
            for text, answer in zip(texts(), found):
                split = [piece.encode() for piece in espnet.text2tokens(text)]
                self.assertEqual(answer, (DONE, pieces(split)), text)

    def test_text_that_is_none_is_told_with_its_place(self):
        path = self.model()
        for wrong, place in ((b"\xff", 0), (b"ab\0\xc3", 3), (b"\xed\xa0\x80", 0),
                             (b"a" * 99 + b"\xf5", 99), (b"\xc0\x80", 0), (b"\xe6\x9d z", 0)):
            for program in PROGRAMS:
                for asked in (b"E", b"S"):
                    with self.subTest(program, wrong=wrong, asked=asked):
                        answer, after = self.ask(program, path, (asked, wrong), (b"E", b"fox"))
                        said = f"byte {wrong[place]:#04x} at {place} is not UTF-8"
                        self.assertEqual(answer, (FAILED, said.encode()))
                        self.assertEqual(after[0], DONE)


class HostileTest(ProgramTest):
    def test_files_that_are_damaged_end_no_command(self):
        """Each is an error of one line, or a model."""
        with open(self.model(), "rb") as file:
            good = file.read()
        chance = random.Random(3)
        path = self.path("damaged.model")
        for number in range(80):
            data = bytearray(good[:chance.randrange(1, len(good))] if number % 4 == 0 else good)
            for _ in range(number % 4):
                data[chance.randrange(1, len(data))] = chance.randrange(256)
            with self.subTest(number), open(path, "wb") as file:
                file.write(data)
                file.flush()
                found, said = self.run_program(PROGRAMS[0], path, (b"E", b"the fox"), (b"P", b""))
                self.assertEqual(len(found), 0 if said else 2)
                self.assertLessEqual(said.count("\n"), 1, said)
                self.assertEqual(said[:len(path)], path if said else "")

    def test_a_file_that_is_cut_is_told_as_python_tells_it(self):
        path = self.model()
        with open(path, "r+b") as file:
            file.truncate(1001)
        told = [self.run_program(program, path)[1] for program in PROGRAMS]
        self.assertEqual(told, 2 * [f"{path}: cut or damaged: SentencePiece does not take it for a "
                                    "model\n"])


class LinkedTest(ProgramTest):
    """What is built with the library, if it is."""

    def setUp(self):
        super().setUp()
        version = subprocess.run([support.MIXTAPE, "--version"], capture_output=True, text=True,
                                 check=True).stdout
        if "SentencePiece" not in version:
            self.skipTest("the command was built without SentencePiece's library")
        os.environ["MIXTAPE_PYTHON"] = "nowhere"

    def train(self):
        self.write("text", "".join(f"u{i} the fox\n" for i in range(12)))
        self.run_command("train", "tokens", "--data", "text", "--bpemodel", self.model(), "--size",
                         "16", "--blocks", "1", "--batch", "4", "--steps", "1", "--out", "run")

    def test_it_needs_no_python(self):
        self.train()
        self.assertIn("the fox", self.run_command("generate", "run", "--prompt", "the fox"))
        self.run_command("eval", "run", "--data", "text")
        self.run_command("train", "text", "--data", "text", "--tokenizer", "tokenizer.model",
                         "--size", "16", "--blocks", "1", "--length", "8", "--steps", "1")

    def test_pieces_that_are_no_text_are_told(self):
        path = self.model()
        with open(path, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(data.replace("▁t".encode(), b"\xe2\x96\xfft"))
        self.assertRegex(self.run_program(PROGRAMS[0], path)[1], "its piece [0-9]+ is not UTF-8\n$")

    def test_its_process_ends_with_the_command(self):
        self.train()
        for number in (signal.SIGKILL, signal.SIGTERM, None):
            run = subprocess.Popen([support.MIXTAPE, "generate", "run", "--interactive"],
                                   cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
            run.stdin.write(b"the\n")
            run.stdin.flush()
            run.stdout.read(1)
            with open(f"/proc/{run.pid}/task/{run.pid}/children") as file:
                children = list(map(int, file.read().split()))
            self.assertGreater(len(children), 0)
            if number is not None:
                run.send_signal(number)
            run.communicate(timeout=60)
            for child in children:
                self.wait_for_end(child)

    def test_its_process_ends_with_a_command_that_is_killed_also_where_it_was_stopped(self):
        program = subprocess.Popen([PROGRAMS[0], self.model()], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        program.stdin.write(frame(b"F", b"the") * 1000)  # more than its output holds back
        program.stdin.flush()
        program.stdout.read(1)
        with open(f"/proc/{program.pid}/task/{program.pid}/children") as file:
            child = int(file.read())
        os.kill(child, signal.SIGSTOP)
        program.kill()
        program.communicate()
        self.wait_for_end(child)

    def wait_for_end(self, child):
        for _ in range(1000):
            try:
                with open(f"/proc/{child}/stat") as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return
            except FileNotFoundError:
                return
            time.sleep(0.03)
        self.fail(f"{child} lives on")


class AbsentTest(ProgramTest):
    def test_a_build_without_the_library_says_so_where_there_is_no_python(self):
        path = self.model()
        os.environ["MIXTAPE_PYTHON"] = "nowhere"
        said = self.run_program(PROGRAMS[1], path)[1]
        self.assertIn("nowhere: No such file or directory (tokenizers are read by Python", said)
        self.assertTrue(said.endswith(
            "; this build of Mixtape is without SentencePiece's own library\n"), said)


if __name__ == "__main__":
    unittest.main()
