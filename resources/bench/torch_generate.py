"""The peer of `teragpt bench generate --vs torch`: greedy generation with a key-value cache in PyTorch
on the CPU.

Reads one JSON object as its argument (model, batch, prompt and lengths), prints {"ready": ...}, then
answers each line "run N" on standard input with {"decode_s": [seconds of the tokens but the first, of
each of N texts]}. "variant" is "default" (GPT2LMHeadModel of transformers with its cache where the model
is a GPT-2 and the package is there, else the model of torch_train.py step by step) or "tuned" (the
fastest of that, a cache of fixed size, and torch.compile with frozen weights; the caller adds the
environment).
"""
import json
import sys
import time

import torch
import torch.nn.functional as F

import torch_train

WARM_STEPS = 4  # of each candidate, before it is timed over as many


class CachedAttention(torch_train.Attention):
    """Keys and values in a cache of fixed size; `place` says where the new ones go."""

    def forward(self, x):
        b, s, _ = x.shape
        place = self.place
        q, k, v = self.project(x, place["positions"])
        self.keys.index_copy_(2, place["positions"], k)
        self.values.index_copy_(2, place["positions"], v)
        keys, values = self.keys[:, :, : place["end"]], self.values[:, :, : place["end"]]
        if self.kv_heads != self.heads:
            keys = keys.repeat_interleave(self.heads // self.kv_heads, dim=1)
            values = values.repeat_interleave(self.heads // self.kv_heads, dim=1)
        y = F.scaled_dot_product_attention(q, keys, values, attn_mask=place["mask"][:, : place["end"]])
        return self.out(y.transpose(1, 2).reshape(b, s, -1))


class FixedCache:
    """The model of torch_train.py with caches; compiled, every step has the same shapes."""

    def __init__(self, model, c, compiled):
        self.model, self.compiled = model, compiled
        self.capacity = c["prompt_length"] + c["new_tokens"]
        self.place = {}
        dtype = next(model.parameters()).dtype
        for block in model.blocks:
            a = block.attention
            a.__class__ = CachedAttention
            a.place = self.place
            shape = (c["batch_size"], a.kv_heads, self.capacity, a.dim)
            a.keys, a.values = torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
        self.causal = torch.ones(self.capacity, self.capacity, dtype=torch.bool).tril()
        self.compiled_step = torch.compile(self.forward) if compiled else None

    def forward(self, tokens, positions, mask):
        m = self.model
        self.place.update(positions=positions, mask=mask, end=self.end)
        x = m.tokens(tokens)
        if m.positions is not None:
            x = x + m.positions(positions)
        for block in m.blocks:
            x = block(x)
        return m.head(m.norm(x[:, -1]))

    def start(self, prompt):
        n = prompt.shape[1]
        self.length, self.end = n, n
        return self.forward(prompt, torch.arange(n), self.causal[:n])

    def step(self, tokens):
        positions = torch.tensor([self.length])
        self.length += 1
        self.end = self.capacity if self.compiled else self.length
        run = self.compiled_step or self.forward
        return run(tokens, positions, self.causal[positions])


class Transformers:
    """GPT2LMHeadModel as a person would call it."""

    def __init__(self, model, c):
        import transformers

        config = transformers.GPT2Config(
            vocab_size=c["vocab_size"], n_positions=c["max_position_embeddings"], n_embd=c["hidden_size"],
            n_layer=c["num_layers"], n_head=c["num_attention_heads"], n_inner=c["ffn_hidden_size"],
            layer_norm_epsilon=c["norm_eps"])
        self.model = transformers.GPT2LMHeadModel(config).eval().to(next(model.parameters()).dtype)

    def start(self, prompt):
        out = self.model(prompt, use_cache=True, logits_to_keep=1)
        self.past = out.past_key_values
        return out.logits[:, -1]

    def step(self, tokens):
        out = self.model(tokens, past_key_values=self.past, use_cache=True)
        self.past = out.past_key_values
        return out.logits[:, -1]


def is_gpt2(c):
    return (c["position"] == "learned" and c["norm"] == "layer" and c["activation"] == "gelu"
            and c["attention_bias"] == "all" and c["ffn_bias"] and c["tie_embeddings"] and c["num_experts"] == 0
            and c["num_key_value_heads"] == c["num_attention_heads"] and c["qk_norm"] == "none")


def decode_seconds(decoder, prompt, count):
    """Seconds of `count` tokens after the first, each the most likely one."""
    tokens = decoder.start(prompt).argmax(-1, keepdim=True)
    start = time.perf_counter()
    for _ in range(count):
        tokens = decoder.step(tokens).argmax(-1, keepdim=True)
    return time.perf_counter() - start


def candidates(c):
    def model():
        dtype = torch.bfloat16 if c["precision"] == "bf16" else torch.float32
        return torch_train.Model(c).eval().to(dtype)

    if is_gpt2(c):
        yield "transformers", lambda: Transformers(model(), c)
    yield "fixed cache", lambda: FixedCache(model(), c, False)
    if c["variant"] == "tuned" and c["num_experts"] == 0:
        yield "fixed cache, compiled", lambda: FixedCache(model(), c, True)


def choose(c, prompt):
    """The first that works by default, the fastest when tuned."""
    best, best_s, best_name = None, float("inf"), ""
    for name, make in candidates(c):
        try:
            decoder = make()
            decode_seconds(decoder, prompt, WARM_STEPS)
            seconds = decode_seconds(decoder, prompt, WARM_STEPS)
        except Exception as error:  # no transformers, or no compiler
            print(f"{name} is not available: {error}", file=sys.stderr)
            continue
        if seconds < best_s:
            best, best_s, best_name = decoder, seconds, name
        if c["variant"] != "tuned":
            break
    return best, best_name


def main():
    torch_train.end_with_parent()
    c = json.loads(sys.argv[1])
    torch.manual_seed(0)
    if c["num_threads"] > 0:
        torch.set_num_threads(c["num_threads"])
    if c["variant"] == "tuned":
        import torch._inductor.config as inductor

        inductor.freezing = True
        inductor.cpp_wrapper = True
    prompt = torch.randint(0, c["vocab_size"], (c["batch_size"], c["prompt_length"]))
    with torch.inference_mode() if c["variant"] != "tuned" else torch.no_grad():
        decoder, name = choose(c, prompt)
        print(json.dumps({"ready": True, "torch": torch.__version__, "threads": torch.get_num_threads(),
                          "model": name}), flush=True)
        for line in sys.stdin:
            word = line.split()
            if not word or word[0] != "run":
                break
            seconds = [decode_seconds(decoder, prompt, c["new_tokens"] - 1) for _ in range(int(word[1]))]
            print(json.dumps({"decode_s": seconds}), flush=True)


if __name__ == "__main__":
    main()
