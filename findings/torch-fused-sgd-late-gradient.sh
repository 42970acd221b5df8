#!/usr/bin/env bash
# torch 2.15.0: fused SGD with momentum fails where a parameter gets its first gradient later than others.
#
# A layer that is frozen at first, or a part of a loss that joins in later, leaves `.grad` of some parameters None for
# the first steps. All optimisers skip such parameters, and take them up when they have a gradient. SGD does so in its
# loop over tensors and in its foreach form, with momentum and without; Adam, AdamW and Adagrad do in all forms. Only
# SGD with `fused=True` and a momentum raises TypeError: it makes momenta when none is there yet, and not for those that
# come later. A parameter that had a gradient, and then has none for a while, is no problem.
#
# Output: see EXPECTED below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 2> /dev/null
cat > "$work/look.py" <<'END'
import torch
from torch import nn


def trained(kind, form, without, **settings):
    """What comes of four steps; at step `without` the second parameter has no gradient."""
    weights = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    optimizer = getattr(torch.optim, kind)(weights, lr=0.1, **{form: True} if form else {"foreach": False}, **settings)
    for step in range(4):
        for place, weight in enumerate(weights):
            weight.grad = None if place and step == without else weight.detach().clone()
        try:
            optimizer.step()
        except TypeError:
            return f"TypeError at step {step}"
    return "trained"


for kind, settings in (("SGD", {}), ("SGD", {"momentum": 0.9}), ("Adam", {}), ("AdamW", {}), ("Adagrad", {})):
    for form in ("", "foreach", "fused"):
        first, second = (trained(kind, form, without, **settings) for without in (0, 2))
        name = " ".join([kind, *(f"{key}={value}" for key, value in settings.items())])
        print(f"{name}, {form or 'loop'}: none at step 0: {first}; none at step 2: {second}")
END
"$work/env/bin/python" "$work/look.py" > "$work/seen"
cat > "$work/EXPECTED" <<'END'
SGD, loop: none at step 0: trained; none at step 2: trained
SGD, foreach: none at step 0: trained; none at step 2: trained
SGD, fused: none at step 0: trained; none at step 2: trained
SGD momentum=0.9, loop: none at step 0: trained; none at step 2: trained
SGD momentum=0.9, foreach: none at step 0: trained; none at step 2: trained
SGD momentum=0.9, fused: none at step 0: TypeError at step 1; none at step 2: trained
Adam, loop: none at step 0: trained; none at step 2: trained
Adam, foreach: none at step 0: trained; none at step 2: trained
Adam, fused: none at step 0: trained; none at step 2: trained
AdamW, loop: none at step 0: trained; none at step 2: trained
AdamW, foreach: none at step 0: trained; none at step 2: trained
AdamW, fused: none at step 0: trained; none at step 2: trained
Adagrad, loop: none at step 0: trained; none at step 2: trained
Adagrad, foreach: none at step 0: trained; none at step 2: trained
Adagrad, fused: none at step 0: trained; none at step 2: trained
END
cat "$work/seen"
diff "$work/EXPECTED" "$work/seen" && echo "as described"
