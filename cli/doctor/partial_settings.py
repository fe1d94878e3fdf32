"""The service's settings as far as they are right, so that a missing one does not prevent the checks of the others."""

from dataclasses import dataclass

from pydantic import ValidationError

from cli.doctor.finding import Finding, failed, fine, unchecked
from cli.server_errors import SETTINGS_ADVICE, describe_setting
from ledger.settings import Settings

PART = "settings"
STAND_INS = {
    "database_url": "postgresql+psycopg://",
    "broker_url": "redis://",
    "s3_endpoint_url": "http://",
    "key_pepper": "-" * 16,
}
"""Values in place of required settings that are missing or wrong. No check reads them."""
MODEL_RULE = "prompt_writer_url"
"""The setting that the only rule over several settings is about."""


@dataclass(frozen=True)
class PartialSettings:
    """The settings of this environment. Those named in `faults` have a stand-in or their default.

    `faults` maps a setting's name to what is wrong with it.
    """

    settings: Settings
    faults: dict[str, str]
    missing: frozenset[str]

    @property
    def has_no_server(self) -> bool:
        """Whether every required setting is missing, as before `lipe up` on a new machine."""
        return self.missing >= set(STAND_INS)

    def lacking(self, *names: str) -> str:
        """The environment variables of those settings that are missing or wrong, or an empty text."""
        return ", ".join(variable(name) for name in names if name in self.faults)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"LIPE_{name.upper()}"


def read_settings() -> PartialSettings:
    """Read the environment and the secret files; wrong values are replaced until the rest is accepted."""
    faults: dict[str, str] = {}
    missing: set[str] = set()
    while True:
        stand_ins = {name: STAND_INS.get(name, Settings.model_fields[name].default) for name in faults}
        if "s3_secret_access_key" in faults:  # it is wrong beside the other key, so both have their defaults
            stand_ins["s3_access_key_id"] = ""
        try:
            return PartialSettings(Settings(**stand_ins), faults, frozenset(missing))
        except ValidationError as error:
            for fault in error.errors():
                name = str(fault["loc"][0]) if fault["loc"] else MODEL_RULE
                if name in faults:
                    raise
                faults[name] = describe_setting(fault)
                if fault["type"] == "missing":
                    missing.add(name)


def check_settings(partial: PartialSettings) -> Finding:
    """Whether all required settings are there and right."""
    if partial.has_no_server and partial.missing >= set(partial.faults):
        advice = f"`lipe up` starts the servers and sets what they need; {SETTINGS_ADVICE}"
        return unchecked(PART, f"{', '.join(map(variable, STAND_INS))} are not set: {advice}")
    if partial.faults:
        return failed(PART, f"missing or wrong: {'; '.join(partial.faults.values())}: {SETTINGS_ADVICE}")
    return fine(PART, "every required setting is set")
