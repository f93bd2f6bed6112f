"""The job queue on Redis Streams: delivery at least once, exactly one stored result, nothing lost without a reason.

State, for the queue `sf` and the topic `explain` (everything of one queue shares the hash tag `{sf}`, so that it lives
in one slot of a cluster and the scripts below stay legal there):

    {sf}:explain:live         stream   jobs: id, job=<JSON>, images=<number>     served first
    {sf}:explain:batch        stream   the same                                  served when `live` is empty
        group "workers"                pending entries = leases; a lease ends `lease_s` after its last sign of life
        consumer "(released)"          holds entries that were given back: their idle time makes them claimable
    {sf}:explain:images:<id>  hash     picture name -> JPEG            expires; gone with the job
    {sf}:explain:state:<id>   string   waiting | done | dead <reason>  expires; makes `put` idempotent
    {sf}:explain:result:<id>  string   result JSON                     expires; its presence is "exactly one result"
    {sf}:explain:reasons      hash     id -> why the last try failed   gone with the job
    {sf}:explain:results      stream   id, reason ("" = there is a result): the order of endings, trimmed by age
    {sf}:explain:dead         stream   id, job, images, priority, deliveries, reason: trimmed by age

A job stays in its stream until it ends (XACK + XDEL), so XLEN is the real backlog: undelivered + in hand. That is the
number for backpressure, for `status` and for an autoscaler. The job streams are never trimmed: that would lose work.

Every change of state is one Lua script, beside its method. Scripts begin with a command that is allowed when the server
is at its maxmemory (XACK, XCLAIM), because Redis lets a script that has written go on: finishing a job must be possible
on a full server, as it frees memory. Only commands of Redis 6.2; `replicate_commands` is for 6.2 (a no-op since 7).

What it does not do: order between workers, exactly-once *execution* (a frozen worker's job runs twice, its late result
is thrown away), or survive a server that keeps nothing on disk. Ideas from taskiq-redis (XAUTOCLAIM), faststream
(the carried cursor) and dramatiq (the schema on top of the Lua); no code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import redis
from redis.exceptions import ResponseError

from streamfer import config
from streamfer.errors import QueueFull
from streamfer.jobs import endings, upkeep
from streamfer.jobs.connection import MAX_BLOCK_S, address, connect, translated
from streamfer.jobs.interface import (
    CONSUMER_IDLE_S,
    PRIORITIES,
    RETRY_AFTER_S,
    Claimed,
    DeadLetter,
    Entry,
    Finished,
    Priority,
    Put,
    QueueStatus,
    Topic,
    check_put,
    check_result,
    cut_reason,
)

DEFAULT_URL = "redis://localhost:6379/0"
GROUP = "workers"
RELEASED = "(released)"
#: Idle time given to an entry that was given back: beyond every lease, so that the next worker takes it at once.
RELEASED_IDLE_MS = 30 * 86_400_000


class Keys:
    """The names of the schema above."""

    def __init__(self, name: str, topic: Topic) -> None:
        self.prefix = f"{{{name}}}:{topic}"
        self.streams = [f"{self.prefix}:{priority}" for priority in PRIORITIES]
        self.results = f"{self.prefix}:results"
        self.dead = f"{self.prefix}:dead"
        self.reasons = f"{self.prefix}:reasons"

    def stream(self, priority: Priority) -> str:
        return f"{self.prefix}:{priority}"

    def of(self, job_id: str) -> tuple[str, str, str]:
        """images, state and result of one job."""
        return f"{self.prefix}:images:{job_id}", f"{self.prefix}:state:{job_id}", f"{self.prefix}:result:{job_id}"


def open_queue(options: config.Queue, topic: Topic = "explain", url: str | None = None) -> Queue:
    """Connect and set up as the configuration says. Raises UsageError or QueueUnreachable."""
    return Queue.of(connect(url or options.url or DEFAULT_URL), options, topic)


class Queue:
    """One topic of one queue. Thread-safe except `get`, which belongs to one thread (it carries a cursor).

    `limit` counts jobs that have not ended, for each priority by itself, so that a full batch never shuts out live.
    """

    def __init__(
        self, client: redis.Redis, name: str = "sf", topic: Topic = "explain", *,
        lease_s: float = 30.0, max_deliveries: int = 3, limit: int = 1000, ttl_s: float = 86400.0,
    ) -> None:
        self.client: Any = client  # the package's types cannot say that replies are bytes
        self.topic, self.keys = topic, Keys(name, topic)
        self.lease_s, self.max_deliveries, self.limit, self.ttl_s = lease_s, max_deliveries, limit, ttl_s
        self.where = address(client)
        self._lease_ms, self._ttl_ms = max(1, round(lease_s * 1000)), max(1, round(ttl_s * 1000))
        self._cursors, self._groups_made = ["0-0", "0-0"], False
        self._put, self._take, self._renew, self._finish, self._fail, self._release, self._forget = (
            client.register_script(lua)
            for lua in (self.PUT, self.TAKE, self.RENEW, self.FINISH, self.FAIL, self.RELEASE, self.FORGET)
        )

    @classmethod
    def of(cls, client: redis.Redis, options: config.Queue, topic: Topic = "explain") -> Queue:
        """As the configuration says."""
        return cls(
            client, options.name, topic, lease_s=options.lease_s, max_deliveries=options.max_deliveries,
            limit=options.limit, ttl_s=options.ttl_s,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------ producer

    PUT = """
