"""Experts, and the losses of a whole model."""
import math

import torch
import torch.nn.functional as F

from torch_layers import Layers

BATCH_SHARE = 0.5  # of the micro-batch in its batch: what the losses of the router are multiplied by


class Model(Layers):
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
