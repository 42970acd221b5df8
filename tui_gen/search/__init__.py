"""Searching a space of settings with Optuna: every trial is an ordinary run in the folder of runs.

`spec` is what a search is and what came of it, as files that every screen reads without Optuna; `study` is the one
module that imports Optuna; `keeper` keeps the trials' runs going. Needs no PyTorch.
"""
