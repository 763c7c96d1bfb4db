"""Four steps of every optimizer on random tensors, by torch.optim where it has the optimizer.

    python tests/referee/train/make_optimizer_steps.py tests/golden/train/optimizer_steps.json

Lion is its formula (Chen et al. 2023, algorithm 2). Muon is torch.optim.Muon with the Newton-Schulz
iteration in float32; the script checks that torch's own, in bfloat16, is as near as bfloat16 is. A
stack of matrices (experts; q, k, v in one tensor) is one tensor each for Muon and Adafactor.
"""

import json
import sys

import torch
from torch.optim import _muon

STEPS = 4
RATE = 0.02
DECAY = 0.1
SCALE = 0.5  # what clipping multiplies gradients with
# name: shape, rows of the matrices stacked in it
TENSORS = {
    "wide": ([3, 8], [3]),
    "tall": ([9, 4], [9]),
    "stacked": ([8, 5], [4, 2, 2]),
    "experts": ([2, 4, 3], [2, 2]),
    "vector": ([7], []),
}


def parts_of(name, tensor, stacks):
    shape, rows = TENSORS[name]
    if len(shape) == 1:
        return [tensor]
    flat = tensor.reshape(-1, shape[-2], shape[-1])
    return [p for matrix in flat for p in (matrix.split(rows) if stacks else [matrix])]


def joined(name, parts):
    return torch.cat([p.reshape(-1) for p in parts]).reshape(TENSORS[name][0])


def newton_schulz_f32(grad, coefficients, steps, eps):
    a, b, c = coefficients
    x = grad.clone()
    tall = x.size(0) > x.size(1)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def run(make, stacks, weights, gradients, decoupled_outside=False):
    parameters = {
        n: [torch.nn.Parameter(p.clone()) for p in parts_of(n, w, stacks)] for n, w in weights.items()
    }
    optimizers = [make(n, ps) for n, ps in parameters.items()]
    for step in gradients:
        for name, ps in parameters.items():
            for p, g in zip(ps, parts_of(name, step[name] * SCALE, stacks)):
                p.grad = g.clone()
                if decoupled_outside:
                    p.data.mul_(1 - RATE * DECAY)
        for optimizer in optimizers:
            optimizer.step()
    return {n: joined(n, [p.data for p in ps]) for n, ps in parameters.items()}


class Lion(torch.optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            m = self.state[p].setdefault("m", torch.zeros_like(p))
            direction = 0.9 * m + 0.1 * p.grad
            p.sub_(RATE * (direction.sign() + DECAY * p))
            m.mul_(0.99).add_(0.01 * p.grad)


def muon(adjust, nesterov=True):
    def make(name, ps):
        if len(TENSORS[name][0]) == 1:
            return torch.optim.AdamW(ps, lr=RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=DECAY)
        return torch.optim.Muon(
            ps, lr=RATE, weight_decay=DECAY, nesterov=nesterov, adjust_lr_fn=adjust)

    return make


def sgd(momentum, nesterov):
    return lambda name, ps: torch.optim.SGD(ps, lr=RATE, momentum=momentum, nesterov=nesterov)


def main(path):
    random = torch.Generator().manual_seed(7)
    draw = lambda shape: torch.randn(shape, generator=random)
    weights = {n: draw(shape) for n, (shape, _) in TENSORS.items()}
    gradients = [{n: draw(shape) for n, (shape, _) in TENSORS.items()} for _ in range(STEPS)]
    adamw = lambda name, ps: torch.optim.AdamW(
        ps, lr=RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=DECAY)
    adafactor = lambda name, ps: torch.optim.Adafactor(
        ps, lr=RATE, beta2_decay=-0.8, d=1.0, weight_decay=DECAY)
    results = {
        "adamw": run(adamw, False, weights, gradients),
        "lion": run(lambda name, ps: Lion(ps), False, weights, gradients),
        "adafactor": run(adafactor, False, weights, gradients),
        "sgd": run(sgd(0, False), False, weights, gradients, True),
        "sgd momentum": run(sgd(0.9, False), False, weights, gradients, True),
        "sgd nesterov": run(sgd(0.9, True), False, weights, gradients, True),
    }
    bf16 = {a: run(muon(a), True, weights, gradients) for a in ("original", "match_rms_adamw")}
    _muon._zeropower_via_newtonschulz = newton_schulz_f32
    for adjust, near in bf16.items():
        exact = results[f"muon {adjust}"] = run(muon(adjust), True, weights, gradients)
        for name in TENSORS:
            moved = (exact[name] - weights[name]).norm()
            assert (near[name] - exact[name]).norm() < 0.03 * moved, (adjust, name)
    results["muon plain momentum"] = run(
        muon("match_rms_adamw", False), True, weights, gradients)
    numbers = lambda tensors: {n: [round(x, 9) for x in t.flatten().tolist()] for n, t in tensors.items()}
    document = {
        "torch": torch.__version__,
        "learning_rate": RATE,
        "weight_decay": DECAY,
        "grad_scale": SCALE,
        "tensors": {n: {"shape": s, "row_parts": r} for n, (s, r) in TENSORS.items()},
        "weights": numbers(weights),
        "gradients": [numbers(g) for g in gradients],
        "results": {n: numbers(r) for n, r in results.items()},
    }
    with open(path, "w") as file:
        text = json.dumps(document, indent=1)
        # One line per tensor.
        lines, depth = [], 0
        for line in text.split("\n"):
            stripped = line.strip()
            if depth and not stripped.startswith("]"):
                lines[-1] += stripped.replace(",", ", ") if stripped.endswith(",") else stripped
            elif depth:
                lines[-1] += stripped
            else:
                lines.append(line)
            if stripped.endswith("[") and not stripped.startswith('"gradients"'):
                depth = 1
            elif stripped.startswith("]"):
                depth = 0
        file.write("\n".join(lines) + "\n")


main(sys.argv[1])
