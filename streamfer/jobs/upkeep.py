"""Looking after a queue: what is in it, what died, and what may be forgotten. The keys are explained in queue.py."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from streamfer.jobs.interface import DEAD_KEEP_S, PRIORITIES, Consumer, DeadLetter, QueueStatus

if TYPE_CHECKING:
    from streamfer.jobs.queue import Keys


def status(client: Any, keys: Keys, group: str, released: str) -> QueueStatus:
    """Everything from XLEN, XPENDING and XINFO: no bookkeeping of its own that could be wrong."""
    with client.pipeline(transaction=False) as pipe:
        for stream in keys.streams:
            pipe.xlen(stream).xrange(stream, count=1).xpending(stream, group).xinfo_consumers(stream, group)
        pipe.xlen(keys.dead).xlen(keys.results).time().info("memory")
        replies: list[Any] = pipe.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, ResponseError) and not any(word in str(reply) for word in ("NOGROUP", "no such key")):
            raise reply
    seconds, microseconds = replies[-2]
    now_s = seconds + microseconds / 1e6
    memory = replies[-1]
    total = held = 0
    oldest_s = 0.0
    workers: dict[str, Consumer] = {}
    for i in range(len(keys.streams)):
        length, first, pending, consumers = replies[4 * i : 4 * i + 4]
        total += length
        if first:
            oldest_s = max(oldest_s, now_s - int(first[0][0].partition(b"-")[0]) / 1000)
        if isinstance(pending, dict):  # else the group is not there yet: no worker ever came
            given_back = [int(c["pending"]) for c in pending["consumers"] or () if c["name"].decode() == released]
            held += pending["pending"] - sum(given_back)
        for row in consumers if isinstance(consumers, list) else ():
            name, idle_s = row["name"].decode(), row["idle"] / 1000
            if name != released:
                known = workers.get(name, Consumer(name, 0, idle_s))
                workers[name] = Consumer(name, known.pending + row["pending"], min(known.idle_s, idle_s))
    return QueueStatus(
        waiting=total - held, pending=held, oldest_s=oldest_s,
        consumers=tuple(workers[name] for name in sorted(workers)),
        dead=replies[-4], results=replies[-3],
        memory_bytes=int(memory["used_memory"]), memory_limit_bytes=int(memory.get("maxmemory", 0)),
    )


def dead(client: Any, keys: Keys) -> list[DeadLetter]:
    return [letter for _, letter, _ in _letters(client, keys)]


RETRY = """
-- KEYS dead, stream, images, state   ARGV letter, id, job, number of pictures, ttl_ms
-- -> 1 it is back, 0 its pictures are gone, -1 somebody else took the letter
redis.replicate_commands()
if redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[4]) then return 0 end
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return -1 end
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('SET', KEYS[4], 'waiting', 'PX', ARGV[5])
redis.call('XADD', KEYS[2], '*', 'id', ARGV[2], 'job', ARGV[3], 'images', ARGV[4])
return 1
"""


def retry_dead(
    client: Any, keys: Keys, ids: Collection[str] | None, ttl_ms: int
) -> tuple[list[str], list[str]]:
    script = client.register_script(RETRY)
    back, forgotten = [], []
    for letter_id, letter, images in _letters(client, keys):
        if ids is not None and letter.id not in ids:
            continue
        pictures, state, _ = keys.of(letter.id)
        outcome = script(
            keys=[keys.dead, keys.stream(letter.priority), pictures, state],
            args=[letter_id, letter.id, letter.payload, images, ttl_ms],
        )
        if outcome == 1:
            back.append(letter.id)
        elif outcome == 0:
            forgotten.append(letter.id)
    return back, forgotten


SWEEP = """
-- KEYS live, batch   ARGV group, released, idle_ms, name ('' = all)   -> names removed
-- In one script, because XGROUP DELCONSUMER throws the leases of a consumer away: between looking and deleting it must
-- not take a job.
redis.replicate_commands()
local pending, idle, gone = {}, {}, {}
for s = 1, 2 do
  local rows = redis.pcall('XINFO', 'CONSUMERS', KEYS[s], ARGV[1])
  if not rows.err then
    for _, row in ipairs(rows) do
      local c = {}
      for i = 1, #row, 2 do c[row[i]] = row[i + 1] end
      pending[c.name] = (pending[c.name] or 0) + c.pending
      idle[c.name] = math.min(idle[c.name] or c.idle, c.idle)
    end
  end
end
for name, count in pairs(pending) do
  local meant = ARGV[4] == name or (ARGV[4] == '' and name ~= ARGV[2] and idle[name] >= tonumber(ARGV[3]))
  if meant and count == 0 then
    for s = 1, 2 do redis.pcall('XGROUP', 'DELCONSUMER', KEYS[s], ARGV[1], name) end
    gone[#gone + 1] = name
  end
end
return gone
"""


def sweep(
    client: Any, keys: Keys, group: str, released: str, *, idle_s: float, ttl_s: float
) -> list[str]:
    script = client.register_script(SWEEP)
    gone = script(keys=keys.streams, args=[group, released, round(idle_s * 1000), ""])
    seconds, _ = client.time()
    # endings are as old as their entry id, which the server's clock made
    client.xtrim(keys.results, minid=f"{max(0, round((seconds - ttl_s) * 1000))}-0", approximate=False)
    client.xtrim(keys.dead, minid=f"{max(0, round((seconds - DEAD_KEEP_S) * 1000))}-0", approximate=False)
    return sorted({name.decode() for name in gone})


def leave(client: Any, keys: Keys, group: str, consumer: str) -> bool:
    client.register_script(SWEEP)(keys=keys.streams, args=[group, "", 0, consumer])
    for stream in keys.streams:
        try:
            if any(row["name"].decode() == consumer for row in client.xinfo_consumers(stream, group)):
                return False
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
    return True


def _letters(client: Any, keys: Keys) -> list[tuple[bytes, DeadLetter, bytes]]:
    """Entry id, letter and number of pictures of all dead letters."""
    found = []
    for letter_id, fields in client.xrange(keys.dead):
        text = {name.decode(): value.decode("utf-8", "replace") for name, value in fields.items()}
        priority = PRIORITIES[PRIORITIES.index(text["priority"])]
        died = int(letter_id.partition(b"-")[0]) / 1000
        letter = DeadLetter(text["id"], text["job"], text["reason"], int(text["deliveries"]), priority, died)
        found.append((letter_id, letter, fields[b"images"]))
    return found
