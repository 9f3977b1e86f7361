/// The library of errors, what is special before what is general. Commands stand in backticks as they are typed.
extension Trouble {
  static let all: [Trouble] = batch + rejected + command + worker + redis

  private static let batch: [Trouble] = [
    Trouble(
      .batch, "poison: its worker died … times",
      "each time it runs, alone too, the process of its worker ends: a trap, or no memory",
      do:
        "the log of the worker it names, and `journalctl -k`; mend the handler, then `batchd retry ID`"
    ),
    Trouble(
      .batch, "broken record: ",
      "somebody wrote into the batch's hash, and its work could not go on",
      do:
        "find who writes there; enqueue it again with `\"rerun\":true`; `batchd doctor` finds others"
    ),
    Trouble(
      .batch, "items failed; see", "every item failed for good, so nothing was left to go on with",
      do: "`batchd explain ID` shows some of their errors; mend the cause, then `batchd retry ID`"),
    Trouble(
      .batch, "timed out after … ms", "the handler took longer than its stage may, and was stopped",
      do:
        "raise the stage's `timeout_ms`, or make smaller batches; `batchd try PIPELINE.STAGE --item A1` shows how long one takes"
    ),
    Trouble(
      .batch, "write one JSON object a line", "the command wrote something else to standard output",
      do:
        "write what people shall read to standard error; `batchd try PIPELINE.STAGE --item A1` shows each line"
    ),
    Trouble(
      .batch, "answer with nothing, or one JSON object a line",
      "the endpoint answered something else",
      do: "look at what it answers; `batchd try PIPELINE.STAGE --item A1` shows each line"),
    Trouble(
      .batch, "nobody can tell whether the answer is whole",
      "an answer without a length may have broken off, so only the items that it names count",
      do: "have the endpoint send Content-Length, or name every item"),
    Trouble(
      .batch, "SIGKILL (if nobody did that", "somebody, mostly the kernel, killed the command",
      do: "`journalctl -k`; give it memory, fewer `slots`, or smaller batches"),
    Trouble(
      .batch, "was ended by ", "the command crashed, or something sent it a signal",
      do:
        "the worker's log has all of its standard error; `batchd try PIPELINE.STAGE --item A1` runs it by hand"
    ),
    Trouble(
      .batch, "failed for good (exit code 65)", "the command says that no other try will help",
      do: "its own last words follow; mend what they name, then `batchd retry ID`"),
    Trouble(
      .batch, "exited with 127", "a program that the command calls is not in its PATH",
      do: "set PATH in the stage's `environment`: it gets no other variable of the worker"),
    Trouble(
      .batch, "is not executable by this worker's user", "the command may not be run",
      do: "`chmod +x` it, and let batchd's user enter its folder"),
    Trouble(
      .batch, " is in none of ",
      "the program of `command` is not in the PATH that the stage gives it",
      do: "name it with its folder, or set PATH in the stage's `environment`"),
    Trouble(
      .batch, "there is no directory … that this worker's user may enter",
      "the stage's `directory` is not there",
      do: "make it, or correct `directory`; `batchd check-config FILE`"),
    Trouble(
      .batch, "exited with ", "the command failed; its last lines on standard error follow",
      do: "`batchd try PIPELINE.STAGE --item A1` runs it by hand with the same environment"),
    Trouble(
      .batch, "cannot start ", "the system did not start the command; its words follow",
      do: "most often memory, or the unit's LimitNOFILE or TasksMax: raise it, or lower `slots`"),
    Trouble(
      .batch, "calls failed in a row",
      "with `feed = \"item\"` five failures in a row end the attempt",
      do: "the last one follows: mostly a service that is away; mend it, then `batchd retry ID`"),
    Trouble(
      .batch, "(output_bytes)", "an output is larger than its stage allows",
      do: "store what is large elsewhere and put out its address, or raise `output_bytes`"),
    Trouble(
      .batch, "limits.batch_output_bytes", "all outputs of the batch together are too large",
      do: "make smaller batches or outputs, or raise `limits.batch_output_bytes`"),
    Trouble(
      .batch, "which was not handed over", "the handler named an item that it was not given",
      do: "report only the items of its input: a retry hands over fewer"),
    Trouble(
      .batch, "redirects are not followed", "the address answers with another one",
      do: "configure the address that it leads to"),
    Trouble(
      .batch, "no whole answer from …: ", "the endpoint cannot be reached, or broke off",
      do:
        "is it running, and is the stage's `url` right? Every attempt counts; then `batchd retry ID`"
    ),
    Trouble(
      .batch, "no answer from Workiz: ", "the API, or the way to it, is away",
      do: "nothing while it is being retried; then `batchd retry ID`"),
    Trouble(
      .batch, "gate … is closed", "a rate limit: the service asked for a pause, or many wait",
      do: "nothing: it goes on by itself, at no cost; `batchd status` shows until when and why"),
    Trouble(
      .batch, "this worker has no token for account",
      "the batch waits, at no cost, until a worker has the account's token",
      do:
        "give `[accounts.NAME]` a token_file, `kill -HUP` the worker; its log says what is wrong with it"
    ),
    Trouble(
      .batch, ": check the token", "Workiz denies the account's token",
      do: "put a new one into the account's token file, `kill -HUP` the workers, `batchd retry ID`"),
    Trouble(
      .batch, ": check base_url", "that address is not the API",
      do: "correct `workiz.base_url`, restart the workers, `batchd retry ID`"),
    Trouble(
      .batch, "Workiz answered 429 … times in a row", "another program uses up the account's limit",
      do: "find it; raise `workiz.interval_ms` if it must go on; `batchd retry ID`"),
    Trouble(
      .batch, "needs an account", "the pipeline works for an account, and the envelope names none",
      do: "enqueue it again with `\"account\":\"NAME\"` and `\"rerun\":true`"),
    Trouble(
      .batch, "nothing to do: give items",
      "the batch has neither items nor the wish to discover them",
      do:
        "enqueue it again with `items`, or with `\"payload\":{\"discover\":true}`, and `\"rerun\":true`"
    ),
    Trouble(
      .batch, "gone: Workiz answers", "the job was deleted there",
      do: "nothing: leave it out the next time"),
    Trouble(
      .batch, "is not a Workiz job UUID", "the item is no job's id, so nobody was asked",
      do: "enqueue the six characters that Workiz shows as UUID"),
    Trouble(
      .batch, "since the prefixes were changed",
      "the batch waits where its account was at home before `prefixes` was changed",
      do:
        "`batchd cancel ID --prefix OLD`, then enqueue it again; or take the change back, and restart the workers"
    ),
    Trouble(
      .batch, "is unfinished under the prefix", "the same id is in use under another prefix",
      do: "nothing: it goes on after the other's end; ids are names for all prefixes of a store"),
    Trouble(
      .batch, "PostgreSQL, …: ",
      "the store cannot be reached, or refuses; batches wait",
      do: "what the message says after the colon; work goes on by itself"),
    Trouble(
      .batch, "the disk is full; free space or move the file",
      "the store cannot write; batches wait",
      do: "free space; work goes on by itself"),
    Trouble(
      .batch, "was removed or replaced while batchd had it open",
      "the worker writes to no file that lost its name; batches wait",
      do: "put the file back, or restart the workers to use what is there now"),
    Trouble(
      .batch, " answered ",
      "the service refused; its status and words follow: 4xx is for good, 5xx is retried",
      do: "its log says why; mend it or the request, then `batchd retry ID`"),
    Trouble(
      .batch, "no retries left",
      "the stage failed in every attempt; what went wrong stands before it",
      do: "mend the cause, then `batchd retry ID`"),
    Trouble(
      .batch, "given up after … attempts",
      "the item failed in every attempt; what went wrong follows",
      do: "mend the cause, then `batchd retry ID`: what was done stays done"),
  ]

