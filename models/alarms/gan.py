"""A generative adversarial network's alarms: who wins, and whether what is generated is still diverse."""

from tui_gen.alarms import EVERY, Alarm, Bound, without

HOLD_BACK = "Lower the discriminator's lr, or hold it back: r1_weight = 1, instance_noise = 0.1"

ALARMS = (
    Alarm(
        amount="diversity",
        below=0.1,
        sentence="mode collapse: generated examples are nearly all alike, they vary {value:.0%} as much as real ones",
        advice="Try loss = wasserstein-gp, R1 (r1_weight = 1), or lower learning rates",
    ),
    Alarm(
        amount="health/balance",
        above=0.995,
        when=[Bound("model.loss", one_of=["non-saturating", "hinge", "least-squares"])],  # a critic is to be ahead
        sentence="D wins: it puts a real example above a generated one in {value:.1%} of pairs",
        advice=HOLD_BACK,
        after=500,
    ),
    Alarm(
        amount="D_real + D_fake / -1",
        above=0.95,
        when=[Bound("model.loss", one_of=["non-saturating"])],
        sentence="D wins: it takes {D_real:.0%} of real examples for real, and {D_fake:.0%} of generated ones",
        advice=HOLD_BACK,
        after=500,
    ),
    Alarm(
        amount="health/balance",
        below=0.4,
        level="watch",
        sentence="G wins: D puts a real example above a generated one in only {value:.0%} of pairs",
        advice="Raise the discriminator's lr, or give it more steps (n_critic = 2)",
        after=500,
    ),
    Alarm(
        amount="diversity",
        below=0.5,
        level="watch",
        sentence="little diversity: generated examples vary {value:.0%} as much as real ones",
        advice="Watch the samples for repeats; minibatch_std or R1 (r1_weight = 1) bring more",
        after=1000,
    ),
    *without(EVERY, "rises", "overfits", "stuck"),  # two losses that play against each other have no lowest value
    Alarm(
        amount="health/balance",
        above=0.4,
        below=0.995,
        level="good",
        sentence="in balance: D is right in {value:.0%} of pairs, diversity {diversity:.0%}",
    ),
)
