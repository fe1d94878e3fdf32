"""The Celery side: claim a job, run lipe_core, store the result; dispatcher, reaper, webhook delivery."""
