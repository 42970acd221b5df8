"""What this process and its machine are at, as the system tells: /proc and NVML where they are, else what Python knows.

NVML is that of the package `nvidia-ml-py`, if it is installed; nothing needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tui_gen.usage import Gpu, Load

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
NO_LIMIT = 1 << 60
"""A limit beyond this is none."""


class Gauge:
    """Reads what this process and its machine are at; the CPU's figures are means since the reading before.

    `uuid` is that of the GPU to look at, as PyTorch names it; empty for none.
    """

    def __init__(self, uuid: str = "") -> None:
        self._nvml = _nvml() if uuid else None
        self._gpu = _handle(self._nvml, uuid)
        self._own, self._all, self._at = _own_seconds(), _ticks(), time.monotonic()

    def read(self, gpu: Gpu | None = None) -> Load:
        """What is known now; `gpu` is what is known of the GPU otherwise, to which NVML adds."""
        own, ticks, now = _own_seconds(), _ticks(), time.monotonic()
        span = max(now - self._at, 1e-6)
        cpu = max(0.0, own - self._own) / span
        busy = None
        if ticks is not None and self._all is not None and ticks[1] > self._all[1]:
            busy = min(1.0, max(0.0, (ticks[0] - self._all[0]) / (ticks[1] - self._all[1])))
        self._own, self._all, self._at = own, ticks, now
        free, total = memory()
        return Load(
            host=socket.gethostname()[:200], cpus=cpus(), cpu=round(cpu, 3),
            all_cpus=None if busy is None else round(busy, 3), memory=resident_bytes(), free=free, total=total,
            gpu=self._read_gpu(gpu),
        )  # fmt: skip

    def _read_gpu(self, gpu: Gpu | None) -> Gpu | None:
        if gpu is None or self._nvml is None or self._gpu is None:
            return gpu
        nvml, handle, more = self._nvml, self._gpu, dict[str, Any]()
        # Each by itself: a part of a GPU, or an old one, may not tell all of them.
        with _told(nvml):
            more["busy"] = min(1.0, nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
        with _told(nvml):
            memory_of = nvml.nvmlDeviceGetMemoryInfo(handle)
            if _same(memory_of.total, gpu.total):
                more["used"], more["total"] = int(memory_of.used), int(memory_of.total)
        with _told(nvml):
            more["watts"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        with _told(nvml):
            more["celsius"] = float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        return msgspec.structs.replace(gpu, **more)


@contextlib.contextmanager
def _told(nvml: Any) -> Iterator[None]:
    """NVML may not tell something, or not know how to: then it is not known."""
    with contextlib.suppress(nvml.NVMLError, AttributeError, ValueError):
        yield


def _nvml() -> Any | None:
    """The library with which NVIDIA's GPUs are looked at, ready for use; None where it or a driver is lacking."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        return nvml if issubclass(nvml.NVMLError, Exception) else None
    except Exception:  # not installed, of another kind, or no driver: whatever it is, nothing is told
        return None


def _handle(nvml: Any | None, uuid: str) -> Any | None:
    """What NVML calls a GPU, or a part of one (MIG), that PyTorch names without saying which of the two it is."""
    for prefix in ("",) if uuid.startswith(("GPU-", "MIG-")) else ("GPU-", "MIG-"):
        if nvml is not None:
            with _told(nvml):
                return nvml.nvmlDeviceGetHandleByUUID(f"{prefix}{uuid}")
    return None


def _same(total: float, known: float) -> bool:
    """Whether NVML tells of the memory that PyTorch computes in: of a part of a GPU, it may tell the whole one's.
    They count the driver's own differently."""
    return abs(total - known) <= 0.15 * total


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _ticks() -> tuple[float, float] | None:
    """How long all CPUs have been busy and how long there were any, in ticks; None where the system does not tell."""
    try:
        words = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
        ticks = [float(word) for word in words]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
    except (OSError, ValueError, IndexError):
        return None


def cpus() -> float:
    """How many CPUs this process may use: those that it is bound to, and what its container is given of them."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for folder in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError):
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if quota != "max" and float(quota) > 0:
                count = min(count, float(quota) / float(period))
    return round(count, 2)


def memory() -> tuple[int, int]:
    """Bytes that can still be had, and that there are, here or in the container; 0 where the system does not tell."""
    free = total = 0
    try:
        lines = (line.split() for line in (PROC / "meminfo").read_text().splitlines())
        sizes = {words[0]: int(words[1]) * 1024 for words in lines if len(words) > 1}
        free, total = sizes["MemAvailable:"], sizes["MemTotal:"]
    except (OSError, ValueError, KeyError):
        with contextlib.suppress(OSError, ValueError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _groups("memory"):
        with contextlib.suppress(OSError, ValueError):
            new = (folder / "memory.max").exists()
            most = (folder / ("memory.max" if new else "memory.limit_in_bytes")).read_text().strip()
            usage = int((folder / ("memory.current" if new else "memory.usage_in_bytes")).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            if most != "max" and int(most) < min(NO_LIMIT, total or NO_LIMIT):
                cache = int(stat.get("inactive_file" if new else "total_inactive_file", 0))  # given back when needed
                total, free = int(most), min(free or int(most), max(0, int(most) - usage + cache))
    return free, total


def _groups(controller: str) -> list[Path]:
    """The folders that hold this process's limits: of either version of control groups, those that are there."""
    folders = []
    with contextlib.suppress(OSError, ValueError):
        for line in (PROC / "self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            if not names or controller in names.split(","):
                top = GROUPS / (controller if names else "")
                folders += [top / path.lstrip("/"), top]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def resident_bytes() -> int:
    """The memory of this process that is in use."""
    try:
        return int((PROC / "self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def gpu_free(uuid: str, total: int) -> int:
    """Bytes that can still be had on the GPU with this name and so many bytes in all; 0 where nobody tells."""
    nvml = _nvml()
    handle = _handle(nvml, uuid)
    if nvml is not None and handle is not None:
        with _told(nvml):
            memory_of = nvml.nvmlDeviceGetMemoryInfo(handle)
            return int(memory_of.free) if _same(memory_of.total, total) else 0
    return 0
