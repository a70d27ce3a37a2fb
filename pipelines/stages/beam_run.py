"""Run one Beam pipeline on the chosen runner."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from butwait.pipelines.failures import raised_here
from butwait.schemas.errors import ConfigError

DEFAULT_RUNNER = "FnApiRunner"
"""``DirectRunner`` first tries to fetch a Go binary and may silently become another runner."""


def run_pipeline(
    build: Callable[[Any], None], status: Path, runner: str, options: Sequence[str]
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
        pipeline.run().wait_until_finish()


def quiet_beam() -> None:
    """Keep Beam's import notice and its tracebacks off the terminal; call before importing it."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        import apache_beam  # noqa: F401
    finally:
        root.setLevel(level)
    # A worker's error reaches the user as one line; Beam would print its traceback before.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
