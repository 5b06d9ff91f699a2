"""The real ESPnet: its decoder built, fed, trained and decoded with on the CPU, and the same as
Mixtape's."""

import contextlib
import copy
import csv
import ctypes
import io
import os
import pickle
import sys
import unittest
from unittest import mock

import support


def setUpModule():
    support.need("torch", "h5py", "espnet2.asr_transducer.decoder.rwkv_decoder")
    global torch, numpy, h5py, RWKVDecoder, attention, espnet, files
    global CharTokenizer, WordTokenizer, TokenIDConverter, read_2columns_text
    import h5py
    import numpy
    import torch
    from espnet2.asr_transducer.decoder.modules.rwkv import attention
    from espnet2.asr_transducer.decoder.rwkv_decoder import RWKVDecoder
    from espnet2.fileio.read_text import read_2columns_text
    from espnet2.text.char_tokenizer import CharTokenizer
    from espnet2.text.token_id_converter import TokenIDConverter
    from espnet2.text.word_tokenizer import WordTokenizer

    from mixtape import espnet, files

    espnet.install()


# The command's options, and ESPnet's arguments for the same decoder.
DECODERS = [
    ([], {}),
    (["--attention-size", "64", "--linear-size", "40", "--blocks",
      "3"], {"attention_size": 64, "linear_size": 40, "num_blocks": 3}),
    (["--attention-size", "8"], {"attention_size": 8}),
    (["--norm", "rms_norm"], {"normalization_type": "rms_norm"}),
    (["--norm", "rms_norm", "--norm-partial",
      "0.3"], {"normalization_type": "rms_norm", "normalization_args": {"partial": 0.3}}),
    (["--norm", "scale_norm", "--norm-eps",
      "1e-3"], {"normalization_type": "scale_norm", "normalization_args": {"eps": 1e-3}}),
    (["--norm", "basic_norm"], {"normalization_type": "basic_norm"}),
    (["--blocks", "1"], {"num_blocks": 1}),
]
SIZE = 24


def make_decoder(arguments):
    """ESPnet's decoder. It cannot initialise a single block (it divides by the number of blocks
    less one): one of two is taken."""
    blocks = arguments.get("num_blocks", 2)
    decoder = RWKVDecoder(
        len(support.SYMBOLS),
        **{"block_size": SIZE, "context_size": 64, **arguments, "num_blocks": max(blocks, 2)})
    if blocks == 1:
        decoder.rwkv_blocks, decoder.num_blocks = decoder.rwkv_blocks[:1], 1
    return decoder.eval()


def read_weights(path, dtype):
    with h5py.File(path) as file:
        return {name: torch.as_tensor(file[name][()]).to(dtype) for name in file}