-- KEYS stream, images, state, result   ARGV limit, ttl_ms, id, job, [picture name, bytes]...
if redis.call('EXISTS', KEYS[3], KEYS[4]) > 0 then return 'duplicate' end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 'full' end
redis.replicate_commands()
redis.call('SET', KEYS[3], 'waiting', 'PX', ARGV[2])
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
if #ARGV > 4 then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
redis.call('XADD', KEYS[1], '*', 'id', ARGV[3], 'job', ARGV[4], 'images', (#ARGV - 4) / 2)
return 'queued'
"""

    def put(self, job_id: str, payload: str, images: Mapping[str, bytes], priority: Priority = "batch") -> Put:
        """Hand in a job. "duplicate": it is waiting or has ended already, see `find`. "full": try later.

        Raises PayloadInvalid when the job does not fit its record or is too large.
        """
        check_put(self.topic, job_id, payload, images)
        pictures, state, result = self.keys.of(job_id)
        arguments: list[Any] = [self.limit, self._ttl_ms, job_id, payload]
        for name, data in images.items():
            arguments += [name, data]
        try:
            if not self._groups_made:  # before the server can be full: a worker could not make them then
                with translated(self.where):
                    self._create_groups()
            reply = self._run(self._put, [self.keys.stream(priority), pictures, state, result], arguments)
        except QueueFull:
            return "full"  # the server is at its maxmemory: backpressure all the same
        return reply.decode()

    # -------------------------------------------------------------------------------------- worker

    TAKE = """
-- KEYS live, batch   ARGV group, consumer, lease_ms, count, fresh_only, cursor live, cursor batch
-- -> {cursors, {{stream, entry, fields, deliveries}...}}
redis.replicate_commands()
local cursors, out = {ARGV[6], ARGV[7]}, {}
for s = 1, 2 do
  if ARGV[5] == '0' and #out == 0 then
    -- one call looks at ten leases at most: go on from where the last one stopped
    for _ = 1, 50 do
      local reply = redis.call('XAUTOCLAIM', KEYS[s], ARGV[1], ARGV[2], ARGV[3], cursors[s], 'COUNT', 1)
      cursors[s] = reply[1]
      local entry = reply[2][1]
      if entry then
        local lease = redis.call('XPENDING', KEYS[s], ARGV[1], entry[1], entry[1], 1)[1]
        return {cursors, {{s, entry[1], entry[2], lease[4]}}}
      end
      if cursors[s] == '0-0' then break end
    end
  end
  local want = tonumber(ARGV[4]) - #out
  if want > 0 then
    local reply = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', want, 'STREAMS', KEYS[s], '>')
    if reply then
      for _, entry in ipairs(reply[1][2]) do out[#out + 1] = {s, entry[1], entry[2], 1} end
    end
  end
end
return {cursors, out}
"""

    def get(
        self, consumer: str, count: int = 1, block_s: float = 0.0, *, fresh_only: bool = False
    ) -> list[Claimed]:
        """Jobs for `consumer`: up to `count` new ones, live before batch, **or one whose lease ran out, alone**.

        Alone, because a job that kills its worker would otherwise drag the rest of its batch through every try and
        into the dead letters with it. `fresh_only` asks for new jobs only, to fill up a batch. Blocks for at most
        `block_s` (and 5 s) when there is nothing; may return a single job then.
        """
        while True:
            found = self._take_now(consumer, count, fresh_only)
            if not found and block_s > 0:
                found = self._block(consumer, min(block_s, MAX_BLOCK_S))
            jobs = self._with_images(found)
            if jobs or not found:  # else all that came was buried: look again
                return jobs

    RENEW = """
-- KEYS live, batch   ARGV group, consumer, [stream, entry]...   -> numbers of the entries still held
redis.replicate_commands()
local held = {}
for i = 3, #ARGV, 2 do
  local key = KEYS[tonumber(ARGV[i])]
  local lease = redis.call('XPENDING', key, ARGV[1], ARGV[i + 1], ARGV[i + 1], 1)[1]
  if lease and lease[2] == ARGV[2] then
    redis.call('XCLAIM', key, ARGV[1], ARGV[2], 0, ARGV[i + 1], 'JUSTID') -- JUSTID: no delivery is counted
    held[#held + 1] = (i - 1) / 2
  end
end
return held
"""

    def renew(self, consumer: str, entries: Sequence[Entry]) -> list[Entry]:
        """A sign of life: the leases start anew. Returns those still held; the others went to another worker."""
        if not entries:
            return []
        arguments: list[Any] = [GROUP, consumer]
        for entry in entries:
            arguments += [PRIORITIES.index(entry.priority) + 1, entry.stream_id]
        return [entries[i - 1] for i in self._run(self._renew, self.keys.streams, arguments)]

    FINISH = """
-- KEYS stream, images, result, results, reasons, state   ARGV group, entry, id, result, ttl_ms
redis.replicate_commands()
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  -- ended by somebody else, or by this very call before the connection broke and the client asked again
  return redis.call('GET', KEYS[3]) == ARGV[4] and 1 or 0
end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[5], ARGV[3])
redis.call('UNLINK', KEYS[2])
if not redis.call('SET', KEYS[3], ARGV[4], 'NX', 'PX', ARGV[5]) then return 0 end
redis.call('SET', KEYS[6], 'done', 'PX', ARGV[5])
redis.call('XADD', KEYS[4], '*', 'id', ARGV[3], 'reason', '')
return 1
"""

    def finish(self, entry: Entry, job_id: str, result: str) -> bool:
        """Store the result and end the job. False when it had ended already: this result is thrown away."""
        check_result(job_id, result)
        pictures, state, stored = self.keys.of(job_id)
        keys = [self.keys.stream(entry.priority), pictures, stored, self.keys.results, self.keys.reasons, state]
        return bool(self._run(self._finish, keys, [GROUP, entry.stream_id, job_id, result, self._ttl_ms]))

    FAIL = """
-- KEYS stream, images, state, results, reasons, dead
-- ARGV group, entry, consumer, id, reason, retry, max_deliveries, retry_idle_ms, ttl_ms, limit, priority, released
redis.replicate_commands()
local lease = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)[1]
if not lease or lease[2] ~= ARGV[3] then return 'gone' end
if ARGV[6] == '1' and lease[4] < tonumber(ARGV[7]) then
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[12], 0, ARGV[2], 'IDLE', ARGV[8], 'RETRYCOUNT', lease[4], 'JUSTID')
  redis.call('HSET', KEYS[5], ARGV[4], ARGV[5])
  return 'retry'
end
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
local fields = {}
if entry then for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end end
local reason, before = ARGV[5], redis.call('HGET', KEYS[5], ARGV[4])
if before and before ~= reason then reason = reason .. '; the try before: ' .. before end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[5], ARGV[4])
-- pictures are kept for a retry, but dead jobs must not fill the server
if redis.call('XLEN', KEYS[6]) >= tonumber(ARGV[10]) then redis.call('UNLINK', KEYS[2])
else redis.call('PEXPIRE', KEYS[2], ARGV[9]) end
redis.call('XADD', KEYS[6], '*', 'id', ARGV[4], 'job', fields['job'] or '', 'images', fields['images'] or '0',
           'priority', ARGV[11], 'deliveries', lease[4], 'reason', reason)
