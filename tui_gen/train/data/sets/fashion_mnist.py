"""Fashion-MNIST."""

from __future__ import annotations

from tui_gen.train.data.idx import IdxSet, idx_files


class FashionMNIST(IdxSet):
    """Fashion-MNIST, as IdxSet has it."""

    name = "fashion-mnist"
    title = "Fashion-MNIST"
    summary = (
        "70,000 grey pictures of ten kinds of clothing, in the same size and split as MNIST but with more texture and "
        "more variety, and so harder. 30 MB to download."
    )
    reference = "Xiao et al., Fashion-MNIST, arXiv:1708.07747, 2017"
    classes = (
        "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    files = idx_files("FashionMNIST")
    torchvision_name = "FashionMNIST"
    rank = 80
