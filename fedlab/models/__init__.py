"""Models: the zoo, pretrained backbones, heads, what is trained."""
