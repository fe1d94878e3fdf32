"""The Celery application: three queues of doorbells.

A message carries nothing but an id. The database row is the job, so a message that is lost, doubled or late
costs only time: the claim refuses what is not there to be claimed, and the dispatcher rings again. Hence
the settings: no result backend; messages are acknowledged early (a late acknowledgement of a training that
outlives the broker's visibility timeout is delivered again, over and over); nothing is prefetched, so that
no message waits behind a training while another worker is idle; no ETA tasks, which a worker would hold in
its memory.
"""


from celery import Celery
from ledger.settings import Settings

QUEUES = {"lipe.prior": "priors", "lipe.edit": "edits", "lipe.webhook": "webhooks"}


def make_app(settings: Settings) -> Celery:
    """The application with its three tasks. Torch is imported by the first task, never by the parent
    process.
    """
    app = Celery("lipe", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_default_queue="edits",
        task_routes={name: {"queue": queue} for name, queue in QUEUES.items()},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"visibility_timeout": 3600, "socket_keepalive": True},
    )
    draining = _draining_flag()

    @app.task(name="lipe.prior")
    def prior(job_id: str) -> None:
        _perform(settings, job_id, draining)

    @app.task(name="lipe.edit")
    def edit(job_id: str) -> None:
        _perform(settings, job_id, draining)

    @app.task(name="lipe.webhook")
    def webhook(delivery_id: str) -> None:
        from worker.webhooks import deliver

        deliver(settings, delivery_id)

    return app
