#!/usr/bin/env python3
"""The model of a finished run trained a second time by PyTorch: same text in the same order (checked against
the hash chain of the run), same optimizer and schedule, same number of steps. Prints the losses of both and
their difference in percent; exits with 1 when the last held-out losses differ by more than --tolerance.

The two runs of the acceptance test; SCRATCH/data/train is what `teragpt demo --prepare-only` leaves:
  teragpt train resources/runs/tiny-moe.yaml --set data.cross_document_attention=true training.num_steps=400 \\
    'data.datasets[0].path=SCRATCH/data/train' data.tokenizer=SCRATCH/data/tokenizer.json
  teragpt train tests/referee/train/dense-30m.yaml --set \\
    'data.datasets[0].path=SCRATCH/data/train' data.tokenizer=SCRATCH/data/tokenizer.json
  python compare_training.py RUN_DIRECTORY SCRATCH/data/train --threads 1

The weights PyTorch starts from are its own (--seed), of the spread the run's spec asks for. Stricter, with
--weights CHECKPOINT it starts from the run's, and the curves must coincide until rounding has grown. A run
at learning rate 0 writes such a checkpoint, RUN/ckpt/step-000000001:
  teragpt train SPEC --steps 1 --set SETTINGS training.learning_rate=0 training.min_learning_rate=0

Needs torch, safetensors, xxhash and PyYAML.
"""
import argparse
import json
import math
import pathlib
import struct
import sys
import time

import safetensors.torch
import torch
import torch.nn.functional as F
import xxhash
import yaml

REFEREE = pathlib.Path(__file__).resolve().parent.parent
sys.path += [str(REFEREE / "data_order"), str(REFEREE.parent.parent / "resources" / "bench")]
import order  # noqa: E402
import torch_train  # noqa: E402

# What torch_train.Model or the loop below has no other value of. A spec may lack a field: it is younger.
FIXED = {
    "model": {
        "attention": "grouped_query",
        "attention_scale": 0,
        "attention_softcap": 0,
        "sliding_window": 0,
        "rope_scaling": "none",
        "norm_placement": "pre",
        "embedding_multiplier": 1,
        "logit_multiplier": 1,
        "num_shared_experts": 0,
        "moe_layer_interval": 1,
        "router_score": "softmax",
        "router_choice": "token",
        "routed_scaling_factor": 1,
        "router_num_groups": 1,
        "expert_capacity_factor": 0,
        "aux_loss_scope": "micro_batch",
        "router_jitter": 0,
        "expert_bias_update_rate": 0,
        "num_mtp_layers": 0,
        "init_method": "scaled_normal",
        "mup_base_hidden_size": 0,
    },
    "training": {"optimizer": "adamw", "rampup_batch_size": 0, "skip_step_threshold": 0},
    "data": {"blend_stages": [], "cross_document_attention": True},
    "lora": {"rank": 0},
}
# Our name of a tensor, part by part, and its name in torch_train.Model. Experts are stacked in ours.
RENAMED = [
    ("embedding.tokens", "tokens.weight"),
    ("embedding.positions", "positions.weight"),
    ("final_norm.", "norm."),
    ("layers.", "blocks."),
    ("attention.norm.", "norm1."),
    ("ffn.norm.", "norm2."),
    ("moe.experts.", "ffn.experts.*."),
    ("moe.", "ffn."),
    (".in.", ".inner."),
]


def check(spec):
    for section, fields in FIXED.items():
        for name, value in fields.items():
            got = spec.get(section, {}).get(name, value)
            if got != value:
                sys.exit(f"the run has {section}.{name}={got}, this script needs {value}")
    for name, group in spec["training"].get("param_groups", {}).items():
        if group != {"lr_multiplier": 1, "weight_decay_multiplier": 0 if name == "norm" else 1}:
            sys.exit(f"the run has training.param_groups.{name}={group}, this script needs the default")
    if spec["model"]["num_experts"] and spec["layout"]["micro_batch_size"] != spec["training"]["global_batch_size"]:
        sys.exit("the balance loss is of micro-batches: this script needs one per step")


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
        self.chain = bytes(16)

    def window(self, split, number):
        at = split[0] + number * self.length
        return self.all[at : at + self.length + 1]

    def step(self, step, batch):
        """Every step once, from 0 on: the hash chain advances."""
        rows = [self.window(self.train, self.order.sample(g)[3]) for g in range(step * batch, (step + 1) * batch)]
        tokens = torch.stack(rows)
        self.chain = xxhash.xxh3_128_digest(self.chain + xxhash.xxh3_128_digest(tokens.to(torch.int32).numpy().tobytes()))
        return tokens

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