class DecoderTest(support.CommandTest):
    def train(self, name, *options, steps=20):
        sizes = [] if "--init" in options else [
            "--size", str(SIZE), "--blocks", "2", "--context-size", "64"
        ]
        self.run_command("train", "tokens", *self.transcripts(), *sizes, "--warmup", "0",
                         "--schedule", "constant", "--steps", str(steps), "--eval-every", "0",
                         "--log-every", "1", "--clip", "0", "--out", name, *options)
        return self.path(name)

    def trained_pair(self, options, arguments, steps=20):
        """A run, and ESPnet's decoder with its weights, loaded strictly from the exported file."""
        run = self.train("run", *options, steps=steps)
        self.run_command("export", "run", "--last", "--layout", "espnet", "-o", "decoder.h5")
        decoder = make_decoder(arguments)
        decoder.load_state_dict(read_weights(self.path("decoder.h5"), torch.float32), strict=True)
        return run, decoder

    def test_outputs_agree_on_trained_weights(self):
        labels = numpy.random.default_rng(1).integers(0, len(support.SYMBOLS), (3, 50))
        for options, arguments in DECODERS:
            with self.subTest(options=options):
                self.setUp()
                run, decoder = self.trained_pair(options, arguments)
                output, _ = self.forward(run, labels)
                with torch.no_grad():
                    numpy.testing.assert_allclose(output,
                                                  decoder(torch.from_numpy(labels)).numpy(),
                                                  rtol=1e-5, atol=1e-5)

    def test_outputs_agree_on_espnets_initial_weights(self):
        labels = numpy.random.default_rng(2).integers(0, len(support.SYMBOLS), (2, 33))
        for seed in range(3):
            torch.manual_seed(seed)
            decoder = make_decoder({"attention_size": 32})
            files.write_weights(
                self.path("weights.h5"),
                {name: value.numpy()
                 for name, value in decoder.state_dict().items()})
            self.run_command("import", "weights.h5", "-o", f"checkpoint-{seed}.h5")
            output, logits = self.forward(f"checkpoint-{seed}.h5", labels)
            self.assertIsNone(logits)
            with torch.no_grad():
                numpy.testing.assert_allclose(output,
                                              decoder(torch.from_numpy(labels)).numpy(), rtol=1e-5,
                                              atol=1e-5)

    def compare_streaming(self, decoder):
        labels = torch.from_numpy(
            numpy.random.default_rng(3).integers(0, len(support.SYMBOLS), (2, 12)))
        with torch.no_grad():
            whole, states, steps = decoder(labels), decoder.init_state(2), []
            for u in range(labels.shape[1]):
                out, states = decoder.inference(labels[:, u:u + 1], states)
                steps.append(out)
        torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-5, atol=1e-5)
        return labels, whole

    def test_streaming_by_espnet_is_the_whole(self):
        from espnet2.asr_transducer.beam_search_transducer import Hypothesis

        for options, arguments in DECODERS:
            with self.subTest(options=options):
                self.setUp()
                run, decoder = self.trained_pair(options, arguments)
                labels, whole = self.compare_streaming(decoder)
                output, _ = self.forward(run, labels.numpy())
                numpy.testing.assert_allclose(output, whole.numpy(), rtol=1e-5, atol=1e-5)
                hypotheses = [
                    Hypothesis(score=0.0, yseq=[], dec_state=decoder.init_state(1))
                    for _ in range(2)
                ]
                for u in range(labels.shape[1]):
                    for b, hypothesis in enumerate(hypotheses):
                        hypothesis.yseq = [int(labels[b, u])]
                    with torch.no_grad():
                        out, states = decoder.batch_score(hypotheses)
                    numpy.testing.assert_allclose(out.numpy(), output[:, u], rtol=1e-5, atol=1e-5)
                    for b, hypothesis in enumerate(hypotheses):
                        hypothesis.dec_state = decoder.select_state(states, b)

    def gradients_of_espnet(self, decoder, head):
        inputs, targets = map(torch.from_numpy, support.labels_of_transcripts())
        decoder.zero_grad()
        head.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            head(decoder(inputs)).flatten(0, 1), targets.flatten(), ignore_index=-1)
        loss.backward()
        found = {name: value.grad for name, value in decoder.named_parameters()}
        found.update({"head." + name: value.grad for name, value in head.named_parameters()})
        return loss.item(), found

    def test_every_gradient_agrees(self):
        for options, arguments in DECODERS:
            for dtype, name, tolerance in ((torch.float64, "f64", 1e-9), (torch.float32, "f32",
                                                                          1e-5)):
                with self.subTest(options=options, dtype=name):
                    self.setUp()
                    self.train("start", *options, "--dtype", name)
                    self.run_command("export", "start", "--last", "--layout", "mixtape", "-o",
                                     "start.h5")
                    # After one step of Adam, m is 0.1 times the gradient.
                    run = self.train("run", "--init", "start.h5", "--dtype", name, steps=1)
                    weights = read_weights(self.path("start.h5"), dtype)
                    head = torch.nn.Linear(SIZE, len(support.SYMBOLS)).to(dtype)
                    head.load_state_dict(
                        {key: weights.pop("head." + key)
                         for key in ("weight", "bias")})
                    decoder = make_decoder(arguments).to(dtype)
                    decoder.load_state_dict(weights)
                    _, expected = self.gradients_of_espnet(decoder, head)
                    with h5py.File(os.path.join(run, "checkpoint.h5")) as file:
                        found = {
                            key: file["optimizer/m"][key][()] / 0.1
                            for key in file["optimizer/m"]
                        }
                    self.assertEqual(sorted(found), sorted(expected))
                    for key, value in expected.items():
                        numpy.testing.assert_allclose(found[key], value.numpy(), rtol=tolerance,
                                                      atol=tolerance, err_msg=key)

    def test_fifty_updates_have_the_same_losses(self):
        self.train("start", steps=1)
        self.run_command("export", "start", "--last", "--layout", "mixtape", "-o", "start.h5")
        run = self.train("run", "--init", "start.h5", "--lr", "3e-3", steps=50)
        weights = read_weights(self.path("start.h5"), torch.float32)
        head = torch.nn.Linear(SIZE, len(support.SYMBOLS))
        head.load_state_dict({key: weights.pop("head." + key) for key in ("weight", "bias")})
        decoder = make_decoder({})
        decoder.load_state_dict(weights)
        adam = torch.optim.Adam([*decoder.parameters(), *head.parameters()], lr=3e-3)
        losses = []
        for _ in range(50):
            losses.append(self.gradients_of_espnet(decoder, head)[0])
            adam.step()
        with open(os.path.join(run, "metrics.csv")) as file:
            found = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
        self.assertLess(losses[-1], 0.8 * losses[0])
        numpy.testing.assert_allclose(found, losses, atol=1e-4)

    def test_beam_search_decodes_on_the_cpu(self):
        from espnet2.asr_transducer.beam_search_transducer import BeamSearchTransducer
        from espnet2.asr_transducer.joint_network import JointNetwork

        _, decoder = self.trained_pair([], {})
        torch.manual_seed(1)
        joint = JointNetwork(len(support.SYMBOLS), 16, SIZE, 32).eval()
        encoded = torch.randn(20, 16)
        for search in ("default", "tsd", "alsd", "maes"):
            with self.subTest(search=search), torch.no_grad():
                best = BeamSearchTransducer(decoder, joint, beam_size=3, search_type=search,
                                            nbest=2)(encoded)
                self.assertGreater(len(best), 0)
                self.assertTrue(all(numpy.isfinite(float(hypothesis.score)) for hypothesis in best))

    def test_init_param_loads_a_decoder_into_a_whole_model(self):
        from espnet2.torch_utils.load_pretrained_model import load_pretrained_model

        run = self.train("run")
        arguments = ["mixtape-to-espnet", os.path.join(run, "checkpoint.h5"),
                     self.path("decoder.pth")]
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(io.StringIO()):
            files.to_espnet()
        model = torch.nn.Module()
        model.encoder, model.decoder = torch.nn.Linear(3, 3), make_decoder({})
        load_pretrained_model(f"{self.path('decoder.pth')}::decoder", model,
                              ignore_init_mismatch=False)
        with h5py.File(os.path.join(run, "checkpoint.h5")) as file:
            for name, value in model.decoder.state_dict().items():
                numpy.testing.assert_array_equal(value.numpy(), file["model"][name][()])

    def test_a_decoder_comes_back_from_a_whole_model(self):
        for prefix in ("decoder.", "model.asr.decoder."):
            with self.subTest(prefix=prefix):
                decoder = make_decoder({})
                state = {prefix + name: value for name, value in decoder.state_dict().items()}
                state["encoder.weight"] = torch.zeros(3, 3)
                torch.save(state, self.path("model.pth"))
                arguments = ["mixtape-from-pth", self.path("model.pth"), self.path("model.h5")]
                with mock.patch.object(sys, "argv", arguments), \
                        contextlib.redirect_stdout(io.StringIO()):
                    files.from_pth()
                self.run_command("import", "model.h5", "-o", "checkpoint.h5")
                self.run_command("export", "checkpoint.h5", "--layout", "espnet", "-o",
                                 "decoder.h5")
                for name, value in read_weights(self.path("decoder.h5"), torch.float32).items():
                    self.assertTrue(torch.equal(value, decoder.state_dict()[name]), name)


