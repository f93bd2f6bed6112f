"""A whole data set analysed: one output folder per clip, spread over processes, Redis workers or a Ray cluster.

run.py      the way through: what is done already, who does the rest, the tables at the end. Read it first
clip.py     one clip: the same function in whatever process, so that the files do not depend on the engine
processes.py, over_redis.py, over_ray.py      the engines: clips in, endings out, in any order
table.py    dataset.csv and events.csv

docs/batch.md says how to use it.
"""

from streamfer.batch.clip import ClipEnd, ClipJob
from streamfer.batch.run import Engine, run_dataset

__all__ = ["ClipEnd", "ClipJob", "Engine", "run_dataset"]
