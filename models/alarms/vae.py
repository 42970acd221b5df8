"""A variational autoencoder's alarms: how much of its code is used, and whether β is what it should be."""

from tui_gen.alarms import EVERY, Alarm, Bound, without

ALARMS = (
    Alarm(
        amount="active_units",
        below=0.5,
        sentence="posterior collapse: no unit of the code is active, it carries no information",
        advice="Lower beta, let it grow slowly (kl_warmup = 2000), or make the decoder weaker",
    ),
    Alarm(
        amount="health/code_spread",
        above=1.5,
        level="watch",
        sentence="β = {beta:g} is too weak: codes spread {value:.1f} times as wide as the prior of samples",
        advice="Raise beta towards 1",
        after=1000,
    ),
    Alarm(
        amount="active_units / model.latent",
        below=0.5,
        level="watch",
        sentence="{active_units:.0f} of {latent} units active: β = {beta:g} is too strong for the others",
        advice="Lower beta or let it grow slowly (kl_warmup), or make the code shorter",
        after=1000,
    ),
    *without(EVERY, "rises"),
    Alarm(
        amount="reconstruction",  # the loss rises with β while that warms up, as it should
        test="rises",
        when=[Bound("model.kl_warmup", below=1)],
        sentence="reconstructions are worse since step {step:,}: {value:.4g} nats, the best were {best:.4g}",
        advice="Lower the learning rate, or clip gradients (clip_norm = 1)",
        after=500,
    ),
    Alarm(amount="active_units", above=0.5, level="good", sentence="{value:.0f} of {latent} units active"),
)
