"""Startup of the queue server's worker: the RunEngine, devices and plans of the site that `nvdac queue` named."""

from deploy.queue_worker import open_worker

_worker = open_worker()
RE = _worker.engine
globals().update(_worker.names)
