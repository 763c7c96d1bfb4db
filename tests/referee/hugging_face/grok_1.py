"""Grok-1 in PyTorch, for make_golden.py and check_export.py: `transformers` has no such model.

Written from the published description of the model (github.com/xai-org/grok-1, model.py) with the names of the
published files in the library's form (huggingface.co/hpcai-tech/grok-1). Importing this registers it:
AutoModelForCausalLM makes, writes and reads it like the library's own.
"""
import torch
import transformers
from torch import nn


class Grok1Config(transformers.PretrainedConfig):
    model_type = "grok-1"

    def __init__(self, vocab_size=131072, hidden_size=6144, intermediate_size=32768, num_hidden_layers=64,
                 num_attention_heads=48, num_key_value_heads=8, attn_output_multiplier=0.08838834764831845,
                 max_attn_value=30.0, max_position_embeddings=8192, embedding_multiplier_scale=78.38367176906169,
                 output_multiplier_scale=0.5773502691896257, rms_norm_eps=1e-5, tie_word_embeddings=True,
                 num_experts_per_tok=2, num_experts=8, router_aux_loss_coef=0.001, **more):
        settings = dict(locals())
        for key in ("self", "more", "tie_word_embeddings", "__class__"):
            settings.pop(key)
        for key, value in settings.items():
            setattr(self, key, value)
        super().__init__(tie_word_embeddings=tie_word_embeddings, **more)


class Norm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.eps = config.rms_norm_eps

    def forward(self, x):
        return self.scale * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def turned(x):
    """x [B, S, heads, D], pairs (i, i + D / 2) turned by position * 10000^(-2 i / D)."""
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = torch.arange(x.shape[1], dtype=torch.float32)[:, None, None] * frequency
    low, high = x[..., :half], x[..., half:]
    return torch.cat([low * angle.cos() - high * angle.sin(), high * angle.cos() + low * angle.sin()], -1)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dim = config.hidden_size // config.num_attention_heads
        self.multiplier, self.most = config.attn_output_multiplier, config.max_attn_value
        keys = config.num_key_value_heads * self.dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x):
        q, k, v = (proj(x).unflatten(-1, (-1, self.dim)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        repeat = q.shape[2] // k.shape[2]
        q, k, v = turned(q), turned(k).repeat_interleave(repeat, 2), v.repeat_interleave(repeat, 2)
        scores = self.multiplier * torch.einsum("bqhd,bkhd->bhqk", q, k)
        scores = self.most * torch.tanh(scores / self.most)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        weights = torch.softmax(scores.masked_fill(later, -torch.inf), -1)
        return self.o_proj(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))


class Expert(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.linear = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.linear_v = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.linear_1 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        return self.linear_1(nn.functional.gelu(self.linear(x), approximate="tanh") * self.linear_v(x))


class MoeBlock(nn.Module):
    """Every expert computes every token; those not chosen have weight 0."""

    def __init__(self, config):
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = nn.ModuleList(Expert(config) for _ in range(config.num_experts))

    def forward(self, x):
        probabilities = torch.softmax(self.gate(x), -1)
        values, chosen = probabilities.topk(self.top_k, -1)
        weights = torch.zeros_like(probabilities).scatter(-1, chosen, values)
        return sum(weights[..., e, None] * expert(x) for e, expert in enumerate(self.experts))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attn, self.moe_block = Attention(config), MoeBlock(config)
        self.pre_attn_norm, self.post_attn_norm = Norm(config), Norm(config)
        self.pre_moe_norm, self.post_moe_norm = Norm(config), Norm(config)

    def forward(self, x):
        x = x + self.post_attn_norm(self.attn(self.pre_attn_norm(x)))
        return x + self.post_moe_norm(self.moe_block(self.pre_moe_norm(x)))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.multiplier = config.embedding_multiplier_scale
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = Norm(config)

    def forward(self, tokens):
        x = self.multiplier * self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Grok1ModelForCausalLM(transformers.PreTrainedModel):
    config_class = Grok1Config
    base_model_prefix = "model"
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config):
        super().__init__(config)
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.model.embed_tokens

    def get_output_embeddings(self):
        return self.lm_head

    def forward(self, tokens, use_cache=False):
        logits = self.config.output_multiplier_scale * self.lm_head(self.model(tokens))
        return transformers.modeling_outputs.CausalLMOutput(logits=logits)


transformers.AutoConfig.register("grok-1", Grok1Config)
transformers.AutoModelForCausalLM.register(Grok1Config, Grok1ModelForCausalLM)
