#!/usr/bin/env python3
"""Training steps of llm.c's train_gpt2.c (GPT-2 124M, f32), for the row beside `teragpt bench train
--model gpt2-124m --precision fp32 --batch 4`: the same sizes, the same number of threads.

  python llm_c.py LLM_C --seq 64 --threads 2      LLM_C: a checkout of github.com/karpathy/llm.c

The program is copied to a scratch directory, given the wanted sequence length and number of steps, no
evaluation and no sampling, and compiled as its Makefile does. Weights and text are random, in the file
formats it reads. Prints {"steps_s": [...], "median_s", "tokens_per_s"}; the first step, which touches the
memory, is not counted. Needs gcc and numpy.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import numpy as np

BATCH = 4
NUM_LAYERS, NUM_HEADS, HIDDEN, MAX_SEQ, VOCAB, PADDED_VOCAB = 12, 12, 768, 1024, 50257, 50304


def header(*values):
    words = np.zeros(256, dtype=np.int32)
    words[: len(values)] = values
    return words.tobytes()


def write_model(path):
    rng = np.random.default_rng(0)
    block = 12 * HIDDEN * HIDDEN + 13 * HIDDEN
    count = (PADDED_VOCAB + MAX_SEQ) * HIDDEN + NUM_LAYERS * block + 2 * HIDDEN
    with open(path, "wb") as f:
        f.write(header(20240326, 3, MAX_SEQ, VOCAB, NUM_LAYERS, NUM_HEADS, HIDDEN, PADDED_VOCAB))
        f.write((0.02 * rng.standard_normal(count, dtype=np.float32)).tobytes())


def write_tokens(path, count):
    path.parent.mkdir(parents=True, exist_ok=True)
    tokens = np.random.default_rng(1).integers(0, VOCAB, count, dtype=np.uint16)
    path.write_bytes(header(20240520, 1, count) + tokens.tobytes())


def replace_once(source, pattern, text):
    source, count = re.subn(pattern, text, source)
    if count != 1:
        sys.exit(f"train_gpt2.c: expected one line like '{pattern}', found {count}: another version of llm.c?")
    return source


def program(source, seq, steps):
    """Of train_gpt2.c: sizes as wanted, steps 0 to `steps`, and nothing but training."""
    source = replace_once(source, r"int B = \d+;", f"int B = {BATCH};")
    source = replace_once(source, r"int T = \d+;", f"int T = {seq};")
    source = replace_once(source, r"step <= \d+;", f"step <= {steps};")
    source = replace_once(source, r"if \(step % 10 == 0\)", "if (0)")
    return replace_once(source, r"if \(step > 0 && step % 20 == 0\)", "if (0)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llm_c", type=pathlib.Path)
    parser.add_argument("--seq", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4, help="counted ones")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    source = args.llm_c / "train_gpt2.c"
    if not source.is_file() or not 1 <= args.seq <= MAX_SEQ or args.steps < 1:
        parser.error(f"wanted a checkout with train_gpt2.c, --seq 1 to {MAX_SEQ}, --steps 1 or more")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        shutil.copytree(args.llm_c / "llmc", folder / "llmc")
        (folder / "train.c").write_text(program(source.read_text(), args.seq, args.steps))
        subprocess.run(
            ["gcc", "-Ofast", "-march=native", "-fopenmp", "-DOMP", "-fno-finite-math-only", "-Wno-unused-result",
             "train.c", "-lm", "-o", "train"], cwd=folder, check=True)
        write_model(folder / "gpt2_124M.bin")
        for part in ("train", "val"):
            write_tokens(folder / f"dev/data/tinyshakespeare/tiny_shakespeare_{part}.bin", 200_000)
        shown = subprocess.run(["./train"], cwd=folder, check=True, capture_output=True, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": str(args.threads)}).stdout
    steps_s = [float(ms) / 1000 for ms in re.findall(r"step \d+: .*took ([\d.]+) ms", shown)][1:]
    median_s = statistics.median(steps_s)
    print(json.dumps({"batch": BATCH, "sequence": args.seq, "threads": args.threads, "steps_s": steps_s,
                      "median_s": median_s, "tokens_per_s": BATCH * args.seq / median_s}))


if __name__ == "__main__":
    main()
