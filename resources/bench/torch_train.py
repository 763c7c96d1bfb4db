"""The peer of `teragpt bench train --vs torch`: the same decoder language model, optimizer and batch
in PyTorch on the CPU, as a person would write it.

Reads one JSON object as its argument (model and training sizes), prints {"ready": ...}, then answers
each line "run N" on standard input with {"steps_s": [seconds of each of N steps], "loss": last loss}.
"precision" is "fp32", or "bf16" or "fp16" for autocast over f32 weights, fp16 with a scaled loss.
"variant" is "default" (what a plain script does) or "tuned" (fused AdamW, torch.compile where it
works and is faster; the caller adds the environment: thread count, huge pages, malloc thresholds).
"""
import ctypes
import json
import math
import os
import signal
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def make_norm(c):
    if c["norm"] == "layer":
        return nn.LayerNorm(c["hidden_size"], eps=c["norm_eps"])
    return RMSNorm(c["hidden_size"], c["norm_eps"])


def rotate(x, cos, sin):
    turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    a, b = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat((-b, a), dim=-1) * sin
    return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned


def activate(c, h):
    kind = c["activation"]
    if kind in ("swiglu", "geglu"):
        gate, up = h.chunk(2, dim=-1)
        return (F.silu(gate) if kind == "swiglu" else F.gelu(gate, approximate="tanh")) * up
    if kind in ("relu", "relu_squared"):
        return F.relu(h) if kind == "relu" else F.relu(h).square()
    return F.gelu(h, approximate="tanh" if kind == "gelu" else "none")


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        bias = c["attention_bias"]
        self.qkv = nn.Linear(c["hidden_size"], (self.heads + 2 * self.kv_heads) * self.dim, bias=bias != "none")
        self.out = nn.Linear(self.heads * self.dim, c["hidden_size"], bias=bias == "all")
        self.qk_norm = c["qk_norm"]
        if self.qk_norm != "none":
            full = self.qk_norm == "full"
            self.q_norm = RMSNorm(self.dim * (self.heads if full else 1), c["norm_eps"])
            self.k_norm = RMSNorm(self.dim * (self.kv_heads if full else 1), c["norm_eps"])
        self.rotary = c["position"] == "rotary"
        if self.rotary:
            turned = c["rotary_dims"]
            freq = 1.0 / c["rope_theta"] ** (torch.arange(0, turned, 2).float() / turned)
            angle = torch.outer(torch.arange(c["seq_length"]).float(), freq)
            angle = torch.cat((angle, angle), dim=-1)
            self.register_buffer("cos", angle.cos())
            self.register_buffer("sin", angle.sin())

    def project(self, x, positions):
        b, s, _ = x.shape
        q, k, v = self.qkv(x).split([self.heads * self.dim, self.kv_heads * self.dim, self.kv_heads * self.dim], dim=-1)
        if self.qk_norm == "full":
            q, k = self.q_norm(q), self.k_norm(k)
        q = q.view(b, s, self.heads, self.dim).transpose(1, 2)
        k = k.view(b, s, self.kv_heads, self.dim).transpose(1, 2)
        v = v.view(b, s, self.kv_heads, self.dim).transpose(1, 2)
        if self.qk_norm == "per_head":
            q, k = self.q_norm(q), self.k_norm(k)
        if self.rotary:
            cos, sin = self.cos[positions].to(q.dtype), self.sin[positions].to(q.dtype)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        return q, k, v

    def forward(self, x):
        b, s, _ = x.shape
        q, k, v = self.project(x, slice(0, s))
        if self.kv_heads != self.heads:
            k = k.repeat_interleave(self.heads // self.kv_heads, dim=1)
            v = v.repeat_interleave(self.heads // self.kv_heads, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(b, s, -1))


class Mlp(nn.Module):
    def __init__(self, c, width):
        super().__init__()
        self.c = c
        gated = c["activation"] in ("swiglu", "geglu")
        self.inner = nn.Linear(c["hidden_size"], width * (2 if gated else 1), bias=c["ffn_bias"])
        self.out = nn.Linear(width, c["hidden_size"], bias=c["ffn_bias"])

    def forward(self, x):
        return self.out(activate(self.c, self.inner(x)))


class Moe(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.top_k, self.num_experts = c["router_top_k"], c["num_experts"]
        self.renormalize = c["router_renormalize"]
        self.aux, self.z = c["aux_loss_coeff"], c["z_loss_coeff"]
        self.router = nn.Linear(c["hidden_size"], self.num_experts, bias=False)
        plain = {**c, "ffn_bias": False}  # experts have no biases
        self.experts = nn.ModuleList(Mlp(plain, c["moe_ffn_hidden_size"]) for _ in range(self.num_experts))
        self.aux_loss = 0.0

    # How many tokens an expert gets is known only when it runs: compiled, each number is another graph.
    @torch.compiler.disable
    def forward(self, x):
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        logits = self.router(x).float()
        scores = logits.softmax(dim=-1)
        gates, index = scores.topk(self.top_k, dim=-1)
        if self.renormalize:
            gates = gates / gates.sum(dim=-1, keepdim=True)
        load = torch.zeros(self.num_experts).scatter_add_(0, index.reshape(-1), torch.ones(index.numel()))
        self.aux_loss = self.aux * self.num_experts * (load / index.numel() * scores.mean(0)).sum()
        self.aux_loss = self.aux_loss + self.z * logits.logsumexp(-1).square().mean()
        y = torch.zeros_like(x)
        for e, expert in enumerate(self.experts):
            token, slot = torch.where(index == e)
            if token.numel():
                y.index_add_(0, token, (expert(x[token]) * gates[token, slot, None]).to(y.dtype))
        return y.view(shape)


class Block(nn.Module):
    def __init__(self, c, layer):
        super().__init__()
        self.norm1, self.attention, self.norm2 = make_norm(c), Attention(c), make_norm(c)
        moe = c["num_experts"] > 0 and layer >= c["num_dense_layers"]
        self.ffn = Moe(c) if moe else Mlp(c, c["ffn_hidden_size"])
        self.parallel = c["parallel_residual"]

    def forward(self, x):
        y = x + self.attention(self.norm1(x))
        return y + self.ffn(self.norm2(x if self.parallel else y))


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.positions = nn.Embedding(c["max_position_embeddings"], c["hidden_size"]) if c["position"] == "learned" else None
        self.blocks = nn.ModuleList(Block(c, i) for i in range(c["num_layers"]))
        self.norm = make_norm(c)
        self.head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        if c["tie_embeddings"]:
            self.head.weight = self.tokens.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens)
        if self.positions is not None:
            x = x + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        loss = F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.reshape(-1))
        for block in self.blocks:
            if isinstance(block.ffn, Moe):
                loss = loss + block.ffn.aux_loss
        return loss


def end_with_parent():
    """The one that measures may be killed: this process does not outlive it (PR_SET_PDEATHSIG is 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def best_step_s(step, model):
    """Of two steps, after one that warms up."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        step(model)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def main():
    end_with_parent()
    c = json.loads(sys.argv[1])
    torch.manual_seed(0)
    if c["num_threads"] > 0:
        torch.set_num_threads(c["num_threads"])
    model = Model(c)
    tuned = c["variant"] == "tuned"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, **({"fused": True} if tuned else {}))
    step_model, compiled = model, False
    tokens = torch.randint(0, c["vocab_size"], (c["batch_size"], c["seq_length"] + 1))
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(c["precision"])
    scaler = torch.amp.GradScaler("cpu") if half is torch.float16 else None

    def step(run):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None):
            loss = run(tokens[:, :-1], tokens[:, 1:])
        if scaler:
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
        else:
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        return loss

    if tuned and c.get("compile", True):
        try:
            candidate = torch.compile(model)
            if "compile" not in c:
                c["compile"] = best_step_s(step, candidate) < best_step_s(step, model)
                if not c["compile"]:  # anew, without what compiling left in memory
                    os.execv(sys.executable, [sys.executable, "-W", "ignore", __file__, json.dumps(c)])
            step_model, compiled = candidate, True
        except Exception as error:  # no compiler on this machine: eager, and said so
            print(f"torch.compile is not available: {error}", file=sys.stderr)
    params = sum(p.numel() for p in model.parameters())
    computes = "f32" if half is None else f"{c['precision']} autocast, f32 weights" + (", scaled loss" if scaler else "")
    print(json.dumps({"ready": True, "computes": computes, "torch": torch.__version__, "threads": torch.get_num_threads(), "params": params, "compiled": compiled}), flush=True)
    for line in sys.stdin:
        word = line.split()
        if not word or word[0] != "run":
            break
        seconds, loss = [], math.nan
        for _ in range(int(word[1])):
            start = time.perf_counter()
            loss = step(step_model).item()
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"steps_s": seconds, "loss": loss}), flush=True)


if __name__ == "__main__":
    main()
