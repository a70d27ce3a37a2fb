"""Libraries that talk while a model is trained, asked to be quiet."""

from __future__ import annotations

import logging
import warnings


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
