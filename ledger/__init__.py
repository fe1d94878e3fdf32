"""What is kept and must never be lost: tables, job states, outbox, object storage, settings."""
