"""What is in the loss, proven by decoding exactly what is left unmasked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train_world import TURN, WRONG, load_policy_tokenizer, make_doubt, make_row

from butwait.trainer.examples import IGNORED, Chat, ChatEncoder, Example, read_chat

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
OPENS_THOUGHT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
STRIPS_THOUGHT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TRIMS = CHATML.replace("{{ m.content }}", "{{ m.content | trim }}")
NO_END = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def encode(row: Any, mask: str = "none", template: str | None = None) -> tuple[Any, Example]:
    tokenizer = load_policy_tokenizer()
    if template is not None:
        tokenizer.chat_template = template
    encoder = ChatEncoder(tokenizer, {tokenizer.eos_token_id}, mask)
    return tokenizer, encoder.encode(read_chat(row, 0))


def read_loss(tokenizer: Any, example: Example) -> str:
    """Decode the tokens in the loss."""
    return str(tokenizer.decode([label for label in example.labels if label != IGNORED]))


def test_the_loss_is_the_assistants_text_and_its_end_token() -> None:
    row = make_row(3)
    tokenizer, example = encode(row)
    assert read_loss(tokenizer, example) == row["completion"][0]["content"] + "<|end|>"
    assert tokenizer.decode(example.input_ids) == tokenizer.apply_chat_template(
        row["messages"], tokenize=False
    )
    assert example.has_thought and example.has_end and example.n_straddling == 0


def test_a_masked_wrong_branch_leaves_transition_and_answer() -> None:
    row = make_doubt(4)
    tokenizer, example = encode(row, "wrong")
    assert (
        read_loss(tokenizer, example) == row["completion"][0]["content"][len(WRONG) :] + "<|end|>"
    )


def test_a_masked_transition_leaves_the_answer_alone() -> None:
    row = make_doubt(4)
    tokenizer, example = encode(row, "wrong_and_transition")
    text = row["completion"][0]["content"]
    assert read_loss(tokenizer, example) == text[len(WRONG + TURN) :] + "<|end|>"


def test_masked_tokens_are_still_read() -> None:
    _, masked = encode(make_doubt(4), "wrong")
    _, whole = encode(make_doubt(4))
    assert masked.input_ids == whole.input_ids


def test_all_assistant_turns_are_in_the_loss() -> None:
    said = [("user", "1 + 1?"), ("assistant", "2"), ("user", "2 + 2?"), ("assistant", "4")]
    row = {"messages": [{"role": role, "content": text} for role, text in said]}
    tokenizer, example = encode(row)
    assert read_loss(tokenizer, example) == "2<|end|>4<|end|>"


def test_what_follows_the_end_token_is_not_in_the_loss() -> None:
    row = make_row(3)
    tokenizer, example = encode(row, template=CHATML)
    assert read_loss(tokenizer, example) == row["completion"][0]["content"] + "<|end|>"
    assert tokenizer.decode(example.input_ids).endswith("<|end|>\n")


def test_a_thought_that_the_template_opens_is_in_the_loss_after_its_marker() -> None:
    row = make_row(3, "<think>\n3 + 1 = 4\n</think>\n4", [{"start": 8, "end": 17, "role": "path"}])
    tokenizer, example = encode(row, template=OPENS_THOUGHT)
    assert read_loss(tokenizer, example) == "3 + 1 = 4\n</think>\n4<|end|>"
    assert example.has_thought


def test_spans_hold_where_the_template_trims_the_text() -> None:
    text = f"\n\n{WRONG}{TURN}\n\nSo 4.  "
    a, b = 2 + len(WRONG), 2 + len(WRONG + TURN)
    spans = [{"start": 0, "end": a, "role": "wrong_branch"}, {"start": a, "end": b, "role": "path"}]
    tokenizer, example = encode(make_row(3, text, spans), "wrong", TRIMS)
    assert read_loss(tokenizer, example) == f"{TURN}\n\nSo 4.<|end|>"
    assert example.has_thought


def test_a_template_that_drops_the_thought_is_seen() -> None:
    row = make_row(3, "<think>3 + 1 = 4</think>4")
    _, example = encode(row, template=STRIPS_THOUGHT)
    assert not example.has_thought


def test_a_template_without_an_end_token_is_seen() -> None:
    _, example = encode(make_row(3), template=NO_END)
    assert example.has_thought and not example.has_end


def test_a_template_that_refuses_is_told_with_its_words() -> None:
    refuses = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ValueError, match="roles must alternate"):
        encode(make_row(3), template=refuses)


def test_a_tokenizer_that_puts_a_blank_before_pieces_is_used_on_the_whole_text() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    vocabulary = {token: i for i, token in enumerate(["<end>", "▁", "<u>", "<a>", *letters])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    inner.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<u>", "<a>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<u>' if m.role == 'user' else '<a>' }}{{ m.content }}<end>"
        "{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
    )
    chat = read_chat({"prompt": "one two", "completion": "three four"}, 7)
    assert chat.id == "row 7"
    example = ChatEncoder(tokenizer, {0}).encode(chat)
    letters_in_loss = [tokenizer.convert_ids_to_tokens(i) for i in example.labels if i != IGNORED]
    assert "".join(letters_in_loss).replace("▁", " ").strip() == "three four<end>"


def test_conversations_of_from_and_value_are_read_with_their_system_prompt() -> None:
    turns = [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}]
    chat = read_chat({"system": "Be short.", "conversations": turns}, 0)
    assert [(m["role"], m["content"]) for m in chat.messages] == [
        ("system", "Be short."),
        ("user", "1 + 1?"),
        ("assistant", "2"),
    ]
    own = [{"from": "user", "value": "a"}, {"from": "assistant", "value": "b"}]
    chat = read_chat({"system": None, "conversations": own}, 0)
    assert [m["role"] for m in chat.messages] == ["user", "assistant"]


def test_a_text_that_also_stands_in_the_turns_head_is_masked_where_it_stands() -> None:
    tokenizer = load_policy_tokenizer()
    for text in ("a", "ant", "s", "|"):
        span = {"start": 0, "end": len(text), "role": "wrong_branch"}
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]
        chat = Chat("x", turns, [span])
        example = ChatEncoder(tokenizer, {tokenizer.eos_token_id}, "wrong").encode(chat)
        assert read_loss(tokenizer, example) == "<|end|>"


texts = st.text(st.sampled_from("Step 1:2+=45.\nabcWait,é"), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.tuples(texts, st.sampled_from(["path", "wrong_branch"])), min_size=1))
def test_what_is_unmasked_is_what_no_masked_span_touches(parts: list[tuple[str, str]]) -> None:
    spans, at = [], 0
    for text, role in parts:
        spans.append({"start": at, "end": at + len(text), "role": role})
        at += len(text)
    content = "".join(text for text, _ in parts)
    tokenizer = load_policy_tokenizer()
    chat = Chat(
        "x", [{"role": "user", "content": "?"}, {"role": "assistant", "content": content}], spans
    )
    example = ChatEncoder(tokenizer, {tokenizer.eos_token_id}, "wrong").encode(chat)
    kept = read_loss(tokenizer, example)
    wanted = "".join(text for text, role in parts if role == "path")
    # Whole tokens only: those over a border are left out, so what is kept is a part of the rest.
    left = iter(wanted + "<|end|>")
    assert example.n_straddling or kept == wanted + "<|end|>"
    assert all(letter in left for letter in kept.replace("\ufffd", ""))
