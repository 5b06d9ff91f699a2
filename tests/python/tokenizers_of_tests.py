"""Small tokenizers of each kind, trained here, and texts that are hard on them."""

import os
import random

TEXT = """The quick brown fox jumps over the lazy dog.
A tape of tapes; a mix of mixes: mixtape.

    Indented, twice.\tTabs. Numbers 1234567890.
Œuvre, naïve, Straße, 東京, 🎵.
"""
HARD = ("\r\n\0 \t\u00a0naïve\u2028🎵👩‍🎤 end", "", " ", "\n\n\n", "x" * 300, "\0", "\r", "ﬁ",
        "<|endoftext|>", "e\u0301", "\ufeff", "\ufffd", "東" * 50)
WORLD = ["the", "tr", "tra", "train", "é", "\n\n", " mixtape", "it's", 'a "b"', "\\n", "東京", "\t\t",
         " ", b"\xe6\x9d", b"\xf0\x9f\x8e", "The", " quick", "0123456789" * 12]


def huggingface(folder, **more):
    """tokenizer.json: byte-level BPE, as GPT-2 and RWKV-4 have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator([TEXT] * 4, trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    if more.get("truncation"):
        made.enable_truncation(4)
        made.enable_padding(length=64)
    path = os.path.join(folder, "tokenizer.json")
    made.save(path)
    return path


def sentencepiece(folder, text=TEXT, **options):
    """A .model with bytes to fall back to."""
    import sentencepiece as library

    corpus = os.path.join(folder, "corpus.txt")
    with open(corpus, "w") as file:
        file.write(text * 4)
    library.SentencePieceTrainer.train(**{
        "input": corpus, "model_prefix": os.path.join(folder, "tokenizer"), "vocab_size": 340,
        "byte_fallback": True, "minloglevel": 2, "hard_vocab_limit": False, **options})
    return os.path.join(folder, "tokenizer.model")


def world_pieces():
    """{id: bytes}, with ids that are not all used."""
    pieces = [bytes([byte]) for byte in range(256)]
    pieces += [piece.encode() if isinstance(piece, str) else piece for piece in WORLD]
    return {2 * number + 1: piece for number, piece in enumerate(dict.fromkeys(pieces))}


def world_line(index, piece):
    try:
        written = repr(piece.decode())
    except UnicodeDecodeError:
        written = repr(piece)
    return f"{index} {written} {len(piece)}\n"


def world(folder):
    path = os.path.join(folder, "world.txt")
    with open(path, "w", newline="") as file:
        file.writelines(world_line(*item) for item in world_pieces().items())
    return path


def plain_world(text):
    """What a World list makes of bytes, in the plainest way: the longest of all pieces that fit."""
    found, at, pieces = [], 0, world_pieces()
    while at < len(text):
        index = max((index for index, piece in pieces.items() if text.startswith(piece, at)),
                    key=lambda index: len(pieces[index]))
        found.append(index)
        at += len(pieces[index])
    return found


def random_bytes(seed, count=2000):
    """Bytes, most of which are pieces of WORLD."""
    chance = random.Random(seed)
    pieces = list(world_pieces().values())
    return b"".join(chance.choice(pieces) for _ in range(count))
