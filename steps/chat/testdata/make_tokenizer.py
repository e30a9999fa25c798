"""Writes the folder tokenizer beside this file: one token for each byte, and Llama 3's special tokens.

    pip install tokenizers==0.23.3 transformers==5.23.0
    python make_tokenizer.py
"""

import pathlib

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"]
vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(SPECIAL)
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1],
                               pad_token=SPECIAL[3], clean_up_tokenization_spaces=False)
fast.save_pretrained(pathlib.Path(__file__).parent / "tokenizer")
