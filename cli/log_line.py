"""One line of a log of `lipe up`, for a person."""

from typing import Any

SHOWN_ELSEWHERE = ("timestamp", "level", "logger", "event", "exception")


def as_text(fields: dict[str, Any]) -> str:
    """Time, level, logger, event and the other fields. The lines of an exception follow."""
    time = str(fields.get("timestamp", ""))[:19].replace("T", " ")
    others = "".join(f"  {name}={value}" for name, value in fields.items() if name not in SHOWN_ELSEWHERE)
    level, logger, event = (" ".join(str(fields.get(name, "")).split()) for name in ("level", "logger", "event"))
    exception = f"\n{fields['exception']}" if fields.get("exception") else ""
    return f"{time:<19} {level.upper():<8} {logger}: {event}{others}{exception}"
