"""Tables with ids that are copied into other commands."""

from rich.console import Console
from rich.table import Table

WIDEST = 1000  # characters; a terminal of this width shows every table whole


def print_whole(table: Table) -> None:
    """Print a table with whole words, wider than the terminal if they need it: a shortened id is of no use."""
    whole_words = Console(width=WIDEST).measure(table).minimum
    Console(width=max(Console().width, whole_words)).print(table, crop=False)
