#!/usr/bin/env python3
"""Writes library.json and variants.json: what Hugging Face's tokenizers does with the texts below.

    pip install tokenizers==0.23.3 tiktoken==0.14.0
    python gen_fixtures.py [folder with cl100k_base.tiktoken.gz and r50k_base.tiktoken.gz]

library.json   trained on DOCS with each of our rules: the merges, and the ids of TEXTS
variants.json  small tokenizer.json files with parts that published ones have, and the ids of TEXTS
tiktoken.json  (with the folder only) ids of TEXTS under the published vocabularies
"""
import base64
import gzip
import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])

CODE = """package furnace

import "fmt"

// A Furnace keeps one heat for weeks. It doesn't cool unless it's told to.
type Furnace struct {
\tName        string
\tTemperature float64 // degrees
\tlog         []string
}

func (f *Furnace) Heat(degrees float64) error {
\tif degrees <= 0 {
\t\treturn fmt.Errorf("cannot heat by %v degrees", degrees)
\t}
\tfor i := 0; i < 10; i++ {
\t\tf.Temperature += degrees / 10
\t\tf.log = append(f.log, fmt.Sprintf("step %03d: %.2f", i, f.Temperature))
\t}
\treturn nil
}

def heat(furnace, degrees=451.5):
    \"\"\"Heat slowly, then report.\"\"\"
    for step in range(1000):
        furnace["temperature"] += degrees / 1000.0
        if furnace["temperature"] >= 1234567890:
            raise ValueError(f"too hot: {furnace['temperature']!r}")
    return {k: v for k, v in furnace.items() if v is not None}
"""
PROSE = """The old furnace stood in the cellar, and nobody remembered who had lit it. "It's been burning since before I was
born," said the keeper, "and it'll burn when I'm gone; we've never let it die. They're afraid it'd never light again."
He'd feed it twice a day: 12 shovels in the morning, 7 at night, 6,935 in a year. The heat rose through the house, and the
house was warm. In winter the children came down to sit by the furnace and to hear the stories that the keeper told about
the furnace, the heat, and the houses which had gone cold. I'VE SEEN IT, HE SAID, AND YOU'LL SEE IT TOO.
"""
SCRIPTS = [
    "Der Ofen hält die Hitze wochenlang; die Größe des Feuers bleibt gleich. Übermäßige Kälte schadet.",
    "Le fourneau garde la chaleur pendant des semaines, même l'hiver. L'été, on l'éteint à peine.",
    "Печь держит жар неделями. Печь держит жар, и дом остаётся тёплым.",
    "Ο κλίβανος κρατά τη θερμότητα για εβδομάδες. Η θερμότητα μένει.",
    "炉子连续几个星期保持同样的温度。炉子很热，房子很暖和。",
    "炉は何週間も同じ熱を保つ。カマドのそばで子どもたちは話を聞く。",
    "화로는 몇 주 동안 같은 열을 유지한다. 화로가 뜨겁다.",
    "الفرن يحفظ الحرارة لأسابيع. الفُرنُ حارٌّ جدًّا.",
    "התנור שומר על החום במשך שבועות. שָׁלוֹם לבית.",
    "भट्ठी हफ्तों तक गर्मी बनाए रखती है। क्षत्रिय हिन्दी १२३४।",
    "เตาเผารักษาความร้อนไว้ได้นานหลายสัปดาห์ ๑๒๓",
    "Lò giữ nhiệt hàng tuần liền. Nhiệt độ vẫn không đổi.",
    "\U0001f600\U0001f525\U0001f525 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd \u2764\ufe0f 1\ufe0f\u20e3",
    "e\u0301 o\u0302 n\u0303 Z\u0351\u036b\u0343A\u0321L\u0355G\u0316O\u0301 \u00e9 \u00f4 \u00f1",
    "\ufeffA mark at the start, \ufeff and one within\ufeff",
    "line\u2028separator\u2029paragraph\u0085next\u00a0no-break\u3000wide\u200bzero",
    "one\r\ntwo\r\n\r\nthree\rfour\n\n\n  five  \n\t\tsix \t\r\n",
    "0 00 000 0000 00000 123456789012345 3.14159 1e-10 0xDEADBEEF \u00bd \u2168 \u0663\u0664\u0665 \u2460\u2461",
    "    four\n        eight\n                sixteen\n" + " " * 33 + "thirty-three" + "\t" * 9 + "nine tabs" + "\n" * 12 + "end",
    "'s 'S 't 'RE 'Ve 'm 'LL 'd don't DON'T \u2019s '\u017f '\u212a can''t 're're",
    "a_b-c/d\\e|f=g==h!=i&&j||k->l::m...n??? --- ***bold*** `code` ```\nfence\n```\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa abababababababababab " + "=" * 70 + "\n" + "-" * 65 + "\n",
    "\U0001d400\U0001d401\U0001d7d8\U0001d7d9 \U00020000\U0002a6df \u1c89 \U000105c0\U00010d40 \U0010ffff \ue000",
    "",
    " ",
    "  ",
    "\n",
    "x",
    "\x00\x01\x1b[0m\x7f",
]
DOCS = [CODE, PROSE] + [CODE.replace("furnace", w).replace("Furnace", w.title()) for w in ("kiln", "oven", "athanor")] + [
    PROSE.replace("furnace", "stove").replace("keeper", "baker"), PROSE.lower()] + SCRIPTS * 2

