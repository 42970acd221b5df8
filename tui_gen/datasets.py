"""What can be trained on, as plain data for the catalogue, the forms and the docs. Needs no PyTorch.

`tui_gen.train.data` turns a name from here into tensors.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tui_gen.places import cache_dir


class DatasetEntry(msgspec.Struct):
    """A dataset in words.

    `kind` is `image`, `points` or `text`; `default_size` the height and width that `dataset.size = 0` gives (0 but for
    images); `channels` its own colour channels (1 grey, 3 RGB, 0 but for images; for `folder` what `auto` gives at
    most). `classes` names the labels; empty where there are none or, for `folder`, where the folder decides. `count`
    is the number of training examples before `limit` and the validation split, None when they are made without end or
    known only once read. `needs_root` means `dataset.root` must name a folder (a file for text); `downloads` that a
    missing copy is fetched from the network.
    """

    name: str
    title: str
    kind: str
    default_size: int
    channels: int
    classes: list[str]
    count: int | None
    needs_root: bool
    downloads: bool
    summary: str
    reference: str


COUNTED = {"image": "images", "points": "points", "text": "characters"}
"""What data of a kind are counted in, where it is told how many pass in a second."""
TEN = [str(digit) for digit in range(10)]
SHAPES = ["circle", "square", "triangle", "ring", "cross", "star"]

_ENTRIES = [
    DatasetEntry(
        "digits", "Digits", "image", 8, 1, TEN, 1797, False, False,
        "1,797 real handwritten digits of 8×8 pixels from 43 people. They come with scikit-learn, so nothing is "
        "downloaded, and they are small enough to train on within a minute. Sizes of 16 and 32 px are enlarged "
        "smoothly.",
        "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998",
    ),
    DatasetEntry(
        "shapes", "Shapes", "image", 32, 3, SHAPES, None, False, False,
        "Coloured circles, squares, triangles, rings, crosses and stars on a coloured ground, drawn afresh for every "
        "batch, so a model can never memorise them. Kind, size, place, angle and colour are random; the kind is the "
        "label. Good for seeing whether a colour model works at all.",
        "",
    ),
    DatasetEntry(
        "ring", "Ring of Gaussians", "points", 0, 0, [f"mode {n}" for n in range(1, 9)], None, False, False,
        "Points in the plane from eight narrow Gaussians on a circle, the classic test of mode collapse: a GAN that "
        "finds only some of the eight clusters has collapsed. `dataset.noise` sets their width.",
        "Metz et al., Unrolled Generative Adversarial Networks, ICLR 2017",
    ),
    DatasetEntry(
        "moons", "Two moons", "points", 0, 0, ["upper", "lower"], None, False, False,
        "Points along two half circles that reach into each other. The two pieces touch nowhere, so it shows whether "
        "a model leaves the gap between them empty. `dataset.noise` sets how far points stray from the curves.",
        "Pedregosa et al., Scikit-learn, JMLR 2011 (make_moons)",
    ),
    DatasetEntry(
        "swiss-roll", "Swiss roll", "points", 0, 0, [], None, False, False,
        "Points along a spiral, a one-dimensional thread rolled up in the plane. Learning it means following a "
        "curve that comes close to itself without blurring the turns together. `dataset.noise` sets its thickness.",
        "Sohl-Dickstein et al., Deep Unsupervised Learning using Nonequilibrium Thermodynamics, ICML 2015",
    ),
    DatasetEntry(
        "gaussian", "Grid of 25 Gaussians", "points", 0, 0, [f"mode {n}" for n in range(1, 26)], None, False, False,
        "Points from 25 equally likely Gaussians on a 5×5 grid, the harder sister of the ring: count how many of the "
        "25 clusters the samples reach, and how many samples fall between them. `dataset.noise` sets their width.",
        "Dumoulin et al., Adversarially Learned Inference, ICLR 2017",
    ),
    DatasetEntry(
        "mnist", "MNIST", "image", 28, 1, TEN, 60_000, False, True,
        "70,000 handwritten digits of 28×28 pixels, 60,000 to train on and 10,000 to validate with. The dataset that "
        "nearly every generative model was first shown on, so figures can be compared. 11 MB to download.",
        "LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 1998",
    ),
    DatasetEntry(
        "fashion-mnist", "Fashion-MNIST", "image", 28, 1,
        ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"],
        60_000, False, True,
        "70,000 grey pictures of ten kinds of clothing, in the same size and split as MNIST but with more texture and "
        "more variety, and so harder. 30 MB to download.",
        "Xiao et al., Fashion-MNIST, arXiv:1708.07747, 2017",
    ),
    DatasetEntry(
        "kmnist", "Kuzushiji-MNIST", "image", 28, 1,
        ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"], 60_000, False, True,
        "70,000 cursive Japanese characters of ten kinds in the format of MNIST. One character may be written in "
        "quite different ways, so each class has several modes. 21 MB to download.",
        "Clanuwat et al., Deep Learning for Classical Japanese Literature, arXiv:1812.01718, 2018",
    ),
    DatasetEntry(
        "cifar10", "CIFAR-10", "image", 32, 3,
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        50_000, False, True,
        "60,000 small colour photographs of ten kinds of things, 50,000 to train on and 10,000 to validate with. The "
        "usual yardstick for image generators; expect hours on a GPU for good samples. 170 MB to download.",
        "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    ),
    DatasetEntry(
        "svhn", "Street View House Numbers", "image", 32, 3, TEN, 73_257, False, True,
        "99,289 colour photographs of house numbers, cropped to one digit, with bits of the neighbouring digits in "
        "view. Between MNIST and CIFAR-10 in difficulty. 250 MB to download.",
        "Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, NIPS workshop 2011",
    ),
    DatasetEntry(
        "celeba", "CelebA", "image", 64, 3, ["not smiling", "smiling"], 162_770, False, True,
        "202,599 aligned photographs of faces, cropped to the centre. Its own split gives 162,770 to train on and "
        "19,867 to validate with; of its 40 attributes, smiling is used as the label. 1.4 GB to download.",
        "Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015",
    ),
    DatasetEntry(
        "folder", "Folder of images", "image", 64, 3, [], None, True, False,
        "Your own images: every picture in the folder `dataset.root`, or one sub-folder per class; sub-folders called "
        "train and val (or test) are used as the split. Colour profiles are converted to sRGB; pixels of more than 8 "
        "bits get one range for the whole set, which is said. Images are resized by the shorter side, cropped to the "
        "centre and kept in the cache folder, so only the first start takes long.",
        "",
    ),
    DatasetEntry(
        "python-help", "Python's help topics", "text", 0, 0, [], None, False, False,
        "The half million characters of reference manual that Python's own `help()` prints, in English with grammars "
        "and examples of code. They come with Python, so nothing is downloaded. For models of sequences; the last "
        "part is held out, and `dataset.length` sets how many characters a model reads at a time.",
        "Python Software Foundation, The Python Language Reference",
    ),
    DatasetEntry(
        "text-file", "Your own text", "text", 0, 0, [], None, True, False,
        "Any text in UTF-8: set `dataset.root` to the file. Some hundred thousand characters at least make a model "
        "worth reading; the last part is held out, and every character that occurs is in the vocabulary.",
        "",
    ),
]  # fmt: skip

DATASETS: dict[str, DatasetEntry] = {entry.name: entry for entry in _ENTRIES}
"""Name → what it is, in the order in which a list shows them."""


class Files(msgspec.Struct, frozen=True):
    """The `files` of a public set; they lie in the first of `places`, folders below its root, that has them all."""

    places: tuple[str, ...]
    files: tuple[str, ...]

    def find(self, base: Path) -> Path | None:
        """The folder below `base` that has every file, as it is or with `.gz`; None where none has."""
        for place in self.places:
            folder = base / place
            if all((folder / file).exists() or (folder / f"{file}.gz").exists() for file in self.files):
                return folder
        return None


IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
SVHN = ("train_32x32.mat", "test_32x32.mat")
CELEBA = ("img_align_celeba", "list_eval_partition.txt", "list_attr_celeba.txt")
FILES: dict[str, Files] = {
    "mnist": Files(("MNIST/raw", ""), IDX),
    "fashion-mnist": Files(("FashionMNIST/raw", ""), IDX),
    "kmnist": Files(("KMNIST/raw", ""), IDX),
    "cifar10": Files(("cifar-10-batches-py", ""), CIFAR),
    "svhn": Files(("svhn", "SVHN", ""), SVHN),
    "celeba": Files(("celeba", ""), CELEBA),
}
"""The sets that are downloaded, in the layout in which torchvision keeps them."""


def downloaded() -> Path:
    """The folder below which downloaded sets are kept."""
    return cache_dir() / "datasets"


def at_hand(name: str, root: str) -> bool:
    """Whether a dataset can be read here and now, without a download. `root` as in `dataset.root`."""
    entry = DATASETS[name]
    if entry.downloads:
        return FILES[name].find(Path(os.path.expanduser(root)) if root else downloaded()) is not None
    return not entry.needs_root or bool(root and Path(os.path.expanduser(root)).exists())


def missing(name: str, root: str) -> tuple[str, str]:
    """Why the dataset cannot be where `dataset.root` says, and what to do; empty texts where it can be."""
    entry = DATASETS[name]
    try:
        if not root or at_hand(name, root):
            return "", ""
        base = Path(os.path.expanduser(root))
        found = "does not hold all of it" if base.is_dir() else "is a file" if base.exists() else "is not there"
    except (OSError, ValueError) as error:  # no right to look, or no path at all
        found, base = f"cannot be looked into ({getattr(error, 'strerror', '') or error})", Path(root)
    if not entry.downloads:
        return found, "correct it"
    if found.startswith("does not hold"):
        layout = FILES[name]
        found += f": no {base / layout.places[0]} with {', '.join(layout.files)}"
    return found, f"correct it, or leave it empty to download {entry.title}"


def lost(name: str, root: str) -> bool:
    """Whether a folder or file that `dataset.root` names is not there, or does not hold the dataset."""
    return bool(missing(name, root)[0])