def load_weights(model, checkpoint):
    """The weights of a checkpoint (core/checkpoint/FORMAT.md) of one shard: every one there is, and no other."""
    shards = list(checkpoint.glob("shard-*.safetensors"))
    if len(shards) != 1:
        sys.exit(f"{checkpoint}: {len(shards)} shards, expected one")
    state = {}
    tensors = safetensors.torch.load_file(shards[0])
    masters = any(entry.startswith("master/") for entry in tensors)
    for entry, tensor in tensors.items():
        role, name = entry.split("@")[0].split("/", 1)
        if role != "master" and (role != "weight" or masters and "master/" + entry.split("/", 1)[1] in tensors):
            continue
        for ours, theirs in RENAMED:
            name = name.replace(ours, theirs)
        if "*" in name:
            state.update({name.replace("*", str(e)): expert for e, expert in enumerate(tensor)})
        else:
            state[name] = tensor
    if model.head.weight is model.tokens.weight:
        state["head.weight"] = state["tokens.weight"]
    buffers = {name for name, _ in model.named_buffers()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or set(missing) != buffers:
        sys.exit(f"{checkpoint}: unexpected {unexpected}, missing {sorted(set(missing) - buffers)}")


def token_loss(model, tokens):
    """Cross entropy alone, without the router's losses."""
    x = model.tokens(tokens[:, :-1])
    if model.positions is not None:
        x = x + model.positions(torch.arange(x.shape[1]))
    for block in model.blocks:
        x = block(x)
    logits = model.head(model.norm(x)).float()
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1))


def router_loss(model):
    return sum(block.ffn.aux_loss for block in model.blocks if isinstance(block.ffn, torch_train.Moe))


def records_of(run):
    records = {}
    for file in sorted(run.glob("metrics/*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            records[record["step"]] = record
    return records


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("dataset", help="prefix: the path without .bin")
    parser.add_argument("--tolerance", type=float, default=0.5, help="percent")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights")
    parser.add_argument("--weights", type=pathlib.Path, metavar="CHECKPOINT", help="initial weights")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--steps", type=int, default=0, help="stop after so many; 0: the run's")
    parser.add_argument("--log", action="store_true", help="print the training losses of every step")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    spec = yaml.safe_load((args.run / "spec.yaml").read_text(encoding="utf-8"))
    check(spec)
    ours = records_of(args.run)
    last = min(max(ours, default=0), args.steps or sys.maxsize)
    t = spec["training"]
    tokens = Tokens(args.dataset, spec["seed"], t["seq_length"])
    held_out = tokens.held_out(t["eval_sequences"])
    model = make_model(spec, args.seed)
    if args.weights:
        load_weights(model, args.weights)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": t["weight_decay"]},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    betas = (t["adam_beta1"], t["adam_beta2"])
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=t["adam_eps"], fused=True)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=t["precision"] == "bf16")
    start, losses, difference = time.time(), [], math.inf
    for step in range(last):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(t, step)
        for p in model.parameters():  # none would leave an expert without tokens out: no decay, no momentum
            p.grad = torch.zeros_like(p)
        batch = tokens.step(step, t["global_batch_size"])
        record = ours[step + 1]
        if tokens.chain.hex() != record["data_chain"]:
            sys.exit(f"step {step + 1}: hash chain {tokens.chain.hex()}, the run has {record['data_chain']}: other text")
        with autocast:
            loss = token_loss(model, batch)
        (loss + router_loss(model)).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), t["grad_clip"] or math.inf).item()
        optimizer.step()
        losses.append(100 * (record["loss"] / loss.item() - 1))
        if args.log:
            print(
                f"step {step + 1:6}  loss: teragpt {record['loss']:.5f}, torch {loss.item():.5f}, {losses[-1]:+.4f} %"
                f"  gradient norm: {record['grad_norm']:.4f}, {norm:.4f}",
                flush=True,
            )
        if "eval_loss" in record:
            with torch.no_grad(), autocast:
                parts = held_out.split(t["global_batch_size"])
                theirs = sum(token_loss(model, part).item() * len(part) for part in parts) / len(held_out)
            difference = 100 * (record["eval_loss"] / theirs - 1)
            print(
                f"step {step + 1:6}  held out: teragpt {record['eval_loss']:.4f}, torch {theirs:.4f},"
                f" {difference:+.3f} %; training since: largest {max(losses, key=abs):+.3f} %,"
                f" mean {sum(losses) / len(losses):+.3f} % ({time.time() - start:.0f} s)",
                flush=True,
            )
            losses = []
    if difference == math.inf:
        sys.exit(f"{args.run}: no held-out loss up to step {last}")
    sys.exit(0 if abs(difference) <= args.tolerance else 1)


if __name__ == "__main__":
    main()
