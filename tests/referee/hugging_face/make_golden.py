#!/usr/bin/env python3
"""Tiny random models of every supported family, made and trained with `transformers` (Grok-1 with grok_1.py).

    make_golden.py tests/golden/hugging_face [FAMILY...]

For each family a folder with what `save_pretrained` writes (config.json, model.safetensors) and
  logits.safetensors     tokens [B, S] and the logits [B, S, V] of them
  gradients.safetensors  of the mean cross-entropy of the next token, every parameter (buffers: 0)
  adamw.safetensors      the weights after five AdamW steps on the same batch
Names in the last two are those in memory: experts are stacked there, which import must read as well.
tests/core/train/transformers_models_test.cpp holds the engine against these files. Weights depend on the
name and shape of a parameter only, so a file changes only when the model does. All in fp32 on one thread.
"""
import hashlib
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

import grok_1  # noqa: F401: registers itself

BATCH, LENGTH = 2, 16
STEPS = 5
ADAMW = dict(lr=5e-3, betas=(0.9, 0.95), eps=1e-5)  # as transformers_models_test.cpp, which says why
WEIGHT_DECAY = 0.1

BASE = dict(vocab_size=40, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=0, pad_token_id=None)
MOE = dict(num_experts_per_tok=2, output_router_logits=False)
LATENT = dict(num_key_value_heads=4, kv_lora_rank=10, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5,
              rms_norm_eps=1e-6, first_k_dense_replace=1, moe_intermediate_size=8, n_routed_experts=4,
              num_experts_per_tok=2)
YARN = dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16,
            beta_fast=4.0, beta_slow=1.0)
FAMILIES = {
    "gpt2": dict(model_type="gpt2", vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=4, n_inner=24,
                 resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0),
    "gpt_neox": dict(BASE, model_type="gpt_neox", num_attention_heads=2, num_key_value_heads=None,
                     intermediate_size=24, rms_norm_eps=None, layer_norm_eps=1e-5,
                     rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.25)),
    "llama": dict(BASE, model_type="llama", tie_word_embeddings=True, max_position_embeddings=256, head_dim=8,
                  rope_parameters=dict(rope_type="llama3", rope_theta=1e4, factor=8.0, low_freq_factor=1.0,
                                       high_freq_factor=4.0, original_max_position_embeddings=128)),
    "llama_bias_yarn": dict(BASE, model_type="llama", attention_bias=True, mlp_bias=True, head_dim=8,
                            rope_parameters=YARN),
    "llama_linear": dict(BASE, model_type="llama",
                         rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.0)),
    "mistral": dict(BASE, model_type="mistral", sliding_window=5),
    "mixtral": dict(BASE, **MOE, model_type="mixtral", intermediate_size=8, num_local_experts=4),
    "qwen2": dict(BASE, model_type="qwen2", tie_word_embeddings=True),
    "qwen3": dict(BASE, model_type="qwen3", head_dim=8),
    "qwen2_moe": dict(BASE, **MOE, model_type="qwen2_moe", num_experts=4, moe_intermediate_size=8,
                      shared_expert_intermediate_size=16, mlp_only_layers=[0]),
    "qwen3_moe": dict(BASE, **MOE, model_type="qwen3_moe", head_dim=8, num_experts=4, moe_intermediate_size=8,
                      norm_topk_prob=True),
    "qwen3_moe_dense": dict(BASE, **MOE, model_type="qwen3_moe", head_dim=8, num_experts=4,
                            moe_intermediate_size=8, num_hidden_layers=3, decoder_sparse_step=2),
    "olmo2": dict(BASE, model_type="olmo2"),
    "olmoe": dict(BASE, **MOE, model_type="olmoe", intermediate_size=8, num_experts=4),
    "deepseek_v2": dict(BASE, **dict(LATENT, n_routed_experts=8), model_type="deepseek_v2", q_lora_rank=None,
                        n_shared_experts=2, topk_method="group_limited_greedy", n_group=4, topk_group=2,
                        routed_scaling_factor=1.5),
    "deepseek_v3": dict(BASE, **dict(LATENT, n_routed_experts=8), model_type="deepseek_v3", q_lora_rank=14,
                        n_shared_experts=1, n_group=4, topk_group=2, num_mtp_layers=0,
                        rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
    "grok_1": dict(BASE, model_type="grok-1", intermediate_size=8, num_experts=4, num_experts_per_tok=2,
                   attn_output_multiplier=0.4, max_attn_value=1.5, embedding_multiplier_scale=7.5,
                   output_multiplier_scale=0.5773502691896257),
}


def generator(name):
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
    return torch.Generator().manual_seed(seed)


def randomise(model):
    """Matrices of unit gain, routers sharper so that choices are not near ties, norms and biases off their start."""
    for name, value in sorted(list(model.named_parameters()) + list(model.named_buffers())):
        if value.dtype != torch.float32 or "inv_freq" in name:
            continue
        noise = torch.randn(value.shape, generator=generator(name))
        if "norm" in name or ".ln_" in name:
            noise = (0.0 if name.endswith("bias") else 1.0) + 0.2 * noise
        elif "mlp.gate.weight" in name or "moe_block.gate.weight" in name:
            noise = 0.5 * noise
        else:
            noise = 0.2 * noise
        with torch.no_grad():
            value.copy_(noise)


def loss_of(logits, tokens):
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def clone(model, value_of):
    """value_of of every parameter, and the buffers that files hold."""
    values = {name: value_of(p).detach().clone().contiguous() for name, p in model.named_parameters()}
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            values[name] = value_of(buffer).detach().clone()
    return values


def make(name, settings, folder):
    settings = {key: value for key, value in settings.items() if value is not None or key == "q_lora_rank"}
    settings = dict(settings)
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.eval()
    randomise(model)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    tokens = torch.randint(0, config.vocab_size, (BATCH, LENGTH), generator=generator("tokens"))
    logits = model(tokens, use_cache=False).logits
    save_file({"tokens": tokens.to(torch.int32), "logits": logits.detach()}, folder / "logits.safetensors")
    loss_of(logits, tokens).backward()
    save_file(clone(model, lambda p: torch.zeros_like(p) if p.grad is None else p.grad),
              folder / "gradients.safetensors")

    groups = [dict(params=[p for p in model.parameters() if p.ndim >= 2], weight_decay=WEIGHT_DECAY),
              dict(params=[p for p in model.parameters() if p.ndim < 2], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, foreach=False, **ADAMW)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model(tokens, use_cache=False).logits, tokens)
        loss.backward()
        optimizer.step()
    save_file(clone(model, lambda p: p), folder / "adamw.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    count = sum(p.numel() for p in model.parameters())
    print(f"{name}: {count} parameters, loss after {STEPS} steps {loss:.4f}, {size / 1000:.0f} kB")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    out = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or FAMILIES:
        make(name, FAMILIES[name], out / name)


if __name__ == "__main__":
    main()
