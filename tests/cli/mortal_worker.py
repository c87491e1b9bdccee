"""A worker that is killed in the middle of some pictures, as by a machine that runs out of memory."""

import os
import signal
from pathlib import Path

from lumina_next.cli.cluster import Worker


class MortalWorker(Worker):
    """Dies at "dies once" the first time, at "dies always" every time."""

    def paint(self, job):
        died = Path(f"{job.output.parent}-died-once")
        if job.request.prompt == "dies always" or (job.request.prompt == "dies once" and not died.exists()):
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().paint(job)
