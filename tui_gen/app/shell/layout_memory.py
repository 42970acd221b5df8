"""What is remembered of the layout from one session to the next: proportions of panes, and the layouts preferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.shell.workspace import Workspace


class LayoutMemory:
    """Keeps in the settings what the user does to the layout, and can give up the proportions and bring them back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shares_before: dict[str, float] = {}

    @property
    def shares(self) -> dict[str, float]:
        """Where the user has put each boundary: its key, and the part (0 to 1, exclusive) of the room before it."""
        values = self._settings.under("layout")
        return {key: float(value) for key, value in values.items() if isinstance(value, int | float) and 0 < value < 1}

    @property
    def favourites(self) -> dict[str, str]:
        """The layout that was chosen for each shape of terminal."""
        return {shape: name for shape, name in self._settings.under("layouts").items() if isinstance(name, str)}

    def keep_share(self, key: str, share: float) -> None:
        """Remember where a boundary is."""
        self._settings.set(f"layout.{key}", share)

    def prefer(self, workspace: Workspace, name: str) -> None:
        """Use a layout from now on, and the next time in a terminal of this shape."""
        self._settings.set(f"layouts.{workspace.prefer(name)}", name)

    def reset(self, workspace: Workspace) -> None:
        """Every boundary back to where it was at first; once more, to where the user had put it."""
        before, self._shares_before = self._shares_before, dict(workspace.shares)
        if workspace.shares:
            for key in workspace.shares:
                self._settings.remove(f"layout.{key}")
            workspace.reset()
        elif before:
            for key, share in before.items():
                self.keep_share(key, share)
            workspace.shares.update(before)
            workspace.rearrange()

    def can_put_back(self, workspace: Workspace) -> bool:
        """Whether the proportions that were given up last can be had again."""
        return bool(self._shares_before) and not workspace.shares
