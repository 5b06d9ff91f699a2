"""mixtape tokenize: the ids that the tokenizers' own libraries give, from every kind of input into
every kind of output; and one line of error, with nothing left behind, where it cannot."""

import bz2
import gzip
import json
import lzma
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import unittest
from unittest import mock

import support
import tokenizers_of_tests as made


def setUpModule():
    support.need("numpy", "tokenizers", "sentencepiece")
    global numpy, tokenizer, tokenizing, documents, ids, world
    import numpy

    from mixtape import documents, ids, tokenizer, tokenizing, world


def binidx(path):
    """(ids, [documents]) of a pair, read as RWKV-LM's MMapIndexedDataset reads it."""
    with open(path + ".idx", "rb") as file:
        index = file.read()
    magic, version, code, count, borders = struct.unpack_from("<9sQBQQ", index)
    assert (magic, version) == (b"MMIDIDX\0\0", 1)
    ids = numpy.fromfile(path + ".bin", {8: "<u2", 4: "<i4"}[code])
    lengths = numpy.frombuffer(index, "<i4", count, 34)
    places = numpy.frombuffer(index, "<i8", count, 34 + 4 * count)
    ends = numpy.frombuffer(index, "<i8", borders, 34 + 12 * count)
    assert len(index) == 34 + 12 * count + 8 * borders
    assert list(places) == list((numpy.cumsum(lengths) - lengths) * ids.itemsize)
    assert sum(lengths) == len(ids)
    at = [0, *numpy.cumsum(lengths)]
    return ids, [list(ids[at[begin]:at[end]]) for begin, end in zip(ends, ends[1:])]


class TokenizeTest(support.CommandTest):
    def tokenize(self, *arguments, status=0, input=None):
        result = subprocess.run([sys.executable, "-m", "mixtape.tokenize", *arguments],
                                cwd=self.folder, capture_output=True, timeout=120, input=input)
        self.assertEqual(result.returncode, status, result.stderr.decode())
        return result.stderr.decode() if status else result.stdout.decode()

    def refused(self, message, *arguments, status=1, **more):
        """It fails with this message, in one line, and leaves nothing."""
        before = sorted(os.listdir(self.folder))
        found = self.tokenize(*arguments, status=status, **more)
        self.assertIn(message, found)
        self.assertEqual(found.count("\n"), 1, found)
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def put(self, name, data):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(data)
        return name


