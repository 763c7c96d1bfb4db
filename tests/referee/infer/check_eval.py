#!/usr/bin/env python3
"""Scores of `teragpt eval` and text of `teragpt generate` are those of `transformers`.

    check_eval.py TERAGPT

Makes a random GPT-2 with a byte-level tokenizer, imports it with `teragpt convert`, and compares: summed
log-likelihoods through tasks (accuracies and perplexities over few-shot questions, choices longer than the
context, rolling windows over texts), losses of ids, and greedy text. What is expected is computed here from
the model's logits by the published rules (see core/infer/eval_task.h). Needs torch, transformers, tokenizers.
"""
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CONTEXT = 96
TOLERANCE = 1e-4  # nats per token, twice the error of f32 logits of this size


def make_tokenizer(folder):
    table = transformers.models.gpt2.tokenization_gpt2.bytes_to_unicode() if hasattr(
        transformers.models.gpt2.tokenization_gpt2, "bytes_to_unicode") else byte_table()
    vocab = {table[b]: b for b in range(256)}
    merges = [(table[32], table[ord(c)]) for c in "tasowbc"] + [("t", "h"), ("i", "n"), ("a", "n"), ("e", "r")]
    for left, right in merges:
        vocab[left + right] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def byte_table():
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for b in range(256):
        table[b] = chr(b) if b in printable else chr(256 + extra)
        extra += b not in printable
    return table


class Expected:
    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.eod = tokenizer.token_to_id("<|endoftext|>")

    def encode(self, text):
        return self.tokenizer.encode(text).ids

    def score(self, context, continuation):
        """Sum of log-probabilities and whether all tokens are the most likely ones."""
        tokens = (context + continuation)[-(CONTEXT + 1):][:-1]
        logits = self.model(torch.tensor([tokens])).logits[0, -len(continuation):, : self.tokenizer.get_vocab_size()]
        logprobs = logits.double().log_softmax(-1)
        targets = torch.tensor(continuation)
        greedy = bool((logits.argmax(-1) == targets).all())
        return logprobs.gather(1, targets[:, None]).sum().item(), greedy

    def pair(self, context, continuation):
        stripped = context.rstrip()
        continuation = context[len(stripped):] + continuation
        if not stripped:
            return [self.eod], self.encode(continuation)
        own = self.encode(stripped)
        return own, self.encode(stripped + continuation)[len(own):]

    def rolling(self, text):
        tokens, total, done = self.encode(text), 0.0, 0
        while done < len(tokens):
            part = tokens[done: done + CONTEXT]
            end = done + len(part)
            context = [self.eod] if done == 0 else tokens[end - CONTEXT - 1: done]
            total += self.score(context, part)[0]
            done = end
        return total, len(tokens)


def close(name, got, expected, tolerance):
    off = abs(got - expected)
    print(f"{name}: {got:.6f}, expected {expected:.6f}")
    if off > tolerance:
        sys.exit(f"{name} is {off:.2e} off, allowed are {tolerance:.2e}")