redis.call('SET', KEYS[3], 'dead ' .. reason, 'PX', ARGV[9])
redis.call('XADD', KEYS[4], '*', 'id', ARGV[4], 'reason', reason)
return 'dead'
"""

    def fail(
        self, entry: Entry, job_id: str, reason: str, retry: bool, *, after_s: float = RETRY_AFTER_S
    ) -> Literal["dead", "retry", "gone"]:
        """Give up on a job (`retry` False, or no tries left) or hand it back to be tried again after `after_s`.

        "gone" when it is no longer this worker's: then nothing is changed.
        """
        pictures, state, _ = self.keys.of(job_id)
        keys = [self.keys.stream(entry.priority), pictures, state, self.keys.results, self.keys.reasons, self.keys.dead]
        retry_idle = max(0, self._lease_ms - round(after_s * 1000))
        reply = self._run(self._fail, keys, [
            GROUP, entry.stream_id, entry.consumer, job_id, cut_reason(reason), int(retry), self.max_deliveries,
            retry_idle, self._ttl_ms, self.limit, entry.priority, RELEASED,
        ])  # fmt: skip
        return reply.decode()

    RELEASE = """
-- KEYS live, batch   ARGV group, released, idle_ms, [stream, entry, consumer]...
redis.replicate_commands()
local count = 0
for i = 4, #ARGV, 3 do
  local key = KEYS[tonumber(ARGV[i])]
  local lease = redis.call('XPENDING', key, ARGV[1], ARGV[i + 1], ARGV[i + 1], 1)[1]
  if lease and lease[2] == ARGV[i + 2] then
    redis.call('XCLAIM', key, ARGV[1], ARGV[2], 0, ARGV[i + 1], 'IDLE', ARGV[3], 'RETRYCOUNT', lease[4] - 1, 'JUSTID')
    count = count + 1
  end
