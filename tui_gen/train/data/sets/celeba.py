"""CelebA: a folder of JPEGs, and tables."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import torch

from tui_gen.datasets import Files
from tui_gen.events import Progress
from tui_gen.train.data.download import fetch
from tui_gen.train.data.images import limited
from tui_gen.train.data.public import PublicSet
from tui_gen.train.data.sources import Data, DataError, Report

CELEBA = ("img_align_celeba", "list_eval_partition.txt", "list_attr_celeba.txt")

DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="


class CelebA(PublicSet):
    """CelebA: aligned faces, decoded once at the size asked for; whether they smile is the label."""

    name = "celeba"
    title = "CelebA"
    summary = (
        "202,599 aligned photographs of faces, cropped to the centre. Its own split gives 162,770 to train on and "
        "19,867 to validate with; of its 40 attributes, smiling is used as the label. 1.4 GB to download."
    )
    reference = "Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015"
    default_size = 64
    channels = 3
    classes = ("not smiling", "smiling")
    count = 162_770
    files = Files(("celeba", ""), CELEBA)
    advice = " (Google Drive, where it is kept, refuses downloads after too many in a day: try again tomorrow)"
    rank = 120

    def load(self, device: torch.device, *, seed: int, report: Report) -> Data:
        from tui_gen.train.data import cache

        place = self.locate(report)
        listing = self._listed(place)
        root = place / CELEBA[0]
        parts = []
        for held_out in (False, True) if self.config.validation else (False,):
            of_part = [(name, smiles) for name, smiles, is_held in listing if is_held == held_out]
            rows = limited(torch.tensor([smiles for _, smiles in of_part]), len(of_part), self.config.limit).tolist()
            parts += [(of_part[row][0], 2 * of_part[row][1] + held_out) for row in rows]
        files = []
        for name, label in parts:
            try:
                status = (root / name).stat()
                files.append(cache.ImageFile(name, status.st_size, status.st_mtime_ns, label))
            except OSError:  # reading it will say so, by name
                files.append(cache.ImageFile(name, -1, 0, label))
        if not files:
            raise self.broken(place / CELEBA[1], "it lists no images to train on")
        images = cache.decoded(root, files, self.size, self.config.channels, report)
        codes = torch.from_numpy(images.labels)
        training, validation = ((codes % 2 == part).nonzero().flatten() for part in (0, 1))
        return self.stored(images.pixels, codes // 2, training, validation, device)

    def _listed(self, folder: Path) -> list[tuple[str, int, bool]]:
        """Of CelebA's own training and validation split, every image's file name, whether it smiles, and whether it is
        for validation."""
        path = folder / CELEBA[1]
        try:
            part = dict(line.split() for line in path.read_text().splitlines() if line.strip())
            path = folder / CELEBA[2]
            lines = path.read_text().splitlines()
            column = lines[1].split().index("Smiling") + 1
            smiles = {row[0]: int(row[column]) > 0 for row in map(str.split, lines[2:]) if row}
            return [(file, int(smiles[file]), number == "1") for file, number in part.items() if number in ("0", "1")]
        except (OSError, ValueError, IndexError) as error:
            raise self.broken(path, str(error)) from None
        except KeyError as error:
            raise self.broken(path, f"it has no line for {error}") from None

    def download(self, aside: Path, report: Report) -> None:
        from torchvision.datasets import CelebA as TorchvisionCelebA

        names = (f"{CELEBA[0]}.zip", *CELEBA[1:])
        downloads = [(drive, md5, file) for drive, md5, file in TorchvisionCelebA.file_list if file in names]
        for number, (drive, md5, file) in enumerate(downloads, 1):
            if not (aside / file).exists():
                fetch([DRIVE + drive], aside / file, md5, report, f"Downloading {file} ({number} of {len(downloads)})")
        archive, what = aside / f"{CELEBA[0]}.zip", f"Unpacking {CELEBA[0]}.zip"
        folder = aside / CELEBA[0]
        folder.mkdir(exist_ok=True)
        try:
            with zipfile.ZipFile(archive) as zip_file:
                members = [member for member in zip_file.infolist() if not member.is_dir()]
                for index, member in enumerate(members):
                    if index % 2000 == 0:
                        report(Progress(what=what, done=index, total=len(members), unit="images"))
                    with zip_file.open(member) as image, open(folder / os.path.basename(member.filename), "wb") as out:
                        shutil.copyfileobj(image, out)
                report(Progress(what=what, done=len(members), total=len(members), unit="images"))
        except zipfile.BadZipFile as error:
            archive.unlink(missing_ok=True)
            raise DataError(f"{archive.name}: {error}") from None
