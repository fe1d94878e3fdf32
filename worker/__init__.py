"""The Celery workers: claim a job, run lipe_core, store the result; the dispatcher; webhook delivery."""
