"""Runs that compile nothing do not import PyTorch's compiler: a second of a core and 150 MB. What is compiled for a CPU
does without Triton: 80 MB."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import small_runs


@pytest.mark.skipif(sys.platform != "linux", reason="forked workers are Linux's")
def test_no_family_s_training_preview_health_or_validation_imports_the_compiler(tmp_path):
    alone = [family for family, made in small_runs.SMALL.items() if small_runs.FIRST not in str(made)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.compiler_free", str(tmp_path), *alone],
        cwd=Path(__file__).resolve().parents[1], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{family} 0 " for family in alone], done.stderr


COMPILED = """
import sys
from tests import small_runs
from tui_gen.train.engine import compiling
compiling.apply(small_runs.trainer("vae"), print)
print("torch._inductor.compile_fx" in sys.modules, any(name.startswith("triton.") for name in sys.modules))
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_what_is_compiled_for_a_cpu_leaves_triton_out():
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], cwd=Path(__file__).resolve().parents[1], capture_output=True, text=True,
        timeout=300, check=False, env={**os.environ, "TUI_GEN_TUNED": "1"},
    )  # fmt: skip
    assert done.stdout.split() == ["True", "False"], done.stderr
    assert "triton" not in done.stderr
