"""Many files: shards first, one change of card, killed and continued, two publishers at once."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hub.fixture import ClientRunner, Push, client_environment
from hub.readers import Shown, history, polling, show
from hub.sample_run import make_text_rows, write_run
from hub.server import HubServer
from hub.state import ALICE_WRITE

from butwait.pipelines import publish
from butwait.pipelines.hub import plan
from butwait.pipelines.publication import read_publication
from butwait.schemas.errors import HubError

REPO = "alice/tiny"


@pytest.fixture
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the loading back, which takes seconds."""
    monkeypatch.setattr(publish, "_verify", lambda *_: None)


@pytest.fixture
def five(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let five files be many."""
    monkeypatch.setattr(plan, "MANY_FILES", 5)


def shown_by(run: Path) -> Shown:
    """What a reader finds once the run is published."""
    files = read_publication(run, REPO).files
    return frozenset(
        (f"{path.split('/')[1]}/{path.rpartition('/')[2]}", file.sha256)
        for path, file in files.items()
        if path != "README.md"
    )


def rows_of(answer: str, n_rows: int) -> list[dict[str, object]]:
    """Rows that all have one answer, so that a mixture shows."""
    return [{**row, "answer": answer} for row in make_text_rows(n_rows)]


def test_above_the_limit_shards_go_first_and_one_commit_changes_what_readers_see(
    hub: HubServer, push: Push, tmp_path: Path, unverified: None, five: None
) -> None:
    old = write_run(tmp_path / "old", rows_of("old", 12))
    push(old)
    new = write_run(tmp_path / "new", rows_of("new", 12), n_shards=12)
    result = push(new)
    before, after = shown_by(old), shown_by(new)
    assert history(hub, REPO) == [before, before, before, before, after]
    shards = {path for path in hub.files(REPO) if path.endswith(".parquet")}
    assert len({path.rpartition("/")[0] for path in shards}) == 2
    assert (len(shards), result.files_sent, result.files_deleted) == (13, 13, 2)
    assert max(hub.blobs_sent().values()) == 1


def test_of_a_first_push_nothing_can_be_loaded_until_it_is_whole(
    hub: HubServer, push: Push, tmp_path: Path, five: None, run_client: ClientRunner
) -> None:
    run = write_run(tmp_path / "run", n_shards=12)
    push(run)
    assert push.told[-1] == "loaded back equal: 16 rows in 2 configurations"
    assert history(hub, REPO) == [frozenset()] * 4 + [shown_by(run)]
    first = list(hub.repo(REPO).history("main"))[-2]
    assert set(first.tree) == {".gitattributes", "README.md"}
    before = list(hub.repo(REPO).history("main"))[1].oid
    load = f"from datasets import load_dataset; print(load_dataset('{REPO}', revision='{before}'))"
    done = run_client(load, check=False)
    assert done.returncode == 1 and "DataFilesNotFoundError" in done.stderr


def test_after_a_big_push_small_changes_are_one_commit_in_the_same_folder(
    hub: HubServer, push: Push, tmp_path: Path, unverified: None, five: None
) -> None:
    rows = make_text_rows(12)
    run = write_run(tmp_path / "run", rows, n_shards=12)
    push(run)
    n_commits, n_blobs = hub.n_commits(REPO), len(hub.blobs_sent())
    rows[3]["answer"] = "other"
    changed = write_run(tmp_path / "changed", rows, n_shards=12)
    result = push(changed)
    assert (hub.n_commits(REPO), len(hub.blobs_sent())) == (n_commits + 1, n_blobs + 1)
    assert result.files_sent == 2  # and the card, which tells sizes
    assert show(hub, hub.repo(REPO).find("main")) == shown_by(changed)


def test_going_back_to_an_older_content_does_not_touch_what_is_shown(
    hub: HubServer, push: Push, tmp_path: Path, unverified: None, five: None
) -> None:
    run = write_run(tmp_path / "run", rows_of("a", 12), n_shards=12)
    push(run)
    rows = rows_of("a", 12)
    for i, row in enumerate(rows[:11]):  # shard by shard, so that the folder keeps its name
        row["answer"] = "b"
        if i % 3 == 2 or i == 10:
            push(write_run(tmp_path / f"to_b_{i}", rows, n_shards=12))
    mixed = history(hub, REPO)
    push(run)
    states = history(hub, REPO)[len(mixed) :]
    assert states == [mixed[-1]] * 3 + [shown_by(run)]
    assert {path.split("/")[2] for path in hub.files(REPO) if "/default/" in path} == {
        f"{read_publication(run, REPO).digest('default')}-2"
    }


def test_few_files_take_the_place_of_many_in_another_folder(
    hub: HubServer, push: Push, tmp_path: Path, unverified: None, five: None
) -> None:
    many = write_run(tmp_path / "many", rows_of("many", 12), n_shards=12)
    push(many)
    few = write_run(tmp_path / "few", rows_of("few", 12), n_shards=2)
    n_states = len(history(hub, REPO))
    assert push(few).files_deleted == 1  # a whole folder
    assert history(hub, REPO)[n_states:] == [shown_by(many), shown_by(few)]
    assert len([path for path in hub.files(REPO) if path.endswith(".parquet")]) == 3


@pytest.mark.parametrize("fault", ["reset", "stall", "502 after", "409", "500"])
def test_every_fault_of_a_staged_push_is_waited_out(
    hub: HubServer, push: Push, tmp_path: Path, unverified: None, five: None, fault: str
) -> None:
    run = write_run(tmp_path / "run", n_shards=12)

    def hurt() -> None:
        if fault == "reset":
            hub.fail_next("commit", reset=True)
            hub.fail_next("lfs_put", reset=True)
            hub.fail_next("tree", reset=True)
        elif fault == "stall":
            hub.fail_next("commit", 0, stall_s=4.0)
        else:
            status, _, after = fault.partition(" ")
            hub.fail_next("commit", int(status), times=2, after=bool(after))

    hub.before_next("lfs_batch", hurt)
    push(run, timeout_s=1.5)
    assert hub.faults.n_open() == 0
    states = history(hub, REPO)
    assert set(states) == {frozenset(), shown_by(run)} and states[-1] == shown_by(run)
    assert max(hub.blobs_sent().values()) == 1
    assert len(states) == 5


def test_of_two_publishers_at_once_readers_see_one_or_the_other_whole(
    hub: HubServer, tmp_path: Path, unverified: None, five: None
) -> None:
    runs = [write_run(tmp_path / name, rows_of(name, 12), n_shards=12) for name in ("a", "b")]
    failed: list[BaseException] = []

    def work(run: Path) -> None:
        try:
            publish.push_run(
                run,
                REPO,
                token=ALICE_WRITE,
                endpoint=hub.endpoint,
                progress=lambda _: None,
                sleep=lambda wait_s: time.sleep(wait_s / 10),
            )
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failed
    whole = {shown_by(run) for run in runs}
    states = history(hub, REPO)
    assert set(states) <= whole | {frozenset()}
    assert states[-1] in whole
    assert max(hub.blobs_sent().values()) <= 2  # both begin at once: neither sees the other's
    shards = {path for path in hub.files(REPO) if path.endswith(".parquet")}
    assert len(shards) == 13


PUSH = """
    import pathlib, sys
    from butwait.pipelines import publish
    from butwait.pipelines.hub import plan
    publish._verify = lambda *_: None
    plan.MANY_FILES = int(sys.argv[2])
    token = "test-token-of-alice-for-writing"
    run = pathlib.Path(sys.argv[1])
    print(publish.push_run(run, "alice/tiny", token=token, progress=print).files_sent)
"""


class Killed:
    """A push in a process of its own that is killed at a point of the server's choosing."""

    def __init__(
        self, hub: HubServer, run: Path, home: Path, *, many: int = 100, xet: bool = False
    ) -> None:
        self.hub, self.run, self.home, self.many, self.xet = hub, run, home, many, xet
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> tuple[int, str]:
        """Push; return the exit code and what was printed."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PUSH), str(self.run), str(self.many)],
            env=client_environment(self.hub, self.home, ALICE_WRITE, self.xet),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        out, _ = self.process.communicate(timeout=400)
        return self.process.returncode, out

    def kill_at(self, route: str, n_more: int) -> None:
        """Kill the process just before a request to ``route`` is handled, so many from now."""

        def act() -> None:
            nonlocal n_more
            n_more -= 1
            if n_more > 0:
                self.hub.faults.order_action(route, act)
            elif self.process is not None:
                os.kill(self.process.pid, signal.SIGKILL)

        self.hub.before_next(route, act)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_six_hundred_files_killed_at_five_points_are_sent_once_and_never_seen_in_part(
    hub: HubServer, push: Push, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_verify", lambda *_: None)
    old = write_run(tmp_path / "old", rows_of("old", 12))
    push(old)
    hub.seen.clear()
    run = write_run(tmp_path / "new", rows_of("new", 600), n_shards=600)
    child = Killed(hub, run, tmp_path / "home")
    points: list[Callable[[], None]] = [
        lambda: child.kill_at("lfs_put", 70),  # inside the first hundred
        lambda: child.kill_at("commit", 2),  # as the second hundred is committed
        lambda: child.kill_at("lfs_batch", 2),
        lambda: child.kill_at("lfs_put", 150),
        lambda: child.kill_at("validate_yaml", 1),  # before the card
    ]
    with polling(hub, REPO, tmp_path / "reader") as seen:
        for point in points:
            point()
            code, out = child.start()
            assert code == -signal.SIGKILL, out
        code, out = child.start()
        assert code == 0, out
    assert set(map(str, seen)) == {"['old']", "['new']"} and seen[-1] == ["new"]
    before, after = shown_by(old), shown_by(run)
    states = history(hub, REPO)
    assert set(states) == {before, after} and states[-1] == after
    n_flips = sum(a != b for a, b in itertools.pairwise(states))
    assert n_flips == 1
    sent = hub.blobs_sent()
    assert (len(sent), max(sent.values())) == (600, 1)
    n_bytes = sum(seen.n_bytes for seen in hub.seen if seen.route == "lfs_put")
    size = sum(shard.stat().st_size for shard in (run / "rows" / "default").iterdir())
    print(f"{size} bytes of shards, {n_bytes} bytes put, {len(states)} commits")
    code, out = child.start()
    assert "nothing to commit" in out
    assert len(history(hub, REPO)) == len(states)


@pytest.mark.slow
def test_a_push_by_way_of_xet_that_is_killed_goes_on_where_it_was(
    hub: HubServer, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "new", rows_of("new", 12), n_shards=12)
    child = Killed(hub, run, tmp_path / "home", many=5, xet=True)
    for point in (("commit", 2), ("xet_token", 1), ("validate_yaml", 1)):
        child.kill_at(*point)
        code, out = child.start()
        assert code == -signal.SIGKILL, out
    code, out = child.start()
    assert code == 0, out
    states = history(hub, REPO)
    assert set(states) == {frozenset(), shown_by(run)} and states[-1] == shown_by(run)
    assert hub.n_requests("lfs_put") == 0 and hub.n_requests("xet_token") > 0
    code, out = child.start()
    assert "nothing to commit" in out


@pytest.mark.slow
def test_a_xet_store_that_cannot_be_reached_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    def set_address(address: str | None) -> None:
        hub.state.xet_address = address

    def send_nowhere() -> None:
        set_address("http://127.0.0.1:9")
        hub.faults.order_action("xet_token", lambda: set_address(None))

    run = write_run(tmp_path / "run")
    hub.before_next("xet_token", send_nowhere)
    code, out = Killed(hub, run, tmp_path / "home", xet=True).start()
    assert code == 0, out
    assert "(ConnectionError); trying again in 1 s" in out
    assert show(hub, hub.repo(REPO).find("main")) == shown_by(run)


def test_a_tag_names_the_commit_and_is_not_moved_untold(
    hub: HubServer, push: Push, tmp_path: Path, unverified: None
) -> None:
    run = write_run(tmp_path / "run")
    first = push(run, tag="v1")
    assert hub.repo(REPO).tags == {"v1": first.revision}
    assert push(run, tag="v1").revision == first.revision  # the same again is no move
    changed = write_run(tmp_path / "changed", make_text_rows(13))
    n_puts = hub.n_requests("lfs_put")
    with pytest.raises(HubError, match=r"has a tag 'v1' at .* already; .*--move-tag"):
        push(changed, tag="v1")
    assert (hub.n_requests("lfs_put"), hub.n_commits(REPO)) == (n_puts, 1)
    second = push(changed, tag="v2")
    assert hub.repo(REPO).tags == {"v1": first.revision, "v2": second.revision}
    push(changed, tag="v1", move_tag=True)
    assert hub.repo(REPO).tags == {"v1": second.revision, "v2": second.revision}


def test_a_lost_answer_to_a_tag_is_recognised(
    hub: HubServer, push: Push, tmp_path: Path, unverified: None
) -> None:
    hub.fail_next("ref", 502, after=True)
    revision = push(write_run(tmp_path / "run"), tag="v1").revision
    assert hub.repo(REPO).tags == {"v1": revision}
    assert hub.n_requests("ref") == 1
