"""Valid inputs made wrong: bytes flipped, cut, doubled, spliced; trees with values of the wrong kind; words mixed."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

# A module that a genotype, checkpoint or state must never make anybody import.
CANARY = "canary_module"

_BYTES = (
    b"\x00",
    b"\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\n",
    b"%s",
)
WORDS = (
    "", " ", "-", "--", "-1", "0", "1e999", "nan", "inf", "99999999999999999999", "\x00", "\ud800", "é", "写真", "🐯",
    "\u0661", "a" * 5000, "../../etc/passwd", "/", ".", "~", "$HOME", "%s%n", "{}", "[]", "[" * 300, "null", "true",
    "2001-99-99",
    "0>1", "1>0", "999>1000", "skip", "none", "sr", "denoise", "jsnet-sr", "auto", "cuda", "cuda:99", f"{CANARY}:Block",
    f"{CANARY}.Block", "os:system", "builtins:exec", ":", "a:", ":b", "..:x", "!!python/object/apply:os.system [id]",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 4, 5, 4096, 10**9, 10**30, 0.5, -0.5, 1e308, float("inf"), float("nan"), [], {},
    [[]], {"": None}, [0] * 500, {"0>1": "skip"}, {"class_path": f"{CANARY}.Block", "init_args": {}},
    {"__class__": "x"}, *WORDS,
)  # fmt: skip


def mutate_bytes(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """A few changes to some bytes."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        # Formats say what they are in their first bytes, so these are hit more often.
        position = rng.randrange(min(len(out), 256) if rng.random() < 0.4 else len(out)) if out else 0
        match rng.randrange(8):
            case 0 if out:
                out[position] ^= 1 << rng.randrange(8)
            case 1 if out:
                out[position] = rng.randrange(256)
            case 2:
                out[position:position] = rng.choice(_BYTES)
            case 3:
                piece = rng.choice(_BYTES)
                out[position : position + len(piece)] = piece
            case 4:
                del out[position : position + rng.choice((1, 4, 100, 10_000))]
            case 5:
                out[position:position] = out[position : position + rng.choice((1, 8, 100, 5_000))]
            case 6 if rng.random() < 0.5:
                del out[position:]
            case 7 if others:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                out[position : position + 200] = other[start : start + 200]
    return bytes(out)


def mutate_tree(tree: Any, rng: random.Random) -> Any:
    """A copy of a tree of mappings and lists with one to three places made wrong."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice((1, 1, 2, 3))):
        place, key = _place(tree, rng)
        if place is None:
            return _value(rng)
        match rng.randrange(6):
            case 0 | 1:
                place[key] = _value(rng)
            case 2:
                del place[key]
            case 3 if isinstance(place, dict):
                place[str(_value(rng))[:50]] = place.pop(key)
            case 4 if isinstance(place, dict):
                place[rng.choice(WORDS)] = _value(rng)
            case _:
                place[key] = {"a": place[key]} if rng.random() < 0.5 else [place[key]] * rng.choice((1, 2, 50))
    return tree


def _place(tree: Any, rng: random.Random) -> tuple[Any, Any]:
    """A random container of a tree and one of its keys."""
    found: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            found.append((node, key))
            visit(value)

    visit(tree)
    return rng.choice(found) if found else (None, None)


def _value(rng: random.Random) -> Any:
    if rng.random() < 0.03:
        deep: Any = "x"
        for _ in range(rng.choice((50, 400))):
            deep = [deep] if rng.random() < 0.5 else {"a": deep}
        return deep
    return rng.choice(_VALUES)


def to_text(tree: Any) -> bytes:
    """As JSON, which YAML reads too; what is no Unicode is escaped."""
    return json.dumps(tree).encode("utf-8", "replace")


def mutate_text(data: bytes, tree: Any, rng: random.Random) -> bytes:
    """A text made wrong: by its tree, by its bytes, or all too deep."""
    choice = rng.random()
    if choice < 0.55:
        return to_text(mutate_tree(tree, rng))
    if choice < 0.95:
        return mutate_bytes(data, [word.encode("utf-8", "replace") for word in WORDS], rng)
    opening = rng.choice((b"[", b'{"a":', b"- ", b"&a [*a, ", b"!!python/name:os.system "))
    return opening * rng.choice((10, 1_000, 50_000))


def mutate_safetensors(data: bytes, rng: random.Random) -> bytes:
    """A checkpoint made wrong: in its bytes, its header, or the JSON texts of its metadata."""
    if rng.random() < 0.4:
        return mutate_bytes(data, [], rng)
    size = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + size]), data[8 + size :]
    if rng.random() < 0.6:
        key = rng.choice(
            [name for name in header["__metadata__"] if name in ("genotype", "settings", "task", "metrics")]
        )
        changed = mutate_tree(json.loads(header["__metadata__"][key]), rng)
        header["__metadata__"][key] = rng.choice((json.dumps(changed), str(changed), "[" * 100_000))
    else:
        header = mutate_tree(header, rng)
    if rng.random() < 0.7 and isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"].pop("sha256", None)  # a stranger would not leave the hash in
    text = json.dumps(header).encode("utf-8", "replace")
    return len(text).to_bytes(8, "little") + text + values


def mutate_words(words: Sequence[str], pool: Sequence[str], rng: random.Random) -> list[str]:
    """Command-line words dropped, doubled, swapped, misspelt and replaced."""
    out = list(words)
    for _ in range(rng.choice((1, 1, 2, 3))):
        position = rng.randrange(len(out)) if out else 0
        match rng.randrange(7):
            case 0 if len(out) > 1:
                del out[position]
            case 1:
                out.insert(position, rng.choice((*WORDS, *pool)))
            case 2 | 3 if out:
                out[position] = rng.choice((*WORDS, *pool))
            case 4 if out:
                out.insert(position, out[position])
            case 5 if out and out[position]:
                cut = rng.randrange(len(out[position]))
                out[position] = out[position][:cut] + rng.choice(("", "x", "=", "\n", "é")) + out[position][cut + 1 :]
            case 6:
                rng.shuffle(out)
    return out
