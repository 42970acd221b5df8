"""What the workbench is made of: parts that do what it is asked for, and are not its ancestors."""

from __future__ import annotations

import inspect

import pytest

from tui_gen.app.far_runs import FarForker, FarQueueKeeper, FarRecordActions, FarRunActions
from tui_gen.app.shell.parts import made_of
from tui_gen.app.workbench import Workbench


class Bell:
    def __init__(self) -> None:
        self.rung: list[object] = []

    def action_ring(self, times: int) -> None:
        """Ring."""
        self.rung.append(times)

    async def on_storm(self) -> None:
        self.rung.append("storm")

    def polish(self) -> None:
        self.rung.append("polished")


@made_of(bell=Bell)
class Tower:
    pass


async def test_actions_and_handlers_are_handed_on_and_nothing_else_is():
    tower = Tower()
    tower.action_ring(3)  # there is no bell yet
    tower.bell = Bell()
    tower.action_ring(3)
    await tower.on_storm()
    assert tower.bell.rung == [3, "storm"] and not hasattr(tower, "polish")
    assert list(inspect.signature(tower.action_ring).parameters) == ["times"], "Textual counts them"
    assert not inspect.signature(tower.on_storm).parameters and Tower.action_ring.__doc__ == "Ring."


def test_two_that_would_answer_the_same_are_refused():
    with pytest.raises(TypeError, match="action_ring"):
        made_of(bell=Bell, other=Bell)(type("Church", (), {}))


@pytest.mark.parametrize("part", [FarForker, FarQueueKeeper, FarRecordActions, FarRunActions])
def test_parts_for_another_machine_answer_what_the_workbench_hands_on(part):
    """Those that only they had would never be called."""
    asked = [name for name in vars(part) if name.startswith(("action_", "on_"))]
    assert asked and all(name in vars(Workbench) for name in asked)
    assert part not in Workbench.__mro__


def test_of_ours_only_what_textual_asks_an_app_for_is_inherited():
    """Panes, runs and colours come from objects that a workbench has; those of another machine are one, too."""
    ours = [rung.__name__ for rung in Workbench.__mro__ if rung.__module__.startswith("tui_gen")]
    assert ours == ["Workbench", "TerminalApp", "HookedApp"]
    assert not [one for one in Workbench.__subclasses__() if one.__module__.startswith("tui_gen")]
