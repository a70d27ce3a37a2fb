"""Where a trace states its final answer."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.transforms.answers import all_boxed, extract_answer, final_part, last_boxed

SPANS = [
    (r"so $\boxed{\frac{3}{4}}$.", r"\frac{3}{4}"),
    (r"\boxed{\text{set } \{1, 2\}}", r"\text{set } \{1, 2\}"),
    (r"\fbox{12}", "12"),
    (r"\boxed 7", "7"),
    (r"first \boxed{1}, then \boxed{x^{2^{3}}}", "x^{2^{3}}"),
]


@pytest.mark.parametrize(("text", "inside"), SPANS)
def test_the_last_box_is_found_with_its_span(text: str, inside: str) -> None:
    box = last_boxed(text)
    assert box is not None
    assert box.text == inside
    assert text[box.start : box.end].startswith("\\")
    assert inside in text[box.start : box.end]


@pytest.mark.alone
def test_a_long_text_of_words_that_might_take_back_is_read_in_linear_time() -> None:
    for word in ("should ", "incorrec ", "is not ", "tell sure certain "):
        text = "\\boxed{5} " + word * (1_500_000 // len(word))
        start = time.process_time()
        assert extract_answer(text).state == "found"
        assert time.process_time() - start < 1


LABELS = [
    "La réponse est 7.", "Réponse : 7", "Respuesta: 7", "La respuesta final es 7.", "Resposta: 7",
    "Risposta: 7", "Die Antwort lautet 7.", "Antwort: 7", "Ответ: 7", "答案是7。", "答：7",
]  # fmt: skip


@pytest.mark.parametrize("text", LABELS)
def test_a_label_in_another_language_states_the_answer(text: str) -> None:
    found = extract_answer(f"2 + 5 = 7, 3 + 4 = 7\n\n{text}")
    assert (found.state, found.text) == ("found", "7")


def test_an_unclosed_box_is_no_answer() -> None:
    text = r"so \boxed{\frac{1}{2"
    assert last_boxed(text) is None
    assert not all_boxed(text)[-1].closed
    assert extract_answer(text).state == "unclosed"


def test_an_unclosed_box_after_a_closed_one_is_reported_as_unclosed() -> None:
    assert extract_answer(r"\boxed{3} and again \boxed{3").rule == "unclosed_box"


def test_escaped_braces_do_not_close_a_box() -> None:
    box = last_boxed(r"\boxed{\{1,2\}} \}")
    assert box is not None
    assert box.text == r"\{1,2\}"


FOUND = [
    (r"Wait. \boxed{5}. The sign was wrong, so $\boxed{7}$.", "7", "box"),
    (r"The solutions are $\boxed{81}$ and $\boxed{256}$.", "81, 256", "joined_boxes"),
    (r"\boxed{2} or \boxed{3}", "2, 3", "joined_boxes"),
    (r"\boxed{1}, \boxed{2}, and \boxed{3}", "1, 2, 3", "joined_boxes"),
    (r"<think>\boxed{1}</think> It is \boxed{2}.", "2", "box"),
    ("<think>maybe 4</think>\n<answer>5</answer>", "5", "tag"),
    (r"<answer>The answer is \boxed{5}</answer>", "5", "box"),
    ("<|begin_of_thought|> 3? <|end_of_thought|> <|begin_of_solution|> \\boxed{4} "
     "<|end_of_solution|>", "4", "box"),
    ("The final answer is $12$. I hope it is correct.", "$12$", "label"),
    ("Thus the answer is 3.5 because it fits.", "3.5", "label"),
    ("**Final Answer**\n\n32", "32", "label"),
    ("### Answer\n\\[ x = 3 \\]", "x = 3", "label"),
    ("ANSWER: 18 apples", "18 apples", "label"),
    ("She has 9 * 2 = 18\nA: 18", "18", "label"),
    ("#### 1,234", "1,234", "label"),
    ("Answer: (B)", "(B)", "label"),
    ("We compute.\n\n**D**", "D", "line"),
    ("We compute.\n\n$x = 4$", "$x = 4$", "line"),
    ("We compute.\n42", "42", "line"),
    ("We compute.\nTherefore, the total is 42.", "42", "conclusion"),
    ("We compute.\nThus $x = 4$.", "$x = 4$", "conclusion"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answer", "rule"), FOUND)
def test_a_stated_answer_is_found_by_its_rule(text: str, answer: str, rule: str) -> None:
    found = extract_answer(text)
    assert (found.state, found.text, found.rule) == ("found", answer, rule)


MISSING = [
    ("", "none"),
    ("I do not see how.", "none"),
    (r"<think>\boxed{5} and then", "none"),
    (r"<think>\boxed{5}</think>", "none"),
    (r"<think>a</think>b<think>\boxed{5}", "none"),
    (r"\boxed{}", "none"),
    ("<answer>5", "unclosed"),
    ("The answer is either 5 or 7.", "hedged"),
    ("The answer might be 5.", "hedged"),
    (r"It is \boxed{5}. Wait, that is wrong.", "hedged"),
    ("We set\n\\[\n5N =", "none"),
    ("so we look at\n(0, 0", "none"),
    ("We go on.\nSo x = 3 or perhaps x = 4.", "hedged"),
    ("We go on.\nTherefore it follows that she is right.", "none"),
    ("Expanding\n(4-2t)^2 = 16 - 16t", "none"),
]


@pytest.mark.parametrize(("text", "state"), MISSING)
def test_a_trace_without_a_settled_answer_says_why(text: str, state: str) -> None:
    assert extract_answer(text).state == state


NEGATED = [
    r"It is not \boxed{4}.",
    r"The answer is not equal to $\boxed{4}$.",
    "It is **not**\n\\[\n\\boxed{4}\n\\]",
    r"\(\text{not }\boxed{4}\)",
    r"So it isn't \boxed{4}.",
    r"It can’t be \boxed{4}.",
    r"The value cannot be \(\boxed{4}\).",
    r"I doubt it is \boxed{4}.",
    r"I don't think that the answer is \boxed{4}.",
    r"It is 5 rather than \boxed{4}.",
    r"We want 5 instead of the expected \boxed{4}.",
    r"The answer is \boxed{5}, not \boxed{4}.",
    r"It is not \boxed{3} or \boxed{4}.",
    r"<answer>not \boxed{4}</answer>",
]


@pytest.mark.parametrize("text", NEGATED)
def test_a_box_that_is_denied_or_doubted_is_no_answer(text: str) -> None:
    found = extract_answer(text)
    assert (found.state, found.rule, found.text) == ("hedged", "negated", None)


NOT_REACHED = [
    r"The answer is not an integer; it is \boxed{4}.",
    r"It is not 5 but \boxed{4}.",
    r"It is not. \boxed{4}",
    "That is not the answer.\n\n\\boxed{4}",
    r"Since $n$ is not divisible by 3, we get \boxed{4}.",
    r"The number not in the set is \boxed{4}.",
    r"It cannot exceed \boxed{4}.",
    r"It cannot be less than \boxed{4}.",
    r"Whether or not \boxed{4}",
    r"Rather than 5, the answer is \boxed{4}.",
    r"Instead of 5 we get \boxed{4}.",
    r"There is no doubt that it is \boxed{4}.",
    r"I doubt 5, but it is \boxed{4}.",
    r"I do not think it is 5; it is \boxed{4}.",
]


@pytest.mark.parametrize("text", NOT_REACHED)
def test_a_negation_that_does_not_reach_the_box_leaves_it_the_answer(text: str) -> None:
    found = extract_answer(text)
    assert (found.state, found.text) == ("found", "4")


def test_a_withdrawn_box_gives_way_to_the_corrected_statement() -> None:
    found = extract_answer(r"\boxed{5}. Wait, I dropped a sign. The answer is 7.")
    assert (found.state, found.text) == ("found", "7")


def test_a_prefilled_thought_counts_when_the_caller_puts_it_back() -> None:
    completion = r"let me see \boxed{3}"
    assert extract_answer(completion).state == "found"
    assert extract_answer("<think>" + completion).rule == "unfinished_thought"


def test_the_last_closing_tag_ends_the_thought() -> None:
    assert final_part("a</think>b</think>c") == ("c", 18)


def test_stop_tokens_are_no_part_of_the_answer() -> None:
    found = extract_answer("It follows.\n12<|im_end|>")
    assert found.text == "12"


@given(st.text(alphabet="\\boxed{}<think/>answer is 12.$\n", max_size=300))
def test_extraction_is_total_and_its_box_span_lies_in_the_text(text: str) -> None:
    found = extract_answer(text)
    assert 0 <= found.start <= found.end <= len(text)
    assert (found.text is None) == (found.state != "found")


@given(st.recursive(st.sampled_from(["x", "1", "+", r"\{"]), lambda s: s.map("{{{}}}".format)))
def test_any_balanced_content_comes_back_from_its_box(inside: str) -> None:
    box = last_boxed(rf"so \boxed{{{inside}}} done")
    assert box is not None
    assert box.text == inside


HOSTILE = [
    "\\boxed{" * 30_000,
    "{" * 200_000,
    "answer is " * 40_000,
    "<answer>" * 40_000,
    "<think>" * 40_000,
    "\\boxed{1} " * 40_000,
    "wait " * 80_000 + "\\boxed{1}" + " wait" * 80_000,
    "$" * 200_000,
    "the final " * 50_000,
    "\\boxed{1}" + " " * 300_000 + "\\boxed{2}",
    "not the " * 40_000 + "\\boxed{1}",
    "i doubt " * 40_000 + "\\boxed{1}",
    "not" + "$" * 200_000 + "\\boxed{1}",
]


@pytest.mark.alone
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_extraction_takes_linear_time_on_hostile_text(text: str) -> None:
    start = time.perf_counter()
    extract_answer(text)
    assert time.perf_counter() - start < 1.0


def test_every_reference_solution_of_math_states_its_answer(shared_data: Path) -> None:
    lines = (shared_data / "math500" / "math500_even.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 250
    assert all(extract_answer(row["solution"]).state == "found" for row in rows)
