"""The pages about programs: what they show in Python, C and CMake is run, and their commands."""

import os
import re
import shutil
import sys
import unittest

import pages
import support
import tokenizers_of_tests as made

RECIPE = "scripts/test-recipe, with the scripts of ESPnet's recipe"
# What a program in C has of its own: data, and sizes.
BEFORE = """
#include <stdint.h>
#include <stdio.h>
enum { B = 2, T = 8, VOCABULARY = 16, BATCHES = 1000 };
static int32_t labels[BATCHES * B * T], targets[BATCHES * B * T];
"""
MAIN = """
int main(void)
{
    mt_device *device = NULL;
    mt_model *model = NULL;
    mt_model_config config = mt_model_config_default(VOCABULARY, 16);
    for (int i = 0; i < BATCHES * B * T; i++) {
        labels[i] = i % VOCABULARY;
        targets[i] = (i + 1) % VOCABULARY;
    }
    bool done = mt_device_open("auto", &device) == MT_OK &&
                mt_model_create(device, MT_F32, &config, 1, &model) == MT_OK && train(model);
    mt_model_destroy(model);
    mt_device_close(device);
    return done && continue_text("checkpoint.h5", 1, 5) ? 0 : 1;
}
"""
MAIN_OF_ADAPTER = """
int main(void)
{
    const uint64_t seed = 1;
    mt_device *device;
    mt_weights *weights;
    mt_model *model;
    mt_trainer *trainer;
    mt_trainer_config trainer_config = mt_trainer_config_default();
    if (mt_device_open("auto", &device) != MT_OK ||
        mt_weights_open("elsewhere/model/best.h5", &weights) != MT_OK ||
        mt_weights_model(weights, device, &model) != MT_OK) {
        return 1;
    }
    mt_objective objective = {.put = put_batch, .loss = loss, .context = model};
    %s
    if (weights == NULL || mt_trainer_state(trainer)->step != 1000) {
        fprintf(stderr, "%%s\\n", mt_error_message());
        return 1;
    }
    return 0;
}
"""


class C(pages.Page):
    page = "docs/c.md"
    listed = {
        "cmake -S examples": "install/test_install",
        "cmake --build build/examples": "install/test_install",
        "include(FetchContent)": "install/test_install, within a project of its own",
    }

    def prepare(self):
        self.run_block("cmake", "--install", pages.BUILD, "--prefix", self.path("prefix"))
        modules = [folder for folder, _, files in os.walk(self.path("prefix"))
                   if "mixtape.pc" in files]
        self.environment.update(PKG_CONFIG_PATH=modules[0],
                                LD_LIBRARY_PATH=os.path.dirname(modules[0]))
        self.source = BEFORE

    def run_c(self, code):
        self.source += code
        return self.compile_and_run(self.source + MAIN) if "continue_text" in code else None

    def run_cmake(self, code):
        self.write("CMakeLists.txt", code)
        self.run_block("cmake", "-S", ".", "-B", "of-cmake",
                       f"-DCMAKE_PREFIX_PATH={self.path('prefix')}")
        self.run_block("cmake", "--build", "of-cmake")
        return self.run_block("of-cmake/program")

    def check(self, shown):
        self.run_block("./program")  # as pkg-config had it linked, in another folder


class Adapting(pages.Page):
    page = "docs/adapting.md"
    replaced = {"--length 16": "--length 8",
                "mixtape eval else": "mkdir elsewhere; mv model elsewhere; mixtape eval else"}

    def run_c(self, code):
        of_c_md = next(code for language, code in pages.blocks_of(pages.text_of("docs/c.md"))
                       if language == "c")
        return self.compile_and_run(BEFORE + of_c_md + MAIN_OF_ADAPTER % code)