end
return count
"""

    def release(self, entries: Sequence[Entry]) -> int:
        """Give jobs back untried: the next worker has them at once and the delivery is not counted."""
        if not entries:
            return 0
        arguments: list[Any] = [GROUP, RELEASED, RELEASED_IDLE_MS]
        for entry in entries:
            arguments += [PRIORITIES.index(entry.priority) + 1, entry.stream_id, entry.consumer]
        return int(self._run(self._release, self.keys.streams, arguments))

    # ------------------------------------------------------------------------------------- results

    def results(
        self, after: str = "0", block_s: float = 0.0, only: Collection[str] | None = None
    ) -> tuple[str, list[Finished]]:
        """What ended after the cursor `after` (at most 1000), and the cursor to go on from. `only` filters by id."""
        with translated(self.where):
            return endings.results(self.client, self.keys, after, min(block_s, MAX_BLOCK_S), only)

    def end(self) -> str:
        """The cursor behind everything that has ended so far."""
        with translated(self.where):
            return endings.end(self.client, self.keys)

    def find(self, ids: Sequence[str]) -> dict[str, Finished]:
        """Those of `ids` that have ended, by id: also long before this process began, within ttl_s."""
        with translated(self.where):
            return endings.find(self.client, self.keys, ids)

    def lost(self, ids: Sequence[str]) -> list[str]:
        """Those of `ids` that the queue knows nothing of and nobody will end, if they were handed in: its server was killed
        before it had written them, or keeps nothing on disk; or they ended and are forgotten (ttl_s)."""
        with translated(self.where):
            return endings.lost(self.client, self.keys, ids)

    def wait(self, ids: Collection[str], timeout_s: float) -> dict[str, Finished]:
        """Wait until all have ended or the time is over; returns those that have."""
        return endings.wait(self, ids, timeout_s)

    # ------------------------------------------------------------------------------------- keeping

    FORGET = """
