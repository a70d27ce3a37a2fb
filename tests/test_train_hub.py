"""Training rows from the Hub: at a commit, with what their provenance says, refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hub.fixture import ClientRunner
from hub.server import HubServer
from hub.state import ALICE_WRITE
from test_sources_hub import parquet, upload
from train_world import make_row

READ = """
    import json
    from pathlib import Path
    from butwait.schemas.errors import ButwaitError
    from butwait.schemas.recipe_train import DataSpec
    from butwait.trainer.rows import read_rows

    def read(spec):
        try:
            found = read_rows(DataSpec(**spec), Path("."), ("messages",))
        except ButwaitError as error:
            return {{"error": str(error)}}
        return {{"n_rows": len(found.table), **found.origin}}

    print(json.dumps([read(spec) for spec in {asked!r}]))
"""


def test_rows_come_at_a_commit_and_refusals_say_what_to_do(
    hub: HubServer, hub_api: Callable[..., Any], run_client: ClientRunner
) -> None:
    rows = [
        {**make_row(i), "provenance": {"licence": "mit", "r1_derived": i == 2}} for i in range(3)
    ]
    old = upload(hub_api(), "alice/rows", {"data/default/train-0.parquet": parquet(rows)})
    upload(hub_api(), "alice/rows", {"data/default/train-0.parquet": parquet(rows[:1])})
    hub.state.create_repo("datasets", "bob/terms", private=False)
    hub.repo("bob/terms").gated = "manual"
    hub.state.create_repo("datasets", "bob/secret", private=True)
    moved = hub.state.create_repo("datasets", "alice/old", private=False)
    hub.commit_directly("alice/old", {"train-0.parquet": parquet(rows)})
    hub.rename("alice/old", "alice/new")
    assert moved.repo_id == "alice/new"
    asked = [
        {"hub": "alice/rows", "revision": old},
        {"hub": "alice/rows"},
        {"hub": "alice/rows", "revision": "v9"},
        {"hub": "alice/gone"},
        {"hub": "bob/secret"},
        {"hub": "bob/terms"},
        {"hub": "alice/old"},
    ]
    done = run_client(READ.format(asked=asked))
    pinned, newest, revision, gone, secret, terms, renamed = json.loads(
        done.stdout.splitlines()[-1]
    )
    assert (pinned["n_rows"], pinned["revision"], pinned["r1_derived"]) == (3, old, "yes")
    assert (newest["n_rows"], newest["licences"], newest["r1_derived"]) == (1, "mit", "no")
    assert revision["error"].endswith("there is no such revision")
    for hidden in (gone, secret):
        assert "there is no such dataset, or it is private" in hidden["error"]
    assert "it is gated: accept its terms" in terms["error"]
    assert renamed["error"] == "alice/old was renamed to alice/new; name alice/new in the recipe"
    for refused in (revision, gone, secret, terms, renamed):
        assert "\n" not in refused["error"] and ALICE_WRITE not in refused["error"]