def main():
    teragpt = sys.argv[1]
    torch.manual_seed(1)
    words = "the cat sat on a mat while it was raining in town and other people ran there".split()
    rnd = random.Random(5)
    phrase = lambda n: " ".join(rnd.choice(words) for _ in range(n))
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = pathlib.Path(name)
        (folder / "hf").mkdir()
        tokenizer = make_tokenizer(folder / "hf")
        config = transformers.GPT2Config(vocab_size=tokenizer.get_vocab_size(), n_positions=CONTEXT, n_embd=48,
                                         n_layer=2, n_head=4, initializer_range=0.2)
        model = transformers.GPT2LMHeadModel(config).eval()
        model.save_pretrained(folder / "hf")
        expected = Expected(model, tokenizer)
        run = lambda *a: json.loads(subprocess.run([teragpt, *a, "--json"], check=True, capture_output=True,
                                                   text=True).stdout)
        subprocess.run([teragpt, "convert", str(folder / "hf"), "--from", "hugging-face", "-o", str(folder / "ckpt")],
                       check=True, capture_output=True)
        ckpt = str(folder / "ckpt")

        questions = [{"query": phrase(rnd.randint(1, 40)) + rnd.choice(["", " "]),
                      "choices": [phrase(rnd.randint(1, 12)) for _ in range(4)], "gold": rnd.randrange(4)}
                     for _ in range(40)]
        (folder / "q.jsonl").write_text("\n".join(map(json.dumps, questions)))
        (folder / "q.yaml").write_text("format: multiple_choice\ndata: q.jsonl\nfew_shot: 2\ndescription: 'Choose. '\n")
        shots, right = random.Random(1234), {"acc": 0, "acc_norm": 0, "acc_bytes": 0}
        for q in questions:
            drawn = [e for e in shots.sample(questions, 3) if e != q][:2]
            head = "Choose. " + "".join(e["query"] + " " + e["choices"][e["gold"]] + "\n\n" for e in drawn)
            ll = [expected.score(*expected.pair(head + q["query"], " " + c))[0] for c in q["choices"]]
            by = {"acc": ll, "acc_norm": [v / len(c) for v, c in zip(ll, q["choices"])],
                  "acc_bytes": [v / len(c.encode()) for v, c in zip(ll, q["choices"])]}
            for key, values in by.items():
                right[key] += max(range(4), key=lambda i: values[i]) == q["gold"]
        metrics = run("eval", ckpt, "--task", str(folder / "q.yaml"))["rows"][0]["metrics"]
        for key, count in right.items():
            close(key, metrics[key]["value"], count / len(questions), 1e-12)

        texts = [phrase(rnd.randint(2, 60)) for _ in range(20)]
        (folder / "l.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
        (folder / "l.yaml").write_text("format: lambada\ndata: l.jsonl\n")
        (folder / "t.yaml").write_text("format: text\ndata: l.jsonl\n")
        scores = [expected.score(*expected.pair(*[t.rsplit(" ", 1)[0], " " + t.rsplit(" ", 1)[1]])) for t in texts]
        rows = run("eval", ckpt, "--task", str(folder / "l.yaml"), "--task", str(folder / "t.yaml"))["rows"]
        mean = sum(s for s, _ in scores) / len(scores)
        close("log perplexity", math.log(rows[0]["metrics"]["perplexity"]["value"]), -mean, 5 * TOLERANCE)
        close("last words said", rows[0]["metrics"]["acc"]["value"], sum(g for _, g in scores) / len(scores), 1e-12)
        rolled = [expected.rolling(t) for t in texts]
        nats = -sum(s for s, _ in rolled)
        close("loss", rows[1]["metrics"]["loss"]["value"], nats / sum(n for _, n in rolled), TOLERANCE)
        size = sum(len(t.encode()) for t in texts)
        close("bits per byte", rows[1]["metrics"]["bits_per_byte"]["value"], nats / size / math.log(2), TOLERANCE)

        ids = [[rnd.randrange(256) for _ in range(CONTEXT)] for _ in range(3)]
        (folder / "ids.json").write_text(json.dumps(ids))
        got = run("eval", ckpt, "--tokens", str(folder / "ids.json"))["rows"][0]["metrics"]["loss"]["value"]
        losses = [model(torch.tensor([s]), labels=torch.tensor([s])).loss.item() for s in ids]
        close("loss of ids", got, sum(losses) / len(losses), TOLERANCE)

        prompt = phrase(5)
        made = run("generate", ckpt, "--prompt", prompt, "--max-tokens", "40", "--temperature", "0")
        tokens = torch.tensor([expected.encode(prompt)])
        out = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=40, do_sample=False,
                             eos_token_id=expected.eod, pad_token_id=expected.eod)[0, tokens.shape[1]:].tolist()
        if [t for t in out if t != expected.eod] != made["tokens"]:
            sys.exit(f"generated {made['tokens']}, expected {out}")
        print(f"{len(made['tokens'])} tokens of greedy text agree")


if __name__ == "__main__":
    main()
