"""An autoencoder's alarms."""

from msgspec.structs import replace

from tui_gen.alarms import EVERY, Alarm

ALARMS = (
    *(replace(alarm, amount="autoencoder/loss") if alarm.test in ("rises", "stuck") else alarm for alarm in EVERY),
    Alarm(
        amount="active_fraction",
        below=0.02,
        level="watch",
        sentence="{value:.1%} of the code's units are active",
        advice="Lower sparsity_weight, or the learning rate",
        after=1000,
    ),
)
"""Layers that are trained one after the other have a loss that starts anew with each."""
