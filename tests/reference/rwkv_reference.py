"""The RWKV decoder in NumPy, float64, as plain loops: written from its formulas, to compare Mixtape with.

`weights` maps Mixtape's names, which are ESPnet's, to arrays.
"""

import numpy


def wkv(time_decay, time_first, key, value):
    """(T, C) from key and value (T, C): every output is the weighted mean over all steps before it, written out."""
    steps, channels = key.shape
    w = -numpy.exp(time_decay)
    output = numpy.empty((steps, channels))
    for t in range(steps):
        exponents = numpy.empty((t + 1, channels))
        for i in range(t):
            exponents[i] = (t - 1 - i) * w + key[i]
        exponents[t] = time_first + key[t]
        weights = numpy.exp(exponents - exponents.max(axis=0))
        output[t] = (weights * value[: t + 1]).sum(axis=0) / weights.sum(axis=0)
    return output


def sigmoid(x):
    return 1.0 / (1.0 + numpy.exp(-x))


def linear(weights, name, x):
    return x @ weights[name + ".weight"].T + weights.get(name + ".bias", 0.0)


def norm(weights, name, kind, eps, partial, x):
    if kind == "layer_norm":
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = 1.0 / numpy.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
        return centred * scale * weights[name + ".weight"] + weights[name + ".bias"]
    if kind == "rms_norm":
        counted = int(x.shape[-1] * partial) if 0.0 < partial < 1.0 else x.shape[-1]
        root = numpy.sqrt((x[..., :counted] ** 2).sum(axis=-1, keepdims=True)) * counted**-0.5
        return weights[name + ".scale"] * (x / (root + eps))
    if kind == "scale_norm":
        length = numpy.sqrt((x**2).sum(axis=-1, keepdims=True))
        return x * weights[name + ".scale"] / numpy.maximum(length, eps)
    if kind == "basic_norm":
        return x * ((x**2).mean(axis=-1, keepdims=True) + numpy.exp(weights[name + ".eps"])) ** -0.5
    raise ValueError(kind)


def mixed(x, mix):
    shifted = numpy.concatenate([numpy.zeros_like(x[:1]), x[:-1]])
    mix = mix.reshape(-1)
    return x * mix + shifted * (1.0 - mix)


def self_attention(weights, name, x):
    key = linear(weights, name + ".proj_key", mixed(x, weights[name + ".time_mix_key"]))
    value = linear(weights, name + ".proj_value", mixed(x, weights[name + ".time_mix_value"]))
    receptance = linear(weights, name + ".proj_receptance", mixed(x, weights[name + ".time_mix_receptance"]))
    attended = wkv(weights[name + ".time_decay"], weights[name + ".time_first"], key, value)
    return linear(weights, name + ".proj_output", sigmoid(receptance) * attended)


def feed_forward(weights, name, x):
    key = linear(weights, name + ".proj_key", mixed(x, weights[name + ".time_mix_key"]))
    value = linear(weights, name + ".proj_value", numpy.maximum(key, 0.0) ** 2)
    receptance = linear(weights, name + ".proj_receptance", mixed(x, weights[name + ".time_mix_receptance"]))
    return sigmoid(receptance) * value


def decoder(weights, config, labels):
    """output (B, U, size) and logits (B, U, vocab) from labels (B, U); config holds an exchange file's attributes."""
    weights = {name: numpy.asarray(value, dtype=numpy.float64) for name, value in weights.items()}

    def normalised(name, x):
        return norm(weights, name, config["normalization_type"], config["eps"], config["partial"], x)

    outputs = []
    for row in labels:
        x = normalised("embed_norm", weights["embed.weight"][row])
        for block in range(config["num_blocks"]):
            name = f"rwkv_blocks.{block}"
            x = x + self_attention(weights, name + ".att", normalised(name + ".layer_norm_att", x))
            x = x + feed_forward(weights, name + ".ffn", normalised(name + ".layer_norm_ffn", x))
        outputs.append(normalised("final_norm", x))
    output = numpy.stack(outputs)
    return output, linear(weights, "head", output)
