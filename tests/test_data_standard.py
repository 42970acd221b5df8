"""Datasets in torchvision's layout: reading, damage, and downloads from a local server."""

import gzip
import hashlib
import http.server
import io
import pickle
import resource
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from tests.known import dataset
from tests.waiting import wait_for
from tui_gen.events import Note, Progress
from tui_gen.train.data import DataError, load

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "tui-gen" / "datasets"


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


def mnist_files(train=40, test=10):
    images = RNG.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = (np.arange(train + test) % 10).astype(np.uint8)
    return {
        "train-images-idx3-ubyte": idx(images[:train]),
        "train-labels-idx1-ubyte": idx(labels[:train]),
        "t10k-images-idx3-ubyte": idx(images[train:]),
        "t10k-labels-idx1-ubyte": idx(labels[train:]),
    }, images


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


class PythonTwoPickler(pickle._Pickler):
    """Writes text and bytes as Python 2's `str`, as the real CIFAR-10 files have them."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value):
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + len(data).to_bytes(4, "little") + data)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string

    def save_global(self, value, name=None):
        module = "numpy.core.multiarray" if value.__name__ == "_reconstruct" else value.__module__
        self.write(f"c{module}\n{value.__name__}\n".encode())
        self.memoize(value)


class Array:
    """Pickles as Python 2's numpy did."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        from numpy._core.multiarray import _reconstruct

        state = (1, self.array.shape, np.dtype("uint8"), False, self.array.tobytes())
        return _reconstruct, (np.ndarray, (0,), b"b"), state


def cifar_files(old, count=6):
    files, all_images = {}, []
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        images = RNG.integers(0, 256, (count, 3072), dtype=np.uint8)
        all_images.append(images)
        table = {"data": images, "labels": [n % 10 for n in range(count)], "batch_label": name}
        out = io.BytesIO()
        if old:
            PythonTwoPickler(out, 2).dump(table | {"data": Array(images)})
        else:
            pickle.dump(table, out, protocol=2)
        files[name] = out.getvalue()
    return files, np.concatenate(all_images).reshape(-1, 3, 32, 32)


def svhn_files(count=12):
    from scipy.io import savemat

    files, images = {}, {}
    for part in ("train", "test"):
        images[part] = RNG.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        out = io.BytesIO()
        savemat(out, {"X": images[part], "y": (np.arange(count) % 10 + 1)[:, None].astype(np.uint8)})
        files[f"{part}_32x32.mat"] = out.getvalue()
    return files, images


def celeba_files(count=12):
    images = {}
    for number in range(1, count + 1):
        out = io.BytesIO()
        Image.new("RGB", (178, 218), (number * 10, 0, 0)).save(out, "JPEG")
        images[f"{number:06}.jpg"] = out.getvalue()
    smiling = [1 if n % 2 else -1 for n in range(count)]
    rows = "".join(f"{name}  1 {smile: d} -1\n" for name, smile in zip(images, smiling))
    tables = {
        "list_eval_partition.txt": "".join(f"{name} {n % 3}\n" for n, name in enumerate(images)).encode(),
        "list_attr_celeba.txt": f"{count}\nBald Smiling Young\n{rows}".encode(),
    }
    return tables, images


