"""A transducer recipe of the real ESPnet, from transcripts to words: sub-words, a decoder
pretrained with Mixtape, statistics, training from that decoder, and decoding with every search, by
ESPnet's own programs, on the corpus of tones.py. And training in two processes. What a recipe's
shell scripts make of it, scripts/test-recipe tries.
"""

import os
import re
import subprocess
import sys
import unittest

import support

# A search may take as many labels from a frame as a word has.
SEARCHES = {"default": "", "tsd": ", max_sym_exp: 6", "alsd": "", "maes": ", nstep: 6"}
# Batches in the order of the keys, without the lengths that --collect_stats finds.
UNSORTED = ("--batch_type", "unsorted", "--train_shape_file", "data/train/wav.scp",
            "--valid_shape_file", "data/valid/wav.scp")


def setUpModule():
    support.need("torch", "h5py", "sentencepiece", "espnet2", "librosa", "kaldiio", "soundfile")
    os.environ["MIXTAPE_PYTHON"] = sys.executable  # splits transcripts
    global numpy, sentencepiece, tones, torch
    import numpy
    import sentencepiece
    import tones
    import torch


def losses_in(log):
    """Of the epochs."""
    return [float(loss) for loss in re.findall(r"\[train\].*? loss=([0-9.e+-]+),", log)]


