"""Byte-pair merge rules for a given vocabulary of words (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909)."""

from collections.abc import Iterable, Sequence
from itertools import pairwise


def merge_rules(words: Iterable[Sequence[str]]) -> list[tuple[str, str]]:
    """Rules that join each word, given as its smallest pieces, to one token: they join what earlier rules leave.

    A later rule has a lower priority, so it cannot break a word that earlier rules complete.
    """
    ranks: dict[tuple[str, str], int] = {}
    for word in sorted({tuple(word) for word in words}, key=lambda word: (len(word), word)):
        pieces = _join(word, ranks)
        while len(pieces) > 1:
            ranks.setdefault((pieces[0], pieces[1]), len(ranks))
            pieces[:2] = [pieces[0] + pieces[1]]
    return list(ranks)


def _join(word: Sequence[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """The tokens of a word: join the adjacent pair of the best rank until no rule applies."""
    pieces = list(word)
    while True:
        pairs = [pair for pair in pairwise(pieces) if pair in ranks]
        if not pairs:
            return pieces
        best = min(pairs, key=ranks.__getitem__)
        k = next(k for k in range(len(pieces) - 1) if (pieces[k], pieces[k + 1]) == best)
        pieces[k : k + 2] = ["".join(best)]