-- KEYS state, result
if redis.call('GET', KEYS[1]) ~= 'done' then return 0 end
redis.call('UNLINK', KEYS[1], KEYS[2])
return 1
"""

    def forget(self, job_id: str) -> bool:
        """Throw away the result of a job, so that it can be handed in anew. False when there is none."""
        _, state, result = self.keys.of(job_id)
        return bool(self._run(self._forget, [state, result], []))

    def dead(self) -> list[DeadLetter]:
        """All dead letters, oldest first."""
        with translated(self.where):
            return upkeep.dead(self.client, self.keys)

    def retry_dead(self, ids: Collection[str] | None = None) -> tuple[list[str], list[str]]:
        """Put dead letters (all, or those of `ids`) back into their stream with a fresh count of tries.

        Returns the ids that are back, and those that cannot be because their pictures are forgotten.
        """
        with translated(self.where):
            return upkeep.retry_dead(self.client, self.keys, ids, self._ttl_ms)

    def status(self) -> QueueStatus:
        with translated(self.where):
            return upkeep.status(self.client, self.keys, GROUP, RELEASED)

    def janitor(self, idle_s: float = CONSUMER_IDLE_S) -> list[str]:
        """Forget workers that hold nothing and were silent for `idle_s`, and results and dead letters past their age.

        Returns the names of the workers. Safe to call from anywhere, at any time.
        """
        with translated(self.where):
            return upkeep.sweep(self.client, self.keys, GROUP, RELEASED, idle_s=idle_s, ttl_s=self.ttl_s)

    def leave(self, consumer: str) -> bool:
        """Forget one worker that stops. False when it still holds jobs: then the janitor does it later."""
        with translated(self.where):
            return upkeep.leave(self.client, self.keys, GROUP, consumer)

    # ------------------------------------------------------------------------------------ internals

    def _run(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        with translated(self.where):
            try:
                return script(keys=keys, args=arguments)
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                self._create_groups()  # a fresh server, or one that lost its data
                return script(keys=keys, args=arguments)

    def _create_groups(self) -> None:
        for stream in self.keys.streams:
            try:
                self.client.xgroup_create(stream, GROUP, id="0", mkstream=True)  # "0": "$" would skip waiting jobs
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
        self._groups_made = True

    def _take_now(self, consumer: str, count: int, fresh_only: bool) -> list[tuple[Entry, dict[bytes, bytes], int]]:
        cursors, rows = self._run(
            self._take, self.keys.streams, [GROUP, consumer, self._lease_ms, count, int(fresh_only), *self._cursors]
        )
        self._cursors = [cursor.decode() for cursor in cursors]
        found = []
        for stream, stream_id, flat, deliveries in rows:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            found.append((Entry(PRIORITIES[stream - 1], stream_id.decode(), consumer), fields, deliveries))
        return found

    def _block(self, consumer: str, block_s: float) -> list[tuple[Entry, dict[bytes, bytes], int]]:
        streams: Any = dict.fromkeys(self.keys.streams, ">")
        with translated(self.where):
            reply = self.client.xreadgroup(GROUP, consumer, streams, count=1, block=max(1, round(block_s * 1000)))
        return [
            (Entry("live" if stream.endswith(b":live") else "batch", stream_id.decode(), consumer), fields, 1)
            for stream, stream_id, fields in endings.rows(reply)
        ]

    def _with_images(self, found: list[tuple[Entry, dict[bytes, bytes], int]]) -> list[Claimed]:
        """Fetch the pictures; bury what cannot be worked on, with its reason."""
        if not found:
            return []
        ids = [fields.get(b"id", b"").decode("utf-8", "replace") for _, fields, _ in found]
        with translated(self.where), self.client.pipeline(transaction=False) as pipe:
            for job_id, (_, fields, _) in zip(ids, found, strict=True):
                if fields.get(b"images", b"0") != b"0":
                    pipe.hgetall(self.keys.of(job_id)[0])
            fetched = iter(pipe.execute())
        jobs = []
        for job_id, (entry, fields, deliveries) in zip(ids, found, strict=True):
            expected = fields.get(b"images", b"0")
            images = {name.decode(): data for name, data in next(fetched).items()} if expected != b"0" else {}
            reason = ""
            if not job_id or b"job" not in fields:
                reason = "not a job: the entry has no field 'id' or 'job'"
            elif deliveries > self.max_deliveries:
                reason = f"no answer after {self.max_deliveries} deliveries: its worker was killed or froze each time"
            elif str(len(images)).encode() != expected:
                reason = f"its pictures were forgotten before a worker had time (queue.ttl_s = {self.ttl_s:g})"
            if reason:
                self.fail(entry, job_id or entry.stream_id, reason, retry=False)
            else:
                payload = fields[b"job"].decode("utf-8", "replace")  # what is no UTF-8 is no valid JSON either
                jobs.append(Claimed(entry, job_id, payload, images, deliveries))
        return jobs
