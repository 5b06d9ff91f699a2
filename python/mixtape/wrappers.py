"""What training tools put around a state_dict, and before its names."""

from mixtape.pth_pickle import Dictionary

# The keys under which it is kept: Lightning's, those of many training loops, DeepSpeed's, ESPnet's.
CONTAINERS = ("state_dict", "model_state_dict", "module", "model")
DEEPEST = 8  # containers within containers

# As io/foreign_names.c has them.
WITHIN = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")
IN_FRONT = ("module.", "_forward_module.", "model.")


def unpack(saved):
    """The innermost dictionary that stands in containers."""
    for _ in range(DEEPEST):
        kept = saved if isinstance(saved, Dictionary) else Dictionary()
        inner = [kept.get(key) for key in CONTAINERS]
        found = next((value for value in inner if isinstance(value, Dictionary) and value), None)
        if found is None:
            break
        saved = found
    return saved


def _cut_within(name):
    """Without the words that stand before any part of it."""
    parts = [part + "." for part in name.split(".")]
    return "".join(part for part in parts if part not in WITHIN)[:-1]


def _in_front(names):
    """The words that stand before every name, one behind the other."""
    found = ""
    while True:
        word = next((word for word in IN_FRONT
                     if all(name.startswith(found + word) for name in names)), None)
        if word is None:
            return found
        found += word


def unwrap(weights):
    """{name: value} by the names that they have without wrappers; as it is where two would be the
    same then."""
    names = [_cut_within(name) for name in weights]
    length = len(_in_front(names)) if names else 0
    cut = {name[length:]: value for name, value in zip(names, weights.values())}
    return cut if len(cut) == len(weights) else weights
