"""Ring for what waits. Two small loops in one process, each pass one or two indexed queries.

The dispatcher publishes outbox rows whose immediate publish failed, webhook deliveries that are due, and queued
jobs that nobody claimed for a while (a doorbell may be lost with the broker). The reaper brings back what a dead
worker held. Several may run at once: a row is taken with SKIP LOCKED, and a doorbell rung twice costs nothing.
"""
