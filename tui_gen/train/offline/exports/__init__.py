"""Exports made from a checkpoint: `python -m tui_gen.train.offline.exports FORMAT RUN FILE OPTIONS [SECOND NAME]`.

A format is a file of that name, with `export(run, target, options, tell)`, which writes and reads back what it wrote.
"""
