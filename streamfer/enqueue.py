"""Spread videos over screen workers: one VideoJob for each source (`streamfer analyze SOURCES --redis URL --enqueue`)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamfer.config import Config
from streamfer.records import VideoJob, to_json


def enqueue_videos(paths: Sequence[Path], config: Config) -> tuple[int, int]:
    """Put a job for each path; returns how many are new, and how many were put before.

    Paths are made absolute: workers see the same shared storage. The options that differ from the defaults travel along.
    """
    from streamfer.jobs.queue import open_queue

    queue = open_queue(config.queue, "video")
    options = changed_options(config)
    output = str(Path(config.output.folder).resolve())
    replies = []
    for path in paths:
        source = str(path.resolve())
        job_id = hashlib.sha1(f"{source}\n{output}\n{config.digest()}".encode()).hexdigest()[:20]
        job = VideoJob(id=job_id, path=source, output=output, options=options, created_unix_s=time.time())
        while (reply := queue.put(job_id, to_json(job), {})) == "full":
            time.sleep(0.5)  # a file waits: the workers make room
        replies.append(reply)
    return replies.count("queued"), replies.count("duplicate")


def changed_options(config: Config) -> dict[str, Any]:
    """Dotted keys of what is not a default; the queue and the folder are the worker's own or travel separately."""
    default = Config()
    changed: dict[str, Any] = {}
    for section in Config.model_fields:
        if section == "queue":
            continue
        for key, value in getattr(config, section).model_dump(mode="json").items():
            if value != getattr(default, section).model_dump(mode="json")[key] and (section, key) != (
                "output",
                "folder",
            ):
                changed[f"{section}.{key}"] = value
    return changed
