#!/usr/bin/env python3
"""Losses and gradients of small models, written in plain PyTorch from the papers' formulas.

    make_torch_models.py > tests/golden/nn/torch_models.json

A second implementation that shares nothing with the engine but names and shapes of the parameters:
autograd instead of hand-written backward, masks instead of first keys, a loop over experts instead of
sorted rows, all in f64. tests/core/nn/torch_models_test.cpp holds the engine against the file.
Weights follow from the name and the index of an element (see `weight`), so the file holds none.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
MASK = (1 << 64) - 1

BASE = dict(num_layers=2, hidden_size=12, num_attention_heads=4, num_key_value_heads=2, head_dim=4,
            vocab_size=17, max_position_embeddings=16, ffn_hidden_size=10, qk_norm="none",
            attention="grouped_query", q_lora_rank=0, kv_lora_rank=0, qk_nope_head_dim=0,
            qk_rope_head_dim=0, v_head_dim=0,
            attention_bias="none", attention_scale=0.0, attention_softcap=0.0, sliding_window=0,
            position="rotary",
            rope_theta=10000.0, rotary_fraction=1.0, rope_scaling="none", rope_factor=1.0,
            rope_original_max_position=0, rope_low_freq_factor=1.0, rope_high_freq_factor=4.0,
            rope_beta_fast=32.0, rope_beta_slow=1.0, rope_attention_factor=0.0, norm="rms",
            norm_eps=1e-5, norm_placement="pre", parallel_residual=False, activation="swiglu",
            ffn_bias=False, tie_embeddings=False, embedding_multiplier=1.0, logit_multiplier=1.0,
            num_experts=0, router_top_k=0, moe_ffn_hidden_size=0, num_shared_experts=0,
            num_dense_layers=0, router_score="softmax",
            router_renormalize=False, routed_scaling_factor=1.0, aux_loss_coeff=0.0,
            z_loss_coeff=0.0, expert_bias_update_rate=0.0, router_num_groups=1,
            router_top_groups=1, router_group_best=2, router_choice="token",
            expert_capacity_factor=0.0, capacity_policy="probability",
            aux_loss_scope="micro_batch", shared_expert_gate=False, moe_layer_interval=1,
            num_mtp_layers=0, mtp_loss_coeff=0.3)
# Contexts stretched from 8 tokens: with these bounds some pairs are kept, some stretched, some between.
STRETCHED = dict(head_dim=8, rope_theta=40.0, rope_factor=2.0, rope_original_max_position=8,
                 rope_low_freq_factor=0.2, rope_high_freq_factor=0.8, rope_beta_fast=1.0,
                 rope_beta_slow=0.1)
LATENT = dict(attention="latent", q_lora_rank=9, kv_lora_rank=7, qk_nope_head_dim=5,
              qk_rope_head_dim=8, v_head_dim=3)
YARN = dict(rope_scaling="yarn", rope_theta=40.0, rope_factor=2.0, rope_original_max_position=8,
            rope_beta_fast=1.0, rope_beta_slow=0.1)
MOE = dict(num_experts=5, router_top_k=2, moe_ffn_hidden_size=6, aux_loss_coeff=0.5)
MODELS = {
    "gpt2": dict(BASE, num_key_value_heads=4, position="learned", norm="layer", activation="gelu",
                 attention_bias="all", ffn_bias=True, tie_embeddings=True),
    "gpt_neox": dict(BASE, num_key_value_heads=4, rotary_fraction=0.5, norm="layer",
                     activation="gelu_exact", attention_bias="all", ffn_bias=True,
                     parallel_residual=True),
    "llama3": dict(BASE, **STRETCHED, rope_scaling="llama3"),
    "llama_linear": dict(BASE, **STRETCHED, rope_scaling="linear"),
    "mistral": dict(BASE, sliding_window=3),
    "qwen2_yarn": dict(BASE, **STRETCHED, rope_scaling="yarn", attention_bias="qkv"),
    "olmo2": dict(BASE, norm_placement="post", qk_norm="full"),
    "nemotron": dict(BASE, activation="relu_squared", norm="layer", rotary_fraction=0.5),
    "grok1": dict(BASE, **MOE, activation="geglu", norm_placement="sandwich", attention_scale=0.3,
                  attention_softcap=1.5,
                  embedding_multiplier=7.5, logit_multiplier=0.5773502691896257,
                  tie_embeddings=True),
    "qwen3": dict(BASE, qk_norm="per_head", rope_theta=1e6),
    "olmoe": dict(BASE, **MOE, z_loss_coeff=0.25, qk_norm="full"),
    "mixtral": dict(BASE, **MOE, z_loss_coeff=0.25, router_renormalize=True),
    "deepseek": dict(BASE, **MOE, router_score="sigmoid", router_renormalize=True,
                     routed_scaling_factor=2.5, num_shared_experts=2, num_dense_layers=1,
                     expert_bias_update_rate=0.01),
    "deepseek_v2": dict(BASE, **MOE, **dict(LATENT, q_lora_rank=0), **YARN, num_shared_experts=1,
                        num_dense_layers=1, attention_scale=0.3, rope_attention_factor=1.0),
    "deepseek_v3": dict(BASE, **dict(MOE, num_experts=6), **LATENT, router_score="sigmoid",
                        router_renormalize=True, routed_scaling_factor=2.5, router_num_groups=3,
                        router_top_groups=2, aux_loss_scope="sequence", z_loss_coeff=0.25,
                        num_mtp_layers=2,
                        expert_bias_update_rate=0.01),
    "qwen2_moe": dict(BASE, **MOE, num_shared_experts=2, shared_expert_gate=True,
                      moe_layer_interval=2, aux_loss_scope="global_batch"),
    "switch": dict(BASE, **dict(MOE, router_top_k=1), activation="relu",
                   expert_capacity_factor=0.75, capacity_policy="position"),
    "capacity": dict(BASE, **MOE, router_renormalize=True, expert_capacity_factor=0.75),
    "expert_choice": dict(BASE, **dict(MOE, aux_loss_coeff=0.0), router_choice="expert",
                          z_loss_coeff=0.25),
}
BATCH_SHARE = 0.5


def scrambled(name, index):
    """16 random-looking bits of an element as a number in [-0.5, 0.5)."""
    h = 14695981039346656037
    for byte in name.encode():
        h = (h ^ byte) * 1099511628211 & MASK
    x = h + index * 0x9E3779B97F4A7C15 & MASK
    x ^= x >> 31
    x = x * 0xBF58476D1CE4E5B9 & MASK
    return (x >> 48) / 65536 - 0.5


def weight(name, *shape):
    """Matrices up to 0.5 from 0, norms up to 0.25 from 1, biases up to 0.25 from 0."""
    count = math.prod(shape)
    values = torch.tensor([scrambled(name, i) for i in range(count)])
    if "norm.weight" in name:
        values = 1 + values / 2
    elif name.endswith(".bias"):
        values = values / 2
    return values.reshape(shape).requires_grad_("router.bias" not in name)


class Model:
    def __init__(self, config):
        self.c = config
        self.weights = {}

    def w(self, name, *shape):
        if name not in self.weights:
            self.weights[name] = weight(name, *shape)
        return self.weights[name]

    def linear(self, name, x, rows, bias):
        y = x @ self.w(name + ".weight", rows, x.shape[-1]).T
        return y + self.w(name + ".bias", rows) if bias else y

    def norm(self, name, x):
        width = x.shape[-1]
        if self.c["norm"] == "layer":
            return F.layer_norm(x, (width,), self.w(name + ".weight", width),
                                self.w(name + ".bias", width), self.c["norm_eps"])
        return self.rms(name, x)

    def rms(self, name, x, eps=None):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + (eps or self.c["norm_eps"]))
        return x * scale * self.w(name + ".weight", x.shape[-1])

    def frequencies(self, dims):
        """Radians per position and the factor on the rotated dims."""
        c = self.c
        exponents = 2 * torch.arange(dims // 2) / dims
        plain = c["rope_theta"] ** -exponents
        factor, original = c["rope_factor"], c["rope_original_max_position"]
        if c["rope_scaling"] == "none":
            return plain, 1.0
        if c["rope_scaling"] == "linear":
            return plain / factor, 1.0
        if c["rope_scaling"] == "llama3":
            wavelengths = 2 * math.pi / plain
            longest = original / c["rope_low_freq_factor"]
            shortest = original / c["rope_high_freq_factor"]
            smooth = (original / wavelengths - c["rope_low_freq_factor"]) / (
                c["rope_high_freq_factor"] - c["rope_low_freq_factor"])
            mixed = (1 - smooth) * plain / factor + smooth * plain
            mixed = torch.where(wavelengths > longest, plain / factor, mixed)
            return torch.where(wavelengths < shortest, plain, mixed), 1.0

        def pair_of(turns):  # the pair that turns so often in the original context
            return dims * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(c["rope_theta"]))

        low = max(math.floor(pair_of(c["rope_beta_fast"])), 0)
        high = min(math.ceil(pair_of(c["rope_beta_slow"])), dims - 1)
        ramp = ((torch.arange(dims // 2) - low) / (high - low)).clamp(0, 1)
        scale = c["rope_attention_factor"] or 0.1 * math.log(factor) + 1
        return plain / factor * ramp + plain * (1 - ramp), scale

    def rotate(self, x, positions):  # [B, S, heads, D]
        dims = round(x.shape[-1] * self.c["rotary_fraction"])
        half = dims // 2
        frequencies, factor = self.frequencies(dims)
        angle = positions[:, :, None, None] * frequencies
        angle = torch.cat([angle, angle], -1)
        turned = x[..., :dims]
        crossed = torch.cat([-x[..., half:dims], x[..., :half]], -1)
        turned = factor * (turned * angle.cos() + crossed * angle.sin())
        return torch.cat([turned, x[..., dims:]], -1)

    def attention(self, prefix, x, batch):
        c = self.c
        heads, groups, dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        size, length, _ = x.shape
        qkv = self.linear(prefix + ".qkv", x, (heads + 2 * groups) * dim,
                          c["attention_bias"] != "none")
        q, k, v = qkv.split([heads * dim, groups * dim, groups * dim], -1)
        if c["qk_norm"] == "full":
            q, k = self.rms(prefix + ".q_norm", q), self.rms(prefix + ".k_norm", k)
        q = q.reshape(size, length, heads, dim)
        k = k.reshape(size, length, groups, dim)
        v = v.reshape(size, length, groups, dim)
        if c["qk_norm"] == "per_head":
            q, k = self.rms(prefix + ".q_norm", q), self.rms(prefix + ".k_norm", k)
        if c["position"] == "rotary":
            q, k = self.rotate(q, batch["positions"]), self.rotate(k, batch["positions"])
        k = k.repeat_interleave(heads // groups, 2)
        v = v.repeat_interleave(heads // groups, 2)
        return self.linear(prefix + ".out", self.mix(q, k, v, batch), x.shape[-1],
                           c["attention_bias"] == "all")

    def latent_attention(self, prefix, x, batch):
        c = self.c
        heads, nope, rope = c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"]
        size, length, _ = x.shape
        if c["q_lora_rank"]:
            z = self.linear(prefix + ".q_down", x, c["q_lora_rank"], False)
            q = self.linear(prefix + ".q_up", self.rms(prefix + ".q_down_norm", z, 1e-6),
                            heads * (nope + rope), False)
        else:
            q = self.linear(prefix + ".q", x, heads * (nope + rope), False)
        q_nope, q_rope = q.reshape(size, length, heads, -1).split([nope, rope], -1)
        down = self.linear(prefix + ".kv_down", x, c["kv_lora_rank"] + rope, False)
        z, key = down.split([c["kv_lora_rank"], rope], -1)
        kv = self.linear(prefix + ".kv_up", self.rms(prefix + ".kv_down_norm", z, 1e-6),
                         heads * (nope + c["v_head_dim"]), False)
        k_nope, v = kv.reshape(size, length, heads, -1).split([nope, c["v_head_dim"]], -1)
        key = self.rotate(key[:, :, None], batch["positions"]).expand(-1, -1, heads, -1)
        q = torch.cat([q_nope, self.rotate(q_rope, batch["positions"])], -1)
        out = self.mix(q, torch.cat([k_nope, key], -1), v, batch)
        return self.linear(prefix + ".out", out, x.shape[-1], False)

    def mix(self, q, k, v, batch):
        """Values [B, S, heads, Dv] mixed by attention, as [B, S, heads Dv]."""
        c = self.c
        size, length, _, dim = q.shape
        scores = torch.einsum("bihd,bjhd->bhij", q, k) * (c["attention_scale"] or dim ** -0.5)
        if c["attention_softcap"]:
            scores = c["attention_softcap"] * torch.tanh(scores / c["attention_softcap"])
        visible = batch["visible"]
        if c["sliding_window"]:
            place = torch.arange(length)
            visible = visible & (place[:, None] - place[None, :] < c["sliding_window"])
        scores = scores.masked_fill(~visible[:, None], -math.inf)
        return torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v).reshape(size, length, -1)

    def gated(self):
        return self.c["activation"] in ("swiglu", "geglu")

    def act(self, x):
        kind = self.c["activation"]
        if self.gated():
            gate, up = x.chunk(2, -1)
            return (F.silu(gate) if kind == "swiglu" else F.gelu(gate, approximate="tanh")) * up
        if kind in ("relu", "relu_squared"):
            return F.relu(x) if kind == "relu" else F.relu(x) ** 2
        return F.gelu(x, approximate="tanh" if kind == "gelu" else "none")

    def rows_in(self, width):
        return 2 * width if self.gated() else width

    def mlp(self, prefix, x, width, bias):
        inner = self.act(self.linear(prefix + ".in", x, self.rows_in(width), bias))
        return self.linear(prefix + ".out", inner, x.shape[-1], bias)

    def moe(self, prefix, x):
        c = self.c
        experts, width = c["num_experts"], c["moe_ffn_hidden_size"]
        hidden = x.shape[-1]
        x2 = x.reshape(-1, hidden)
        logits = x2 @ self.w(prefix + ".router.weight", experts, hidden).T
        softmax = c["router_score"] == "softmax"
        scores = logits.softmax(-1) if softmax else logits.sigmoid()
        if c["router_choice"] == "expert":  # gates [T, E], 0 where an expert does not take a token
            gates = scores * self.best_tokens(scores, torch.ones_like(scores, dtype=torch.bool))
        else:
            chosen = self.choice(prefix, scores)
            gates = scores * chosen
            if c["router_renormalize"]:
                gates = gates / gates.sum(-1, keepdim=True)
            if c["aux_loss_coeff"] > 0:
                self.balance += self.balance_loss(scores, chosen)
            if c["expert_capacity_factor"] > 0:
                gates = gates * self.best_tokens(gates, chosen)
        gates = gates * c["routed_scaling_factor"]
        w_in = self.w(prefix + ".experts.in.weight", experts, self.rows_in(width), hidden)
        w_out = self.w(prefix + ".experts.out.weight", experts, hidden, width)
        y = torch.zeros_like(x2)
        for e in range(experts):
            mine = gates[:, e] != 0
            out = self.act(x2[mine] @ w_in[e].T) @ w_out[e].T
            y = y.index_add(0, mine.nonzero()[:, 0], out * gates[mine, e, None])
        if c["num_shared_experts"] > 0:
            shared = self.mlp(prefix + ".shared", x2, c["num_shared_experts"] * width, False)
            if c["shared_expert_gate"]:
                shared = shared * (x2 @ self.w(prefix + ".shared.gate.weight", 1, hidden).T).sigmoid()
            y = y + shared
        if c["z_loss_coeff"] > 0:
            self.z += BATCH_SHARE * c["z_loss_coeff"] * logits.logsumexp(-1).pow(2).mean()
        return y.reshape(x.shape)

    def branch(self, prefix, x, body):
        placement = self.c["norm_placement"]
        y = body(x if placement == "post" else self.norm(prefix + ".norm", x))
        return y if placement == "pre" else self.norm(prefix + ".post_norm", y)

    def choice(self, prefix, scores):
        """Which experts each token chose, [T, E]."""
        c = self.c
        tokens, experts = scores.shape
        selection = scores
        if c["expert_bias_update_rate"] > 0:
            selection = scores + self.w(prefix + ".router.bias", experts)
        groups = selection.reshape(tokens, c["router_num_groups"], -1)
        best = groups.topk(min(c["router_group_best"], groups.shape[-1]), -1).values.sum(-1)
        kept = torch.zeros_like(best, dtype=torch.bool)
        kept.scatter_(1, best.topk(c["router_top_groups"], -1).indices, True)
        selection = groups.masked_fill(~kept[..., None], -math.inf).reshape(tokens, experts)
        chosen = torch.zeros_like(scores, dtype=torch.bool)
        return chosen.scatter_(1, selection.topk(c["router_top_k"], -1).indices, True)

    def best_tokens(self, priority, wanted):
        """Of the tokens that want an expert, those it has room for, [T, E]."""
        c = self.c
        tokens, experts = priority.shape
        factor = c["expert_capacity_factor"] or 1.0
        capacity = math.ceil(factor * tokens * c["router_top_k"] / experts)
        served = torch.zeros_like(wanted)
        for e in range(experts):
            mine = wanted[:, e].nonzero()[:, 0].tolist()
            if c["capacity_policy"] == "probability":
                mine.sort(key=lambda t: (-priority[t, e].item(), t))
            served[mine[:capacity], e] = True
        return served

    def balance_loss(self, scores, chosen):
        c = self.c
        experts = scores.shape[-1]
        shares = scores if c["router_score"] == "softmax" else scores / scores.sum(-1, keepdim=True)
        blocks = 1 if c["aux_loss_scope"] == "micro_batch" else self.num_sequences
        counts = chosen.double().reshape(blocks, -1, experts).sum(1)
        if c["aux_loss_scope"] == "global_batch":
            counts = counts.cumsum(0)
        share = counts / counts.sum(-1, keepdim=True)
        mean = shares.reshape(blocks, -1, experts).mean(1)
        return BATCH_SHARE * c["aux_loss_coeff"] * experts * (share * mean).sum(-1).mean()

    def losses(self, batch):
        c = self.c
        self.balance, self.z = torch.zeros(()), torch.zeros(())
        self.num_sequences = len(batch["tokens"])
        table = self.w("embedding.tokens", c["vocab_size"], c["hidden_size"])
        x = table[batch["tokens"]] * c["embedding_multiplier"]
        if c["position"] == "learned":
            positions = self.w("embedding.positions", c["max_position_embeddings"], c["hidden_size"])
            x = x + positions[batch["positions"]]
        for layer in range(c["num_layers"]):
            x = self.layer(layer, x, batch)
        x = self.norm("final_norm", x)
        head = table if c["tie_embeddings"] else self.w("head.weight", *table.shape)
        targets = batch["targets"]
        total = self.entropies(x, head, targets)
        mtp = torch.zeros(())
        for depth in range(1, c["num_mtp_layers"] + 1):
            x, loss = self.predict(depth, x, table, head, batch)
            mtp = mtp + loss
        count = (targets >= 0).sum()
        self.mtp = c["mtp_loss_coeff"] / max(1, c["num_mtp_layers"]) * mtp / count
        return total / count

    def layer(self, layer, x, batch):
        c = self.c
        p = f"layers.{layer}"
        attention = self.latent_attention if c["attention"] == "latent" else self.attention
        attended = self.branch(p + ".attention", x,
                               lambda h: attention(p + ".attention", h, batch))
        h = x if c["parallel_residual"] else x + attended
        place = layer - c["num_dense_layers"] + 1
        moe = c["num_experts"] > 0 and place > 0 and place % c["moe_layer_interval"] == 0
        fed = self.branch(p + ".ffn", h, lambda h: self.moe(p + ".moe", h) if moe else
                          self.mlp(p + ".ffn", h, c["ffn_hidden_size"], c["ffn_bias"]))
        return x + attended + fed

    def predict(self, depth, hidden, table, head, batch):
        """Multi-token prediction: the next hidden state, and the sum of the losses."""
        c = self.c
        index = c["num_layers"] + depth - 1
        p = f"layers.{index}.mtp"
        tokens, targets = batch["tokens"].clone(), torch.full_like(batch["targets"], -1)
        for b, starts in enumerate(batch["first_key"].tolist()):
            for i in range(len(starts) - depth):
                if starts[i] == starts[i + depth]:  # the same document
                    tokens[b, i] = batch["tokens"][b, i + depth]
                    targets[b, i] = batch["targets"][b, i + depth]
        embedded = self.norm(p + ".embedding_norm", table[tokens] * c["embedding_multiplier"])
        both = torch.cat([embedded, self.norm(p + ".hidden_norm", hidden)], -1)
        x = self.linear(p + ".proj", both, c["hidden_size"], False)
        x = self.norm(p + ".final_norm", self.layer(index, x, batch))
        return x, self.entropies(x, head, targets)

    def entropies(self, x, head, targets):
        """Sum of the cross entropies of normalised hidden states."""
        logits = x * self.c["logit_multiplier"] @ head.T
        return F.cross_entropy(logits.reshape(targets.numel(), -1), targets.reshape(-1),
                               ignore_index=-1, reduction="sum")


def make_batch():
    size, length = 2, 9
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(17, (size, length), generator=generator)
    targets = torch.randint(17, (size, length), generator=generator)
    targets[0, 3] = targets[1, 8] = -1
    starts = [[0, 0, 0, 0, 4, 4, 4, 4, 4], [0, 0, 2, 2, 2, 2, 2, 7, 7]]  # two, three documents
    first = torch.tensor(starts)
    places = torch.arange(length).expand(size, length)
    visible = (places[:, None, :] <= places[:, :, None]) & (places[:, None, :] >= first[:, :, None])
    return dict(tokens=tokens, targets=targets, first_key=first, positions=places - first,
                visible=visible)


def summary(name, grad):
    """The gradient in few numbers: three elements, its norm, and its product with a fixed vector."""
    flat = grad.reshape(-1)
    count = flat.numel()
    at = sorted({0, count // 2, count - 1})
    vector = torch.tensor([scrambled("along " + name, i) for i in range(count)])
    return dict(at=at, values=[flat[i].item() for i in at], norm=flat.norm().item(),
                along=(flat @ vector).item())


def write(document):
    """One line per gradient: readable, and a change shows where it is."""
    lines = []
    for name, model in document["models"].items():
        gradients = ",\n".join(f"   {json.dumps(n)}: {json.dumps(g)}"
                               for n, g in model.pop("gradients").items())
        head = json.dumps(model)[:-1]
        lines.append(f'  {json.dumps(name)}: {head}, "gradients": {{\n{gradients}}}}}')
    head = json.dumps({k: v for k, v in document.items() if k != "models"})[:-1]
    sys.stdout.write(head + ',\n "models": {\n' + ",\n".join(lines) + "}}\n")


def main():
    batch = make_batch()
    document = {"batch": {k: v.tolist() for k, v in batch.items() if k != "visible"},
                "batch_share": BATCH_SHARE, "models": {}}
    for name, config in MODELS.items():
        model = Model(config)
        loss = model.losses(batch)
        (loss + model.mtp + model.balance + model.z).backward()
        document["models"][name] = dict(
            config=config, loss=loss.item(), balance_loss=model.balance.item(),
            z_loss=model.z.item(), mtp_loss=model.mtp.item(),
            gradients={n: summary(n, w.grad) for n, w in sorted(model.weights.items())
                       if w.requires_grad})
    write(document)


if __name__ == "__main__":
    main()
