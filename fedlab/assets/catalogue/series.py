"""Data sets of time series."""

from __future__ import annotations

from fedlab.assets.asset import Asset, File
from fedlab.assets.packages import Pip

_AEON = "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"

# Name, name in the archive, content, SHA-256 of the training file and of the test file.
_SERIES = (
    (
        "japanese-vowels",
        "JapaneseVowels",
        "640 utterances of nine speakers, 12 LPC coefficients, 7 to 29 steps",
        "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
    ),
    (
        "basic-motions",
        "BasicMotions",
        "80 wrist recordings, 6 channels, 100 steps, 4 motions",
        "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
        "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
    ),
    (
        "italy-power-demand",
        "ItalyPowerDemand",
        "1,096 days of electricity demand, 24 steps, 2 seasons",
        "341269cb7e6cef96846b30e774580beec79addb93848ba360145219115a74b7c",
        "26122451f87dd0387ef90b18bc8a86c041371b8a1c068004922b939971247144",
    ),
    (
        "arrow-head",
        "ArrowHead",
        "211 outlines of arrow heads, 251 steps, 3 kinds",
        "a83c470aaf611a5f5284377cce27a5fc9f6292bc3d110257b0fd4905ced5ee72",
        "5417dab42626d41df5e435bb22458c2df40dfad4bcd3b59559bbe72e20e84904",
    ),
    (
        "gun-point",
        "GunPoint",
        "200 hand movements, 150 steps, 2 classes",
        "f842401779fd9800d247d8b33121a1a4643710a19b24917dbdd9a060ca8630d5",
        "79332750788a6227b325b96bd0d70130c8eb707b9731f8d7dec62b7a7d36017e",
    ),
    (
        "osu-leaf",
        "OSULeaf",
        "442 outlines of leaves, 427 steps, 6 kinds",
        "86b9d6e860414ffd26cebc62fff84ffb37fa588ef3e5bf79e4094a437c36ddfc",
        "6c549dd354f9e42d5985fa5fab75321ca9acefc7873457e71467fc8a31f107ce",
    ),
)


def _ucr(name: str, original: str, content: str, train: str, test: str) -> Asset:
    return Asset(
        name=name,
        kind="data",
        title=f"{original} (UCR/UEA archive): {content}",
        licence="BSD-3-Clause",
        size=6_421_000,
        files=(File(f"{original}_TRAIN.ts", train), File(f"{original}_TEST.ts", test)),
        ways=(Pip("aeon==1.6.0", f"aeon/datasets/data/{original}", _AEON),),
    )


ASSETS = (
    Asset(
        name="wrist-sensor",
        kind="data",
        title="Shoulder exercises by wrist sensor: 6 channels, 50 Hz, 7 exercises, 10 subjects",
        licence="BSD-3-Clause",
        size=11_320_941,
        files=(
            File(
                "watch_dataset.npy",
                "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537",
            ),
        ),
        ways=(
            Pip(
                "seglearn==1.2.5",
                "seglearn/data",
                "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
            ),
        ),
    ),
    *(_ucr(*row) for row in _SERIES),
)
