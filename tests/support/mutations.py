"""Files that are nearly right: what a careless or hostile hand makes of a good one."""

import copy
import io
import json

import numpy as np

DEEP = "[" * 20_000 + "]" * 20_000
#: In place of a value. Some are no JSON; they are written as they stand.
VALUES = (
    "-1", "0", "1", "3", "1e-300", "1e308", "-0.0", "NaN", "Infinity", "1e400", "9" * 400, "2147483648", "null", "true",
    "1.5", "[]", "{}", "[1]", "[[]]", DEEP, '{"a": 1}', '""', '"\\u001b[31mred\\u0007"', '"\\n# heading\\n"',
    '"\\ud800"', '"<script>alert(1)</script>"', '"float7"', '"../../etc"', '"NaN"', '"pure"', '"baseline"', '"2"',
    '"float16"', f'"{"x" * 100_000}"', '"\\u0000"', '"2026-99-99"', "0.999999", "2", "4", "1e-320", '"-1"', "false",
    "[" + "0," * 50_000 + "0]", '{"a": 1, "a": 2}', '"fused"', '"\\u202e"', '"**[x](http://y)**"',
    '"learned"',
)  # fmt: skip
_HOLE = "\x00hole\x00"


def mutate(content, rng):
    """The bytes of a JSON document, changed in one to three places."""
    if rng.random() < 0.15:
        return spoil(json.dumps(content).encode(), rng)
    content, values = copy.deepcopy(content), []
    for _ in range(rng.integers(1, 4)):
        parent, key = _somewhere(content, rng)
        if parent is None:
            break
        action = rng.choice(["replace"] * 4 + ["delete", "copy", "rename", "swap", "exchange", "scale", "cut", "order"])
        value = parent[key]
        if action == "replace":
            values.append(VALUES[rng.integers(len(VALUES))])
            parent[key] = f"{_HOLE}{len(values) - 1}"
        elif action == "delete":
            del parent[key]
        elif action == "copy" and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif action == "rename" and isinstance(parent, dict):
            parent[f"{key}_"] = parent.pop(key)
        elif action == "exchange":  # two fields of one kind, as of an interval's ends
            alike = [other for other in _keys(parent) if type(parent[other]) is type(value)]
            other = alike[rng.integers(len(alike))]
            parent[key], parent[other] = parent[other], value
        elif action == "scale" and type(value) in (int, float):
            parent[key] = value * float(rng.choice([-1.0, 0.5, 1.01, 1e6])) if type(value) is float else value + 1
        elif action == "cut" and isinstance(value, list | str):
            parent[key] = value[: len(value) // 2] if rng.random() < 0.5 else value + value[:1]
        elif action == "order" and isinstance(value, list):
            parent[key] = [value[number] for number in rng.permutation(len(value))]
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
    return spoil(content, rng) if action == "spoil" else content


def mutate_arrays(arrays, rng):
    """Arrays by name, changed in one or two places: names, shapes, dtypes and values."""
    found = dict(arrays)
    for _ in range(rng.integers(1, 3)):
        name, other = rng.choice(list(found) or [""]), rng.choice(list(found) or [""])
        if not name:
            break
        array = found[name]
        changed = {
            "transposed": lambda array: array.T,
            "cut": lambda array: array[: len(array) // 2],
            "flat": lambda array: array.ravel(),
            "nested": lambda array: array[None],
            "empty": lambda array: array[:0],
            "no number": lambda array: np.where(rng.random(array.shape) < 0.5, np.nan, array).astype(array.dtype),
            "infinite": lambda array: np.full_like(array, np.inf),
            "another dtype": lambda array: np.nan_to_num(array).astype(rng.choice(["f2", "f8", "i4", "u1", "c8", "?"])),
        }
        action = rng.choice([*changed, "delete", "rename", "exchange", "repeat"])
        if action in changed and array.ndim and array.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                found[name] = changed[action](array)
        elif action == "delete":
            del found[name]
        elif action == "rename":
            found[rng.choice(["weight_ih", "bias", "../../x", "\x1b[31mred", "", "a" * 300, "initial_carry"])] = array
            del found[name]
        elif action == "exchange":
            found[name], found[other] = found[other], array
        elif action == "repeat":
            found[f"{name}.{other}"] = array
    return found


def npy_of(array):
    """A NumPy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def spoil(content, rng):
    """Truncated, with some bytes flipped, or with others put in; empty, doubled, or in another encoding."""
    action = rng.integers(12)
    if action == 0:
        return content[: rng.integers(len(content))]
    place = int(rng.integers(len(content)))
    whole = {
        1: b"",
        2: content + content,
        3: content + rng.bytes(int(rng.integers(1, 99))),
        4: b"\xef\xbb\xbf" + content,
        5: content.decode("latin1").encode("utf-16"),
        6: content[:place] + b"\x00" * int(rng.integers(1, 9)) + content[place:],
        7: b"\x00" * len(content),
    }
    if int(action) in whole:
        return whole[int(action)]
    if action in (8, 9):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    if action == 10:
        return content[:place] + rng.bytes(int(rng.integers(1, 9))) + content[place:]
    return content[:place] + content[place + int(rng.integers(1, 200)) :]


def _keys(parent):
    return list(parent) if isinstance(parent, dict) else range(len(parent))


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
