# Writes harness.json: tasks, and what EleutherAI's lm-evaluation-harness makes of them with a model of the tests.
#
#   pip install lm_eval==0.4.13 accelerate torch==2.15.0 transformers==5.23.0
#   go test ./steps/evaluate -run TestHarness -folder /tmp/fixture     # writes the model
#   python steps/evaluate/testdata/make_harness.py /tmp/fixture steps/evaluate/testdata/harness.json
import json
import os
import random
import sys
import tempfile

import torch
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
rand = random.Random(5)
adjectives, nouns = ["old", "grey", "small", "quiet"], ["furnace", "wren", "miller", "crow", "žluť 🐎"]
verbs, ends = ["sees", "feeds", "follows the long", "warms"], ["river", "house", "night", "stone", "cold night"]


def sentence():
    return f"The {rand.choice(adjectives)} {rand.choice(nouns)} {rand.choice(verbs)} the"


choices = []
for i in range(24):
    query = sentence() * (1 + i % 3)
    if i % 6 == 5:
        query += "  "  # white space belongs to the continuation
    if i % 8 == 7:
        query = ""  # the beginning-of-text token alone
    choices.append({"query": query, "choices": rand.sample(ends, 4), "gold": rand.randrange(4)})


def greedy(text):
    """The text with the model's likeliest next token, if that makes a new word that is read back as it is."""
    ids = [tokenizer.bos_token_id] + tokenizer.encode(text, add_special_tokens=False)
    with torch.no_grad():
        best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    more = text + tokenizer.decode([best])
    again = [tokenizer.bos_token_id] + tokenizer.encode(more, add_special_tokens=False)
    word = more[len(text):]
    if again == ids + [best] and word.startswith(" ") and word.strip() and " " not in word[1:] and word == word.rstrip():
        return more
    return None


words, hits = [], 0
while hits < 6:
    found = greedy(sentence() + rand.choice(["", " first", " long cold", "\n" + sentence(), " a b c " + str(rand.random())]))
    if found:
        words.append({"text": found})
        hits += 1
words += [{"text": sentence() + " " + rand.choice(ends)} for _ in range(6)]
rand.shuffle(words)

with tempfile.TemporaryDirectory() as dir:
    for name, items in (("choices", choices), ("words", words)):
        with open(os.path.join(dir, name + ".jsonl"), "w") as f:
            f.writelines(json.dumps(i) + "\n" for i in items)

    def task(name, **more):
        return {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": os.path.join(dir, name + ".jsonl")}},
            "test_split": "test",
            **more,
        }

    tasks = [
        task("choices", output_type="multiple_choice", doc_to_text="{{query}}", doc_to_choice="{{choices}}", doc_to_target="gold",
             metric_list=[{"metric": "acc"}, {"metric": "acc_norm"}]),
        task("words", output_type="loglikelihood", target_delimiter="", doc_to_text="{{text.split(' ')[:-1]|join(' ')}}",
             doc_to_target="{{' '+text.split(' ')[-1]}}",
             metric_list=[{"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}, {"metric": "acc"}]),
    ]
    lm = HFLM(pretrained=model, tokenizer=tokenizer, add_bos_token=True, batch_size=1, max_length=128, device="cpu")
    out = lm_eval.simple_evaluate(model=lm, tasks=tasks, task_manager=TaskManager(include_defaults=False), bootstrap_iters=10, log_samples=True)

got = {}
for name in ("choices", "words"):
    samples = sorted(out["samples"][name], key=lambda s: s["doc_id"])
    got[name] = {
        "figures": {k.split(",")[0]: v for k, v in out["results"][name].items() if isinstance(v, float)},
        "logp": [[r[0] for r in s["filtered_resps"]] for s in samples],
    }
with open(sys.argv[2], "w") as f:
    json.dump({"lm_eval": lm_eval.__version__, "choices": choices, "words": words, "harness": got}, f, indent=1)
