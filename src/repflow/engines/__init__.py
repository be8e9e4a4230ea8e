"""Engines: an ordered map-reduce over shards of examples."""

from repflow.engines.local import Job, Outcome, Progress, run_job
from repflow.engines.shard import Clock, Reader

__all__ = ["Clock", "Job", "Outcome", "Progress", "Reader", "run_job"]
