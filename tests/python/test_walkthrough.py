"""The way of docs/hugging-face.md, as its user goes it: tokenize, finetune, sample, measure,
export, and load it with transformers again. MIXTAPE_WALKTHROUGH=170m takes a model of 170 million
parameters with random weights instead of a small one, and tells the peak memory of each step.

    MIXTAPE_WALKTHROUGH=170m ctest -R walkthrough -V
"""

import os
import sys
import unittest
import warnings

import support
import tokenizers_of_tests

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))

import memory

FULL = os.environ.get("MIXTAPE_WALKTHROUGH") == "170m"
SIZES = ({"vocab_size": 50277, "hidden_size": 768, "num_hidden_layers": 12,
          "context_length": 1024} if FULL else
         {"vocab_size": 330, "hidden_size": 32, "num_hidden_layers": 2, "context_length": 64})
TRAIN = ["--steps", "3", "--batch", "2", "--length", "128" if FULL else "16", "--eval-batches", "2"]


def setUpModule():
    support.need("torch", "h5py", "safetensors.torch", "tokenizers", "transformers")
    global torch, transformers
    import torch
    import transformers

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()


class WalkthroughTest(support.CommandTest):
    def step(self, *arguments):
        """Runs the command; tells its peak memory and its time where the model is the large one."""
        peak, seconds, output = memory.run([support.MIXTAPE, *arguments], self.folder,
                                           {**os.environ, "MIXTAPE_PYTHON": sys.executable})
        if FULL:
            print(f"mixtape {' '.join(arguments)}: {peak / 2**20:.0f} MiB, {seconds:.0f} s",
                  file=sys.stderr)
        return output

    def make_model(self, folder):
        """A folder as people fetch it: configuration, tokenizer, shards of weights."""
        torch.manual_seed(1)
        model = transformers.RwkvForCausalLM(transformers.RwkvConfig(**SIZES)).eval()
        model.save_pretrained(self.path(folder), max_shard_size="300MB" if FULL else "30KB")
        tokenizers_of_tests.huggingface(self.path(folder))

    def logits(self, folder, labels):
        """Of the real transformers."""
        model = transformers.AutoModelForCausalLM.from_pretrained(self.path(folder)).eval()
        with torch.no_grad():
            return model(torch.tensor(labels)).logits.numpy()

    def test_a_model_is_finetuned_on_a_text_and_goes_back(self):
        self.make_model("rwkv-4")
        self.write("book.txt", tokenizers_of_tests.TEXT * 40)
        self.step("import", "rwkv-4", "-o", "model.h5")
        self.step("tokenize", "book.txt", "--tokenizer", "rwkv-4", "-o", "book")
        self.step("train", "ids", "--data", "book.bin", "--init", "model.h5", *TRAIN, "--lr",
                  "1e-4", "--tokenizer", "rwkv-4/tokenizer.json", "--out", "tuned")
        text = self.step("generate", "tuned", "--prompt", "The quick brown fox", "--length", "20")
        self.assertTrue(text.startswith("The quick brown fox"), text)
        measured = self.step("eval", "tuned", "--data", "book.txt")
        self.assertIn("bits_per_byte", measured)
        self.step("export", "tuned", "--layout", "hf", "-o", "tuned-hf")
        labels = [[5, 1, 4, 1, 3, 2, 0, 7]]
        _, expected = self.forward("tuned", torch.tensor(labels).numpy())
        torch.testing.assert_close(torch.tensor(self.logits("tuned-hf", labels)),
                                   torch.tensor(expected), rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    unittest.main()
