#!/usr/bin/env python3
"""Losses and gradients of small models, written in plain PyTorch from the papers' formulas.

    make_torch_models.py > tests/golden/nn/torch_models.json

A second implementation that shares nothing with the engine but names and shapes of the parameters:
autograd instead of hand-written backward, masks instead of first keys, a loop over experts instead of
sorted rows, all in f64. tests/core/nn/torch_models_test.cpp holds the engine against the file.
Weights follow from the name and the index of an element (torch_layers.weight), so the file holds none.
"""
import json
import sys

import torch

from torch_layers import scrambled
from torch_model import BATCH_SHARE, Model
from torch_model_configs import MODELS


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
