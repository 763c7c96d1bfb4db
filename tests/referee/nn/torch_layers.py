"""Layers in plain PyTorch from the papers' formulas, f64, with weights that follow from their names."""
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
MASK = (1 << 64) - 1


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


class Layers:
    """Everything but experts and losses; weights are made when they are first asked for."""

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
