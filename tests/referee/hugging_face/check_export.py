#!/usr/bin/env python3
"""Model directories load in `transformers` (Grok-1 with grok_1.py) and give the logits they should.

    check_export.py DIRECTORY...

Each DIRECTORY holds what `teragpt convert --to hugging-face` wrote, and logits.safetensors with `tokens`
[B, S] and TeraGPT's own `logits` [B, S, V] of them. No key may be missing, unexpected or of another shape,
and no setting of config.json unknown to the library. Run by tests/core/infer/transformers_export_test.cpp.
"""
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file

import grok_1  # noqa: F401: registers itself

TOLERANCE = 2e-5  # largest difference over the largest logit


def check(folder):
    expected = load_file(folder / "logits.safetensors")
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            return f"{kind}: {sorted(report[kind])[:5]}"
    with torch.no_grad():
        logits = model.eval()(expected["tokens"].long(), use_cache=False).logits
    off = ((logits - expected["logits"]).abs().max() / expected["logits"].abs().max()).item()
    print(f"{folder.name}: {type(model).__name__}, logits {off:.1e} apart")
    return None if off <= TOLERANCE else f"logits are {off:.2e} apart, allowed are {TOLERANCE:.0e}"


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    failed = False
    for name in sys.argv[1:]:
        problem = check(pathlib.Path(name))
        if problem:
            failed = True
            print(f"{name}: {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
