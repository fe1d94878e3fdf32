"""The stored state of the service: tables, job states, outbox, object storage, settings."""