@pytest.mark.parametrize(
    "name,place", [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path, name, place, packed):
    files, images = mnist_files()
    if packed:
        files = {f"{file}.gz": gzip.compress(data) for file, data in files.items()}
    write(tmp_path / place / "raw", files)
    data = load(dataset(name=name, root=str(tmp_path)), CPU, seed=0)
    assert data.spec.shape == (1, 28, 28) and len(data.spec.classes) == 10 and data.spec.count == 40
    assert np.array_equal(data.train.examples.squeeze(1).numpy(), images[:40])
    assert np.array_equal(data.validation.examples.squeeze(1).numpy(), images[40:])
    assert data.train.labels.tolist() == [n % 10 for n in range(40)]
    half = load(dataset(name=name, root=str(tmp_path), limit=20, size=16, channels="rgb"), CPU, seed=0)
    assert half.spec.shape == (3, 16, 16) and half.spec.count == 20 and half.validation.count == 10
    assert load(dataset(name=name, root=str(tmp_path), validation=0), CPU, seed=0).validation is None


def test_idx_agrees_with_torchvision(tmp_path):
    from torchvision.datasets import MNIST

    write(tmp_path / "MNIST" / "raw", mnist_files()[0])
    data = load(dataset(name="mnist", root=str(tmp_path)), CPU, seed=0)
    known = MNIST(tmp_path, train=True)
    assert torch.equal(data.train.examples.squeeze(1), known.data) and torch.equal(data.train.labels, known.targets)


@pytest.mark.parametrize("old", [False, True], ids=["python 3", "python 2"])
@pytest.mark.parametrize("inside", [False, True])
def test_cifar(tmp_path, old, inside):
    files, images = cifar_files(old)
    folder = write(tmp_path / "cifar-10-batches-py", files)
    root = folder if inside else tmp_path
    data = load(dataset(name="cifar10", root=str(root)), CPU, seed=0)
    assert data.spec.shape == (3, 32, 32) and data.spec.count == 30 and data.validation.count == 6
    assert np.array_equal(data.train.examples.numpy(), images[:30])
    assert np.array_equal(data.validation.examples.numpy(), images[30:])
    assert data.train.labels.tolist() == list(range(6)) * 5


def test_cifar_runs_no_code_from_a_pickle(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    files, _ = cifar_files(old=False)
    files["data_batch_3"] = pickle.dumps({"data": Evil(), "labels": []})
    write(tmp_path / "cifar-10-batches-py", files)
    with pytest.raises(DataError, match=r"data_batch_3 is damaged .*wants to call.*good copy"):
        load(dataset(name="cifar10", root=str(tmp_path)), CPU, seed=0)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("place", ["", "svhn"])
def test_svhn(tmp_path, place):
    files, images = svhn_files()
    write(tmp_path / place, files)
    data = load(dataset(name="svhn", root=str(tmp_path)), CPU, seed=0)
    assert data.spec.shape == (3, 32, 32)
    assert np.array_equal(data.train.examples[5].numpy(), images["train"][:, :, :, 5].transpose(2, 0, 1))
    assert np.array_equal(data.validation.examples[7].numpy(), images["test"][:, :, :, 7].transpose(2, 0, 1))
    assert data.train.labels.tolist() == [*range(1, 10), 0, 1, 2], "the tenth class is the digit 0"
    grey = load(dataset(name="svhn", root=str(tmp_path), channels="grey"), CPU, seed=0)
    assert grey.spec.shape == (1, 32, 32)


def test_celeba(tmp_path):
    tables, images = celeba_files()
    write(tmp_path / "celeba", tables)
    write(tmp_path / "celeba" / "img_align_celeba", images)
    config = dataset(name="celeba", root=str(tmp_path), size=32)
    data = load(config, CPU, seed=0)
    assert data.spec.shape == (3, 32, 32) and data.spec.count == 4 and data.validation.count == 4
    assert data.spec.classes == ("not smiling", "smiling")
    red = data.train.examples[:, 0].float().mean((1, 2))
    assert (red - torch.tensor([10.0, 40, 70, 100])).abs().max() < 3
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert data.validation.labels.tolist() == [1, 0, 1, 0]
    events = []
    load(config, CPU, seed=0, report=events.append)
    assert not [event for event in events if isinstance(event, Progress)], "the second time it comes from the cache"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist", "cifar10", "svhn", "celeba"])
def test_a_root_without_the_dataset_says_what_belongs_there(tmp_path, name):
    with pytest.raises(DataError) as error:
        load(dataset(name=name, root=str(tmp_path)), CPU, seed=0)
    assert f"dataset.root = {tmp_path} does not hold all of it: no {tmp_path}" in str(error.value)
    with pytest.raises(DataError, match="absent is not there"):
        load(dataset(name=name, root=str(tmp_path / "absent")), CPU, seed=0)


DAMAGE = {
    "cut short": lambda data: data[:-5],
    "empty": lambda data: b"",
    "something else": lambda data: b"<html>not found</html>",
    "not gzip": None,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_idx_files(tmp_path, how):
    files, _ = mnist_files()
    if DAMAGE[how] is None:
        files["train-images-idx3-ubyte.gz"] = gzip.compress(files.pop("train-images-idx3-ubyte"))[:-20]
    else:
        files["train-images-idx3-ubyte"] = DAMAGE[how](files["train-images-idx3-ubyte"])
    write(tmp_path / "MNIST" / "raw", files)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.* is damaged .*good copy"):
        load(dataset(name="mnist", root=str(tmp_path)), CPU, seed=0)


def test_labels_that_do_not_fit(tmp_path):
    files, _ = mnist_files()
    files["train-labels-idx1-ubyte"] = idx(np.zeros(39, dtype=np.uint8))
    write(tmp_path / "MNIST" / "raw", files)
    with pytest.raises(DataError, match="do not fit"):
        load(dataset(name="mnist", root=str(tmp_path)), CPU, seed=0)
    files["train-labels-idx1-ubyte"] = idx(np.full(40, 10, dtype=np.uint8))
    write(tmp_path / "MNIST" / "raw", files)
    with pytest.raises(DataError, match="labels other than 0 to 9"):
        load(dataset(name="mnist", root=str(tmp_path)), CPU, seed=0)


@pytest.mark.parametrize("name,file", [("cifar10", "data_batch_2"), ("svhn", "train_32x32.mat")])
def test_other_damaged_files(tmp_path, name, file):
    files = cifar_files(old=False)[0] if name == "cifar10" else svhn_files()[0]
    files[file] = files[file][: len(files[file]) // 2]
    write(tmp_path / ("cifar-10-batches-py" if name == "cifar10" else "svhn"), files)
    with pytest.raises(DataError, match=rf"{file} is damaged"):
        load(dataset(name=name, root=str(tmp_path)), CPU, seed=0)


@pytest.mark.parametrize("table", ["list_eval_partition.txt", "list_attr_celeba.txt"])
def test_damaged_celeba_tables(tmp_path, table):
    tables, images = celeba_files()
    tables[table] = b"000001.jpg 0 1 2\nx\n"
    write(tmp_path / "celeba", tables)
    write(tmp_path / "celeba" / "img_align_celeba", images)
    with pytest.raises(DataError, match=f"{table} is damaged"):
        load(dataset(name="celeba", root=str(tmp_path)), CPU, seed=0)


# -- downloads


class Server:
    """A local HTTP server: path → bytes, with every request counted and `trouble` to make."""

    def __init__(self):
        self.files, self.requests, self.trouble = {}, [], {}
        self.gate = threading.Event()
        self.gate.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                outer.gate.wait(120)
                trouble = outer.trouble.get(self.path)
                if trouble == "missing" or self.path not in outer.files:
                    self.send_error(404)
                    return
                data = outer.files[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if trouble == "cut" else data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.gate.set()
    server.server.shutdown()
    server.server.server_close()


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def mnist(server, monkeypatch):
    """MNIST's place on the network, as the local server."""
    from torchvision.datasets import MNIST

    files, images = mnist_files()
    packed = {f"{name}.gz": gzip.compress(data) for name, data in files.items()}
    server.files = {f"/{name}": data for name, data in packed.items()}
    monkeypatch.setattr(MNIST, "mirrors", [server.url])
    monkeypatch.setattr(MNIST, "resources", [(name, md5(data)) for name, data in packed.items()])
    return images


def leftovers(cache):
    return [path.name for path in cache.rglob("*") if ".part" in path.name]


def test_download_with_progress_then_from_the_copy(server, mnist, cache):
    events = []
    data = load(dataset(name="mnist"), CPU, seed=0, report=events.append)
    assert np.array_equal(data.train.examples.squeeze(1).numpy(), mnist[:40])
    progress = [event for event in events if isinstance(event, Progress)]
    for number, (path, content) in enumerate(server.files.items(), 1):
        of_file = [event for event in progress if event.what == f"Downloading {path[1:]} ({number} of 4)"]
        assert of_file[0].done == 0 and of_file[-1].done == of_file[-1].total == len(content)
        assert of_file[-1].unit == "bytes"
    assert any("downloading it" in event.text for event in events if isinstance(event, Note))
    assert (cache / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").exists() and not leftovers(cache)
    load(dataset(name="mnist"), CPU, seed=0)
    assert len(server.requests) == 4


@pytest.mark.parametrize("trouble,words", [("missing", "404"), ("cut", "connection ended")])
def test_failing_download_says_what_to_do_and_keeps_what_came(server, mnist, cache, trouble, words):
    server.trouble["/train-labels-idx1-ubyte.gz"] = trouble
    with pytest.raises(DataError) as error:
        load(dataset(name="mnist"), CPU, seed=0)
    text = str(error.value)
    assert words in text and server.url in text and "dataset.root" in text and str(cache / "MNIST" / "raw") in text
    assert not list(cache.rglob("*.part-*"))
    server.trouble.clear()
    assert load(dataset(name="mnist"), CPU, seed=0).spec.count == 40
    assert server.requests.count("/train-images-idx3-ubyte.gz") == 1, "what had arrived was not fetched again"
    assert not leftovers(cache)


def test_a_wrong_file_is_refused_and_the_next_mirror_used(server, mnist, monkeypatch, cache):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", [server.url + "bad/", server.url])
    server.files |= {f"/bad{path}": b"<html>please log in</html>" for path in server.files}
    notes = []
    assert load(dataset(name="mnist"), CPU, seed=0, report=notes.append).spec.count == 40
    assert sum("trying the next address" in note.text for note in notes if isinstance(note, Note)) == 4


def test_no_network(monkeypatch):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(DataError, match=r"(?s)CIFAR-10 could not be downloaded.*refused.*Check the network"):
        load(dataset(name="cifar10"), CPU, seed=0)


def test_two_runs_that_download_at_once_fetch_everything_once(server, mnist):
    server.gate.clear()
    loaded, notes = [], []

    def run():
        loaded.append(load(dataset(name="mnist"), CPU, seed=0, report=notes.append).spec.count)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_for(
        lambda: any("waiting for it" in getattr(note, "text", "") for note in notes) and server.requests,
        timeout=30,
        what="one to download and one to wait",
    )
    server.gate.set()
    for thread in threads:
        thread.join(120)
    assert loaded == [40, 40] and sorted(server.requests) == sorted(server.files)


def test_download_broken_off_by_the_user_leaves_nothing_half_written(server, mnist, cache):
    def stop(event):
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(dataset(name="mnist"), CPU, seed=0, report=stop)
    assert not list(cache.rglob("*.part-*"))
    assert load(dataset(name="mnist"), CPU, seed=0).spec.count == 40


def test_download_onto_a_full_disk(server, mnist, cache):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(DataError, match=r"(?s)MNIST could not be downloaded.*Make room"):
            load(dataset(name="mnist"), CPU, seed=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load(dataset(name="mnist"), CPU, seed=0).spec.count == 40


def test_download_into_an_unusable_cache(server, mnist, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"(?s)could not be downloaded.*XDG_CACHE_HOME"):
        load(dataset(name="mnist"), CPU, seed=0)


def test_download_of_cifar(server, monkeypatch, cache):
    from torchvision.datasets import CIFAR10

    files, images = cifar_files(old=False)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in {**files, "../../outside": b"x"}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    server.files = {"/cifar.tar.gz": out.getvalue()}
    monkeypatch.setattr(CIFAR10, "url", server.url + "cifar.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(out.getvalue()))
    data = load(dataset(name="cifar10"), CPU, seed=0)
    assert np.array_equal(data.train.examples.numpy(), images[:30])
    assert not leftovers(cache) and not list(cache.parent.parent.rglob("outside"))


def test_download_of_svhn(server, monkeypatch, cache):
    from torchvision.datasets import SVHN

    files, _ = svhn_files()
    server.files = {f"/{name}": data for name, data in files.items()}
    parts = {part: [f"{server.url}{part}_32x32.mat", f"{part}_32x32.mat", None] for part in ("train", "test")}
    monkeypatch.setattr(SVHN, "split_list", parts)
    assert load(dataset(name="svhn"), CPU, seed=0).spec.count == 12
    assert sorted(path.name for path in (cache / "svhn").iterdir()) == sorted(files)


def test_download_of_celeba(server, monkeypatch, cache):
    from torchvision.datasets import CelebA

    from tui_gen.train.data.sets import celeba

    tables, images = celeba_files()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in images.items():
            packed.writestr(f"img_align_celeba/{name}", data)
    files = {"img_align_celeba.zip": out.getvalue(), **tables}
    server.files = {f"/{name}": data for name, data in files.items()}
    monkeypatch.setattr(celeba, "DRIVE", server.url)
    monkeypatch.setattr(CelebA, "file_list", [(name, md5(data), name) for name, data in files.items()])
    events = []
    data = load(dataset(name="celeba", size=16), CPU, seed=0, report=events.append)
    assert data.spec.count == 4
    assert any(event.what.startswith("Unpacking") for event in events if isinstance(event, Progress))
    assert not leftovers(cache)
