"""A corpus that a small transducer learns in minutes, and the transducer's configuration. A word is
a sound of two tones; noise lies over all.

    python3 tones.py FOLDER    writes FOLDER/train, valid and test, as a recipe's local/data.sh
"""

import os
import sys
import wave

import numpy

TONES = {"nana": (400, 900), "rolo": (650, 1500), "sisi": (2200, 3100), "kuku": (300, 2600),
         "tete": (1100, 1900)}  # Hz
RATE = 16000  # samples a second
EPOCHS = 20
CONFIGURATION = f"""\
encoder_conf:
    main_conf: {{pos_wise_act_type: swish}}
    input_conf: {{vgg_like: false, conv_size: 32, subsampling_factor: 4}}
    body_conf:
    - block_type: conformer
      linear_size: 128
      hidden_size: 64
      heads: 2
      conv_mod_kernel_size: 7
      num_blocks: 2
decoder: rwkv
decoder_conf: {{block_size: 64, num_blocks: 2, context_size: 64}}
joint_network_conf: {{joint_space_size: 64}}
frontend_conf: {{n_fft: 512, win_length: 400, hop_length: 160, n_mels: 40}}
normalize: utterance_mvn
normalize_conf: {{}}
optim: adam
optim_conf: {{lr: 0.002}}
batch_type: sorted
batch_size: 16
max_epoch: {EPOCHS}
keep_nbest_models: 1
best_model_criterion: [[valid, loss, min]]
num_att_plot: 0
use_matplotlib: false
use_tensorboard: false
seed: 1
"""


def _spoken(word, noise):
    """Its samples, and the silence behind it."""
    time = numpy.arange(int(RATE * noise.uniform(0.14, 0.18))) / RATE
    tones = sum(numpy.sin(2 * numpy.pi * tone * time) for tone in TONES[word])
    return numpy.concatenate((0.3 * tones * numpy.hanning(len(time)), numpy.zeros(RATE * 8 // 100)))


def _write_wave(path, samples):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())


def write(folder, utterances, seed, shortest=0):
    """A new folder of Kaldi's, of utterances of as many samples or more."""
    folder = os.path.abspath(folder)
    noise, name = numpy.random.default_rng(seed), os.path.basename(folder)
    os.makedirs(folder)
    lines = {"text": [], "wav.scp": [], "utt2spk": [], "spk2utt": []}
    for i in range(utterances):
        words, key = noise.choice(list(TONES), noise.integers(2, 5)), f"{name}-{i:03}"
        samples = numpy.concatenate([_spoken(word, noise) for word in words])
        samples = numpy.pad(samples, (0, max(shortest - len(samples), 0)))
        samples += noise.normal(0, 0.01, len(samples))
        path = os.path.join(folder, f"{key}.wav")
        _write_wave(path, samples)
        lines["text"].append(" ".join((key, *words)))
        lines["wav.scp"].append(f"{key} {path}")
        lines["utt2spk"].append(f"{key} {key}")
        lines["spk2utt"].append(f"{key} {key}")
    for file_name, of_it in lines.items():
        with open(os.path.join(folder, file_name), "w") as file:
            file.write("\n".join(of_it) + "\n")


if __name__ == "__main__":
    for seed, (name, utterances) in enumerate((("train", 320), ("valid", 12), ("test", 12)), 1):
        write(os.path.join(sys.argv[1], name), utterances, seed)
