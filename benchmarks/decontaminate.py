"""The detector of copied problems: time and memory on 860,000 questions, and real files by rule.

    python -m benchmarks.decontaminate [--questions 860000] [--data FOLDER] [--out PAGE]

The questions are made from a seed: real ones (numina_nm20k) with other numbers where the folder
of real data is there, templates of the same length otherwise, and one copy of a benchmark's problem
set anew in a thousand, which must be found. The benchmarks are the real ones of the folder, filled
with templates to 3,000 problems. Left out: the Hub.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.sections import replace_section
from butwait.transforms.decontaminate import Detector, Target

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = {
    "aime24": ("aime24/aime24.jsonl", "problem"),
    "math500_even": ("math500/math500_even.jsonl", "problem"),
    "gsm8k": ("gsm8k/gsm8k_test.jsonl", "question"),
    "olympiadbench": ("olympiadbench/olympiadbench_test.jsonl", "question"),
}
N_PROBLEMS = 3000
COPY_EVERY = 1000
LIMIT_S = 600.0
LIMIT_BYTES = 2 << 30
N_GRAM = 13
SEED = 7
START, END = "<!-- decontaminate: start -->", "<!-- decontaminate: end -->"
NOUNS = """
    ferry lamp crate orchard kettle bridge tower garden ladder basket lantern wagon valley harbour
    meadow ribbon pebble violin ticket bakery falcon marble saddle teapot window
"""
VERBS = "carries sells paints counts borrows divides collects repairs measures exchanges"

SENTENCES = """
    The <N> near the <N> <V> <D> pieces of <N> in <D> days.
    Every <N> that <V> a <N> needs <D> hours for it, or <D> when it rains.
    Of <D> visitors each <V> at most <D> boxes with one <N> inside.
    A <N> costs <D> coins more than a <N>, which costs <D> coins.
    Behind the <N> there are <D> rows, and the last one holds only <D> of them.
    Mira <V> the <N> twice a week, while her brother <V> it <D> times a month.
    Let $x$ be the number of times that the <N> meets the <N> before $x^2+<D>x=<D>$.
    One wall of the <N> is <D> metres long and the others are <D> metres shorter.
    Suppose that $f(n)=<D>n-<D>$ counts what the <N> holds in year $n$.
    With probability $\\frac{<D>}{<D>}$ a <N> breaks before it reaches the <N>.
    The ratio of every <N> to its <N> was <D> to <D> and then fell by a quarter.
    Nobody <V> more than $<D>$ of these, although the <N> alone could take <D>.
"""
ENDS = """
    How many are left at the end?
    Find the largest possible value of $x$.
    What is the total cost of one <N> and <D> of the others?
    Compute the area that the <N> covers.
"""


def read_column(path: Path, column: str) -> list[str]:
    """Read one column of a JSONL file."""
    return [json.loads(line)[column] for line in path.read_text(encoding="utf-8").splitlines()]


def make_template(rng: random.Random) -> str:
    """Write a problem of about 60 words."""
    nouns, verbs = NOUNS.split(), VERBS.split()

    def fill(match: re.Match[str]) -> str:
        choices = {"N": nouns, "V": verbs}.get(match.group()[1])
        return rng.choice(choices) if choices else str(rng.randint(2, 999))

    chosen = [*rng.sample(SENTENCES.strip().splitlines(), 5), rng.choice(ENDS.strip().splitlines())]
    return re.sub(r"<[NVD]>", fill, " ".join(sentence.strip() for sentence in chosen))


def change_numbers(text: str, rng: random.Random) -> str:
    """Put other numbers in the place of all."""
    return re.sub(r"\d+", lambda match: str(rng.randint(0, 10 ** len(match.group()))), text)


def set_anew(text: str) -> str:
    """Set a problem in another way that means the same."""
    text = text.replace("\\frac", "\\dfrac").replace("$$", "$").replace("Find", "Determine")
    return f"Solve the following problem.\n\n{text}  "


def make_questions(n: int, problems: list[str], data: Path) -> Iterator[dict[str, object]]:
    """Yield questions, a copy of a problem at every ``COPY_EVERY``th row."""
    rng = random.Random(SEED)
    path = data / "numina_nm20k" / "numina_nm20k.jsonl"
    real = read_column(path, "problem") if path.is_file() else []
    for row in range(n):
        if row % COPY_EVERY == COPY_EVERY - 1:
            text = set_anew(rng.choice(problems))
        elif real and row % 2:
            text = change_numbers(rng.choice(real), rng)
        else:
            text = make_template(rng)
        yield {"id": row, "problem": text}


def write_jsonl(path: Path, rows: Iterator[dict[str, object]]) -> Path:
    """Write rows as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def measure_command(command: list[str]) -> tuple[float, float, int, str]:
    """Run a command; return seconds, processor seconds, peak memory of all processes, output."""
    begun, peak = time.monotonic(), 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, cwd=ROOT)
        while process.poll() is None:
            peak = max(peak, sum_memory(process.pid))
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process.returncode == 0, process.returncode
        out.seek(0)
        busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return seconds, busy, peak, out.read()


