"""The reference manual in Python's own help."""

from __future__ import annotations

from tui_gen.train.data.sources import Report
from tui_gen.train.data.text import TextSet


class PythonHelp(TextSet):
    """The topics of `help()`, one after the other in the order of their names."""

    name = "python-help"
    title = "Python's help topics"
    summary = (
        "The half million characters of reference manual that Python's own `help()` prints, in English with grammars "
        "and examples of code. They come with Python, so nothing is downloaded. For models of sequences; the last "
        "part is held out, and `dataset.length` sets how many characters a model reads at a time."
    )
    reference = "Python Software Foundation, The Python Language Reference"
    rank = 140

    def read(self, report: Report) -> str:
        from pydoc_data.topics import topics

        return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"
