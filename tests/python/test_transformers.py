"""The real transformers: RwkvForCausalLM and Mixtape have the same logits and the same greedy text,
both ways."""

import json
import os
import unittest
import warnings

import support


def setUpModule():
    support.need("torch", "h5py", "safetensors.torch", "transformers.models.rwkv.modeling_rwkv")
    global torch, numpy, h5py, safetensors
    global AutoModel, AutoModelForCausalLM, RwkvConfig, RwkvForCausalLM
    global modeling_rwkv, mixtape_transformers
    import h5py
    import numpy
    import safetensors.torch
    import torch
    import transformers
    from transformers import AutoModel, AutoModelForCausalLM, RwkvConfig, RwkvForCausalLM
    from transformers.models.rwkv import modeling_rwkv

    import mixtape.transformers as mixtape_transformers

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()


TEXT = "the quick brown fox jumps over the lazy dog, and the lazy dog sleeps on. " * 40


def make_model(seed=1, **arguments):
    torch.manual_seed(seed)
    arguments = {
        "vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 2, "context_length": 64,
        "eos_token_id": None, **arguments
    }
    model = RwkvForCausalLM(RwkvConfig(**arguments)).eval()
    with torch.no_grad():  # transformers leaves most of it at its beginnings
        for name, value in model.named_parameters():
            value.add_(0.1 * torch.randn(value.shape))
    return model


def greedy(model, labels, length):
    # synced_gpus: what Debian's PyTorch cannot find out.
    return model.generate(labels, attention_mask=torch.ones_like(labels), do_sample=False,
                          max_new_tokens=length, synced_gpus=False)