class SelfAttentionTest(support.CommandTest):
    def test_one_layer_goes_there_and_back(self):
        self.run_command("train", "copy", "--size", "16", "--attention-size", "32", "--length", "3",
                         "--batch", "4", "--steps", "2", "--eval-batches", "1", "--out", "run")
        self.run_command("export", "run", "--part", "rwkv_blocks.1.att", "-o", "attention.h5")
        layer = attention.SelfAttention(16, 32, 64, 1, 2)
        layer.load_state_dict(read_weights(self.path("attention.h5"), torch.float32), strict=True)
        other = attention.SelfAttention(16, 32, 64, 0, 2)
        files.write_weights(self.path("other.h5"),
                            {name: value.numpy()
                             for name, value in other.state_dict().items()})
        self.run_command("import", "other.h5", "--into", "run", "--part", "rwkv_blocks.1.att", "-o",
                         "both.h5")
        self.run_command("export", "both.h5", "--part", "rwkv_blocks.1.att", "-o", "back.h5")
        for name, value in read_weights(self.path("back.h5"), torch.float32).items():
            self.assertTrue(torch.equal(value, other.state_dict()[name]), name)


class WithoutBiasesTest(support.CommandTest):
    def test_missing_biases_are_zeros(self):
        self.run_command("train", "tokens", "--no-bias", *self.transcripts(), "--size", str(SIZE),
                         "--blocks", "2", "--steps", "5", "--out", "run")
        labels = numpy.random.default_rng(5).integers(0, len(support.SYMBOLS), (2, 20))
        expected, _ = self.forward(self.path("run"), labels)
        self.run_command("export", "run", "--layout", "espnet", "-o", "decoder.h5")
        arguments = ["mixtape-to-espnet", self.path("run", "best.h5"), self.path("decoder.pth")]
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(io.StringIO()):
            files.to_espnet()
        for weights in (read_weights(self.path("decoder.h5"), torch.float32),
                        torch.load(self.path("decoder.pth"))):
            decoder = make_decoder({})
            decoder.load_state_dict(weights, strict=True)
            with torch.no_grad():
                numpy.testing.assert_allclose(
                    decoder(torch.from_numpy(labels)).numpy(), expected, rtol=1e-5, atol=1e-5)
        output, _ = self.forward("decoder.h5", labels)
        numpy.testing.assert_array_equal(output, expected)


