"""The test Hub against the real clients: what publish relies on must hold here first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hub.fixture import ClientRunner
from hub.server import HubServer
from hub.state import ALICE_READ, ALICE_WRITE, BOB_WRITE

Api = Callable[..., Any]
REPO = "alice/numbers"


def make_repo(api: Any, *, private: bool = False) -> None:
    api.create_repo(REPO, repo_type="dataset", private=private)


def add(path: str, content: bytes) -> Any:
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)


def commit(api: Any, files: dict[str, bytes], **more: Any) -> str:
    operations = [add(path, content) for path, content in files.items()]
    info = api.create_commit(REPO, operations, commit_message="more", repo_type="dataset", **more)
    return str(info.oid)


def test_a_token_tells_who_calls_and_a_wrong_one_is_refused(hub: HubServer, hub_api: Api) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    assert hub_api(ALICE_WRITE).whoami()["name"] == "alice"
    assert hub_api(ALICE_READ).whoami()["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError) as caught:
        hub_api("nobody's token").whoami()
    assert caught.value.response.status_code == 401


def test_a_repo_can_be_made_found_changed_and_deleted(hub: HubServer, hub_api: Api) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api = hub_api()
    url = api.create_repo(REPO, repo_type="dataset", private=True)
    assert url == f"{hub.endpoint}/datasets/{REPO}"
    assert api.create_repo(REPO, repo_type="dataset", exist_ok=True) == url
    with pytest.raises(HfHubHTTPError, match="already created"):
        api.create_repo(REPO, repo_type="dataset")
    assert api.repo_exists(REPO, repo_type="dataset")
    assert api.repo_info(REPO, repo_type="dataset").private is True
    api.update_repo_settings(REPO, repo_type="dataset", private=False)
    assert [repo.id for repo in hub_api(None).list_datasets(author="alice")] == [REPO]
    api.delete_repo(REPO, repo_type="dataset")
    assert not api.repo_exists(REPO, repo_type="dataset")


def test_one_commit_carries_small_and_large_files(hub: HubServer, hub_api: Api) -> None:
    api = hub_api()
    make_repo(api)
    files = {"README.md": b"---\ntags:\n- a\n---\n# hello\n", "data/x.parquet": b"PAR1" * 50}
    oid = commit(api, files)
    assert hub.n_commits(REPO) == 1
    assert hub.files(REPO).items() >= files.items()
    info = api.dataset_info(REPO, files_metadata=True)
    assert info.sha == oid and info.card_data.tags == ["a"]
    sizes = {s.rfilename: (s.size, s.lfs is not None) for s in info.siblings}
    assert sizes["data/x.parquet"] == (200, True) and sizes["README.md"][1] is False
    tree = {
        item.path: type(item).__name__ for item in api.list_repo_tree(REPO, repo_type="dataset")
    }
    assert tree == {".gitattributes": "RepoFile", "README.md": "RepoFile", "data": "RepoFolder"}
    found = api.get_paths_info(REPO, ["data", "README.md", "no"], repo_type="dataset")
    assert [item.path for item in found] == ["data", "README.md"]


def test_a_long_listing_comes_in_pages(hub: HubServer, hub_api: Api) -> None:
    api = hub_api()
    make_repo(api)
    hub.commit_directly(REPO, {f"many/{i:03}.txt": b"x" for i in range(250)})
    assert len(list(api.list_repo_tree(REPO, "many", repo_type="dataset"))) == 250
    assert hub.n_requests("tree") == 3


def test_an_identical_push_makes_no_commit(hub: HubServer, hub_api: Api) -> None:
    api = hub_api()
    make_repo(api)
    files = {"notes.txt": b"one", "data/x.parquet": b"PAR1" * 50}
    first = commit(api, files)
    assert commit(api, files) == first
    assert hub.n_commits(REPO) == 1
    assert hub.n_requests("lfs_put") == 1


def test_a_stale_parent_is_refused_with_412(hub: HubServer, hub_api: Api) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api = hub_api()
    make_repo(api)
    head = api.repo_info(REPO, repo_type="dataset").sha
    commit(api, {"a.txt": b"a"}, parent_commit=head)
    with pytest.raises(HfHubHTTPError) as caught:
        commit(api, {"b.txt": b"b"}, parent_commit=head)
    assert caught.value.response.status_code == 412
    assert "b.txt" not in hub.files(REPO)


def test_tags_branches_and_hashes_name_revisions(hub: HubServer, hub_api: Api) -> None:
    from huggingface_hub.errors import RevisionNotFoundError

    api = hub_api()
    make_repo(api)
    old = commit(api, {"a.txt": b"old"})
    api.create_tag(REPO, tag="v1", repo_type="dataset")
    api.create_branch(REPO, branch="try/one", repo_type="dataset")
    new = commit(api, {"a.txt": b"new"})
    commit(api, {"a.txt": b"branch"}, revision="try/one")
    refs = api.list_repo_refs(REPO, repo_type="dataset")
    assert {ref.name for ref in refs.branches} == {"main", "try/one"}
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", old)]
    assert api.repo_info(REPO, repo_type="dataset", revision=new[:9]).sha == new
    titles = [c.title for c in api.list_repo_commits(REPO, repo_type="dataset")]
    assert titles == ["more", "more", "initial commit"]
    for revision, content in {"v1": b"old", "main": b"new", "try/one": b"branch"}.items():
        assert hub.files(REPO, revision)["a.txt"] == content
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(REPO, repo_type="dataset", revision="v2")


def test_a_private_repo_is_hidden_from_others(hub: HubServer, hub_api: Api) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    make_repo(hub_api(), private=True)
    assert hub_api(ALICE_READ).repo_info(REPO, repo_type="dataset").private
    for token, status in ((None, 401), (BOB_WRITE, 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            hub_api(token).repo_info(REPO, repo_type="dataset")
        assert caught.value.response.status_code == status


def test_a_gated_repo_says_so(hub: HubServer, hub_api: Api) -> None:
    from huggingface_hub.errors import GatedRepoError

    make_repo(hub_api())
    hub_api().update_repo_settings(REPO, repo_type="dataset", gated="manual")
    with pytest.raises(GatedRepoError):
        hub_api(BOB_WRITE).repo_info(REPO, repo_type="dataset")


@pytest.mark.parametrize("token", [ALICE_READ, BOB_WRITE])
def test_only_the_owner_with_a_writing_token_may_write(
    hub: HubServer, hub_api: Api, token: str
) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    make_repo(hub_api())
    with pytest.raises(HfHubHTTPError) as caught:
        commit(hub_api(token), {"a.txt": b"a"})
    assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError) as caught:
        hub_api(token).create_repo("alice/other", repo_type="dataset")
    assert caught.value.response.status_code == 403


def test_files_and_folders_can_be_deleted(hub: HubServer, hub_api: Api) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    api = hub_api()
    make_repo(api)
    commit(api, {"a.txt": b"a", "d/b.txt": b"b", "d/c.txt": b"c"})
    api.delete_file("a.txt", REPO, repo_type="dataset")
    api.delete_folder("d", REPO, repo_type="dataset")
    assert set(hub.files(REPO)) == {".gitattributes"}
    with pytest.raises(EntryNotFoundError):
        api.delete_file("a.txt", REPO, repo_type="dataset")


def test_bad_front_matter_is_refused_before_any_upload(hub: HubServer, hub_api: Api) -> None:
    api = hub_api()
    make_repo(api)
    with pytest.raises(ValueError, match="Invalid metadata"):
        commit(api, {"README.md": b"---\na: [\n---\n"})
    assert hub.n_requests("preupload") == 0


@pytest.mark.parametrize(("route", "status"), [("lfs_put", 500), ("preupload", 503)])
def test_the_client_retries_a_failing_transfer(
    hub: HubServer, hub_api: Api, route: str, status: int
) -> None:
    api = hub_api()
    make_repo(api)
    hub.fail_next(route, status)
    commit(api, {"data/x.parquet": b"PAR1" * 50})
    assert hub.n_requests(route) == 2
    assert hub.n_commits(REPO) == 1


def test_a_commit_fault_is_not_retried_by_the_client(hub: HubServer, hub_api: Api) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api = hub_api()
    make_repo(api)
    hub.fail_next("commit", 500)
    with pytest.raises(HfHubHTTPError):
        commit(api, {"a.txt": b"a"})
    assert (hub.n_requests("commit"), hub.n_commits(REPO)) == (1, 0)
    hub.fail_next("commit", 502, after=True)
    with pytest.raises(HfHubHTTPError):
        commit(api, {"a.txt": b"a"})
    assert hub.files(REPO)["a.txt"] == b"a"
    assert hub.faults.n_open() == 0


def test_a_fault_for_an_unknown_route_is_refused(hub: HubServer) -> None:
    with pytest.raises(ValueError, match="no route 'comit'; one of whoami"):
        hub.fail_next("comit")


def test_downloads_honour_ranges_and_missing_files(hub: HubServer) -> None:
    import urllib.error
    import urllib.request

    hub.state.create_repo("datasets", REPO, private=False)
    oid = hub.commit_directly(REPO, {"a b/x.parquet": bytes(range(100))})
    url = f"{hub.endpoint}/datasets/{REPO}/resolve/main"

    def get(path: str, asked: str) -> Any:
        return urllib.request.urlopen(
            urllib.request.Request(f"{url}/{path}", headers={"Range": asked})
        )

    with get("a%20b/x.parquet", "bytes=10-19") as part:
        assert part.status == 206 and part.read() == bytes(range(10, 20))
        assert part.headers["Content-Range"] == "bytes 10-19/100"
        assert part.headers["X-Repo-Commit"] == oid
        assert part.headers["ETag"] == part.headers["X-Linked-Etag"]
    with get("a%20b/x.parquet", "bytes=-5") as tail:
        assert tail.read() == bytes(range(95, 100))
    with pytest.raises(urllib.error.HTTPError) as past:
        get("a%20b/x.parquet", "bytes=100-")
    assert past.value.code == 416
    with pytest.raises(urllib.error.HTTPError) as missing:
        get("none", "bytes=0-")
    assert missing.value.headers["X-Error-Code"] == "EntryNotFound"
    assert missing.value.headers["X-Repo-Commit"] == oid


ROUND_TRIP = """
    import json
    from datasets import Dataset, load_dataset

    rows = Dataset.from_dict({"n": list(range(1000)), "text": [f"row {i}" for i in range(1000)]})
    info = rows.push_to_hub("alice/numbers", private=True, num_shards=3)
    again = load_dataset("alice/numbers", split="train")
    assert again.features == rows.features and again[:] == rows[:]
    rows.select(range(10)).push_to_hub("alice/numbers")
    streamed = list(load_dataset("alice/numbers", split="train", streaming=True))
    pinned = load_dataset("alice/numbers", split="train", revision=info.oid)
    print(json.dumps([len(again), len(streamed), len(pinned)]))
"""


@pytest.mark.parametrize("xet", [False, True], ids=["lfs", "xet"])
def test_datasets_push_load_stream_and_pin(
    hub: HubServer, run_client: ClientRunner, xet: bool
) -> None:
    done = run_client(ROUND_TRIP, xet=xet)
    assert json.loads(done.stdout.splitlines()[-1]) == [1000, 10, 1000]
    assert hub.repo(REPO).private
    assert hub.n_commits(REPO) == 2
    assert (hub.n_requests("lfs_put") == 0) is xet


def test_datasets_cannot_load_what_the_token_may_not_see(
    hub: HubServer, run_client: ClientRunner
) -> None:
    hub.state.create_repo("datasets", REPO, private=True)
    hub.commit_directly(REPO, {"data.jsonl": b'{"n": 1}\n'})
    load = "from datasets import load_dataset; print(load_dataset('alice/numbers'))"
    for token in (None, BOB_WRITE):
        done = run_client(load, token=token, check=False)
        assert done.returncode == 1
        assert "DatasetNotFoundError" in done.stderr
    assert "num_rows: 1" in run_client(load, token=ALICE_READ).stdout