class TokenizersTest(TokenizeTest):
    """Of one tokenizer after another."""

    def documents(self, tokenizer, texts):
        for number, text in enumerate(texts):
            self.put(f"texts/{number:02}", text)
        self.tokenize("texts", "--tokenizer", tokenizer, "-o", "ids")
        return binidx(self.path("ids"))[1]

    def test_ids_are_those_of_tokenizers(self):
        from tokenizers import Tokenizer

        path = made.huggingface(self.folder)
        library = Tokenizer.from_file(path)
        texts = [made.TEXT, *filter(None, made.HARD)]
        self.assertEqual(self.documents(path, [text.encode() for text in texts][:14]),
                         [library.encode(text.removeprefix("\ufeff")).ids for text in texts
                          if text != "\ufeff"])

    def test_ids_are_those_of_sentencepiece(self):
        import sentencepiece

        path = made.sentencepiece(self.folder)
        library = sentencepiece.SentencePieceProcessor(model_file=path)
        texts = [made.TEXT, "x" * 300, "naïve\0 🎵👩‍🎤", "ﬁ\r\nend", "東" * 50]
        found = self.documents(path, [text.encode() for text in texts])
        self.assertEqual(found, [library.encode(text) for text in texts])
        self.assertIn(library.piece_to_id("<0x00>"), found[2])

    def test_ids_are_those_of_a_plain_world_tokenizer(self):
        texts = [made.TEXT.encode(), bytes(range(256)), *map(made.random_bytes, range(3)),
                 "ab\rtrai".encode(), b"\xe6\x9d\xe6\x9d\xb1\xe4"]
        self.assertEqual(self.documents(made.world(self.folder), texts),
                         list(map(made.plain_world, texts)))

    def test_nothing_is_cut_padded_or_put_before(self):
        from tokenizers import Tokenizer, processors

        path = made.huggingface(self.folder, truncation=True)
        changed = Tokenizer.from_file(path)
        changed.post_processor = processors.TemplateProcessing(
            "<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
        changed.save(path)
        changed.no_truncation()
        changed.no_padding()
        self.assertEqual(self.documents(path, [made.TEXT.encode()]),
                         [changed.encode(made.TEXT, add_special_tokens=False).ids])

    def test_text_comes_back(self):
        for make in (made.huggingface, made.sentencepiece, made.world):
            found = tokenizer.load(make(self.folder))
            with self.subTest(found.kind):
                text = "the naïve fox trains 東京 🎵"
                self.assertEqual(found.decode(found.encode(text.encode())).decode(), text)
                pieces = [found.piece(index) for index in found.encode(text.encode())]
                self.assertTrue(all(pieces))
                self.assertEqual(found.find(pieces[0].decode()), found.encode(text.encode())[0])
                self.assertIsNone(found.find("<nothing of this name>"))

    def test_long_documents_are_cut_where_it_changes_little(self):
        for make in (made.huggingface, made.sentencepiece):
            found = tokenizer.load(make(self.folder))
            text = (made.TEXT * 4000).encode()[:3 << 19] + "é".encode()
            with self.subTest(found.kind):
                whole = found.encode(text)
                self.put("text", text)
                self.tokenize("text", "--tokenizer", found.name, "-o", "ids.npy")
                self.assertEqual(list(numpy.load(self.path("ids.npy"))), whole)

    def test_a_world_list_cuts_nowhere(self):
        text = 3 * made.random_bytes(5, 300000) + b"\xe6\x9d"
        self.assertGreater(len(text), documents.PIECE)
        self.put("text", text)
        self.tokenize("text", "--tokenizer", made.world(self.folder), "-o", "ids.npy")
        found = world.World(made.world_pieces())
        self.assertEqual(list(numpy.load(self.path("ids.npy"))), found.encode(text)[0])

    def test_a_byte_that_begins_no_piece_is_told_with_its_place(self):
        path = self.put("list", made.world_line(1, b"a").encode())
        for size in (0, 3 * documents.PIECE + 5):
            self.put("text", b"a" * size + b"\xffa")
            self.refused(f"text: byte 0xff at {size} begins no piece of the World list", "text",
                         "--tokenizer", path, "-o", "ids")

    def test_a_text_without_blanks_is_cut_between_characters(self):
        for begin in range(4):
            text = b"x" * begin + "東".encode() * 400000
            with self.subTest(begin):
                tokenizer.cut(text)
                text[:tokenizer.cut(text)].decode()
        self.assertEqual(tokenizer.cut(b"one line\nnext line\n\n\nlast"), 9)
        self.assertEqual(tokenizer.cut(b"one line, and more"), 13)

    def test_no_more_is_held_than_two_pieces(self):
        longest = 0

        class Counting:
            takes_bytes, size = False, 2

            def encode(self, text):
                nonlocal longest
                longest = max(longest, len(text))
                return [len(text)]

        class Sum:
            count = 0

            def write(self, ids):
                self.count += sum(ids)

            def end_document(self):
                pass

        given = tokenizing._parser().parse_args(["--tokenizer", "x", "-o", "x", "x"])
        writer = Sum()
        job = tokenizing._Job(given, Counting(), writer, tokenizing._Progress(True))
        job.take("x", (b"x" * documents.PIECE for _ in range(20)))
        self.assertEqual(writer.count, 20 * documents.PIECE)
        self.assertLessEqual(longest, 2 * documents.PIECE)


class InputsTest(TokenizeTest):
    def setUp(self):
        super().setUp()
        self.world = made.world(self.folder)

    def texts(self, *arguments, input=None):
        self.tokenize(*arguments, "--tokenizer", self.world, "-o", "ids", input=input)
        found = tokenizer.load(self.world)
        return [found.decode(ids) for ids in binidx(self.path("ids"))[1]]

    def test_files_folders_and_standard_input_are_documents(self):
        self.put("folder/b.txt", b"second")
        self.put("folder/a/deep.txt", b"third")
        self.put("folder/.hidden", b"not this")
        self.put("folder/empty", b"")
        self.put("first", b"first\r\n")
        self.assertEqual(self.texts("first", "folder", "-", input=b"last\0"),
                         [b"first\r\n", b"second", b"third", b"last\0"])

    def test_what_is_compressed_is_read_whatever_its_name(self):
        self.put("a.gz", gzip.compress(b"by ") + gzip.compress(b"gzip"))
        self.put("b", bz2.compress(b"by bzip2"))
        self.put("c.jsonl.xz", lzma.compress(b'{"text": "by xz"}\n'))
        self.assertEqual(self.texts("a.gz", "b", "c.jsonl.xz"),
                         [b"by gzip", b"by bzip2", b"by xz"])
        self.assertEqual(self.texts("-", input=gzip.compress(b"piped")), [b"piped"])

    def test_lines_of_json_are_documents(self):
        self.put("a.jsonl", b'{"text": "a\\nb", "id": 1}\r\n\n{"text": ""}\n{"text": "\\u00e9"}')
        self.assertEqual(self.texts("a.jsonl"), [b"a\nb", "é".encode()])
        self.assertEqual(self.texts("-", "--format", "jsonl", "--field", "content",
                                    input=b'{"content": "c"}'), [b"c"])

    def test_lines_of_text_are_documents_however_long(self):
        long = b"x" * (documents.PIECE - 1)
        self.put("a", b"one\r\n\ntw\ro\n" + long + b"\r\n" + long + b"\r\r\n" + long + b"\r")
        self.assertEqual(self.texts("a", "--lines"),
                         [b"one", b"tw\ro", long, long + b"\r", long + b"\r"])

    def test_a_byte_order_mark_is_passed_over(self):
        self.put("a", b"\xef\xbb\xbftext")
        self.put("b.gz", gzip.compress(b"\xef\xbb\xbftext"))
        self.put("c", b"\xef\xbb")
        self.assertEqual(self.texts("a", "b.gz", "c"), [b"text", b"text", b"\xef\xbb"])

    def test_documents_end_as_asked(self):
        self.put("a", b"one")
        for token, index in (("0", 0), ("511", 511), ("the", 513),
                             ("<|endoftext|>", 0)):
            self.tokenize("a", "a", "--tokenizer", self.world, "-o", "ids", "--document-end", token)
            for ids in binidx(self.path("ids"))[1]:
                self.assertEqual(ids, [*made.plain_world(b"one"), index])
        self.refused("--document-end 600: the tokenizer's ids are 0 .. 5", "a", "--tokenizer",
                     self.world, "-o", "new", "--document-end", "600")
        self.refused("--document-end '<eos>': not in the tokenizer's vocabulary", "a",
                     "--tokenizer", self.world, "-o", "new", "--document-end", "<eos>")

    def test_what_cannot_be_read_is_one_line(self):
        cut = gzip.compress(b"text" * 1000)
        self.put("cut.gz", cut[:-20])
        self.put("wrong.gz", cut[:20] + b"\0\1\2" + cut[23:])
        self.put("zstd", b"\x28\xb5\x2f\xfd....")
        for name, line in (("not.jsonl", b'{"text": "a"}\n{"text"'), ("list.jsonl", b"[1]"),
                           ("other.jsonl", b'{"content": "a"}'), ("number.jsonl", b'{"text": 1}'),
                           ("half.jsonl", b'{"text": "\\ud800"}'), ("deep.jsonl", b"[" * 100000)):
            self.put(name, line)
        os.mkdir(self.path("empty"))
        for name, message in (("cut.gz", "cut.gz: Compressed file ended"),
                              ("wrong.gz", "wrong.gz: "), ("zstd", "zstd -dc FILE | mixtape"),
                              ("not.jsonl", "not.jsonl: line 2: no JSON"),
                              ("list.jsonl", "line 1: no object with the field 'text', but "),
                              ("other.jsonl", "no field 'text' (there are: 'content')"),
                              ("number.jsonl", "its field 'text' is no text"),
                              ("half.jsonl", "half of a pair of surrogates"),
                              ("deep.jsonl", "line 1: "), ("empty", "no files in that folder"),
                              ("nowhere\n", "nowhere\\x0A: No such file")):
            with self.subTest(name):
                self.refused(message, name, "--tokenizer", self.world, "-o", "new")
        self.refused("there is no text in -", "-", "--tokenizer", self.world, "-o", "new")

    def test_what_compressed_files_lack_or_have_behind_them_is_told_with_their_name(self):
        text = made.random_bytes(3, 400000)
        for library in (gzip, bz2, lzma):
            packed = library.compress(text)
            with self.subTest(library.__name__):
                self.put("cut", packed[:-9])
                self.refused("cut: Compressed file ended", "cut", "--tokenizer", self.world, "-o",
                             "new")
                self.put("junk", packed + b"junk behind it")
                self.refused("mixtape: junk: ", "junk", "--tokenizer", self.world, "-o", "new")
                self.put("two", packed + bytes(8) + packed + bytes(4))
                self.assertEqual(self.texts("two"), [text + text])

    def test_what_is_named_twice_is_told(self):
        self.put("a", b"one")
        result = subprocess.run(
            [sys.executable, "-m", "mixtape.tokenize", "a", "./a", "--tokenizer", self.world, "-o",
             "ids"], cwd=self.folder, capture_output=True, timeout=120)
        self.assertIn(b"./a: named more than once, and counted each time\n", result.stderr)
        self.assertEqual(len(binidx(self.path("ids"))[1]), 2)
        self.refused("standard input: named twice, and can be read only once", "-", "-",
                     "--tokenizer", self.world, "-o", "new", input=b"one")

    def test_what_is_no_tokenizer_is_told(self):
        self.put("text", b"one")
        with open(made.sentencepiece(self.folder), "rb") as file:
            model = file.read()
        os.mkdir(self.path("folder"))
        for data, message in (
                (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS (git lfs"),
                (b"<!DOCTYPE html>\n", "it is a page of HTML"), (b"one two\n", "it is text"),
                (b"", "it is empty"), (b"\xff\0", "of another kind, or damaged"),
                (model[:len(model) // 2], "other: cut or damaged: SentencePiece does not take")):
            self.put("other", data)
            self.refused(message, "text", "--tokenizer", "other", "-o", "new")
        self.refused("folder: a folder without tokenizer.json, tokenizer.model, spiece.model or "
                     "rwkv_vocab", "text", "--tokenizer", "folder", "-o", "new")
        self.refused("--tokenizer '': an empty name", "text", "--tokenizer", "", "-o", "new")

    def test_what_is_no_name_or_no_id_is_told(self):
        os.mkdir(self.path("folder"))
        for output in "", "folder/", ".", "folder/..":
            self.refused(f"-o {output!r}: no name of a file", "text", "--tokenizer", self.world,
                         "-o", output)
        self.refused("'': an empty name", "", "--tokenizer", self.world, "-o", "new")
        for end, says in (("", "--document-end '': not in"), ("9" * 5000, "9: the tokenizer's ids"),
                          ("-1", "--document-end '-1': not in"), ("\u0661", "': not in")):
            self.refused(says, "text", "--tokenizer", self.world, "-o", "new",
                         f"--document-end={end}")

    def test_ids_that_cannot_be_or_that_two_pieces_have_are_told(self):
        self.put("text", b"one")
        with open(made.huggingface(self.folder)) as file:
            model = json.load(file)
        vocabulary = model["model"]["vocab"]
        vocabulary["Q"] = (1 << 24) - 1
        self.put("most.json", json.dumps(model).encode())
        self.tokenize("text", "--tokenizer", "most.json", "-o", "ids")
        for index in (1 << 24, 4000000000):
            vocabulary["Q"] = index
            self.put("more.json", json.dumps(model).encode())
            self.refused(f"its token 'Q' has the id {index}, where ids are 0 .. 16777215", "text",
                         "--tokenizer", "more.json", "-o", "new")
        vocabulary["Q"] = vocabulary["R"]
        self.put("same.json", json.dumps(model).encode())
        self.assertRegex(tokenizer.load(self.path("same.json")).note,
                         f"'[QR]' and '[QR]' have the same id, {vocabulary['R']}: ")
        self.assertEqual(tokenizer.load(self.path("most.json")).note, "")

    def test_bytes_that_are_no_text_are_told_or_replaced(self):
        path = made.huggingface(self.folder)
        line = b"good line\n" * 110000
        self.put("a", line + b"wrong \xff")
        self.refused(f"a: byte 0xff at {len(line) + 6} is not UTF-8", "a", "--tokenizer", path,
                     "-o", "new.npy")
        self.tokenize("a", "--tokenizer", path, "--invalid", "replace", "-o", "ids.npy")
        text = tokenizer.load(path).decode(numpy.load(self.path("ids.npy"))[-20:])
        self.assertTrue(text.endswith("wrong \ufffd".encode()), text)


class OutputsTest(TokenizeTest):
    def setUp(self):
        super().setUp()
        self.text = made.TEXT.encode()
        self.put("text", self.text)
        self.expected = made.plain_world(self.text)
        self.world = made.world(self.folder)

    def test_ids_are_arrays_and_pairs(self):
        for name in ("a.npy", "a.bin", "b.idx", "b"):
            self.tokenize("text", "--tokenizer", self.world, "-o", name)
        self.assertEqual(list(numpy.load(self.path("a.npy"))), self.expected)
        self.assertEqual(list(numpy.fromfile(self.path("a.bin"), "<u2")), self.expected)
        self.assertEqual(binidx(self.path("b"))[1], [self.expected])

    def test_ids_alone_are_not_put_under_an_older_index(self):
        self.tokenize("text", "--tokenizer", self.world, "-o", "a")
        self.refused("a.bin: a.idx would be taken for its index: remove that, or write both "
                     "(-o a.idx)", "text", "text", "--tokenizer", self.world, "-o", "a.bin")
        self.assertEqual(binidx(self.path("a"))[1], [self.expected])
        self.tokenize("text", "--tokenizer", self.world, "-o", "a.npy")

    def test_an_index_has_many_documents_and_long_ones(self):
        writer = ids.IndexedWriter(self.path("many"), 70000)
        expected = [[number] * (1 + number % 2) for number in range(270000)]
        writer.open()
        for document in expected:
            writer.write(document)
            writer.end_document()
        with mock.patch.object(ids, "LONGEST_SEQUENCE", 3):
            for number in range(8):
                writer.write([number])
            writer.end_document()
        writer.close()
        with open(self.path("many.idx"), "rb") as file:
            self.assertGreater(struct.unpack_from("<Q", file.read(), 18)[0], len(expected) + 1)
        self.assertEqual(binidx(self.path("many"))[1], [*expected, list(range(8))])

    def test_a_large_vocabulary_has_32_bits(self):
        with open(self.world, "a") as file:
            file.write(made.world_line(70000, b"Numbers"))
        readers = {"a.npy": numpy.load, "a.bin": lambda path: numpy.fromfile(path, "<u4"),
                   "b": lambda path: binidx(path)[0]}
        for name, read in readers.items():
            self.tokenize("text", "--tokenizer", self.world, "-o", name)
            found = read(self.path(name))
            self.assertEqual(found.itemsize, 4)
            self.assertIn(70000, found)

    def test_a_file_stays_until_the_new_one_is_whole(self):
        self.put("ids.bin", b"old")
        self.put("wrong", b"\xff")
        path = made.huggingface(self.folder)
        self.refused("is not UTF-8", "text", "wrong", "--tokenizer", path, "-o", "ids.bin")
        with open(self.path("ids.bin"), "rb") as file:
            self.assertEqual(file.read(), b"old")

    def test_what_is_interrupted_leaves_nothing(self):
        before = sorted(os.listdir(self.folder))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            run = subprocess.Popen(
                [sys.executable, "-m", "mixtape.tokenize", "-", "--tokenizer", self.world, "-o",
                 "ids"], cwd=self.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            run.stdin.write(self.text)
            run.stdin.flush()
            while sorted(os.listdir(self.folder)) == before and run.poll() is None:
                time.sleep(0.01)
            self.assertNotEqual(sorted(os.listdir(self.folder)), before)
            run.send_signal(number)
            run.stdin.close()
            self.assertEqual((run.wait(timeout=60), run.stderr.read()), (128 + number, b""))
            run.stderr.close()
            self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_what_was_left_when_it_was_killed_is_removed(self):
        before = sorted(os.listdir(self.folder))
        run = subprocess.Popen(
            [sys.executable, "-m", "mixtape.tokenize", "-", "--tokenizer", self.world, "-o", "ids"],
            cwd=self.folder, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        while len(os.listdir(self.folder)) < len(before) + 2 and run.poll() is None:
            time.sleep(0.01)
        at_work = sorted(os.listdir(self.folder))
        self.assertEqual(len(at_work), len(before) + 2)
        self.tokenize("text", "--tokenizer", self.world, "-o", "ids")
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*at_work, "ids.bin", "ids.idx"]))
        run.kill()
        run.stdin.close()
        run.wait(timeout=60)
        self.tokenize("text", "--tokenizer", self.world, "-o", "ids")
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*before, "ids.bin", "ids.idx"]))

    def test_a_signal_that_is_ignored_from_the_start_ends_nothing(self):
        run = subprocess.Popen(
            [sys.executable, "-m", "mixtape.tokenize", "-", "--tokenizer", self.world, "-o", "ids"],
            cwd=self.folder, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGHUP,
                                                                        signal.SIG_IGN))
        while not any(".part" in name for name in os.listdir(self.folder)) and run.poll() is None:
            time.sleep(0.01)
        run.send_signal(signal.SIGHUP)
        run.communicate(self.text, timeout=60)
        self.assertEqual(run.returncode, 0)

    def test_it_is_interrupted_while_a_tokenizer_loads(self):
        os.mkdir(self.path("libraries"))
        self.put("libraries/tokenizers.py", b"import time\nclass Tokenizer:\n"
                 b"    def from_str(text):\n        open('loading', 'x').close()\n"
                 b"        time.sleep(600)\n")
        self.put("tokenizer.json", b"{}")
        before = sorted(os.listdir(self.folder))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(
            (self.path("libraries"), os.environ["PYTHONPATH"])), "PYTHONDONTWRITEBYTECODE": "1"}
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            run = subprocess.Popen(
                [sys.executable, "-m", "mixtape.tokenize", "text", "--tokenizer", "tokenizer.json",
                 "-o", "ids"], cwd=self.folder, stderr=subprocess.PIPE, env=environment)
            while not os.path.exists(self.path("loading")) and run.poll() is None:
                time.sleep(0.01)
            os.unlink(self.path("loading"))
            run.send_signal(number)
            self.assertEqual((run.communicate(timeout=60)[1], run.returncode), (b"", 128 + number))
            self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_it_is_interrupted_while_its_libraries_load(self):
        os.mkdir(self.path("libraries"))
        self.put("libraries/numpy.py", b"import time\nopen('loading', 'x').close()\n"
                 b"time.sleep(600)\n")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(
            (self.path("libraries"), os.environ["PYTHONPATH"])), "PYTHONDONTWRITEBYTECODE": "1"}
        for program in (["-m", "mixtape.tokenize"],
                        ["-c", "from mixtape.tokenize import main\nmain()"]):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                run = subprocess.Popen([sys.executable, *program, "text"], cwd=self.folder,
                                       stderr=subprocess.PIPE, env=environment)
                while not os.path.exists(self.path("loading")) and run.poll() is None:
                    time.sleep(0.01)
                os.unlink(self.path("loading"))
                run.send_signal(number)
                self.assertEqual((run.communicate(timeout=60)[1], run.returncode), (b"", -number))

    def test_what_cannot_be_written_is_one_line(self):
        os.mkdir(self.path("folder.npy"))
        self.refused("folder.npy: ", "text", "--tokenizer", self.world, "-o", "folder.npy")
        self.refused("nowhere/ids.bin: No such file", "text", "--tokenizer", self.world, "-o",
                     "nowhere/ids")
        self.tokenize("text", "-o", "x", status=2)

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_output_that_cannot_be_written_is_a_failure(self):
        command = [sys.executable, "-m", "mixtape.tokenize"]
        self.put("text", b"some text")
        self.refuse_full_output(*command, "--help")
        self.refuse_full_output(*command, "text", "--tokenizer", made.world(self.folder), "--quiet",
                                "-o", "out.npy")
        self.assertEqual(len(numpy.load(self.path("out.npy"))), 9)  # it is whole


