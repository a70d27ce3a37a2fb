"""The verifier under TRL, inspect_ai and lighteval: their own code calls it, where it is there."""

from __future__ import annotations

import math
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from butwait.schemas.errors import ConfigError
from butwait.schemas.verdict import VERDICT_NAMES, Verdict, VerdictName
from butwait.trainer.pocket.measure import read_questions
from butwait.trainer.pocket.model import CHECKPOINTS, load_checkpoint
from butwait.trainer.pocket.tokens import SYSTEM
from butwait.transforms.verify import Check, Limits, stop_workers
from butwait.transforms.verify.adapters.outcome import describe, is_scored, list_golds, verify_any
from butwait.transforms.verify.adapters.trl_reward import accuracy_reward, completion_text

# Two names of one eighth, of which only a symbolic worker can tell.
EIGHTH, COSINES = r"\frac18", r"\cos\frac{\pi}{7}\cos\frac{2\pi}{7}\cos\frac{3\pi}{7}"
MUCH_TIME = Limits(worker_s=30.0)
NO_TIME = Limits(worker_s=0.0001)
third_party_warnings = pytest.mark.filterwarnings("ignore")


def verdict(name: VerdictName, rule: str = "value") -> Verdict:
    return Verdict(verdict=name, rule=rule, verifier_version="0")


# -- what they share ------------------------------------------------------------------------------


def test_what_is_not_the_models_doing_is_unscored() -> None:
    scored = {name for name in VERDICT_NAMES if is_scored(verdict(name))}
    assert scored == {"correct", "incorrect", "no_answer", "ambiguous", "truncated"}
    assert not is_scored(verdict("ambiguous", "undecided"))
    assert not is_scored(verdict("ambiguous", "option"))


@pytest.mark.parametrize(
    ("golds", "answer", "expected"),
    [
        (["3", "4"], r"\boxed{4}", "correct"),
        (["3", "4"], r"\boxed{5}", "incorrect"),
        (["proof", "4"], r"\boxed{5}", "incorrect"),
        (["proof", "4"], r"\boxed{4}", "correct"),
        (["proof", ""], r"\boxed{4}", "gold_unusable"),
        (["3", EIGHTH], rf"\boxed{{{COSINES}}}", "timeout"),
    ],
)
def test_any_one_gold_answer_will_do(golds: list[str], answer: str, expected: str) -> None:
    [found] = verify_any([[Check(gold, answer) for gold in golds]], NO_TIME)
    assert found.verdict == expected


def test_predictions_keep_their_order_whatever_their_number_of_golds() -> None:
    several = [Check(gold, "Answer: 2") for gold in ("1", "2")]
    groups = [[Check("1", r"\boxed{1}")], several, [Check("3", r"\boxed{4}")]]
    assert [found.verdict for found in verify_any(groups)] == ["correct", "correct", "incorrect"]


def test_a_cell_may_hold_a_number_several_golds_or_nothing() -> None:
    assert list_golds(0.5) == ["0.5"]
    assert list_golds(("a", 2)) == ["a", "2"]
    assert list_golds(None) == list_golds([]) == [""]
    assert list_golds(["2 + 3 = 5\n#### 5", r"so \boxed{5}"]) == ["5", r"so \boxed{5}"]
    assert describe(Verdict(verdict="error", rule="worker", detail="lost", verifier_version="0"))


