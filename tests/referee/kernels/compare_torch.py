#!/usr/bin/env python3
"""Speed of TeraGPT's ops beside PyTorch's on this machine's CPU, with the same number of threads.

    compare_torch.py OP_BENCH [--threads 2] [--filter REGEX] [--seconds 0.3]

OP_BENCH is the program built from tests/bench. Both run every shape in turn, best of several calls, and
the ratio above 1 says how many times faster TeraGPT's op is. Slow; not part of the tests.
"""
import argparse
import json
import re
import subprocess
import time

import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def linear(kind, dtype, tokens, n, k):
    x = torch.randn(tokens, k).to(dtype)
    w = torch.randn(n, k).to(dtype)
    dy = torch.randn(tokens, n).to(dtype)
    if kind == "forward":
        return lambda: x @ w.T
    if kind == "input":
        return lambda: dy @ w
    dw = torch.zeros(n, k)
    if dtype == torch.float32:
        return lambda: dw.addmm_(dy.T, x)
    return lambda: dw.add_(dy.T @ x)  # the product, then the f32 sum: what a bf16 trainer must do


def experts(kind, dtype, count, rows, n, k):
    pairs = [linear(kind, dtype, rows, n, k) for _ in range(count)]

    def run():
        for call in pairs:
            call()

    return run


def attention(kind, dtype, batch, length, heads, key_heads, width):
    def make(h):
        return torch.randn(batch, h, length, width).to(dtype).requires_grad_()

    q, k, v = make(heads), make(key_heads), make(key_heads)
    dout = torch.randn(batch, heads, length, width).to(dtype)
    grouped = {"enable_gqa": True} if heads != key_heads else {}
    if kind == "forward":
        def run():
            with torch.no_grad():
                F.scaled_dot_product_attention(q, k, v, is_causal=True, **grouped)
        return run
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True, **grouped)
    return lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True)


def adamw(dtype, n):
    p = torch.randn(n, requires_grad=True)
    p.grad = torch.randn(n) * 1e-3
    optimizer = torch.optim.AdamW([p], lr=1e-4, weight_decay=0.1)
    if dtype == torch.float32:
        return optimizer.step
    weight = torch.empty(n, dtype=dtype)

    def run():
        optimizer.step()
        with torch.no_grad():
            weight.copy_(p)

    return run


def torch_call(name):
    parts = name.split("/")
    sizes = [int(x) for x in re.findall(r"\d+", "/".join(parts[3:]))]
    if parts[0] == "matmul":
        return linear(parts[1], DTYPES[parts[2]], *sizes)
    if parts[0] == "grouped":
        return experts(parts[1], DTYPES[parts[2]], *sizes)
    if parts[0] == "attention":
        return attention(parts[1], DTYPES[parts[2]], *sizes)
    if parts[0] == "adamw":
        return adamw(DTYPES[parts[1]], int(parts[2]))
    return None


def best_seconds(call, seconds):
    call()
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def ours(program, name, threads, seconds):
    """Best of ten short repetitions, in seconds."""
    pattern = "^" + re.escape(name) + f"/threads:{threads}/"
    text = subprocess.run(
        [program, f"--benchmark_filter={pattern}", f"--benchmark_min_time={seconds / 10}",
         "--benchmark_repetitions=10", "--benchmark_format=json"],
        check=True, capture_output=True, text=True).stdout
    runs = [r for r in json.loads(text)["benchmarks"] if r["run_type"] == "iteration"]
    return min(r["real_time"] for r in runs) * 1e-6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("op_bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--filter", default=".")
    parser.add_argument("--seconds", type=float, default=0.3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    listed = subprocess.run([options.op_bench, "--benchmark_list_tests=true"], check=True,
                            capture_output=True, text=True).stdout.split()
    names = sorted({n.rsplit("/threads:", 1)[0] for n in listed}, key=listed_order(listed))
    print(f"PyTorch {torch.__version__}, {options.threads} threads; milliseconds, best call")
    print(f"{'op':48} {'torch':>9} {'teragpt':>9} {'ratio':>6}")
    for name in names:
        if not re.search(options.filter, name):
            continue
        call = torch_call(name)
        if call is None:
            continue
        theirs = best_seconds(call, options.seconds)
        mine = ours(options.op_bench, name, options.threads, options.seconds)
        print(f"{name:48} {theirs * 1e3:9.3f} {mine * 1e3:9.3f} {theirs / mine:6.2f}", flush=True)


def listed_order(listed):
    position = {}
    for i, name in enumerate(listed):
        position.setdefault(name.rsplit("/threads:", 1)[0], i)
    return lambda name: position[name]


if __name__ == "__main__":
    main()
