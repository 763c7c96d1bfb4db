#!/usr/bin/env python3
"""Makes tests/golden/tokenizer/beginnings.json: what transformers puts before a text for a model.

  python make_beginnings.py tests/golden/tokenizer

Each case is llama.json of that folder with a post_processor and the settings of a tokenizer_config.json, and the
ids before those of the text: where there is a tokenizer.json, the settings change nothing. What comes behind the
text is left out: a text that goes on does not end.
"""
import itertools
import json
import os
import sys
import tempfile

from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer

TEXT = "the cat"
BEGIN, END = ("<s>", 1), ("</s>", 2)
TEMPLATE = processors.TemplateProcessing("<s> $A", special_tokens=[BEGIN])
PROCESSORS = [None, TEMPLATE,
              processors.TemplateProcessing("<s> <unk> $A </s>", special_tokens=[BEGIN, END, ("<unk>", 0)]),
              processors.TemplateProcessing("$A </s>", special_tokens=[END]),
              processors.Sequence([processors.ByteLevel(trim_offsets=False), TEMPLATE]),
              processors.RobertaProcessing(END, BEGIN), processors.BertProcessing(END, BEGIN),
              processors.ByteLevel(trim_offsets=False)]
SETTINGS = [{}, {"bos_token": "<s>"}, {"bos_token": "<s>", "add_bos_token": True},
            {"bos_token": "<s>", "add_bos_token": False}]


def beginning(folder, settings):
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as out:
        json.dump(dict(settings, tokenizer_class="PreTrainedTokenizerFast"), out)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(TEXT).input_ids
    plain = tokenizer(TEXT, add_special_tokens=False).input_ids
    return next(ids[:i] for i in range(len(ids)) if ids[i:i + len(plain)] == plain)


def main():
    folder = sys.argv[1]
    cases = []
    with tempfile.TemporaryDirectory() as temp:
        for processor, settings in itertools.product(PROCESSORS, SETTINGS):
            tokenizer = Tokenizer.from_file(os.path.join(folder, "llama.json"))
            if processor is not None:
                tokenizer.post_processor = processor
            tokenizer.save(os.path.join(temp, "tokenizer.json"))
            cases.append({"post_processor": json.loads(tokenizer.to_str())["post_processor"],
                          "settings": settings, "ids": beginning(temp, settings)})
    with open(os.path.join(folder, "beginnings.json"), "w", encoding="utf-8") as out:
        out.write("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "]\n")


if __name__ == "__main__":
    main()