def test_the_verifier_and_the_reward_import_no_other_library() -> None:
    code = (
        "import sys, butwait.transforms.verify\n"
        "assert not [m for m in sys.modules if 'adapters' in m and 'butwait' in m]\n"
        "import butwait.transforms.verify.adapters.trl_reward\n"
        "heavy = {'trl', 'torch', 'transformers', 'inspect_ai', 'lighteval', 'sympy', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- TRL ------------------------------------------------------------------------------------------


def test_a_reward_tells_right_from_wrong_in_texts_and_in_messages() -> None:
    texts = [r"So $\boxed{\frac12}$.", "The answer is 2.", "I cannot say."]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    for completions in (texts, messages):
        reward = accuracy_reward("answer")
        assert reward(["?"] * 3, completions, answer=[0.5, 0.5, 0.5]) == [1.0, 0.0, 0.0]


def test_a_gold_column_may_hold_whole_solutions_or_several_answers() -> None:
    solutions = [r"1 + 1 = 2, so \boxed{2}.", ["7", "8"], "proof", None]
    rewards = accuracy_reward()(
        ["?"] * 4, [r"\boxed{2}", r"\boxed{8}", "2", "2"], solution=solutions
    )
    assert rewards == [1.0, 1.0, None, None]


def test_what_is_not_the_models_doing_has_no_reward() -> None:
    reward = accuracy_reward("answer", limits=NO_TIME)
    assert reward(["?"], [rf"\boxed{{{COSINES}}}"], answer=[EIGHTH]) == [None]
    for found in (verdict("error"), verdict("ambiguous", "undecided"), verdict("gold_unusable")):
        assert reward.reward(found) is None
    assert reward.reward(verdict("ambiguous", "hedged")) == 0.0


def test_every_verdict_about_the_model_has_a_reward_of_its_own() -> None:
    reward = accuracy_reward(correct=2.0, incorrect=-1.0, no_answer=-2.0, truncated=-0.5)
    names: tuple[VerdictName, ...] = ("correct", "incorrect", "no_answer", "truncated")
    assert [reward.reward(verdict(name)) for name in names] == [2.0, -1.0, -2.0, -0.5]


def test_a_completion_of_the_longest_length_is_cut_and_not_wrong() -> None:
    reward = accuracy_reward("answer", max_completion_length=4)
    texts = ["Now add", "Now add", r"So \boxed{5}"]
    ids = [[1, 2, 3, 4], [1, 2, 3], [1, 2, 3, 4]]
    assert reward(["?"] * 3, texts, ids, answer=["5"] * 3) == [None, 0.0, 1.0]


def test_a_thought_that_the_template_opened_is_no_answer() -> None:
    text = r"That gives \boxed{5}. Now test it with"
    assert accuracy_reward("answer")(["?"], [text], answer=["5"]) == [1.0]
    assert accuracy_reward("answer", prefix="<think>")(["?"], [text], answer=["5"]) == [None]
    closed = r"Maybe 4.</think>So \boxed{5}."
    assert accuracy_reward("answer", prefix="<think>")(["?"], [closed], answer=["5"]) == [1.0]


def test_the_assistants_last_message_counts() -> None:
    said = [
        {"role": "assistant", "content": r"\boxed{1}", "tool_calls": []},
        {"role": "tool", "content": r"\boxed{2}"},
        {"role": "assistant", "content": [{"type": "text", "text": "3"}, {"type": "image"}]},
    ]
    assert completion_text(said) == "3"
    assert completion_text(said[1:2]) == ""
    assert completion_text([{"role": "assistant", "content": None}], "<think>") == "<think>"
    split = {"role": "assistant", "content": "5", "reasoning_content": "2 + 3"}
    assert completion_text([split], "<think>") == "5"


def test_a_problem_column_connects_letters_with_values() -> None:
    problem = "Which is even? (A) 3 (B) 4 (C) 5"
    columns = {"answer": ["B"], "problem": [problem]}
    assert accuracy_reward("answer")(["?"], [r"\boxed{4}"], **columns) == [0.0]
    with_problem = accuracy_reward("answer", problem_column="problem")
    assert with_problem(["?"], [r"\boxed{4}"], **columns) == [1.0]


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(
        ConfigError, match=re.escape("'solution' to the reward (it passes: answer)")
    ):
        accuracy_reward()(["?"], ["5"], answer=["5"], trainer_state=None)


def test_a_reward_pickles_under_its_name_and_works_in_threads() -> None:
    reward = pickle.loads(pickle.dumps(accuracy_reward("answer", name="exact", limits=MUCH_TIME)))
    assert reward.__name__ == "exact"
    with ThreadPoolExecutor(4) as threads:
        pairs = [rf"\boxed{{{COSINES}}}", r"\boxed{4}"]
        calls = [threads.submit(reward, ["?"] * 2, pairs, answer=[EIGHTH] * 2) for _ in range(8)]
        assert [call.result() for call in calls] == [[1.0, 0.0]] * 8


def train_pocket_model(trainer_name: str, folder: Path, root: Path) -> list[dict[str, Any]]:
    """The log of two steps of a TRL trainer on the pocket model."""
    pytest.importorskip("trl", reason="trl is not installed (butwait[train])")
    import trl
    from datasets import Dataset

    model, tokenizer = load_checkpoint(CHECKPOINTS / "policy")
    pairs = read_questions(root / "pipelines/pocket/data/test.jsonl")[:4]
    system = {"role": "system", "content": SYSTEM}
    rows = [
        {"prompt": [system, {"role": "user", "content": problem}], "answer": gold}
        for problem, gold in pairs
    ]
    rows[0]["answer"] = "proof"
    n_tokens = 34  # some completions are cut
    config = getattr(trl, f"{trainer_name}Config")(
        output_dir=str(folder),
        max_steps=2,
        per_device_train_batch_size=16,
        num_generations=8,
        max_completion_length=n_tokens,
        use_cpu=True,
        bf16=False,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
        log_completions=True,
        num_completions_to_print=0,
        seed=0,
    )
    trainer = getattr(trl, f"{trainer_name}Trainer")(
        model,
        reward_funcs=accuracy_reward("answer", max_completion_length=n_tokens, name="exact"),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    return list(trainer.state.log_history[:2])


@third_party_warnings
@pytest.mark.slow
@pytest.mark.parametrize("trainer_name", ["GRPO", "RLOO"])
def test_trl_means_over_the_scored_completions_and_logs_every_verdict(
    trainer_name: str, tmp_path: Path, root: Path
) -> None:
    logs = train_pocket_model(trainer_name, tmp_path, root)
    assert logs[0]["verdicts/exact/gold_unusable"] == 0.5
    for log in logs:
        shares = {name: log[f"verdicts/exact/{name}"] for name in VERDICT_NAMES}
        assert sum(shares.values()) == pytest.approx(1)
        right, wrong = shares["correct"], shares["incorrect"] + shares["no_answer"]
        assert log["rewards/exact/mean"] == pytest.approx(right / (right + wrong))


@third_party_warnings
@pytest.mark.slow
def test_trl_keeps_unscored_completions_out_of_the_gradient(tmp_path: Path, root: Path) -> None:
    train_pocket_model("GRPO", tmp_path, root)
    import pandas

    paths = sorted(tmp_path.glob("completions/*.parquet"))
    table = pandas.concat([pandas.read_parquet(path) for path in paths])
    unscored = table[table["exact"].isna()]
    assert set(unscored["exact/verdict"]) == {"gold_unusable", "truncated"}
    assert (unscored["advantage"] == 0).all()
    mixed = 0
    for start in range(0, len(table), 8):
        scored = table.iloc[start : start + 8].dropna(subset="exact")
        if 1 < len(scored) < 8:
            mixed += 1
            rewards = scored["exact"]
            alone = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
            assert scored["advantage"].tolist() == pytest.approx(alone.tolist(), abs=1e-3)
    assert mixed > 0


# -- inspect_ai -----------------------------------------------------------------------------------

INSPECT_CASES = [
    ("What is 1/2 + 1/4?", r"\frac34", r"So \boxed{0.75}.", "stop", "C"),
    ("Which?", ["7", "8"], "Answer: 8", "stop", "C"),
    ("Which is even? (A) 3 (B) 4", "B", r"\boxed{4}", "stop", "C"),
    ("Simplify.", EIGHTH, rf"\boxed{{{COSINES}}}", "stop", "C"),
    ("Which?", ["7", "8"], "Answer: 9", "stop", "I"),
    ("Which?", "3", "I do not know.", "stop", "N"),
    ("Which?", "3", "Let us see: 1 +", "max_tokens", "N"),
    ("Prove it.", "proof", "Done.", "stop", None),
]


@third_party_warnings
@pytest.mark.slow
def test_inspect_scores_an_evaluation_and_leaves_the_unscored_out(tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai", reason="inspect_ai is not installed")
    import inspect_ai
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.solver import generate

    from butwait.transforms.verify.adapters.inspect_scorer import verified_answer

    samples = [Sample(input=case[0], target=case[1]) for case in INSPECT_CASES]
    outputs = [ModelOutput.from_content("m", case[2], case[3]) for case in INSPECT_CASES]
    for output in outputs:  # without a usage, the mock fetches a tokenizer
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    [log] = inspect_ai.eval(
        inspect_ai.Task(dataset=samples, solver=generate(), scorer=verified_answer(worker_s=30.0)),
        model=get_model("mockllm/model", custom_outputs=outputs),
        max_connections=1,
        display="none",
        log_dir=str(tmp_path),
    )
    assert log.status == "success", log.error
    scores = [next(iter(sample.scores.values())) for sample in log.samples]
    values = [score.value if isinstance(score.value, str) else None for score in scores]
    assert values == [case[4] for case in INSPECT_CASES]
    verdicts = [score.metadata["verdict"] for score in scores]
    assert verdicts[-3:] == ["no_answer", "truncated", "gold_unusable"]
    [result] = log.results.scores
    assert (result.scored_samples, result.unscored_samples) == (7, 1)
    assert result.metrics["accuracy"].value == pytest.approx(4 / 7)


@pytest.mark.alone
@third_party_warnings
def test_inspects_event_loop_runs_on_while_a_check_takes_its_time() -> None:
    pytest.importorskip("inspect_ai", reason="inspect_ai is not installed")
    import asyncio
    import time

    from inspect_ai.model import ModelName, ModelOutput
    from inspect_ai.scorer import Target
    from inspect_ai.solver import TaskState

    from butwait.transforms.verify.adapters.inspect_scorer import verified_answer

    outputs = [ModelOutput.from_content("m", rf"\boxed{{{COSINES} + {n} - {n}}}") for n in range(4)]

    async def score_and_watch() -> tuple[list[Any], float]:
        states = [
            TaskState(ModelName("mockllm/model"), n, 1, "?", [], output=output)
            for n, output in enumerate(outputs)
        ]
        score = verified_answer(worker_s=30.0)
        running = asyncio.gather(*(score(state, Target(EIGHTH)) for state in states))
        longest, last = 0.0, time.monotonic()
        while not running.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        return list(await running), longest

    stop_workers()  # so that a check has to wait for one to start
    scores, longest = asyncio.run(score_and_watch())
    assert [score.value for score in scores] == ["C"] * 4
    assert longest < 0.5


# -- lighteval ------------------------------------------------------------------------------------


@third_party_warnings
def test_lighteval_means_over_what_could_be_checked() -> None:
    pytest.importorskip("lighteval", reason="lighteval is not installed")
    from lighteval.metrics import apply_metric
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    from butwait.transforms.verify.adapters.lighteval_metric import verified_answer

    cases = [
        (["2", "3"], [r"\boxed{3}", r"\boxed{4}"], 0.5),
        (["5"], ["<think>5? 6?</think>Answer: 5"], 1.0),
        (["proof"], ["Done."], math.nan),
    ]
    docs = [Doc(query="?", choices=golds, gold_index=[*range(len(golds))]) for golds, _, _ in cases]
    responses = [ModelResponse(text=texts) for _, texts, _ in cases]
    metric = verified_answer(name="exact")
    outputs = [output["exact"] for output in apply_metric(responses, docs, [metric])]
    assert outputs == pytest.approx([case[2] for case in cases], nan_ok=True)
    assert [found["verdict"] for found in docs[0].specific["verdicts"]] == ["correct", "incorrect"]
    told = metric.get_corpus_aggregations()["exact"](outputs)
    assert told == pytest.approx({"exact": 0.75, "exact_stderr": 0.25, "exact_unscored": 1 / 3})


@third_party_warnings
@pytest.mark.slow
def test_lighteval_runs_a_task_of_its_own_on_the_pocket_model(tmp_path: Path, root: Path) -> None:
    pytest.importorskip("lighteval", reason="lighteval is not installed")
    from lighteval.logging.info_loggers import MetricsLogger
    from lighteval.metrics import apply_metric
    from lighteval.models.transformers import transformers_model as backend
    from lighteval.tasks.lighteval_task import LightevalTask, LightevalTaskConfig
    from lighteval.tasks.requests import Doc

    from butwait.transforms.verify.adapters.lighteval_metric import verified_answer

    data = (root / "pipelines/pocket/data/test.jsonl").read_text("utf-8").splitlines()[:8]
    (tmp_path / "questions").mkdir()
    (tmp_path / "questions/test.jsonl").write_text("\n".join(data), encoding="utf-8")
    policy = tmp_path / "policy"  # a copy: lighteval keeps its cache in the model's own folder
    shutil.copytree(CHECKPOINTS / "policy", policy)
    task = LightevalTask(
        LightevalTaskConfig(
            name="pocket",
            prompt_function=lambda row, name: Doc(row["problem"], [row["solution"]], 0),
            hf_repo=str(tmp_path / "questions"),
            hf_subset="default",
            evaluation_splits=["test"],
            hf_avail_splits=["test"],
            generation_size=96,
            metrics=[verified_answer()],
        )
    )
    docs = task.get_docs()
    config = backend.TransformersModelConfig(model_name=str(policy), batch_size=4, dtype="float32")
    responses = backend.TransformersModel(config).greedy_until(docs)
    log = MetricsLogger()
    for output in apply_metric(responses, docs, task.metrics):
        log.log(task.full_name, output)
    log.aggregate({task.full_name: task})
    told = dict(log.metric_aggregated[task.full_name])
    verdicts = [found["verdict"] for doc in docs for found in doc.specific["verdicts"]]
    assert told["verified_answer"] == verdicts.count("correct") / 8 > 0
    assert told["verified_answer_unscored"] == 0
