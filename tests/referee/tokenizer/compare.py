#!/usr/bin/env python3
"""Holds the tokenizer against the `tokenizers` package: equal ids, equal training, speed side by side.

  python compare.py TERAGPT DOCUMENTS.jsonl [--vocab 4096] [--rounds 3]

TERAGPT is the built program, DOCUMENTS.jsonl what `teragpt data prepare` writes. Exits 1 at the first
difference. Needs the Python package `tokenizers`.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402

import make_golden  # noqa: E402

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|pad|>"]


def run(program, *arguments):
    done = subprocess.run([program, *arguments, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{arguments[:2]} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def pre_tokenizer(kind):
    if kind == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train_theirs(texts, kind, vocab, path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(kind)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab, min_frequency=2, special_tokens=SPECIAL,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    start = time.perf_counter()
    tokenizer.train_from_iterator(texts, trainer)
    seconds = time.perf_counter() - start
    tokenizer.save(path)
    return tokenizer, seconds


def model_of(path):
    with open(path, encoding="utf-8") as file:
        model = json.load(file)["model"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    return model["vocab"], merges


def hard_texts(seed, count):
    """Random text of the characters that pre-tokenizers trip over."""
    rng = random.Random(seed)
    pool = ["'", "'s", "'S", "'ſ", "'RE", "'ll", "’s", " ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u0085",
            "\u2003", "\u2028", "a", "B", "é", "e\u0301", "ß", "ж", "中", "文", "あ", "ア", "한", "ا", "ٱ",
            "0", "12", "345", "6789", "٣", "Ⅷ", "½", "²", "_", "-", "--", ".", "...", "!?", "$", "€", "😀",
            "👩‍👩‍👧", "\u200b", "\u200d", "\ufeff", "\x00", "\x1c", "\x7f", "\ufffd", "𝒳", "𝟘", "<|endoftext|>"]
    for _ in range(count):
        yield "".join(rng.choice(pool) for _ in range(rng.randint(1, 40)))


def check_equal(name, theirs, program, path, texts):
    """All texts joined by a line that both sides see alike; ids compared at once, then by text."""
    with tempfile.TemporaryDirectory() as folder:
        differing = 0
        for text in texts:
            file = os.path.join(folder, "text")
            with open(file, "w", encoding="utf-8", newline="") as out:
                out.write(text)
            ours = run(program, "tok", "encode", path, "--file", file, "--special")["ids"]
            expected = theirs.encode(text, add_special_tokens=False).ids
            if ours != expected:
                differing += 1
                at = next((i for i, (a, b) in enumerate(zip(ours, expected)) if a != b), min(len(ours), len(expected)))
                print(f"{name}: differs at token {at}: ours {ours[at:at + 8]}, theirs {expected[at:at + 8]}: "
                      f"{theirs.decode(expected[max(0, at - 3):at + 3])!r}")
                if differing == 5:
                    break
    return differing


def class_probe(path, kind):
    """A tokenizer whose ids show the class of every character: the last byte of a character merges with the
    letter, digit or sign after it only where both are of one piece."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(alphabet)}
    byte_characters = [c for c in alphabet if c not in map(chr, range(0x21, 0x7F))]
    merges = [(c, probe) for c in byte_characters for probe in "b1."]
    for pair in merges:
        vocab["".join(pair)] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizer(kind)
    tokenizer.save(path)
    return tokenizer


def every_character():
    """Each code point before a letter, a digit and a sign, in blocks."""
    block = []
    for c in range(1, 0x110000):
        if 0xD800 <= c <= 0xDFFF:
            continue
        block.append(f"{chr(c)}b{chr(c)}1{chr(c)}.{chr(c)}\n")
        if len(block) == 65536:
            yield "".join(block)
            block = []
    yield "".join(block)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("documents")
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with open(arguments.documents, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    size = sum(len(t.encode()) for t in texts)
    faults = 0
    for kind in ("gpt2", "llama3"):
        with tempfile.TemporaryDirectory() as folder:
            mine, theirs_path = os.path.join(folder, "ours.json"), os.path.join(folder, "theirs.json")
            seconds = []
            for _ in range(arguments.rounds):
                start = time.perf_counter()
                run(arguments.program, "tok", "train", arguments.documents, "-o", mine, "--vocab",
                    str(arguments.vocab), "--pre-tokenizer", kind, "--threads", "1", "--force")
                seconds.append(time.perf_counter() - start)
            _, their_seconds = train_theirs(texts, kind, arguments.vocab, theirs_path)
            print(f"{kind}: train {arguments.vocab} on {size / 1e6:.2f} MB, one thread: ours {min(seconds):.3f} s "
                  f"({size / 1e6 / min(seconds):.1f} MB/s, program start included), theirs {their_seconds:.3f} s")
            same = model_of(mine) == model_of(theirs_path)
            print(f"{kind}: vocabulary and merges {'equal' if same else 'DIFFER'}")
            faults += not same
            loaded = Tokenizer.from_file(mine)  # our file in their package
            loaded_size = loaded.get_vocab_size()
            for path in (mine, theirs_path):  # both files in our program
                info = run(arguments.program, "tok", "inspect", path)
                faults += info["vocab"] != loaded_size
            whole = "\n\n".join(texts)
            faults += check_equal(f"{kind} corpus", loaded, arguments.program, mine, [whole])
            faults += check_equal(f"{kind} hard text", loaded, arguments.program, mine,
                                  ["\n#\n".join(hard_texts(7, 20000))] + list(hard_texts(8, 30)))
            probe_path = os.path.join(folder, "probe.json")
            probe = class_probe(probe_path, kind)
            faults += check_equal(f"{kind} every character", probe, arguments.program, probe_path,
                                  every_character())
            whole_path = os.path.join(folder, "whole.txt")
            with open(whole_path, "w", encoding="utf-8", newline="") as out:
                out.write(whole)
            ours = min(run(arguments.program, "tok", "encode", mine, "--file", whole_path)["encode_s"]
                       for _ in range(arguments.rounds))
            start = time.perf_counter()
            for text in texts:
                loaded.encode(text, add_special_tokens=False)
            their_seconds = time.perf_counter() - start
            print(f"{kind}: encode, one thread, cold cache: ours {size / 1e6 / ours:.1f} MB/s, "
                  f"theirs {size / 1e6 / their_seconds:.1f} MB/s")
    for name, file in make_golden.tokenizer_files().items():  # shapes of other models' tokenizers
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tokenizer.json")
            with open(path, "w", encoding="utf-8") as out:
                json.dump(file, out)
            theirs = Tokenizer.from_file(path)
            wrong = check_equal(f"{name} corpus", theirs, arguments.program, path, ["\n\n".join(texts)[:1 << 16]])
            wrong += check_equal(f"{name} hard text", theirs, arguments.program, path,
                                 ["\n#\n".join(make_golden.hard_texts(7, 20000)), *make_golden.hard_texts(8, 30)])
            wrong += check_equal(f"{name} every character", theirs, arguments.program, path, every_character())
            print(f"{name}: {'equal' if wrong == 0 else 'DIFFERS'}")
            faults += wrong
    print("equal" if faults == 0 else f"{faults} differences")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
