"""Which network ``fedlab finetune`` takes where none is named."""

from __future__ import annotations

from fedlab.data.inspection import Finding

PICTURES = "tf_efficientnet_lite0"
"""The smallest of those whose weights a package ships."""
SOUND = "speech-lstm"


def default_backbone(finding: Finding) -> str:
    """Return the name of the network for a user's data.

    Pictures get a pretrained network whose weights come in a package, so that no hub is asked, and
    recordings do where those weights are on this machine. For tables and series there is none, and
    on short texts the inspector's small network, from random weights, was ahead of the pretrained
    one (``docs/results/recipes.md``, the two rows of texts): these get what the inspector proposes.
    """
    from fedlab.models.backbone_list import has_weights_here

    if finding.kind == "pictures":
        return PICTURES
    if finding.kind == "sound" and has_weights_here(SOUND):
        return SOUND
    return str(finding.scenario["model"]["name"])
