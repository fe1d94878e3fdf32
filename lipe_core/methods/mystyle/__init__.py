"""MyStyle: a face generator tuned on one person's images (https://arxiv.org/abs/2203.17272)."""