class CommandTest(TokenizeTest):
    """mixtape tokenize becomes the program of the Python package."""

    def command(self, *arguments, **environment):
        result = subprocess.run([support.MIXTAPE, "tokenize", *arguments], cwd=self.folder,
                                capture_output=True, timeout=120,
                                env={**os.environ, "MIXTAPE_PYTHON": sys.executable, **environment})
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    def test_it_hands_its_arguments_on(self):
        self.put("text", made.TEXT.encode())
        for module in ("numpy.py", "signal.py"):
            self.put(module, b"raise SystemExit('a module of the working folder')")
        arguments = ("text", "--tokenizer", made.world(self.folder), "-o", "ids.npy")
        self.assertEqual(self.command(*arguments, "--quiet")[0], 0)
        self.assertEqual(list(numpy.load(self.path("ids.npy"))),
                         made.plain_world(made.TEXT.encode()))
        self.assertEqual(self.command(*arguments, "--nothing")[0], 2)
        self.assertIn("--document-end", self.command("--help")[1])

    def test_an_interrupt_is_quiet_however_early(self):
        path = made.world(self.folder)
        before = sorted(os.listdir(self.folder))
        for milliseconds in range(0, 160, 10):
            run = subprocess.Popen(
                [support.MIXTAPE, "tokenize", "-", "--tokenizer", path, "-o", "ids"],
                cwd=self.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "MIXTAPE_PYTHON": sys.executable})
            time.sleep(milliseconds / 1000)
            run.send_signal(signal.SIGINT)
            with self.subTest(milliseconds):
                self.assertEqual(run.communicate(timeout=60)[1], b"")
                self.assertIn(run.returncode, (-signal.SIGINT, 128 + signal.SIGINT))
                self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_it_tells_what_to_install(self):
        status, _, message = self.command(MIXTAPE_PYTHON="nowhere/python3")
        self.assertEqual(status, 1)
        self.assertIn("mixtape: nowhere/python3: No such file or directory (tokenizers are read by "
                      "Python", message)
        os.mkdir(self.path("libraries"))
        self.put("libraries/numpy.py", b"raise ImportError('no numpy')")
        without = os.pathsep.join((self.path("libraries"), os.environ["PYTHONPATH"]))
        for folders, lacks in (("", "No module named 'mixtape'"), (without, "no numpy")):
            status, _, message = self.command(PYTHONPATH=folders)
            self.assertEqual(status, 1)
            self.assertIn(lacks + " (pip install './python[tokenizers]'", message)
            self.assertEqual(message.count("\n"), 1)