  private static let rejected: [Trouble] = [
    Trouble(
      .rejected, "unknown field; ", "a typo, or a field that belongs into `payload`",
      do: "correct the producer; enqueue a corrected entry"),
    Trouble(
      .rejected, "is not known; known: ", "no worker has ever registered that pipeline",
      do: "correct the name; or start a worker that has it, then `batchd rejected reenter N`"),
    Trouble(
      .rejected, "missing, and there is no default_pipeline", "the envelope names no pipeline",
      do: "name one, or set `default_pipeline`, restart the workers, `batchd rejected reenter N`"),
    Trouble(
      .rejected, "has its batches under the prefix",
      "the entry was pushed under another prefix than that of its account",
      do: "push it to the list that is named, or use `batchd enqueue`, which knows the way"),
    Trouble(
      .rejected, "not JSON in UTF-8", "mostly the shell took the quotes away",
      do: "`batchd rejected show N` shows what came; put it between single quotes"),
    Trouble(
      .rejected, "cancel it first or wait", "a rerun of a batch that has not ended",
      do: "`batchd explain ID`; after its end `batchd rejected reenter N`"),
    Trouble(
      .rejected, ", the limit is ", "it has too many items or bytes; the setting stands behind it",
      do: "split it, or raise that limit on all workers and then `batchd rejected reenter N`"),
  ]

  private static let command: [Trouble] = [
    Trouble(
      .command, "NOBODY SERVES", "batches wait for a stage that no living worker has",
      do: "start a worker whose configuration has it, or `batchd cancel` them"),
    Trouble(
      .command, "cannot use … at …: ", "Redis is away, or not there, or asks for a password",
      do:
        "start it, or correct `redis.url`, user and password; workers wait for it and go on by themselves"
    ),
    Trouble(
      .command, "Redis refuses: ", "Redis is there and does not do it; its own words follow",
      do:
        "NOPERM: give the user the rights of `deploy/redis.acl`; for others see the end of the line and `batchd doctor`"
    ),
    Trouble(
      .command, "no worker ever used the prefix", "no worker has ever run on this Redis and prefix",
      do: "is it the right `--redis` and `--prefix`? Start a worker: `batchd work`"),
    Trouble(
      .command, "is known already (", "an id is remembered until its batch's retention is over",
      do: "give another id, or `--rerun` to do all of it again"),
    Trouble(
      .command, "only an ended batch can be retried", "the batch has not ended yet",
      do: "`batchd explain ID` says what it waits for; `batchd cancel ID` ends it"),
    Trouble(
      .command, "is not known: never admitted", "Redis has no such batch",
      do:
        "`batchd explain ID` looks for it among the entries, too; `batchd history ID` in the store"),
    Trouble(
      .command, "a key of the queue is of another type", "somebody wrote into a key of batchd's",
      do: "`batchd doctor` names it, `batchd doctor --repair` sets it aside"),
    Trouble(
      .command, "there is no store at", "no worker of that configuration has run here",
      do: "name the workers' file with `--config`"),
  ]

