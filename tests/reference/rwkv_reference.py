"""The RWKV decoder in NumPy, float64, as plain loops: written from its formulas, to compare Mixtape
with.

`weights` maps Mixtape's names, which are ESPnet's, to arrays.
"""

import numpy


def wkv_terms(step, w, key, value, state):
    """Exponents, numerators and denominators, (step + 1, C) each, of the sums before a step: the
    carried state's, and one of each earlier step."""
    num, den, exponent = state
    exponents = [exponent + step * w] + [(step - 1 - i) * w + key[i] for i in range(step)]
    dens = [den] + [numpy.ones_like(den)] * step
    return numpy.stack(exponents), numpy.stack([num, *value[:step]]), numpy.stack(dens)


def wkv(time_decay, time_first, key, value, state):
    """(T, C) from key and value (T, C) and a state (num, den, max), (C) each: every output is the
    weighted mean over all steps before it, written out."""
    outputs = []
    for t in range(len(key)):
        exponents, nums, dens = wkv_terms(t, -numpy.exp(time_decay), key, value, state)
        exponents = numpy.stack([*exponents, time_first + key[t]])
        weights = numpy.exp(exponents - exponents.max(axis=0))
        num = (weights * numpy.stack([*nums, value[t]])).sum(axis=0)
        den = (weights * numpy.stack([*dens, numpy.ones_like(dens[0])])).sum(axis=0)
        outputs.append(num / den)
    return numpy.stack(outputs)


def empty_state(channels):
    return numpy.stack([numpy.zeros(channels), numpy.zeros(channels), numpy.full(channels, -1e38)])


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


def mixed(x, mix, carried=0.0):
    shifted = numpy.concatenate([numpy.zeros_like(x[:1]) + carried, x[:-1]])
    mix = mix.reshape(-1)
    return x * mix + shifted * (1.0 - mix)


def self_attention(weights, name, x):
    key = linear(weights, name + ".proj_key", mixed(x, weights[name + ".time_mix_key"]))
    value = linear(weights, name + ".proj_value", mixed(x, weights[name + ".time_mix_value"]))
    receptance = linear(weights, name + ".proj_receptance",
                        mixed(x, weights[name + ".time_mix_receptance"]))
    attended = wkv(weights[name + ".time_decay"], weights[name + ".time_first"], key, value,
                   empty_state(key.shape[-1]))
    return linear(weights, name + ".proj_output", sigmoid(receptance) * attended)


def feed_forward(weights, name, x):
    key = linear(weights, name + ".proj_key", mixed(x, weights[name + ".time_mix_key"]))
    value = linear(weights, name + ".proj_value", numpy.maximum(key, 0.0) ** 2)
    receptance = linear(weights, name + ".proj_receptance",
                        mixed(x, weights[name + ".time_mix_receptance"]))
    return sigmoid(receptance) * value


def decoder(weights, config, labels):
    """output (B, U, size) and logits (B, U, vocab) from labels (B, U); config holds an exchange
    file's attributes."""
    weights = {name: numpy.asarray(value, dtype=numpy.float64) for name, value in weights.items()}

    def normalised(name, x):
        return norm(weights, name, config["normalization_type"], config["eps"], config["partial"],
                    x)

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
