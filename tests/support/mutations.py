"""Files that are nearly right: what a careless or hostile hand makes of a good one."""

import copy
import json

import numpy as np

DEEP = "[" * 20_000 + "]" * 20_000
#: In place of a value. Some are no JSON; they are written as they stand.
VALUES = (
    "-1", "0", "1", "3", "1e-300", "1e308", "-0.0", "NaN", "Infinity", "1e400", "9" * 400, "2147483648", "null", "true",
    "1.5", "[]", "{}", "[1]", "[[]]", DEEP, '{"a": 1}', '""', '"\\u001b[31mred\\u0007"', '"\\n# heading\\n"',
    '"\\ud800"', '"<script>alert(1)</script>"', '"float7"', '"../../etc"', '"NaN"', '"pure"', '"baseline"', '"2"',
    '"float16"', f'"{"x" * 100_000}"',
)  # fmt: skip
_HOLE = "\x00hole\x00"


def mutate(content, rng):
    """The bytes of a JSON document, changed in one to three places."""
    if rng.random() < 0.15:
        return _spoil(json.dumps(content).encode(), rng)
    content, values = copy.deepcopy(content), []
    for _ in range(rng.integers(1, 4)):
        parent, key = _somewhere(content, rng)
        if parent is None:
            break
        action = rng.choice(["replace", "replace", "replace", "delete", "copy", "rename", "swap"])
        if action == "replace":
            values.append(VALUES[rng.integers(len(VALUES))])
            parent[key] = f"{_HOLE}{len(values) - 1}"
        elif action == "delete":
            del parent[key]
        elif action == "copy" and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif action == "rename" and isinstance(parent, dict):
            parent[f"{key}_"] = parent.pop(key)
        elif action == "swap":
            other, place = _somewhere(content, rng)
            if other is not None and not isinstance(parent[key], dict | list):
                parent[key] = copy.deepcopy(other[place]) if not isinstance(other[place], dict | list) else None
    text = json.dumps(content)
    for number, value in enumerate(values):
        text = text.replace(json.dumps(f"{_HOLE}{number}"), value)
    return text.encode()


def mutate_lines(lines, rng):
    """The bytes of a file of JSON lines, with a changed line, or changed in what lines there are."""
    made = [json.dumps(line).encode() for line in lines]
    number = int(rng.integers(len(lines)))
    action = rng.choice(["mutate", "mutate", "mutate", "delete", "repeat", "move", "spoil"])
    if action == "mutate":
        made[number] = mutate(lines[number], rng)
    elif action == "delete":
        del made[number]
    elif action == "repeat":
        made.insert(int(rng.integers(len(made) + 1)), made[number])
    elif action == "move":
        made.insert(int(rng.integers(len(made))), made.pop(number))
    content = b"".join(line + b"\n" for line in made)
    return _spoil(content, rng) if action == "spoil" else content


def _spoil(content, rng):
    """Truncated, with some bytes flipped, or with others put in."""
    action = rng.integers(4)
    if action == 0:
        return content[: rng.integers(len(content))]
    place = int(rng.integers(len(content)))
    if action == 1:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    if action == 2:
        return content[:place] + rng.bytes(int(rng.integers(1, 9))) + content[place:]
    return content[:place] + content[place + int(rng.integers(1, 200)) :]


def _somewhere(content, rng):
    """A container within a document, and a key of it; each level is as likely to be the place as to be passed."""
    found = [(None, None)]
    node = content
    while isinstance(node, dict | list) and node:
        key = list(node)[rng.integers(len(node))] if isinstance(node, dict) else int(rng.integers(len(node)))
        found.append((node, key))
        node = node[key]
    places = found[1:] or found
    return places[int(np.sqrt(rng.random()) * len(places))]
