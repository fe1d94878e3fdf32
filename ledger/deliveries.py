"""The way of a webhook delivery: rung for when due, taken for one attempt, and what came of it."""

from datetime import timedelta

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from ledger import outbox
from ledger.pages import Cursor, Page, newest
from ledger.projects import Project
from ledger.webhooks import TASK, Delivery, Endpoint, Outcome, Sending
