#!/usr/bin/env python3
"""Makes tests/golden/tokenizer: tiny tokenizers of the shapes that published models have, and what the
`tokenizers` package makes of hard texts with them.

  python make_golden.py tests/golden/tokenizer

Byte fallback with "\u2581" for spaces, by the normalizer (Llama-2, Mixtral; also as older files have it, with
added tokens behind the normalizer, and with merges across words), by Metaspace at the beginning of the text
(Mistral 0.3) or before each word; and the sequences of Split of DeepSeek-V2 and V3. All are trained on the text
below. Needs the Python package `tokenizers`.
"""
import json
import os
import random
import sys

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = ["the cat sat on the mat and the dog ran to the other dogs in the garden",
        "numbers 12 and 345 and 6789, signs (a+b)*c = d; \"quotes\" and 'single' ones!",
        "def f(x):\n    return x + 1\n\n\nclass A:\n\tpass\n", "  two  spaces   three    four",
        "das M\u00e4dchen f\u00e4hrt nach K\u00f6ln", "\u4f60\u597d\u4e16\u754c \u6771\u4eac \u3053\u3093\u306b\u3061\u306f \u30ab\u30bf\u30ab\u30ca",
        "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?"] * 4
MARK = "\u2581"
SPECIAL = ["<unk>", "<s>", "</s>"]
DEEPSEEK_V2 = [
    "[\r\n]",
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d"
    "\u2c00-\u2c7b\ua640-\ua66d\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f]+",
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    "\\s+$",
    "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"]
DEEPSEEK_V3 = [
    "\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]


def split_sequence(patterns, *more):
    splits = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    return pre_tokenizers.Sequence([*splits, *more, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(pre_tokenizer, vocab):
    """As DeepSeek has it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"]
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=names, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return json.loads(tokenizer.to_str())


def byte_fallback(vocab, across_words=False):
    """As SentencePiece models become: special tokens, the bytes, then what was trained."""
    tokenizer = Tokenizer(models.BPE())
    if not across_words:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f"{MARK}+[^{MARK}]*"), "isolated")
    texts = [MARK + text.replace(" ", MARK) for text in TEXT]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab, limit_alphabet=60, show_progress=False))
    trained = json.loads(tokenizer.to_str())["model"]
    names = SPECIAL + [f"<0x{b:02X}>" for b in range(256)] + sorted(trained["vocab"], key=trained["vocab"].get)
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)},
                                     merges=[tuple(m) for m in trained["merges"]], unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(SPECIAL)
    return json.loads(tokenizer.to_str())


def with_metaspace(file, scheme, split):
    file = json.loads(json.dumps(file))
    file["normalizer"] = None
    file["pre_tokenizer"] = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": split}
    return file


def behind_normalizer(file):
    file = json.loads(json.dumps(file))
    for token in file["added_tokens"]:
        token["normalized"] = True
    return file


def tokenizer_files():
    llama = byte_fallback(380)
    return {"llama": llama,
            "llama_older": behind_normalizer(llama),
            "across_words": byte_fallback(420, across_words=True),
            "mistral": with_metaspace(llama, "first", False),
            "metaspace": with_metaspace(llama, "always", True),
            "deepseek_v2": byte_level(split_sequence(DEEPSEEK_V2, pre_tokenizers.Digits(individual_digits=True)), 340),
            "deepseek_v3": byte_level(split_sequence(DEEPSEEK_V3), 340)}


def hard_texts(seed, count):
    """Random text of the characters that normalizers and patterns trip over, tokens of all the files included."""
    rng = random.Random(seed)
    pool = ["'", "'s", "the", " the", "cat", "Dog", " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u0085", "\u2003",
            "\u3000", "a", "B", "\u00e9", "e\u0301", "\u00df", "\u0436", "\u4e2d", "\u6587", "\u3042", "\u30a2", "\ud55c",
            "\u0627", "0", "12", "345", "6789", "\u0663", "\u2167", "\u00bd", "_", "-", ".", "...", "!?", "$", "+x",
            "\u20ac", "\u3002", "\uff01", "\u201c", "\U0001f600", "\u200b", "\u200d", "\ufeff", "\x00", "\x7f", "\ufffd",
            "\U0001d4b3", "\u0300", "\u0903", "\u1ab0", MARK, MARK + "a", "<s>", "</s>", " </s> ", "<0x41>",
            "<\uff5cend\u2581of\u2581sentence\uff5c>"]
    for _ in range(count):
        yield "".join(rng.choice(pool) for _ in range(rng.randint(1, 24)))


PLAIN = ["", " ", "the cat sat on the mat", " the  cat", "</s>the cat</s> the dog", "f(x) + 1\n\n  y\n", "x \n", "end  ",
         "na\u00efve \u4f60\u597d12345", "\u2581the\u2581cat", "a\u0301b \u0301c", "1234567 apples"]


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name, file in tokenizer_files().items():
        tokenizer = Tokenizer.from_str(json.dumps(file))
        cases = []
        for text in PLAIN + list(hard_texts(5, 60)):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids})
            if name != "llama_older":  # the package shows tokens behind the normalizer with a mark of their own
                cases[-1]["decoded"] = tokenizer.decode(ids, skip_special_tokens=False)
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as out:
            json.dump(file, out, ensure_ascii=True, separators=(",", ":"))
            out.write("\n")
        with open(os.path.join(folder, name + ".cases.json"), "w", encoding="utf-8") as out:
            json.dump(cases, out, ensure_ascii=True, separators=(",", ":"))
            out.write("\n")


if __name__ == "__main__":
    main()
