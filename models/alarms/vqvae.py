"""The alarms of a model that writes with a codebook: how much of it is used."""

from tui_gen.alarms import EVERY, Alarm, without

ALARMS = (
    Alarm(
        amount="active_codes",
        below=1.5,
        sentence="codebook collapse: every place of every example has the same code",
        advice="Let codes restart (restart_after = 20), lower the learning rate, or raise commitment",
    ),
    Alarm(
        amount="perplexity / model.codebook_size",
        below=0.1,
        level="watch",
        sentence="the codes are used as if there were {perplexity:.0f} of {codebook_size}",
        advice="Let codes restart (restart_after = 20), or make the codebook smaller",
        after=1000,
    ),
    *without(EVERY, "rises"),  # the loss counts the commitment, which grows with the codes
    Alarm(
        amount="reconstruction",
        test="rises",
        sentence="reconstructions are worse since step {step:,}: {value:.4g}, the best were {best:.4g}",
        advice="Lower the learning rate, or clip gradients (clip_norm = 1)",
        after=500,
    ),
    Alarm(
        amount="active_codes",
        above=1.5,
        level="good",
        sentence="{value:.0f} of {codebook_size} codes in use",
    ),
)
