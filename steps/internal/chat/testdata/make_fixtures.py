"""Writes the folder tokenizer and templates.json beside this file: what transformers makes of conversations.

    pip install tokenizers==0.23.3 transformers==5.23.0 jinja2==3.1.6
    python make_fixtures.py

tokenizer       tokens of bytes and the most frequent pairs of TEXT, with the control tokens of Llama 3 and ChatML
templates.json  templates of several kinds; for each conversation the text and the ids of apply_chat_template, with and
                without the opening of an answer; null where the template refuses it
"""

import json
import pathlib

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
           "<|python_tag|>", "<|finetune_right_pad_id|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
LLAMA3_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEXT = ["the old furnace keeps one heat for weeks and nobody remembers who lit it", "What is the answer? It is forty-two.",
        "system user assistant tool ipython", "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"] * 4

# Templates as published models have them, rewritten: the constructs are what matters.
TEMPLATES = {
    "llama3": """{{- bos_token }}
{%- set first = 0 %}
{%- if tools %}
    {{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {%- set first = 1 %}
        {{- messages[0]['content'] | trim + '\\n\\n' }}
    {%- endif %}
    {{- 'To call one of these functions, answer with {"name": its name, "parameters": its arguments} and nothing else.' }}
    {%- for tool in tools %}
        {{- '\\n\\n' + tool | tojson }}
    {%- endfor %}
    {{- '<|eot_id|>' }}
{%- endif %}
{%- for message in messages[first:] %}
    {%- set role = 'ipython' if message['role'] == 'tool' else message['role'] %}
    {{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + message['content'] | trim }}
    {%- for call in message.tool_calls or [] %}
        {%- set arguments = call.function.arguments if call.function.arguments is string else call.function.arguments | tojson %}
        {%- if message['content'] | trim or not loop.first %}
            {{- '\\n' }}
        {%- endif %}
        {{- '{"name": ' + call.function.name | tojson + ', "parameters": ' + arguments + '}' }}
    {%- endfor %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "chatml": """{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "llama3.1": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined and false %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "blocks": """{% for message in messages %}
    {% if loop.first and message.role != 'system' %}
<|im_start|>system
You help.<|im_end|>
    {% endif %}
<|im_start|>{{ message.role }}
{{ message.content.strip() }}<|im_end|>
{% endfor %}
{# lines of their own, as trim_blocks and lstrip_blocks have it #}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}""",
    "strict": """{{ bos_token }}{% set ns = namespace(system='', first=0) %}{% if messages[0]['role'] == 'system' %}{% set ns.first = 1 %}{% endif %}{% for message in messages %}{% if message['role'] == 'system' %}{% set ns.system = message['content'] + '\\n\\n' %}{% elif (message['role'] == 'user') != (loop.index0 % 2 == ns.first) %}{{ raise_exception('roles must alternate user/assistant') }}{% elif message['role'] == 'user' %}{{ '[INST] ' + ns.system + message['content'] | trim + ' [/INST]' }}{% set ns.system = '' %}{% elif message['role'] == 'assistant' %}{{ ' ' ~ message['content'].strip() ~ eos_token }}{% endif %}{% endfor %}""",
}
TEMPLATES["tools"] = """{%- if tools %}
    {{- '<|im_start|>system\\n' + (tools | tojson) }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- for tool_call in message.tool_calls %}
            {{- '\\n<tool_call>\\n{"name": "' + tool_call.function.name + '"}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TEMPLATES["lines"] = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
TEMPLATES["one line"] = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}"
                         "{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
                         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
# Calls as Llama 3.1 and Qwen 2.5 have them.
TEMPLATES["llama3.1 calls"] = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Answer with a call, as JSON.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
TEMPLATES["calls"] = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
        {%- for name, about in tool.function.parameters.properties.items() %}
            {{- "\\n" + name + ":" + about.type }}
            {%- if name in tool.function.parameters.required %}
                {{- " (required)" }}
            {%- endif %}
        {%- endfor %}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if tool_call.function is defined %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '\\n<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {{- tool_call.arguments | tojson }}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- elif not loop.first or message.role != 'system' or not tools %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
U, A, S, T = "user", "assistant", "system", "tool"
CONVERSATIONS = [
    [(U, "What is the answer?")],
    [(U, "What is the answer?"), (A, "It is forty-two.")],
    [(S, "You keep the furnace.  "), (U, "  Who lit it?\n"), (A, "\nnobody remembers\n\n"), (U, "and when?"), (A, "weeks ago")],
    [(U, "call the tool"), (A, '{"name": "heat", "degrees": 451}'), (T, '{"ok": "yes \\n é <b> \' "}'), (A, "done & <done>")],
    [(U, "ünïcödé 漢字 🙂\u2028"), (A, "{{ not a template }} {% if %} \\n\ttabs\r\nand 12345 lines")],
    [(U, "again"), (U, "and again"), (A, "two questions")],
    [(A, "I speak first."), (U, "why?")],
    [(U, "\x1c\u00a0both ends\u3000\x85"), (A, "\u2028\t and here\x1f\n")],
]

def call(name, arguments, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


HEAT = {"type": "function", "function": {"name": "heat", "description": "Heats the <furnace> & 'reports' \"é\".", "parameters": {
    "type": "object", "properties": {"zone": {"type": "string", "enum": ["top", "bottom"]}, "degrees": {"type": "number", "default": 1.5},
                                     "all": {"type": "boolean"}}, "required": ["zone", "degrees"]}}}
NOTHING = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}, "required": []}}}
# Dialogues with calls: messages, and the tools or none.
CALLS = [
    ([{"role": U, "content": "call the tool"},
      {"role": A, "content": "", "tool_calls": [call("heat", {"zone": "top \n'é'", "degrees": 451, "all": True, "more": [1, 2.0, 1e-7, 12345678901234567890, None, {}]})]},
      {"role": T, "content": "hot"}, {"role": A, "content": "done"}], [HEAT]),
    ([{"role": S, "content": " Be brief. "}, {"role": U, "content": "look, then heat"},
      {"role": A, "content": "I look.", "tool_calls": [call("look", {}, id="c1"), call("heat", {"zone": "b", "a": {"z": 1, "y": []}})]},
      {"role": T, "content": '{"seen": 1}'}, {"role": A, "content": "forty-two"}, {"role": U, "content": "again"}], [HEAT, NOTHING]),
    ([{"role": U, "content": "call the tool"}, {"role": A, "content": "", "tool_calls": [call("look", "{}")]}], None),
    ([{"role": U, "content": "no call"}, {"role": A, "content": "none"}], [NOTHING]),
]

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(
    vocab_size=400 + len(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
tokenizer.add_special_tokens(SPECIAL)
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>",
                               pad_token="<|pad|>", clean_up_tokenization_spaces=False)
fast.save_pretrained(HERE / "tokenizer")


def rendered(template, messages, opening, tools=None):
    try:
        text = fast.apply_chat_template(messages, tools=tools, chat_template=template, add_generation_prompt=opening, tokenize=False)
    except Exception:
        return None
    ids = fast.apply_chat_template(messages, tools=tools, chat_template=template, add_generation_prompt=opening, tokenize=True)
    return {"text": text, "ids": list(ids["input_ids"] if hasattr(ids, "keys") else ids)}


out = {"templates": TEMPLATES, "cases": []}
for name, template in TEMPLATES.items():
    for conversation in CONVERSATIONS:
        messages = [{"role": r, "content": c} for r, c in conversation]
        out["cases"].append({"template": name, "messages": messages, "closed": rendered(template, messages, False),
                             "open": rendered(template, messages, True)})
out["calls"] = []
for name in ("llama3", "llama3.1 calls", "calls"):
    for messages, tools in CALLS:
        out["calls"].append({"template": name, "messages": messages, "tools": tools, "closed": rendered(TEMPLATES[name], messages, False, tools),
                             "open": rendered(TEMPLATES[name], messages, True, tools)})
(HERE / "templates.json").write_text(json.dumps(out, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n")