def sum_memory(pid: int) -> int:
    """Return the resident bytes of a process and all below it (shared pages count in each)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0  # it has just ended
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(sum_memory(int(child)) for child in children)


def share_run(text: str) -> set[tuple[str, ...]]:
    """Return the 13-grams of a text, by lower-case letters and digits."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[i : i + N_GRAM]) for i in range(len(words) - N_GRAM + 1)}


def compare_rules(data: Path) -> str:
    """Return a table of the naive rule and ours on real files."""
    aime = read_column(data / "aime24/aime24.jsonl", "problem")
    old = read_column(data / "deepscaler/aime_1983_2023.jsonl", "problem")
    anew = read_column(data / "aime24/aime24_alt_wording.jsonl", "problem")
    runs = set().union(*map(share_run, aime))
    detector = Detector(Target("aime24", str(i), text) for i, text in enumerate(aime))
    naive = [sum(bool(share_run(text) & runs) for text in texts) for texts in (old, anew)]
    ours = [sum(bool(detector.hits("q", text)) for text in texts) for texts in (old, anew)]
    return "\n".join(
        (
            "| against AIME 2024 | one shared 13-gram | `butwait decontaminate` |",
            "|---|---|---|",
            f"| {len(old)} AIME problems of 1983 to 2023, no copy: called copies "
            f"| {naive[0]} | {ours[0]} |",
            f"| {len(anew)} problems of AIME 2024 in other words: missed "
            f"| {len(anew) - naive[1]} | {len(anew) - ours[1]} |",
        )
    )


def prepare(folder: Path, data: Path, n_questions: int) -> tuple[Path, list[Path], int]:
    """Write the questions and the benchmarks; return them and how many problems there are."""
    rng = random.Random(SEED + 1)
    found = {
        name: read_column(data / path, column)
        for name, (path, column) in BENCHMARKS.items()
        if (data / path).is_file()
    }
    n_real = sum(map(len, found.values()))
    found["templates"] = [make_template(rng) for _ in range(max(1, N_PROBLEMS - n_real))]
    paths = []
    for name, problems in found.items():
        rows = ({"id": i, "problem": text} for i, text in enumerate(problems))
        paths.append(write_jsonl(folder / f"{name}.jsonl", rows))
    # A problem of a few signs has no words that could tell a copy from its own topic.
    problems = [text for texts in found.values() for text in texts if len(text) > 60]
    questions = make_questions(n_questions, problems, data)
    return write_jsonl(folder / "questions.jsonl", questions), paths, sum(map(len, found.values()))


def measure(data: Path, n_questions: int, workers: int) -> str:
    """Return the section of the page."""
    with tempfile.TemporaryDirectory() as temporary:
        path, benchmarks, n_problems = prepare(Path(temporary), data, n_questions)
        n_bytes = path.stat().st_size
        command = [sys.executable, "-c", "from butwait.pipelines.cli import main; main()"]
        command += ["decontaminate", str(path), "--json", "--workers", str(workers)]
        for benchmark in benchmarks:
            command += ["--against", str(benchmark)]
        seconds, busy, peak, out = measure_command(command)
    hits = {int(json.loads(line)["question_id"]) for line in out.splitlines()}
    planted = set(range(COPY_EVERY - 1, n_questions, COPY_EVERY))
    aims = (
        f"{'met' if seconds < LIMIT_S else 'MISSED'} (under {LIMIT_S:.0f} s)",
        f"{'met' if peak < LIMIT_BYTES else 'MISSED'} (under 2 GiB)",
    )
    rules = compare_rules(data) if (data / "aime24").is_dir() else "The real files are not here."
    return f"""## Copies of benchmark problems

`make bench-decontaminate`, {date.today().isoformat()}. {describe_machine()}; {workers} workers.

{n_questions:,} questions ({n_bytes / 1e6:.0f} MB) made from seed {SEED}, against {n_problems:,}
problems of {len(benchmarks)} benchmarks, by the command, its start included.

| what | found | aim |
|---|---|---|
| seconds, with what else ran (load {os.getloadavg()[1]:.1f}) | {seconds:.0f} | {aims[0]} |
| processor seconds of all processes, divided by {workers} | {busy / workers:.0f} | |
| peak memory of all processes | {peak / 2**20:.0f} MiB | {aims[1]} |
| questions a second | {n_questions / seconds:,.0f} | |
| planted copies found | {len(planted & hits)} of {len(planted)} | |
| other questions called copies | {len(hits - planted)} | |

The others are real copies among the 20,000 problems of NuminaMath of which the numbers came out the
same, or that have none.

{rules}

Hits on real files, all read: [decontamination.md](decontamination.md)."""


def describe_machine() -> str:
    """Return processor and versions in one line."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, shared; "
        f"Python {platform.python_version()}, rensa {version('rensa')}, numpy {version('numpy')}"
    )


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=860_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    args = parser.parse_args()
    section = measure(args.data, args.questions, args.workers)
    print(section)
    replace_section(args.out, START, END, section)


if __name__ == "__main__":
    main()