class KernelTest(unittest.TestCase):
    def test_half_types_are_computed_in_float32(self):
        d, u, k, v = (torch.randn(shape, dtype=torch.bfloat16, requires_grad=True)
                      for shape in ((8,), (8,), (2, 5, 8), (2, 5, 8)))
        attention.load_wkv_kernel(16)
        y = attention.WKVLinearAttention.apply(d, u, k, v)
        y.float().sum().backward()
        self.assertEqual(y.dtype, torch.bfloat16)
        self.assertTrue(
            all(x.grad.dtype == torch.bfloat16 and torch.isfinite(x.grad).all()
                for x in (d, u, k, v)))

    def test_types_may_differ(self):
        kernel, half = espnet.Kernel(16), torch.bfloat16
        given = [torch.randn(shape).to(half) for shape in ((8,), (8,), (2, 5, 8), (2, 5, 8))]
        expected = torch.empty(2, 5, 8)
        kernel.forward(*(x.float() for x in given), expected)
        for dtypes in ((torch.float64, torch.float32, torch.float32,
                        torch.float32), (half, half, torch.float32, torch.float32),
                       (torch.float32, torch.float32, torch.float32,
                        half), (torch.float32, torch.float32, half, half)):
            with self.subTest(dtypes=dtypes):
                y = torch.empty_like(expected)
                kernel.forward(*(x.to(dtype) for x, dtype in zip(given, dtypes)), y)
                self.assertTrue(torch.equal(y, expected))

    def test_a_batch_of_nothing(self):
        attention.load_wkv_kernel(16)
        given = [
            torch.randn(shape, requires_grad=True) for shape in ((8,), (8,), (0, 5, 8), (0, 5, 8))
        ]
        attention.WKVLinearAttention.apply(*given).sum().backward()
        self.assertTrue(all(torch.equal(x.grad, torch.zeros_like(x)) for x in given))

    def test_gradients_are_not_differentiated_again(self):
        attention.load_wkv_kernel(16)
        given = [
            torch.randn(shape, requires_grad=True) for shape in ((8,), (8,), (2, 5, 8), (2, 5, 8))
        ]
        loss = attention.WKVLinearAttention.apply(*given).square().sum() + given[2].pow(3).sum()
        first, = torch.autograd.grad(loss, given[2], create_graph=True)
        with self.assertRaisesRegex(RuntimeError, "differentiate twice"):
            first.sum().backward()

    def test_decoders_are_copied_and_pickled(self):
        decoder, labels = make_decoder({}), torch.tensor([[1, 2, 3]])
        for other in (copy.deepcopy(decoder), pickle.loads(pickle.dumps(decoder))):
            self.assertTrue(torch.equal(other(labels), decoder(labels)))

    def test_context_size_is_checked(self):
        with self.assertRaisesRegex(ValueError, "context_size 0"):
            attention.load_wkv_kernel(0)
        attention.wkv_kernel = None
        attention.load_wkv_kernel(4)
        self.assertEqual(attention.wkv_kernel.context_size, 4)
        with self.assertRaisesRegex(AssertionError, "context_size is \\(4\\)"):
            attention.WKVLinearAttention.apply(torch.zeros(2), torch.zeros(2), torch.zeros(1, 5, 2),
                                               torch.zeros(1, 5, 2))

    def test_a_decoder_of_a_shorter_context_leaves_others_alone(self):
        attention.wkv_kernel = None
        first, _ = make_decoder({"context_size": 16}), make_decoder({"context_size": 8})
        self.assertEqual(first(torch.zeros(1, 12, dtype=torch.long)).shape, (1, 12, SIZE))
        with self.assertRaisesRegex(AssertionError, "Context size is too short"):
            first(torch.zeros(1, 17, dtype=torch.long))