class DamagedTokenizersTest(TokenizeTest):
    def test_they_are_one_line(self):
        good = {kind.__name__: tokenizer.read_file(kind(self.folder))
                for kind in (made.huggingface, made.sentencepiece, made.world)}
        self.put("text", b"text")
        changed = json.loads(good["huggingface"])
        changed["model"]["type"] = "None such"
        line = made.world_line(1, b"x").encode()
        for data, message in (
                (b"", "it is empty"), (b"version https://git-lfs.github.com", "neither a"),
                (good["huggingface"][:-100], "huh: EOF while parsing"), (b"{}", "huh: "),
                (json.dumps(changed).encode(), "huh: "), (b'{"model": 1}', "huh: "),
                (good["sentencepiece"][:-100], "huh: "), (b"\n\xff\xff", "huh: "),
                (line + b"2 y 1\n", "line 2: not an id, a piece in quotes"),
                (line + b"2 'y' 2\n", "line 2: a piece of 1 bytes, where the line says 2"),
                (line + line, "line 2: id 1 or its piece is there before"),
                (line + b"0 'y' 1\n", "line 2: id 0, not in 1 .. "),
                (line + b"2 '' 0\n", "line 2: a piece of 0 bytes"),
                (line + b"2 '\\ud800' 3\n", "line 2: not an id"),
                (line + b"2 'a' * 9 9\n", "line 2: not an id"),
                (line + b"2 'a' 'b' 2 2\n", "line 2: "),
                (line + b"2 '" + b"x" * 9000 + b"' 9000\n", "line 2: not an id"),
                (line, "text: byte 0x74 at 0 begins no piece of the World list")):
            with self.subTest(data[-40:]):
                self.put("huh", data)
                self.refused(message, "text", "--tokenizer", "huh", "-o", "ids")

    def test_a_folder_has_one_by_its_usual_name(self):
        os.mkdir(self.path("model"))
        self.put("text", made.TEXT.encode())
        self.refused("model: a folder without tokenizer.json", "text", "--tokenizer", "model", "-o",
                     "ids")
        made.sentencepiece(self.path("model"))
        self.tokenize("text", "--tokenizer", "model", "-o", "ids")
        with open(self.path("huge"), "wb") as file:
            file.truncate((64 << 20) + 1)
        self.refused("huge: 67108865 bytes are more than a tokenizer has", "text", "--tokenizer",
                     "huge", "-o", "new")


