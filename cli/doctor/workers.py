"""Whether one worker or two fit on this machine's GPU: ``python -m cli.doctor.workers``, which `lipe up` runs."""

from cli.doctor.partial_settings import read_settings
from cli.doctor.plan import memory_plan


def main() -> None:
    """Print `one` or `two`."""
    found = memory_plan(read_settings())
    print("two" if found.fits_two_workers() else "one")


if __name__ == "__main__":
    main()
