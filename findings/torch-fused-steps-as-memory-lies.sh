#!/usr/bin/env bash
# torch 2.15.0: fused optimisers pair gradients with weights as both lie in memory, and say nothing where they lie
# differently.
#
# A convolution that is fed images in channels_last gives `torch.autograd.grad` a gradient in channels_last, also where
# its weight is contiguous. `.backward()` brings it into the weight's order; whoever assigns it to `.grad` does not.
# The loop over tensors and the foreach optimisers then move each weight by its own gradient. With `fused=True`, on a
# CPU, SGD, Adam, AdamW and Adagrad move it by that of another weight: no error, no warning.
#
# Output: see EXPECTED below. "another" means that the weights after one step differ by more than a hundredth of the
# largest move from those that the loop over tensors gives.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 2> /dev/null
cat > "$work/look.py" <<'END'
import torch
from torch import nn


def stepped(kind, way, **settings):
    """(weights before, weights after, strides of the gradient) of one step."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3)
    images = torch.randn(5, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    before = layer.weight.detach().clone()
    optimizer = getattr(torch.optim, kind)([layer.weight], lr=0.1, **settings)
    loss = layer(images).square().sum()
    if way == "autograd.grad":
        (layer.weight.grad,) = torch.autograd.grad(loss, [layer.weight])
    else:
        loss.backward()
    strides = tuple(layer.weight.grad.stride())
    optimizer.step()
    return before, layer.weight.detach(), strides


for way in ("backward", "autograd.grad"):
    for kind in ("SGD", "Adam", "AdamW", "Adagrad"):
        before, plain, strides = stepped(kind, way, foreach=False)
        _, foreach, _ = stepped(kind, way, foreach=True)
        _, fused, _ = stepped(kind, way, fused=True)
        largest = (plain - before).abs().max()
        apart = [float((other - plain).abs().max() / largest) > 0.01 for other in (foreach, fused)]
        words = ["the same", "another"]
        print(f"{way}, gradient {strides}, {kind}: foreach {words[apart[0]]}, fused {words[apart[1]]}")
END
"$work/env/bin/python" "$work/look.py" > "$work/seen"
cat > "$work/EXPECTED" <<'END'
backward, gradient (27, 9, 3, 1), SGD: foreach the same, fused the same
backward, gradient (27, 9, 3, 1), Adam: foreach the same, fused the same
backward, gradient (27, 9, 3, 1), AdamW: foreach the same, fused the same
backward, gradient (27, 9, 3, 1), Adagrad: foreach the same, fused the same
autograd.grad, gradient (27, 1, 9, 3), SGD: foreach the same, fused another
autograd.grad, gradient (27, 1, 9, 3), Adam: foreach the same, fused another
autograd.grad, gradient (27, 1, 9, 3), AdamW: foreach the same, fused another
autograd.grad, gradient (27, 1, 9, 3), Adagrad: foreach the same, fused another
END
cat "$work/seen"
diff "$work/EXPECTED" "$work/seen" && echo "as described"
