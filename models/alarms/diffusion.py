"""The alarms of what learns to undo noise: the loss in each band of times, besides what holds for every model."""

from tui_gen.alarms import EVERY, Alarm

QUARTERS = ("loss_0-25%", "loss_25-50%", "loss_50-75%", "loss_75-100%")
"""The metrics of each quarter of the times."""
BANDS = tuple(
    Alarm(
        amount=quarter,
        test="rises",
        sentence=f"the loss at {quarter.removeprefix('loss_')} of the noise has risen since step {{step:,}}: "
        "{value:.4g}, it was {best:.4g}",
        advice="Lower the learning rate, or clip gradients (clip_norm = 1)",
        after=500,
    )
    for quarter in QUARTERS
)
ALARMS = (*EVERY, *BANDS)
