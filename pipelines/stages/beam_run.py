"""Run one Beam pipeline on the chosen runner."""

from __future__ import annotations

import argparse
import difflib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from butwait.pipelines.failures import raised_here
from butwait.pipelines.places import AnyPath
from butwait.schemas.errors import ButwaitError, ConfigError

OWN_FLAGS = ("--limit", "--dry-run", "--set", "--runner", "--out", "--cache", "--from", "--debug")

DEFAULT_RUNNER = "FnApiRunner"
"""``DirectRunner`` first tries to fetch a Go binary and may silently become another runner."""


def run_pipeline(
    build: Callable[[Any], None], status: AnyPath, runner: str, options: Sequence[str]
) -> None:
    """Build a pipeline, run it and wait for its end.

    Args:
        build: Adds the transforms to the pipeline it is given.
        status: Folder where workers report their errors.
        runner: Beam runner's name.
        options: Beam's own flags, passed through as they are.

    Raises:
        ConfigError: The runner does not exist.
        ButwaitError: What a worker reported.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        pipeline = beam.Pipeline(runner=runner, options=PipelineOptions(list(options)))
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError(
            f"runner {runner!r} is not a Beam runner that can be used here ({error}); "
            f"the default is {DEFAULT_RUNNER}"
        ) from error
    build(pipeline)
    with raised_here(status):
        result = pipeline.run()
        state = result.wait_until_finish() or result.state
        if str(state) not in ("DONE", "None"):
            # A runner may tell of a cancelled job in its state alone.
            raise ButwaitError(f"the pipeline on {runner} ended as {state}; see the runner's logs")


def check_options(runner: str, options: Sequence[str]) -> None:
    """Refuse a flag that nobody knows: Beam would drop it without a word.

    Other runners than the default may get flags from their job server; theirs are left alone.

    Raises:
        ConfigError: With the nearest known flag.
    """
    if not options or runner not in (DEFAULT_RUNNER, "DirectRunner"):
        return
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    pending = list(PipelineOptions.__subclasses__())
    while pending:
        section = pending.pop()
        pending.extend(section.__subclasses__())
        if "_add_argparse_args" in vars(section):
            section._add_argparse_args(parser)
    try:
        _, unknown = parser.parse_known_args(list(options))
    except argparse.ArgumentError as error:
        raise ConfigError(f"Beam flag {error.argument_name}: {error.message}") from error
    if unknown:
        name = unknown[0].partition("=")[0]
        close = difflib.get_close_matches(name, OWN_FLAGS, 1, 0.7) or difflib.get_close_matches(
            name, list(parser._option_string_actions), 1
        )
        hint = f"did you mean {close[0]}?" if close else "see butwait build --help"
        raise ConfigError(f"{unknown[0]!r} is neither butwait's flag nor Beam's; {hint}")


def quiet_beam(*, keeps_errors: bool = False) -> None:
    """Keep Beam's notice about absent cloud clients off the terminal; before Beam is imported.

    Args:
        keeps_errors: Whether its tracebacks stay: of other machines nobody else tells.
    """
    # Logged on the root logger, at whichever import comes first.
    logging.getLogger().addFilter(lambda record: "apitools not found" not in record.getMessage())
    # A worker's error reaches the user as one line; Beam would print its traceback before.
    if not keeps_errors:
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
