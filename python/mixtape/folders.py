"""Folders of Hugging Face's whose weights are PyTorch's."""

import json
import os

WHOLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
MOST_INDEX = 16 << 20  # bytes


class FolderError(Exception):
    """What is wrong with a folder, in words for one line."""


def _read_index(path):
    if os.path.getsize(path) > MOST_INDEX:
        raise FolderError(f"{INDEX}: more than {MOST_INDEX} bytes")
    try:
        with open(path, encoding="utf-8") as file:
            places = json.load(file)["weight_map"]
        names = sorted(set(places.values()))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise FolderError(f"{INDEX}: no index, whose weight_map has a file for each name") from None
    for name in names:
        if not isinstance(name, str) or "/" in name or name.startswith(".") or not name:
            raise FolderError(f"{INDEX}: {name!r}: no name of a file in the folder")
    return places


def read(folder, read_file):
    """The weights of all files in the folder, each as `read_file` reads it: what an index has in a
    file must be in it, and no more."""
    if os.path.lexists(os.path.join(folder, WHOLE)):
        return read_file(os.path.join(folder, WHOLE))
    if not os.path.lexists(os.path.join(folder, INDEX)):
        raise FolderError(f"neither {WHOLE} nor {INDEX} is there")
    places, weights = _read_index(os.path.join(folder, INDEX)), {}
    for file in sorted(set(places.values())):
        found = read_file(os.path.join(folder, file))
        expected = {name for name, place in places.items() if place == file}
        for name in sorted(expected ^ set(found)):
            what = "is not in it" if name in expected else "is in it, and not so in the index"
            raise FolderError(f"{file}: {name} {what}")
        weights.update(found)
    return weights
