"""The process that trains one run: `python -m tui_gen.train.run RUN [--resume]`, or `--warm SOCKET` to wait for one."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from tui_gen import presence, world
from tui_gen.train.run import stopping
from tui_gen.train.run.following import Following
from tui_gen.train.run.peer_link import PeerLink
from tui_gen.train.run.worker import Worker


def main() -> None:
    """The command line of a worker; people use `tui-gen` instead."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.run", description=__doc__)
    parser.add_argument("run", nargs="?", help="the run directory to train")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    parser.add_argument("--warm", metavar="SOCKET", help="wait on this socket to be given a run")
    parser.add_argument("--lock", type=int, metavar="FD", help="the run's lock, inherited from whoever starts this")
    parser.add_argument("--polite", action="store_true", help="let others go first until there is a run")
    parser.add_argument("--world", action="store_true", help="train in the place that is in the environment")
    parser.add_argument("--rank", type=int, default=0, help="train as a process with this rank of several")
    parser.add_argument("--of", type=int, default=1, help="how many they are, all on this machine")
    parser.add_argument("--link", type=int, metavar="FD", help="the connection to rank 0, which starts this")
    arguments = parser.parse_args()
    if arguments.rank:
        end = socket.socket(fileno=arguments.link)
        own = world.World(arguments.rank, arguments.of, arguments.rank, arguments.of)
        stopping.leave(Following(own, Path(arguments.run), PeerLink(end)).main())
    if arguments.world:
        handover = world.handed_over()
        assert handover is not None, "whoever starts this with --world leaves the place in the environment"
        stopping.leave(Following(handover).main())
    if arguments.warm:
        from tui_gen.train.run.warm import Warm

        stopping.leave(Warm(arguments.warm, arguments.polite).main())
    if not arguments.run:
        parser.error("name a run directory, or --warm SOCKET")
    path = Path(arguments.run)
    hold = presence.Hold.adopt(path, arguments.lock) if arguments.lock is not None else None
    stopping.leave(Worker(path, arguments.resume, hold=hold).main())


if __name__ == "__main__":
    main()
