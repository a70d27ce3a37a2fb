"""The command that publishes: ``butwait push``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import is_live, say
from butwait.schemas.errors import ConfigError

if TYPE_CHECKING:
    from butwait.pipelines.publish import PushOptions

app = make_app()


@app.command()
def push(
    run: Annotated[
        str, typer.Argument(help="Run folder, e.g. runs/quickstart or gs://bucket/runs/x.")
    ],
    repo_id: Annotated[str, typer.Argument(help="Repository on the Hub, e.g. me/my-dataset.")],
    public: Annotated[
        bool, typer.Option("--public", help="Make the repository public (default: private).")
    ] = False,
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
    tag: Annotated[str | None, typer.Option(help="Name the commit, e.g. v1.")] = None,
    move_tag: Annotated[
        bool, typer.Option("--move-tag", help="Let the tag leave the commit it names.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the card of what butwait did not make.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Publish a run, dataset or trained model, on the Hugging Face Hub.

    A reader sees all of it or nothing; what was committed is read back and compared. Run again
    after an interruption: what was sent is not sent twice.

    The token comes from HF_TOKEN or `hf auth login`; HF_ENDPOINT names another Hub.

    \b
    Examples:
      butwait push runs/quickstart me/pocket-reasoning
      butwait push runs/quickstart me/pocket-reasoning --public --tag v1
      butwait push runs/quickstart-sft me/pocket-sft
    """
    from butwait.pipelines.places import read_folder, use_options
    from butwait.pipelines.publication import fetch_publication
    from butwait.pipelines.publish import PushOptions

    if not is_live(sys.stderr):
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()  # a bar in a log is a line a step
    folder = read_folder(run)
    use_options(folder)
    options = PushOptions(
        public=public, tag=tag, move_tag=move_tag, replace=replace, message=message
    )
    with fetch_publication(folder) as here:
        _push(here, repo_id, options)


def _push(run: Path, repo_id: str, options: PushOptions) -> None:
    """Publish a run that is here, and say what became of it."""
    from butwait.pipelines.publish import push_run
    from butwait.pipelines.publish_model import is_training_run, push_model

    is_model = is_training_run(run)
    if is_model:
        from butwait.trainer.card import renew_evaluation

        renew_evaluation(run)
    result = (push_model if is_model else push_run)(
        run,
        repo_id,
        options,
        token=_find_token(),
        endpoint=os.environ.get("HF_ENDPOINT"),
        progress=say,
    )
    what = f"{result.files_sent} files sent" if result.files_sent else "nothing had changed"
    read = "model" if is_model else f"{result.n_rows} rows"
    say(f"{result.url}: {read} read back equal ({what})")


def _find_token() -> str:
    from huggingface_hub import get_token

    token = get_token()
    if token is None:
        raise ConfigError(
            "no Hub token: set HF_TOKEN or run `hf auth login` (a token with write access)"
        )
    return str(token)
