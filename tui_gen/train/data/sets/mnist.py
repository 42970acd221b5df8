"""MNIST."""

from __future__ import annotations

from tui_gen.train.data.idx import IdxSet, idx_files


class MNIST(IdxSet):
    """MNIST, as IdxSet has it."""

    name = "mnist"
    title = "MNIST"
    summary = (
        "70,000 handwritten digits of 28×28 pixels, 60,000 to train on and 10,000 to validate with. The dataset that "
        "nearly every generative model was first shown on, so figures can be compared. 11 MB to download."
    )
    reference = "LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 1998"
    classes = tuple(str(digit) for digit in range(10))
    files = idx_files("MNIST")
    torchvision_name = "MNIST"
    rank = 70
