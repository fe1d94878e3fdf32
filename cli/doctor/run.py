"""Run all checks and print one line for each."""

from collections.abc import Callable
from functools import partial as bind

from rich.console import Console
from rich.text import Text

from cli.doctor.base_model import check_base_model
from cli.doctor.credentials import check_credentials
from cli.doctor.finding import Finding, Result, failed
from cli.doctor.machine import check_device, check_disk, check_memory, check_packages, check_python
from cli.doctor.partial_settings import PartialSettings, check_settings, read_settings
from cli.doctor.plan import PARTS, plan_phase
from cli.doctor.servers import check_broker, check_clock, check_database, check_queue, check_storage

NO_FAULT, FAULT = 0, 1
STYLES = {Result.FINE: "green", Result.FAILED: "red", Result.UNCHECKED: "yellow", Result.PLAN: "cyan"}
Check = Callable[[PartialSettings], Finding]

CHECKS: dict[str, Check] = {
    "python": check_python,
    "packages": check_packages,
    "device": check_device,
    "memory": check_memory,
    "disk": check_disk,
    "settings": check_settings,
    "base model": check_base_model,
    "database": check_database,
    "clock": check_clock,
    "queue": check_queue,
    "broker": check_broker,
    "storage": check_storage,
    "credentials": check_credentials,
    **{part: bind(plan_phase, part) for part in PARTS},
}


def run_doctor() -> int:
    """Print each finding as soon as its check ends, and return the exit status."""
    console = Console()
    partial = read_settings()
    has_fault = False
    for part, check in CHECKS.items():
        finding = _find(part, check, partial)
        has_fault = has_fault or finding.result is Result.FAILED
        line = Text.assemble((f"{finding.result:<9}", STYLES[finding.result]), f"  {finding.part:<10}  {finding.text}")
        console.print(line, soft_wrap=True, highlight=False)
    return FAULT if has_fault else NO_FAULT


def _find(part: str, check: Check, partial: PartialSettings) -> Finding:
    """The finding of one check. An error that it does not expect is a finding too, so that the others still run.

    Its message is not printed: the message of a library that cannot read a URL may contain the password.
    """
    try:
        return check(partial)
    except Exception as error:
        return failed(part, f"the check ended with {type(error).__name__}: correct the settings of this part")