class Transcript(ctypes.Structure):
    _fields_ = [("utterance", ctypes.c_char_p), ("labels", ctypes.POINTER(ctypes.c_int32)),
                ("length", ctypes.c_int64)]


class Transcripts(ctypes.Structure):
    _fields_ = [("count", ctypes.c_int64), ("items", ctypes.POINTER(Transcript))]


class TranscriptsTest(support.CommandTest):
    """Transcripts are cut as ESPnet cuts them, by its own reader and tokenizers."""

    tokens = ["<blank>", "<unk>", "<space>", *"abé<>\u3000", "<noise>", "@ @", "ab", "<sos/eos>"]
    nlsyms = ["<noise>", "@ @"]
    blanks = " \t\v\x1c\x1f\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000"

    def labels_of_mixtape(self, unit):
        library = ctypes.CDLL(os.environ["MIXTAPE_LIBRARY"])
        tokens, read = ctypes.c_void_p(), ctypes.POINTER(Transcripts)()
        path = self.path("tokens.txt").encode()
        self.assertEqual(library.mt_token_list_load(path, ctypes.byref(tokens)), 0)
        names = (ctypes.c_char_p * len(self.nlsyms))(*(name.encode() for name in self.nlsyms))
        self.assertEqual(library.mt_token_list_keep_whole(tokens, len(self.nlsyms), names), 0)
        self.assertEqual(
            library.mt_transcripts_load(self.path("text").encode(), tokens, unit,
                                        ctypes.byref(read)), 0)
        found = {}
        for item in read.contents.items[:read.contents.count]:
            found[item.utterance.decode()] = item.labels[:item.length]
        library.mt_transcripts_destroy(read)
        library.mt_token_list_destroy(tokens)
        return found

    def labels_of_espnet(self, tokenizer):
        ids = TokenIDConverter(self.tokens)
        return {
            utterance: ids.tokens2ids(tokenizer.text2tokens(text))
            for utterance, text in read_2columns_text(self.path("text")).items() if text
        }

    def test_labels_are_espnets(self):
        self.write("tokens.txt", "\n".join(self.tokens) + "\n")
        self.write("nlsyms", "\n".join(self.nlsyms) + "\n")
        lines = ["only", "trailing ab \u3000", "double a  b", "noise <noise>a <noi", "open a@ @b @"]
        lines += [f"b{i} a{c}b{c}{c}é {c}ab{c}" for i, c in enumerate(self.blanks)]
        lines += [f"s{i}{c}a b{c}" for i, c in enumerate(self.blanks)]
        with open(self.path("text"), "w", newline="", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
        self.assertEqual(self.labels_of_mixtape(0),
                         self.labels_of_espnet(CharTokenizer(self.path("nlsyms"))))
        self.assertEqual(self.labels_of_mixtape(1), self.labels_of_espnet(WordTokenizer()))


if __name__ == "__main__":
    unittest.main()