TEXTS = SCRIPTS + [CODE, PROSE] + [
    "Something that was not in the text: zebra quixotic vexing jumps. Jmenuji se Žofie, mám 3 kočky.",
    "trailing   ", "trailing\n   ", "trailing \n\n \n", "\n  \n x", " \u00a0\n\u2003y", "\t\u3000z", "(paren) [b]{c}<d>",
    "x" * 300, "\u6f22" * 60, "word" * 40 + " " * 200 + "!" * 130, "the the the the\u0301", "\u0301start", "a\u200db",
]


def byte_level_only():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level_only()])


def train(pre, vocab_size, normalizer=None):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre
    if normalizer is not None:
        t.normalizer = normalizer
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(DOCS, trainers.BpeTrainer(
        vocab_size=vocab_size, show_progress=False, special_tokens=[], min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def ids(t, texts, **kw):
    return [t.encode(s, add_special_tokens=False, **kw).ids for s in texts]


def dump(name, value):
    path = HERE / name
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


library = {"docs": DOCS, "texts": TEXTS, "trained": []}
for name, pre in (("llama3", split(LLAMA3)), ("gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False)), ("cl100k", split(CL100K))):
    t = train(pre, 700)
    merges = json.loads(t.to_str())["model"]["merges"]
    library["trained"].append({
        "pattern": name, "vocab_size": t.get_vocab_size(), "merges": [" ".join(m) for m in merges], "ids": ids(t, TEXTS)})
dump("library.json", library)

MARKED = TEXTS + [
    "<|im_start|>user\nHi<|im_end|> <|im_start|", "a <mask> b<mask>c", "x  <strip>  y <strip>\n", "wordword word, _word_ word",
    "caf\u00e9 cafe\u0301 <e\u0301> <\u00e9>", "<tool><tool_call></tool>", "<|im_end|><|im_end|>", "tool<|im_start|>word",
]


def variant(name, t):
    for token in (AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True),
                  AddedToken("<tool>", special=False, normalized=False), AddedToken("<tool_call>", special=False, normalized=False),
                  AddedToken("<mask>", special=True, lstrip=True), AddedToken("<strip>", special=False, lstrip=True, rstrip=True),
                  AddedToken("word", special=False, single_word=True), AddedToken("<e\u0301>", special=False, normalized=True)):
        if token.special:
            t.add_special_tokens([token])
        else:
            t.add_tokens([token])
    out = {"name": name, "tokenizer": json.loads(t.to_str()), "special": ids(t, MARKED)}
    t.encode_special_tokens = True
    out["plain"] = ids(t, MARKED)
    return out


def legacy_merges(v):
    m = v["tokenizer"]["model"]
    m["merges"] = [" ".join(p) for p in m["merges"]]
    return v


def ignoring_merges(t):
    state = json.loads(t.to_str())
    state["model"]["ignore_merges"] = True
    state["model"]["vocab"]["xxxxxxxx" + "x" * 292] = len(state["model"]["vocab"])
    return Tokenizer.from_str(json.dumps(state))


dump("variants.json", {"texts": MARKED, "variants": [
    variant("qwen2", train(split(QWEN2), 330, normalizers.NFC())),
    legacy_merges(variant("gpt2, merges as strings", train(pre_tokenizers.ByteLevel(add_prefix_space=False), 330))),
    variant("roberta, a space before", train(pre_tokenizers.ByteLevel(add_prefix_space=True), 320)),
    variant("llama3, ignore_merges", ignoring_merges(train(split(LLAMA3), 320))),
    variant("starcoder, digits", train(pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), 320)),
    variant("o200k, by regexp2", train(split(O200K), 320)),
    variant("deepseek, several splits", train(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"), pre_tokenizers.Split(Regex("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), "isolated"),
        pre_tokenizers.Split(Regex(r"[!-/:-~]+[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
        byte_level_only()]), 320)),
]})

if len(sys.argv) > 1:
    import tiktoken

    rules = {
        "cl100k_base": r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s""",
        "r50k_base": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    }
    out = {"texts": TEXTS}
    for name, rule in rules.items():
        with gzip.open(pathlib.Path(sys.argv[1]) / (name + ".tiktoken.gz"), "rt") as f:
            ranks = {base64.b64decode(a): int(b) for a, b in (line.split() for line in f)}
        t = tiktoken.Encoding(name, pat_str=rule, mergeable_ranks=ranks, special_tokens={})
        out[name] = [t.encode(s) for s in TEXTS]
    dump("tiktoken.json", out)