class Python(pages.Page):
    page = "docs/python.md"
    needs = ("torch", "h5py", "espnet2.asr_transducer.decoder.rwkv_decoder", "transformers")
    listed = {} if pages.ALL else {
        "python3 -m venv": "for pip, which asks PyPI",
        "pip install": "asks PyPI; python/test_package installs the package",
    }

    def prepare(self):
        os.symlink(os.path.join(pages.TREE, "python"), self.path("python"))
        self.run_command("train", "tokens", *self.transcripts(), "--size", "16", "--blocks", "1",
                         "--steps", "1", "--out", "run")

    def check(self, shown):
        self.run_block(sys.executable, "-c", self.python + "loss.sum().backward()\n"
                       "assert all(x.isfinite().all() for x in (output, *state, loss))\n")
        self.assertTrue(os.path.exists(self.path("again.safetensors")))


class HuggingFace(pages.Page):
    page = "docs/hugging-face.md"
    needs = ("torch", "h5py", "tokenizers", "transformers")

    def prepare(self):
        made.huggingface(self.folder)
        self.write("book.txt", made.TEXT * 40)
        self.run_block("mixtape", "train", "text", "--data", "book.txt", "--tokenizer",
                       "tokenizer.json", "--style", "hf", "--size", "16", "--blocks", "1",
                       "--steps", "1", "--length", "8", "--out", "run-of-it")
        self.run_block("mixtape", "export", "run-of-it", "--layout", "hf", "-o", "rwkv-4")
        os.mkdir(self.path("downloaded"))
        shutil.copy(self.path("rwkv-4", "config.json"), self.path("downloaded"))
        self.run_block("mixtape-to-pth", "rwkv-4/model.safetensors", "rwkv.pth")
        os.rename(self.path("rwkv.pth"), self.path("downloaded", "pytorch_model.bin"))

    def check(self, shown):
        self.assertIn("The quick brown fox", shown[0])
        self.assertIn("bits_per_byte", shown[0])
        self.assertRegex(shown[1], r"loss \d+\.\d{3}")


class RwkvLm(pages.Page):
    page = "docs/rwkv-lm.md"
    needs = ("torch", "h5py")

    def prepare(self):
        self.run_block(sys.executable, "-c", """
from mixtape import ids
writer = ids.writer_of("train.idx", 50277)
writer.open()
for document in range(40):
    writer.write([document + 7 * i for i in range(100)])
    writer.end_document()
writer.close()
""")

    def check(self, shown):
        told = self.run_command("info", "rwkv.safetensors")
        self.assertIn("rwkv-lm", told)
        self.assertTrue(os.path.exists(self.path("rwkv.pth")))


class Espnet(pages.Page):
    page = "docs/espnet.md"
    needs = ("torch", "h5py", "sentencepiece", "espnet2.asr_transducer.espnet_transducer_model")
    listed = {
        "python3 -m mixtape.espnet ./run.sh --asr_args": RECIPE,
        "./run.sh --stop_stage 5": RECIPE,
        "mixtape train --espnet-config conf/train.yaml --bpemodel $pieces": RECIPE,
        "python3 -m mixtape.espnet ./run.sh --stage 6": RECIPE,
        "python3 -m mixtape.espnet -m torch.distributed.run":
            "python/test_recipe, where PyTorch's torchrun starts: scripts/test-newest",
        "python3 -m mixtape.espnet -m espnet2.bin": "python/test_recipe",
    }

    def prepare(self):
        os.makedirs(self.path("data", "token_list", "char"))
        os.mkdir(self.path("data", "train"))
        self.write("data/token_list/char/tokens.txt", "\n".join(support.SYMBOLS) + "\n")
        self.write("data/train/text", "".join(f"utterance-{i} bead cab\n" for i in range(20)))

    def check(self, shown):
        losses = [float(loss) for loss in re.findall(r"transducer loss ([0-9.]+)", "".join(shown))]
        self.assertEqual(len(losses), 10)  # in two blocks, which are one program
        self.assertLess(losses[4], losses[0])
        self.assertIn("layout espnet-model", "".join(shown))


if __name__ == "__main__":
    unittest.main()
