"""CLIP's own vocabulary of 49,408 tokens, from the file that the package open-clip-torch carries (MIT licence)."""

import gzip
from pathlib import Path

from transformers import CLIPTokenizer

FILE = Path("out/open_clip/open_clip/bpe_simple_vocab_16e6.txt.gz")
SIZE = 49408
_LENGTH = 77
_SPECIAL = ["<|startoftext|>", "<|endoftext|>"]


def tokenizers(file: Path = FILE) -> tuple[CLIPTokenizer, CLIPTokenizer]:
    """SDXL's two tokenizers, which differ in their padding only."""
    if not file.is_file():
        raise SystemExit(f"{file} is missing: run `make test-true-size`, which installs it")
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    letters = _byte_letters()
    pairs = [tuple(line.split()) for line in lines[1 : SIZE - 2 * len(letters) - len(_SPECIAL) + 1]]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in pairs), *_SPECIAL]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    first, second = (
        CLIPTokenizer(vocab=dict(vocabulary), merges=pairs, model_max_length=_LENGTH, pad_token=padding)
        for padding in (_SPECIAL[1], "!")
    )
    return first, second


def _byte_letters() -> list[str]:
    """The printable characters for the 256 bytes, in the order of GPT-2 (https://github.com/openai/gpt-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(code) for code in (*plain, *range(256, 512 - len(plain)))]