  private static let worker: [Trouble] = [
    Trouble(
      .worker, "another worker has other stages for a pipeline",
      "a release that is being rolled out, or two configurations: new batches go through the stages of the worker that started last",
      do: "restart the others with the same `[pipelines.P]`"),
    Trouble(
      .worker, "give all the same list in the same order",
      "its `prefixes` are not those of the living workers",
      do: "correct the file; to change the list, let the queue run empty and stop all workers first"
    ),
    Trouble(
      .worker, "may not do all that workers need", "rights are missing in Redis",
      do: "`ACL SETUSER` as `batchd doctor` says, or the rights of `deploy/redis.acl`"),
    Trouble(
      .worker, "runs on this host already", "two processes, one instance name",
      do: "give one another `--instance`"),
    Trouble(
      .worker, "another worker of this name was heard a moment ago",
      "a cloned machine: two hosts with one machine id; or the worker died a moment ago elsewhere",
      do: "give the clone an `/etc/machine-id` or an `--instance` of its own"),
    Trouble(
      .worker, "Redis evicts keys when it is full", "`maxmemory-policy` is not `noeviction`",
      do: "`CONFIG SET maxmemory-policy noeviction`, and in redis.conf"),
    Trouble(
      .worker, "results go to store",
      "this worker writes to another file or database than its peers",
      do: "the same `store.path` or `store.url`, or move on purpose as the message says"),
    Trouble(
      .worker, "Redis is full", "`maxmemory` is reached: only new entries wait, what runs goes on",
      do: "give Redis memory; admission goes on by itself"),
    Trouble(
      .worker, "waiting for Redis: ", "Redis is away; the worker keeps trying, nothing is charged",
      do: "start Redis, or see what the message says of it"),
    Trouble(
      .worker, "withholding the watchdog's word",
      "a loop of the worker hangs; systemd will restart it",
      do: "nothing; if it comes again, keep the log and report it"),
    Trouble(
      .worker, "a key of Redis was broken",
      "somebody wrote into a key of batchd's; it was mended or set aside, for 30 days",
      do: "find who writes there; `batchd doctor` shows what is left"),
    Trouble(
      .worker, "the store cannot be used; batches wait",
      "said once a minute while it lasts; its error says what the store has",
      do:
        "what the error says: put the file back, free space, start PostgreSQL; it goes on by itself"
    ),
    Trouble(
      .worker, "cannot write the history",
      "the store refuses; ended runs stay in Redis until it takes them",
      do: "what the error says; it goes on by itself"),
    Trouble(
      .worker, "still ran at the drain limit",
      "handlers did not stop in time; their batches run again when the leases expire",
      do: "raise `worker.drain_ms` and the unit's TimeoutStopSec, or let handlers end sooner"),
    Trouble(
      .worker, "a handler does not stop", "it ignores its cancellation; its slot stays taken",
      do: "mend the handler; restart the worker to free the slot"),
    Trouble(
      .worker, "Redis answers too slowly to use a permission",
      "the way to Redis takes longer than a permission lasts",
      do: "bring worker and Redis nearer, or raise `worker.gate_margin_ms`"),
    Trouble(
      .worker, "a library of this name that is not ours",
      "another program's functions are named batchd",
      do: "`redis-cli FUNCTION LIST`; remove it, or use another Redis"),
  ]

  private static let redis: [Trouble] = [
    Trouble(
      .redis, "`batchd:progress:OP` does not exist", "no worker has admitted an entry of it",
      do: "`batchd explain OP`: it waits, was rejected, or was never enqueued"),
    Trouble(
      .redis, "status `pending` for long",
      "its lane is busy, something is paused, or nobody serves its stage",
      do: "`batchd explain ID`"),
    Trouble(
      .redis, "place `batchd:delayed`", "backoff, a closed gate, a missing token",
      do: "`batchd explain ID` says until when and why"),
    Trouble(
      .redis, "`batchd:aside:…`",
      "a key had the wrong type: whoever touched it first moved it there, for 30 days, and everybody goes on",
      do: "`batchd doctor`; the event `broken` and the workers' logs say what was found and done"),
    Trouble(
      .redis, "a backup must go back into Redis", "fences of the time after it are forgotten",
      do:
        "stop Redis, replace the file, start it: a new epoch begins, uncharged. Workers notice a restore into a running Redis only when a fence comes twice"
    ),
  ]
}
