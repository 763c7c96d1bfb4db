#!/usr/bin/env python3
"""The model of a finished run trained a second time by PyTorch: same text in the same order, same optimizer
and schedule, same number of steps, its own initial weights. Prints the held-out losses of both and their
difference in percent; exits with 1 when the last one differs by more than --tolerance.

  teragpt train SPEC --set data.cross_document_attention=true
  python compare_training.py RUN_DIRECTORY DATASET_PREFIX

DATASET_PREFIX is the run's one dataset without .bin. Needs torch, xxhash and PyYAML.
"""
import argparse
import json
import math
import pathlib
import struct
import sys
import time

import torch
import torch.nn.functional as F
import yaml

REFEREE = pathlib.Path(__file__).resolve().parent.parent
sys.path += [str(REFEREE / "data_order"), str(REFEREE.parent.parent / "resources" / "bench")]
import order  # noqa: E402
import torch_train  # noqa: E402


class Tokens:
    """Windows of the train split in the order of core/data/ORDER.md, and of the valid split."""

    def __init__(self, prefix, seed, length):
        manifest = json.loads(pathlib.Path(prefix + ".tgd.json").read_text(encoding="utf-8"))
        index = pathlib.Path(prefix + ".idx").read_bytes()
        data = pathlib.Path(prefix + ".bin").read_bytes()
        sequences = struct.unpack_from("<Q", index, 18)[0]
        width, kind = {8: (2, torch.uint16), 4: (4, torch.int32)}[index[17]]
        starts = [*struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences), len(data)]
        self.all = torch.frombuffer(bytearray(data), dtype=kind).to(torch.int64)
        self.length = length
        self.train, self.valid = ([starts[s] // width for s in manifest["splits"][name]] for name in ("train", "valid"))
        windows = (self.train[1] - self.train[0] - 1) // length
        self.order = order.Order(seed, [(order.manifest_id(manifest), windows, 65536)])

    def window(self, split, number):
        at = split[0] + number * self.length
        return self.all[at : at + self.length + 1]

    def step(self, step, batch):
        rows = [self.window(self.train, self.order.sample(g)[3]) for g in range(step * batch, (step + 1) * batch)]
        return torch.stack(rows)

    def held_out(self, most):
        windows = (self.valid[1] - self.valid[0] - 1) // self.length
        return torch.stack([self.window(self.valid, w) for w in range(min(most, windows))])


def learning_rate(t, step):
    if step < t["warmup_steps"]:
        return t["learning_rate"] * (step + 1) / t["warmup_steps"]
    if t["lr_schedule"] == "constant":
        return t["learning_rate"]
    if t["lr_schedule"] != "cosine":
        sys.exit(f"lr_schedule {t['lr_schedule']}: this script has constant and cosine")
    done = min(1.0, (step - t["warmup_steps"]) / (t["num_steps"] - t["warmup_steps"]))
    return t["min_learning_rate"] + 0.5 * (t["learning_rate"] - t["min_learning_rate"]) * (1 + math.cos(math.pi * done))


def make_model(spec, seed):
    m = spec["model"]
    sizes = {**m, "rotary_dims": int(m["head_dim"] * m["rotary_fraction"]), "seq_length": spec["training"]["seq_length"]}
    torch.manual_seed(seed)
    model = torch_train.Model(sizes)
    for name, p in model.named_parameters():
        if p.dim() > 1:
            residual = name.endswith(".out.weight")
            torch.nn.init.normal_(p, std=m["init_std"] / (math.sqrt(2 * m["num_layers"]) if residual else 1))
        elif name.endswith(".bias"):
            torch.nn.init.zeros_(p)
    return model


def token_loss(model, tokens):
    """Cross entropy alone: the model's own loss has the router's losses in it."""
    x = model.tokens(tokens[:, :-1])
    if model.positions is not None:
        x = x + model.positions(torch.arange(x.shape[1]))
    for block in model.blocks:
        x = block(x)
    logits = model.head(model.norm(x)).float()
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1)).item()


def held_out_losses(run):
    losses = {}
    for file in sorted(run.glob("metrics/*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if "eval_loss" in record:
                losses[record["step"]] = record["eval_loss"]
    return losses


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("dataset")
    parser.add_argument("--tolerance", type=float, default=0.5, help="percent")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights")
    args = parser.parse_args()
    spec = yaml.safe_load((args.run / "spec.yaml").read_text(encoding="utf-8"))
    if not spec["data"]["cross_document_attention"]:
        sys.exit("the run isolates documents, the model here does not: train with data.cross_document_attention=true")
    ours = held_out_losses(args.run)
    if not ours:
        sys.exit(f"{args.run}: no held-out losses in its metrics")
    t = spec["training"]
    tokens = Tokens(args.dataset, spec["seed"], t["seq_length"])
    held_out = tokens.held_out(t["eval_sequences"])
    model = make_model(spec, args.seed)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": t["weight_decay"]},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    betas = (t["adam_beta1"], t["adam_beta2"])
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=t["adam_eps"], fused=True)
    bf16 = t["precision"] == "bf16"
    last, start = max(ours), time.time()
    for step in range(last):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(t, step)
        optimizer.zero_grad(set_to_none=True)
        batch = tokens.step(step, t["global_batch_size"])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(batch[:, :-1], batch[:, 1:])
        loss.backward()
        if t["grad_clip"] > 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), t["grad_clip"])
        optimizer.step()
        if step + 1 in ours:
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                parts = held_out.split(t["global_batch_size"])
                theirs = sum(token_loss(model, part) * len(part) for part in parts) / len(held_out)
            difference = 100 * (ours[step + 1] / theirs - 1)
            print(
                f"step {step + 1:6}  held out: teragpt {ours[step + 1]:.4f}, torch {theirs:.4f}, {difference:+.2f} %"
                f"  ({time.time() - start:.0f} s)",
                flush=True,
            )
    sys.exit(0 if abs(difference) <= args.tolerance else 1)


if __name__ == "__main__":
    main()