class LimitsTest(TokenizeTest):
    """What a tokenizer's file makes of a library ends a process of its own, and is told as the
    file's fault."""

    def setUp(self):
        super().setUp()
        with open(made.huggingface(self.folder)) as file:
            self.good = json.load(file)
        self.put("text", b"a" * 400000)

    def changed(self, **parts):
        self.put("tokenizer.json", json.dumps({**self.good, **parts}).encode())

    def fails(self, message, **limits):
        def limit():
            for kind, most in limits.items():
                kind = getattr(resource, kind)
                resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))

        before = sorted(os.listdir(self.folder))
        run = subprocess.run(
            [sys.executable, "-m", "mixtape.tokenize", "text", "--tokenizer", "tokenizer.json",
             "-o", "ids"], cwd=self.folder, capture_output=True, timeout=300, preexec_fn=limit)
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stderr.decode(), rf"\Amixtape: tokenizer\.json: {message}.*\n\Z")
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_text_that_grows_without_end_has_no_memory(self):
        double = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
        self.changed(normalizer={"type": "Sequence", "normalizers": [double] * 9})
        self.fails("the process that reads it ended with signal 6, as one does that may have no "
                   "more memory", RLIMIT_AS=3 << 30)

    def test_gigabytes_that_a_file_claims_are_not_there(self):
        self.changed(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="})
        self.fails("the process that reads it ended with signal 6")

    def test_an_expression_that_looks_again_and_again_has_no_time(self):
        self.changed(pre_tokenizer={"type": "Split", "pattern": {"Regex": "a+[bc]"},
                                    "behavior": "Isolated", "invert": False})
        self.fails("it takes longer than a tokenizer may for so many bytes", RLIMIT_CPU=2)

    def test_a_vocabulary_beyond_all_models_is_refused(self):
        self.good["model"]["vocab"] = {"a": 1 << 24}
        self.changed(model={**self.good["model"], "merges": []})
        self.fails("its token '.*' has the id [0-9]+, where ids are 0 .. 16777215")

    def test_what_it_may_take_grows_with_the_bytes(self):
        self.put("libraries/tokenizers.py", b"""import resource
class Tokenizer:
    def from_str(text):
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        seconds = resource.getrlimit(resource.RLIMIT_CPU)[0] - used
        memory = resource.getrlimit(resource.RLIMIT_AS)[0]
        raise ValueError("limits", len(text), 29 < seconds - len(text) / 65536 <= 31,
                         0 < memory - 512 * len(text) < 1 << 32)
""")
        with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(
                (self.path("libraries"), os.environ["PYTHONPATH"]))):
            for size in 2, 20 << 20:
                self.put("tokenizer.json", b"{" + b" " * (size - 1))
                self.fails(rf"\('limits', {size}, True, True\)")

    def test_the_death_of_its_process_is_told(self):
        for end, message in (("os.kill(os.getpid(), 9)", "ended with signal 9"),
                             ("os._exit(3)", "ended with status 3")):
            self.put("libraries/tokenizers.py", f"""import os
class Tokenizer:
    def from_str(text):
        {end}
""".encode())
            with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(
                    (self.path("libraries"), os.environ["PYTHONPATH"]))):
                self.fails("the process that reads it " + message)


if __name__ == "__main__":
    unittest.main()
