#!/usr/bin/env python3
"""The training order "tera-1" written a second time, from the text of core/data/ORDER.md alone.

  python order.py                    prints the figures that tests/core/data/order_test.cpp holds frozen
  python order.py chain PREFIX SEED SEQ_LENGTH BATCH STEPS    hash chain of a single-dataset run, to be
                                     compared with `teragpt data verify-order`
Needs the Python package `xxhash`.
"""
import hashlib
import json
import struct
import sys

import xxhash

MASK = (1 << 64) - 1


def mix(x):
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & MASK
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & MASK
    return x ^ (x >> 33)


def le64(value):
    return struct.pack("<Q", value & MASK)


def h64(data):
    return xxhash.xxh3_64_intdigest(data)


def permute(n, key, epoch, index):
    bits = (n - 1).bit_length()
    half = max(1, (bits + 1) // 2)
    mask = (1 << half) - 1
    keys = [h64(le64(key) + le64(epoch) + le64(r)) for r in range(6)]
    x = index
    while True:
        left, right = x >> half, x & mask
        for key_of_round in keys:
            left, right = right, left ^ (mix(right ^ key_of_round) & mask)
        x = (left << half) | right
        if x < n:
            return x


class Order:
    """One stage: enough for the figures; datasets are (manifest id, windows, quota)."""

    def __init__(self, seed, datasets, block=65536):
        self.seed, self.datasets, self.block, self.tables = seed, datasets, block, {}
        self.keys = [h64(le64(seed) + bytes.fromhex(d[0])) for d in datasets]
        self.blend = h64(le64(seed) + b"blend" + le64(0))
        self.owner = [i for i, d in enumerate(datasets) for _ in range(d[2])]

    def table(self, block):
        if block not in self.tables:
            seen, rows = [0] * len(self.datasets), []
            for r in range(self.block):
                i = self.owner[permute(self.block, self.blend, block, r)]
                rows.append((i, seen[i]))
                seen[i] += 1
            self.tables = {block: rows}
        return self.tables[block]

    def sample(self, g):
        block, r = divmod(g, self.block)
        i, rank = self.table(block)[r]
        local = block * self.datasets[i][2] + rank
        epoch, k = divmod(local, self.datasets[i][1])
        return i, local, epoch, permute(self.datasets[i][1], self.keys[i], epoch, k)


def manifest_id(manifest):
    body = {k: v for k, v in manifest.items() if k != "created"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def chain(prefix, seed, length, batch, steps):
    with open(prefix + ".tgd.json", encoding="utf-8") as file:
        manifest = json.load(file)
    with open(prefix + ".bin", "rb") as file:
        data = file.read()
    with open(prefix + ".idx", "rb") as file:
        index = file.read()
    code, sequences = index[17], struct.unpack_from("<Q", index, 18)[0]
    width, letter = {8: (2, "H"), 4: (4, "i")}[code]
    starts = list(struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences)) + [len(data)]
    first, last = (starts[s] // width for s in manifest["splits"]["train"])
    windows = (last - first - 1) // length
    order = Order(seed, [(manifest_id(manifest), windows, 65536)])
    value = bytes(16)
    for step in range(steps):
        digest = xxhash.xxh3_128()
        for g in range(step * batch, (step + 1) * batch):
            at = (first + order.sample(g)[3] * length) * width
            tokens = struct.unpack_from(f"<{length + 1}{letter}", data, at)
            digest.update(struct.pack(f"<{length + 1}i", *tokens))
        value = xxhash.xxh3_128_digest(value + digest.digest())
        print(f"{step:>8}  {value.hex()}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        chain(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        frozen = Order(1234, [("a" * 64, 1000, 58982), ("b" * 64, 50, 6554)])
        for sample in [*range(8), 123456789012]:
            print(sample, frozen.sample(sample))