class ModelTest(support.CommandTest):
    def test_logits_agree_on_weights_of_transformers(self):
        labels = numpy.random.default_rng(1).integers(0, 20, (3, 40))
        for arguments in ({}, {"intermediate_size": 48}, {"num_hidden_layers": 5}):
            with self.subTest(arguments=arguments):
                model = make_model(**arguments)
                safetensors.torch.save_file(model.state_dict(), self.path("model.safetensors"))
                _, logits = self.forward("model.safetensors", labels)
                with torch.no_grad():
                    expected = model(torch.from_numpy(labels)).logits.numpy()
                numpy.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)

    def check_folder(self, folder, labels, expected, tolerance=1e-4):
        _, logits = self.forward(folder, labels)
        numpy.testing.assert_allclose(logits, expected, rtol=tolerance, atol=tolerance)

    def test_folders_that_transformers_saves_are_models(self):
        labels = numpy.random.default_rng(5).integers(0, 20, (2, 30))
        cases = {
            "whole": ({}, {}),
            "shards": ({}, {"max_shard_size": "20KB"}),
            "tied": ({"tie_word_embeddings": True}, {}),
            "rescaled": ({"num_hidden_layers": 5, "rescale_every": 2}, {}),
            "other-eps": ({"layer_norm_epsilon": 1e-6}, {}),
        }
        for folder, (arguments, options) in cases.items():
            with self.subTest(folder=folder):
                model = make_model(**arguments)
                model.save_pretrained(self.path(folder), **options)
                files = os.listdir(self.path(folder))
                self.assertEqual("model.safetensors" in files, folder != "shards")
                with torch.no_grad():
                    expected = model(torch.from_numpy(labels)).logits.numpy()
                self.check_folder(folder, labels, expected)
                self.run_command("import", folder, "-o", "model.h5")
                self.check_folder("model.h5", labels, expected)
                self.assertIn("context_size 64", self.run_command("info", "model.h5"))

    def test_a_folder_is_one_however_the_hub_keeps_it(self):
        labels = numpy.random.default_rng(8).integers(0, 20, (2, 30))
        model = make_model()
        with torch.no_grad():
            expected = model(torch.from_numpy(labels)).logits.numpy()
        snapshot, blobs = self.path("models--x/snapshots/0"), self.path("models--x/blobs")
        for folder in snapshot, blobs:
            os.makedirs(folder)
        model.save_pretrained(self.path("plain"))
        for name in os.listdir(self.path("plain")):
            os.rename(self.path("plain", name), os.path.join(blobs, name + "-0"))
            os.symlink(f"../../blobs/{name}-0", os.path.join(snapshot, name))
        with open(os.path.join(snapshot, "pytorch_model.bin"), "wb") as file:
            file.write(b"not looked at")
        os.symlink("models--x/snapshots/0", self.path("link"))
        for folder in "models--x/snapshots/0", "link", "link/", "./link//":
            with self.subTest(folder=folder):
                self.check_folder(folder, labels, expected)
        os.unlink(os.path.join(blobs, "model.safetensors-0"))
        result = self.run_command("info", "link", status=1)
        self.assertIn("model.safetensors: No such file or directory", result)

    def export_folder(self, model, folder, *options):
        """What transformers loads of a model that went through Mixtape's files."""
        model.save_pretrained(self.path(folder + "-original"))
        self.run_command("import", folder + "-original", "-o", "model.h5")
        self.run_command("export", "model.h5", "--layout", "hf", "-o", folder, *options)
        return AutoModelForCausalLM.from_pretrained(self.path(folder), torch_dtype="auto").eval()

    def test_folders_that_mixtape_writes_are_models_of_transformers(self):
        labels = torch.from_numpy(numpy.random.default_rng(6).integers(0, 20, (2, 30)))
        deep = {"tie_word_embeddings": True, "num_hidden_layers": 7}
        for dtype, torch_dtype, tolerance in (("own", torch.float32, 1e-4),
                                              ("f32", torch.float32, 1e-4),
                                              ("f16", torch.float16, 2e-2),
                                              ("bf16", torch.bfloat16, 2e-1)):
            for name, arguments in ("plain", {}), ("deep", deep):
                with self.subTest(dtype=dtype, model=name):
                    model = make_model(**arguments)
                    read = self.export_folder(model, f"{name}-{dtype}", "--dtype", dtype)
                    self.assertEqual(read.dtype, torch_dtype)
                    found = read.state_dict()
                    for key, value in model.state_dict().items():
                        self.assertTrue(torch.equal(found[key], value.to(torch_dtype)), key)
                    with torch.no_grad():
                        torch.testing.assert_close(read.float()(labels).logits,
                                                   model(labels).logits, rtol=tolerance,
                                                   atol=tolerance)

    def test_doubles_stay_doubles(self):
        labels = torch.from_numpy(numpy.random.default_rng(7).integers(0, 20, (2, 30)))
        model = make_model().double()
        read = self.export_folder(model, "folder")
        self.assertEqual(read.dtype, torch.float64)
        for name, value in model.state_dict().items():
            self.assertTrue(torch.equal(read.state_dict()[name], value), name)
        with torch.no_grad():
            torch.testing.assert_close(read(labels).logits, model(labels).logits)

    def test_the_configuration_that_is_written_has_all_that_transformers_knows(self):
        self.export_folder(make_model(), "folder")
        configurations = []
        for folder in "folder", "folder-original":
            with open(self.path(folder, "config.json")) as file:
                configurations.append(json.load(file))
        written, original = configurations
        del original["transformers_version"]
        if "dtype" in original:  # as transformers 5 writes, which reads the older name too
            original["torch_dtype"] = original.pop("dtype")
        self.assertEqual(written, {**original, "eos_token_id": 0})

    def test_a_model_without_a_head_is_theirs_without(self):
        model = make_model().rwkv
        model.save_pretrained(self.path("original"))
        self.run_command("import", "original", "-o", "model.h5")
        self.run_command("export", "model.h5", "--layout", "hf", "-o", "folder")
        read = AutoModel.from_pretrained(self.path("folder"))
        for name, value in model.state_dict().items():
            self.assertTrue(torch.equal(read.state_dict()[name], value), name)

    def test_half_types_are_widened(self):
        labels = numpy.random.default_rng(2).integers(0, 20, (2, 10))
        for dtype in (torch.float16, torch.bfloat16):
            with self.subTest(dtype=dtype):
                narrow = {
                    name: value.to(dtype)
                    for name, value in make_model().state_dict().items()
                }
                safetensors.torch.save_file(narrow, self.path("model.safetensors"))
                _, logits = self.forward("model.safetensors", labels)
                model = make_model()
                model.load_state_dict({name: value.float() for name, value in narrow.items()})
                with torch.no_grad():
                    expected = model(torch.from_numpy(labels)).logits.numpy()
                numpy.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)

    def test_what_is_imported_is_exported_with_the_same_bits(self):
        state = make_model().state_dict()
        safetensors.torch.save_file(state, self.path("model.safetensors"))
        self.run_command("import", "model.safetensors", "-o", "checkpoint.h5")
        self.run_command("export", "checkpoint.h5", "--layout", "hf", "-o", "again.safetensors")
        again = safetensors.torch.load_file(self.path("again.safetensors"))
        self.assertEqual(sorted(again), sorted(state))
        self.assertTrue(all(torch.equal(again[name], value) for name, value in state.items()))

    def test_greedy_texts_agree_on_weights_of_mixtape(self):
        data = self.write("data.txt", TEXT)
        self.run_command("train", "text", "--data", data, "--no-bias", "--norm-eps", "1e-5",
                         "--size", "32", "--blocks", "2", "--length", "32", "--batch", "16",
                         "--steps", "300", "--eval-every", "0", "--out", "run")
        self.run_command("export", "run", "--layout", "hf", "-o", "model.safetensors")
        self.run_command("export", "run", "--layout", "mixtape", "-o", "model.h5")
        with h5py.File(self.path("model.h5")) as file:
            tokens = [
                token.decode() if isinstance(token, bytes) else token
                for token in file.attrs["token_list"]
            ]
        model = make_model(vocab_size=len(tokens))
        model.load_state_dict(safetensors.torch.load_file(self.path("model.safetensors")),
                              strict=True)
        prompt = "the lazy"
        found = self.run_command("generate", "run", "--prompt", prompt, "--temperature", "0",
                                 "--length", "60")
        inputs = torch.tensor([[tokens.index(character) for character in prompt]])
        expected = greedy(model, inputs, 60)[0]
        text = "".join(tokens[label] for label in expected)
        self.assertEqual(found, text + "\n")
        self.assertIn("dog", text)


