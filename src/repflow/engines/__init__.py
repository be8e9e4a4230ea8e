"""Engines: an ordered map-reduce over shards of examples."""

from repflow.engines.local import Forgetful, Job, Keeper, Outcome, Progress, refuse_broken, run_job
from repflow.engines.shard import Clock, Reader

__all__ = ["Clock", "Forgetful", "Job", "Keeper", "Outcome", "Progress", "Reader", "refuse_broken", "run_job"]
