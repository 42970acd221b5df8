"""What a view asks whoever has a run of another machine here, of which previews come when they are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class FetchedPreviews(Protocol):
    """Previews that are fetched when they are looked at."""

    def came(self) -> bool:
        """Whether one came since somebody asked."""

    def wanted(self, path: Path, name: str) -> Path:
        """A file of the run that is here. Raises OSError where it is still to come."""