class InstallTest(unittest.TestCase):
    def setUp(self):
        self.original = modeling_rwkv.rwkv_linear_attention, modeling_rwkv.load_wkv_cuda_kernel
        mixtape_transformers.install()
        self.addCleanup(self.restore)

    def restore(self):
        modeling_rwkv.rwkv_linear_attention, modeling_rwkv.load_wkv_cuda_kernel = self.original

    def outputs_and_gradients(self, model, labels):
        model.zero_grad()
        result = model(labels, labels=labels)
        result.loss.backward()
        return result.logits.detach(), {
            name: value.grad.clone()
            for name, value in model.named_parameters()
        }

    def test_outputs_and_gradients_are_those_of_transformers_own_loop(self):
        model, labels = make_model().train(), torch.from_numpy(
            numpy.random.default_rng(3).integers(0, 20, (2, 50)))
        logits, gradients = self.outputs_and_gradients(model, labels)
        self.restore()
        expected_logits, expected = self.outputs_and_gradients(model, labels)
        torch.testing.assert_close(logits, expected_logits, rtol=1e-5, atol=1e-5)
        for name, value in expected.items():
            torch.testing.assert_close(gradients[name], value, rtol=1e-5, atol=1e-5, msg=name)

    def test_states_are_carried(self):
        model, labels = make_model(), torch.from_numpy(
            numpy.random.default_rng(4).integers(0, 20, (2, 30)))
        with torch.no_grad():
            whole = model(labels).logits
            first = model(labels[:, :17], use_cache=True)
            second = model(labels[:, 17:], state=first.state, use_cache=True)
        torch.testing.assert_close(torch.cat((first.logits, second.logits), 1), whole, rtol=1e-5,
                                   atol=1e-5)

    def test_generate_gives_the_same(self):
        model, prompt = make_model(), torch.tensor([[3, 1, 4, 1, 5]])
        ours = greedy(model, prompt, 20)
        self.restore()
        self.assertTrue(torch.equal(ours, greedy(model, prompt, 20)))

    def test_longer_than_the_context_length(self):
        model = make_model(context_length=8)
        with torch.no_grad():
            self.assertTrue(
                torch.isfinite(model(torch.zeros(1, 100, dtype=torch.long)).logits).all())


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    unittest.main()
