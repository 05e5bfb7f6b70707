"""Models: the zoo, pretrained backbones, heads, and which parameters are trained."""
