"""How the command line begins: a signal that is to end it is obeyed from the first moment, before all else is loaded.

Python dies of SIGUSR1 while nobody has told it otherwise, with a status that no batch script takes for a job to be put
back, and writes a traceback where Ctrl-C meets an import. So this is imported first, imports next to nothing, and has
a command that trains end with the status that it has at any later moment. Once there may be a run to be stopped,
`tui_gen.signals` takes over.
"""

import os
import signal
from types import FrameType

from tui_gen.batch import TERMINATE, status_of


def watch(words: list[str]) -> None:
    """Have SIGINT end this process without a traceback and, where it is told to train, SIGTERM and what batch systems
    send with the status of a run that they stopped. What is ignored stays so.
    """
    training = words[:1] == ["train"] or any(word.partition("=")[0] in ("--run", "--resume") for word in words)
    for number in (signal.SIGINT, *(TERMINATE if training else ())):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def end(number: int, frame: FrameType | None) -> None:
    """The handler: nothing was begun that would have to be finished."""
    words = "interrupted" if number == signal.SIGINT else f"{signal.Signals(number).name}: ended before training began"
    try:
        os.write(2, f"tui-gen: {words}\n".encode())
    finally:
        os._exit(status_of(number))
