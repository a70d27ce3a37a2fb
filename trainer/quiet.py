"""Libraries that talk while a model is trained, or load what is not used, asked not to."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


def quiet_libraries() -> None:
    """Keep notes and progress bars of transformers and datasets off the screen; errors stay."""
    import datasets
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in ("trl", "accelerate", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch|transformers|trl|peft")


@contextlib.contextmanager
def without_vllm() -> Iterator[None]:
    """Let TRL be imported as where there is no vLLM.

    It loads vLLM wherever it is installed, ten seconds of processor time, also for rollouts that
    transformers samples. A run with vLLM needs a process that has not been here.
    """
    from trl import import_utils

    known = import_utils.is_vllm_available
    import_utils.is_vllm_available = lambda min_version=None: False
    try:
        yield
    finally:
        import_utils.is_vllm_available = known
