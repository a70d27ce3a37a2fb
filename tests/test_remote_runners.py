"""What leaves this machine: what workers elsewhere can reach, and what they need to run."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import tarfile
from importlib import import_module
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.internal import cloudpickle_pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.stager import Stager

import butwait.pipelines
from butwait.pipelines.build import BuildOptions, build_dataset
from butwait.pipelines.engines import Engine
from butwait.pipelines.places import AnyPath, read_folder
from butwait.pipelines.recipe_file import check_recipe
from butwait.pipelines.remote import check_reach, runner_for_sources
from butwait.pipelines.resolve import make_ask_plan, make_row_context
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.sampling.engine import Endpoint
from butwait.pipelines.stages.audit import AuditPlan
from butwait.pipelines.stages.questions import QuestionsPlan
from butwait.pipelines.stages.rows import RowsPlan
from butwait.pipelines.stages.trajectories import TrajectoriesPlan
from butwait.schemas.errors import ConfigError
from butwait.schemas.sampling import ModelIdentity
from tests.build_world import recipe_document

GOOD = {
    "out": "gs://bucket/runs",
    "cache": "postgresql://me@db/cache",
    "url": "http://vllm.internal:8000",
}
HEAVY = ("torch", "vllm", "transformers", "trl", "psycopg", "matplotlib", "starlette")


def check(runner: str = "FlinkRunner", options: tuple[str, ...] = (), **changes: Any) -> None:
    """Ask what is in the way of a remote build."""
    facts = GOOD | changes
    recipe = check_recipe(recipe_document(facts["url"], **facts.get("recipe", {})), "test")
    cache = facts["cache"]
    place = cache if "://" in cache else Path(cache)
    check_reach(recipe, read_folder(facts["out"]), place, runner, options)


@pytest.mark.parametrize(
    ("changes", "way_out"),
    [
        ({"out": "runs"}, "--out gs://bucket/runs"),
        ({"cache": "cache.sqlite"}, "--cache postgresql://"),
        ({"url": "http://127.0.0.1:8000"}, "give an address that they can reach"),
        ({"url": "http://localhost:8000"}, "give an address that they can reach"),
        ({"url": ["http://vllm:8000", "http://[::1]:8000"]}, "give an address that they can reach"),
        ({"recipe": {"server": "managed"}}, "start vLLM where they can and give server.url"),
        ({"recipe": {"server": "auto"}}, "start vLLM where they can and give server.url"),
        ({"recipe": {"server": "transformers"}}, "give server.url"),
    ],
)
def test_what_workers_elsewhere_cannot_reach_is_refused_with_the_way_out(
    changes: dict[str, Any], way_out: str
) -> None:
    for runner in ("FlinkRunner", "DataflowRunner", "PortableRunner", "x.y.FlinkRunner"):
        with pytest.raises(ConfigError, match=way_out):
            check(runner, **changes)
    check("FnApiRunner", **changes)
    check("FlinkRunner", ("--environment_type=LOOPBACK",), **changes)


def test_what_they_can_reach_is_let_through_and_all_that_is_wrong_is_told_at_once() -> None:
    check()
    with pytest.raises(ConfigError) as caught:
        check(out="runs", cache="c.sqlite", url="http://127.0.0.1:1")
    said = str(caught.value)
    assert all(part in said for part in ("run folder", "completion cache", "server.url"))


def test_a_remote_build_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    document = recipe_document(GOOD["url"])  # its questions do not exist
    options = BuildOptions(
        base=tmp_path, out=tmp_path / "runs", cache=tmp_path / "c.sqlite", runner="FlinkRunner",
        beam_options=(), from_stage=None, api_key=None, say=lambda line: None,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="workers of FlinkRunner are other machines"):
        build_dataset(check_recipe(document, "test"), options)
    assert list(tmp_path.iterdir()) == []


def test_local_question_files_are_read_here_and_those_of_the_hub_by_the_runner() -> None:
    local = check_recipe(recipe_document(GOOD["url"]), "test")
    hub = check_recipe(recipe_document(GOOD["url"], sources=[{"hub": "GAIR/LIMO"}]), "test")
    assert runner_for_sources(local, "FlinkRunner") == "FnApiRunner"
    assert runner_for_sources(hub, "FlinkRunner") == "FlinkRunner"


def list_dofns() -> list[type[beam.DoFn]]:
    """Find every DoFn of the package by walking subclasses."""
    for module in pkgutil.walk_packages(butwait.pipelines.__path__, "butwait.pipelines."):
        if "cli" not in module.name:
            import_module(module.name)
    found: list[type[beam.DoFn]] = []
    pending = [beam.DoFn]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind.__module__.startswith("butwait."):
            found.append(kind)
    return sorted(found, key=lambda kind: kind.__name__)


def make_dofns(root: AnyPath) -> dict[str, beam.DoFn]:
    """Make one of each as a build would."""
    recipe = check_recipe(recipe_document(GOOD["url"]), "test")
    run = RunFolder(root)
    identity = ModelIdentity(id="m", revision="r", engine="vllm")
    endpoint = Endpoint(kind="http", identity=identity, urls=(GOOD["url"],), served_name="m")
    plans = {
        "questions": QuestionsPlan(run=run, n_shards=2, block_size=8, datasets=("sums",)),
        "trajectories": TrajectoriesPlan(
            run=run,
            ask=make_ask_plan(recipe),
            engine=Engine(identity, endpoint=endpoint),
            cache=GOOD["cache"],
            max_in_flight=8,
        ),
        "rows": RowsPlan(
            run=run,
            configs=tuple(recipe.rows.ordered()),
            context=make_row_context(recipe),
            n_shards=2,
        ),
        "audit": AuditPlan(run, ("default",), 4),
    }
    more = {"MergeRows": ({"but_wait": "f"},)}
    return {
        kind.__name__: kind(plans[kind.__module__.rpartition(".")[2]], *more.get(kind.__name__, ()))
        for kind in list_dofns()
    }


def test_every_dofn_of_the_package_is_sent_to_workers_as_it_is() -> None:
    names = {kind.__name__ for kind in list_dofns()}
    assert names >= {
        "ReadPiece", "FinishShard", "SampleBlocks", "MakeRows", "MergeRows", "AuditShard",
    }  # fmt: skip
    for name, dofn in make_dofns(read_folder("gs://bucket/runs/sums")).items():
        sent = cloudpickle_pickler.dumps(dofn)
        again = cloudpickle_pickler.loads(sent)
        assert type(again) is type(dofn), name
        assert vars(again) == vars(dofn), name
        # By reference: the package is staged, its code does not travel with every bundle.
        assert len(sent) < 20_000, name


def test_a_worker_needs_the_base_install_alone(tmp_path: Path) -> None:
    sent = {name: cloudpickle_pickler.dumps(d) for name, d in make_dofns(tmp_path / "runs").items()}
    for name, content in sent.items():
        (tmp_path / name).write_bytes(content)
    code = (
        f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from apache_beam.internal import cloudpickle_pickler\n"
        f"for name in {sorted(sent)!r}:\n"
        f"    dofn = cloudpickle_pickler.loads((Path({str(tmp_path)!r}) / name).read_bytes())\n"
        "    if name != 'SampleBlocks': dofn.setup()\n"
        "    print(type(dofn).__name__)\n"
        "from butwait.pipelines.engines import OpenEngine\n"
        "from butwait.pipelines.sampling.engine import make_sampler\n"
        "dofn = cloudpickle_pickler.loads((Path("
        f"{str(tmp_path)!r}) / 'SampleBlocks').read_bytes())\n"
        "print(type(OpenEngine(dofn._plan.engine).sampler(0)).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*sorted(sent), "VllmClient"]


def test_the_package_is_staged_for_workers_from_setup_py(root: Path, tmp_path: Path) -> None:
    options = PipelineOptions([f"--setup_file={root / 'setup.py'}"])
    staged = Stager.create_job_resources(
        options, str(tmp_path), log_submission_env_dependencies=False
    )
    [archive] = [a for a in staged if "tar.gz" in str(a)]
    [path] = tmp_path.glob("*.tar.gz")
    assert archive is not None
    with tarfile.open(path) as content:
        names = {"/".join(name.split("/")[1:]) for name in content.getnames()}
    assert {"setup.py", "pyproject.toml", "pipelines/stages/trajectories.py"} <= names
    assert {"schemas/question.py", "transforms/verify/__init__.py"} <= names
    assert any(n.startswith("pipelines/pocket/data/") and n.endswith(".jsonl") for n in names)
