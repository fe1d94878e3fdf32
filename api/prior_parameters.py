"""Request models of the settings of a training and of its regularization set."""

from typing import TYPE_CHECKING

from api.fields import RequestModel
from api.settings_models import SCHEMA, settings_model

if TYPE_CHECKING:  # mypy cannot evaluate types that are made from a file
    PriorParameters = RequestModel
    RegularizationParameters = RequestModel
else:
    PriorParameters = settings_model(SCHEMA["prior"], RequestModel)
    RegularizationParameters = settings_model(SCHEMA["regularization"], RequestModel)