class RecipeTest(support.CommandTest):
    def sub_words(self):
        """A model of SentencePiece's and the list of tokens that a recipe makes of it."""
        with open(self.path("data", "train", "text")) as file:
            texts = [line.split(maxsplit=1)[1] for line in file]
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_prefix=self.path("data", "bpe"), vocab_size=20,
            model_type="bpe", minloglevel=2)
        model = sentencepiece.SentencePieceProcessor(model_file=self.path("data", "bpe.model"))
        pieces = [model.id_to_piece(i) for i in range(model.vocab_size())]
        of_recipe = ["<blank>", "<unk>",
                     *(piece for piece in pieces if piece not in ("<unk>", "<s>", "</s>")),
                     "<sos/eos>"]
        self.write(os.path.join("data", "tokens.txt"), "\n".join(of_recipe) + "\n")

    def make_data(self, utterances, shortest=0):
        tones.write(self.path("data", "train"), utterances, 1, shortest)
        tones.write(self.path("data", "valid"), 12, 2, shortest)
        self.sub_words()
        self.write("train.yaml", tones.CONFIGURATION)
        # What none of this uses, and takes half of the time of ESPnet's imports.
        os.makedirs(self.path("stand-in"))
        self.write(os.path.join("stand-in", "g2p_en.py"), "")

    def start(self, program, *arguments, launcher=()):
        """A program of ESPnet's, which runs from now on."""
        process = subprocess.Popen(
            [sys.executable, "-m", "mixtape.espnet", *launcher, "-m", f"espnet2.bin.{program}",
             "--ngpu", "0", "--num_workers", "0", *arguments], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1",
                 "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{self.path('stand-in')}"})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def log_of(self, process):
        log, _ = process.communicate(timeout=900)
        self.assertEqual(process.returncode, 0, log[-4000:])
        return log

    def run_espnet(self, *arguments):
        return self.log_of(self.start(*arguments))

    @staticmethod
    def training(*arguments):
        """The program that trains, and its arguments."""
        data = [argument for part in ("train", "valid")
                for kind in ("wav.scp,speech,sound", "text,text,text")
                for argument in (f"--{part}_data_path_and_name_and_type", f"data/{part}/{kind}")]
        return (
            "asr_transducer_train", "--config", "train.yaml", "--use_preprocessor", "true",
            "--token_type", "bpe", "--bpemodel", "data/bpe.model", "--token_list",
            "data/tokens.txt", *data, *arguments)

    def update(self, folder):
        """By how much the second epoch moved each parameter."""
        first, second = (torch.load(self.path("exp", folder, f"{epoch}epoch.pth"))
                         for epoch in (1, 2))
        return {name: after - first[name] for name, after in second.items()
                if after.is_floating_point() and not after.equal(first[name])}

    def test_words_come_back_from_a_transducer_that_starts_from_a_pretrained_decoder(self):
        self.make_data(160)
        self.run_command("train", "--espnet-config", "train.yaml", "--bpemodel", "data/bpe.model",
                         "--token-list", "data/tokens.txt", "--data", "data/train/text", "--steps",
                         "60", "--out", "exp/pretrained")
        subprocess.run([sys.executable, "-c", "from mixtape.files import to_espnet; to_espnet()",
                        "exp/pretrained", "exp/decoder.pth"], cwd=self.folder, check=True,
                       stdout=subprocess.DEVNULL)

        self.run_espnet(*self.training("--collect_stats", "true", "--output_dir", "exp/stats",
                                       *UNSORTED))
        shapes = [argument for part in ("train", "valid") for kind in ("speech", "text")
                  for argument in (f"--{part}_shape_file", f"exp/stats/{part}/{kind}_shape")]
        losses = losses_in(self.run_espnet(*self.training(
            "--output_dir", "exp/asr", "--init_param", "exp/decoder.pth::decoder", *shapes)))
        self.assertEqual(len(losses), tones.EPOCHS)
        self.assertLess(losses[-1], losses[0] / 20)

        with open(self.path("data", "valid", "text")) as file:
            said = file.read().splitlines()
        for search, options in SEARCHES.items():
            with self.subTest(search=search):
                self.write("decode.yaml", "beam_size: 4\n"
                           f"beam_search_config: {{search_type: {search}{options}}}\n")
                self.run_espnet(
                    "asr_transducer_inference", "--config", "decode.yaml", "--output_dir",
                    f"exp/{search}", "--asr_train_config", "exp/asr/config.yaml",
                    "--asr_model_file", "exp/asr/valid.loss.best.pth",
                    "--data_path_and_name_and_type", "data/valid/wav.scp,speech,sound",
                    "--key_file", "data/valid/wav.scp")
                with open(self.path("exp", search, "1best_recog", "text")) as file:
                    heard = file.read().splitlines()
                right = sum(line in said for line in heard)
                self.assertGreaterEqual(right, len(said) - 1, heard)

    def test_two_processes_make_the_updates_of_one(self):
        # Of one length: what ESPnet's encoder makes of the end depends on what it is padded to.
        self.make_data(32, shortest=2 * tones.RATE)
        # Without batch normalisation, whose means would be those of a half.
        self.write("train.yaml", tones.CONFIGURATION.replace("conformer", "branchformer"))
        common = self.training(*UNSORTED, "--max_epoch", "2", "--keep_nbest_models", "2", "--optim",
                               "sgd", "--optim_conf", "lr=0.001")
        alone = self.start(*common, "--output_dir", "exp/alone")
        shared = [self.start(*common, "--output_dir", "exp/shared", "--multiprocessing_distributed",
                             "false", "--dist_backend", "gloo", "--dist_world_size", "2",
                             "--dist_init_method", f"file://{self.path('store')}",
                             "--dist_rank", str(rank)) for rank in range(2)]
        expected, found, _ = [losses_in(self.log_of(process)) for process in (alone, *shared)]
        self.assertEqual(len(expected), 2)
        numpy.testing.assert_allclose(found, expected, rtol=1e-4)
        self.assert_same_updates("alone", "shared")
        if support.torchrun_starts():
            self.log_of(self.start(
                *common, "--output_dir", "exp/launched", "--multiprocessing_distributed", "false",
                "--dist_backend", "gloo", launcher=("-m", "torch.distributed.run", "--standalone",
                                                    "--nproc_per_node", "2")))
            self.assert_same_updates("alone", "launched")

    def assert_same_updates(self, one, other):
        expected, found = self.update(one), self.update(other)
        self.assertIn("decoder.rwkv_blocks.1.att.time_decay", expected)
        for name, update in expected.items():
            with self.subTest(name):
                self.assertLess((found[name] - update).norm(), 0.01 * update.norm())


if __name__ == "__main__":
    unittest.main()
