"""Work in chunks of rows when the memory is full."""

from collections.abc import Callable

import pytest
import torch

from lipe_core.memory import in_chunks


def fits(most: int, tried: list[range]) -> Callable[[range], list[int]]:
    """Work for at most so many rows; it returns the rows."""

    def work(rows: range) -> list[int]:
        tried.append(rows)
        if len(rows) > most:
            raise torch.OutOfMemoryError("full")
        return list(rows)

    return work


@pytest.mark.parametrize(
    ("count", "most", "at_most", "lengths"),
    [(5, 5, None, [5]), (5, 2, None, [5, 2, 2, 1]), (7, 1, None, [7, 3, 1, 1, 1, 1, 1, 1, 1]), (9, 4, 4, [4, 4, 1])],
)
def test_every_row_is_made_once_and_no_longer_range_is_tried_again(
    count: int, most: int, at_most: int | None, lengths: list[int]
) -> None:
    tried: list[range] = []
    made = in_chunks(count, fits(most, tried), at_most=at_most)
    assert [row for rows in made for row in rows] == list(range(count))
    assert [len(rows) for rows in tried] == lengths


def test_a_row_that_does_not_fit_and_other_errors_are_raised() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        in_chunks(3, fits(0, []))
    with pytest.raises(ZeroDivisionError):
        in_chunks(3, lambda rows: 1 // 0)
