"""The RWKV decoder in PyTorch, whose autograd gives the gradients of all weights: written from the
formulas with PyTorch's own operators, to compare Mixtape's training with.

`weights` maps Mixtape's names, which are ESPnet's, to tensors; among them may be those of a tuned
state (mixtape/adapter.h).
"""

import torch
from torch.nn import functional


def wkv(time_decay, time_first, key, value, start=None):
    """(B, T, C) from key and value (B, T, C): softmax over the steps up to each, beside what is
    left of the sums (num, den) that a sequence starts with."""
    B, T, C = key.shape
    now = torch.arange(T)[:, None]
    before = torch.arange(T)[None, :]
    decayed = -(now - 1 - before)[:, :, None] * torch.exp(time_decay) + key[:, None]
    exponents = torch.where((before == now)[:, :, None], time_first + key[:, None], decayed)
    exponents = exponents.masked_fill((before > now)[:, :, None], -torch.inf)
    if start is None:
        return torch.einsum("btsc,bsc->btc", torch.softmax(exponents, dim=2), value)
    left = torch.exp(-now * torch.exp(time_decay))
    sums = torch.einsum("btsc,bsc->btc", torch.exp(exponents), value) + left * start[0]
    return sums / (torch.exp(exponents).sum(dim=2) + left * start[1])


def norm(weights, name, config, x):
    kind, eps, partial = config["normalization_type"], config["eps"], config["partial"]
    if kind == "layer_norm":
        return functional.layer_norm(x, x.shape[-1:], weights[name + ".weight"],
                                     weights[name + ".bias"], eps)
    if kind == "rms_norm":
        counted = int(x.shape[-1] * partial) if 0.0 < partial < 1.0 else x.shape[-1]
        root = torch.linalg.vector_norm(x[..., :counted], dim=-1, keepdim=True) / counted**0.5
        return weights[name + ".scale"] * x / (root + eps)
    if kind == "scale_norm":
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return weights[name + ".scale"] * x / torch.clamp(length, min=eps)
    square = x.square().mean(dim=-1, keepdim=True)
    return x * torch.rsqrt(square + torch.exp(weights[name + ".eps"]))


def linear(weights, name, x):
    return functional.linear(x, weights[name + ".weight"], weights.get(name + ".bias"))


def time_mix(weights, name, part, x):
    before = functional.pad(x, (0, 0, 1, 0))[:, :-1]
    if name + ".start_x" in weights:
        first = weights[name + ".start_x"].expand_as(x[:, :1])
        before = torch.cat([first, before[:, 1:]], dim=1)
    mix = weights[f"{name}.time_mix_{part}"].reshape(-1)
    return torch.lerp(before, x, mix.expand_as(x))


def self_attention(weights, name, x):
    key, value, receptance = (linear(weights, f"{name}.proj_{part}",
                                     time_mix(weights, name, part, x))
                              for part in ("key", "value", "receptance"))
    start = None
    if name + ".start_num" in weights:
        start = weights[name + ".start_num"], weights[name + ".start_root_den"].square()
    attended = wkv(weights[name + ".time_decay"], weights[name + ".time_first"], key, value, start)
    return linear(weights, name + ".proj_output", torch.sigmoid(receptance) * attended)


def feed_forward(weights, name, x):
    key, receptance = (linear(weights, f"{name}.proj_{part}", time_mix(weights, name, part, x))
                       for part in ("key", "receptance"))
    value = linear(weights, name + ".proj_value", functional.relu(key).square())
    return torch.sigmoid(receptance) * value


def logits(weights, config, labels):
    """(B, T, vocab) from labels (B, T); config holds an exchange file's attributes."""
    pad = config["embed_pad"]
    x = functional.embedding(labels, weights["embed.weight"], pad if pad >= 0 else None)
    x = norm(weights, "embed_norm", config, x)
    for block in range(config["num_blocks"]):
        name = f"rwkv_blocks.{block}"
        x = x + self_attention(weights, name + ".att",
                               norm(weights, name + ".layer_norm_att", config, x))
        x = x + feed_forward(weights, name + ".ffn",
                             norm(weights, name + ".layer_norm_ffn", config, x))
    return linear(weights, "head", norm(weights, "final_norm", config, x))


def gradients(weights, config, labels, targets):
    """Of the mean cross-entropy, by the weights' names, in float64."""
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
              for name, value in weights.items()}
    found = logits(leaves, config, torch.tensor(labels))
    functional.cross_entropy(found.flatten(0, 1),
                             torch.tensor(targets).flatten()).backward()
    return {name: leaf.grad.numpy() for name, leaf in leaves.items()}
