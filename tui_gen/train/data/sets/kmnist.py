"""Kuzushiji-MNIST."""

from __future__ import annotations

from tui_gen.train.data.idx import IdxSet, idx_files


class KMNIST(IdxSet):
    """Kuzushiji-MNIST, as IdxSet has it."""

    name = "kmnist"
    title = "Kuzushiji-MNIST"
    summary = (
        "70,000 cursive Japanese characters of ten kinds in the format of MNIST. One character may be written in "
        "quite different ways, so each class has several modes. 21 MB to download."
    )
    reference = "Clanuwat et al., Deep Learning for Classical Japanese Literature, arXiv:1812.01718, 2018"
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    files = idx_files("KMNIST")
    torchvision_name = "KMNIST"
    rank = 90
