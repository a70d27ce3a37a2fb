"""What a training loads: nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys


def test_vllm_is_not_loaded_where_transformers_samples_and_is_known_again_after() -> None:
    code = (
        "import sys\n"
        "from trl import import_utils\n"
        "known = import_utils.is_vllm_available\n"
        "from butwait.trainer.grpo import _load_trainer\n"
        "_load_trainer('transformers')\n"
        "assert 'vllm' not in sys.modules\n"
        "assert import_utils.is_vllm_available is known\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
