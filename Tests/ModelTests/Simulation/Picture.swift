import Pipeline
import Redis

/// What Redis holds, as far as the protocol decides by it. Two pictures are equal when nothing has changed.
struct Picture: Equatable {
  /// By key without its prefix: fields in a fixed order with `|`, members with blanks.
  private let texts: [String: String]
  let batches: [String: BatchRecord]

  static let statuses = [
    "pending", "processing", "retrying", "completed", "completed_with_errors", "failed",
    "cancelled",
  ]

  /// - Parameter last: the picture before: what has not changed is not read again.
  init(_ reply: RedisValue, after last: Picture?) {
    var texts: [String: String] = [:]
    var batches: [String: BatchRecord] = [:]
    let parts = reply.array ?? []
    for index in stride(from: 0, to: parts.count - 1, by: 2) {
      guard let key = parts[index].text, let text = parts[index + 1].text else { continue }
      texts[key] = text
      guard key.hasPrefix("batch:") else { continue }
      let id = String(key.dropFirst(6))
      if let last, last.texts[key] == text {
        batches[id] = last.batches[id]
      } else {
        batches[id] = BatchRecord(id, text)
      }
    }
    self.texts = texts
    self.batches = batches
  }

  func text(_ key: String) -> String { texts[key] ?? "" }

  /// The members of a list, or those of a zset with their scores in turn.
  func members(_ key: String) -> [Substring] { text(key).split(separator: " ") }

  /// The keys that begin so.
  func keys(_ start: String) -> [String] { texts.keys.filter { $0.hasPrefix(start) }.sorted() }

  /// Ids with scores.
  func scores(_ key: String) -> [String: Int] {
    let parts = members(key)
    var scores: [String: Int] = [:]
    for index in stride(from: 0, to: parts.count - 1, by: 2) {
      scores[String(parts[index])] = Int(parts[index + 1])
    }
    return scores
  }

  var epoch: Int { Int(text("meta")) ?? 0 }

  /// Ended runs in the outbox, `ID/RUN` → how often.
  var ends: [String: Int] {
    var ends: [String: Int] = [:]
    for entry in members("ended") { ends[String(entry.prefix { $0 != "=" }), default: 0] += 1 }
    return ends
  }

  /// Whether the token is that of a lease in force.
  func holds(_ token: Token) -> Bool {
    guard let batch = batches[token.batch], renews(token) else { return false }
    return batch.run == token.run && batch.stage == token.stage
  }

  /// A renewal goes by the fence alone: the lease may have gone on into the next stage.
  func renews(_ token: Token) -> Bool {
    guard let batch = batches[token.batch] else { return false }
    return batch.place == "leases" && batch.fence == token.fence && token.fence.epoch == epoch
  }

  /// Answers `[KEY, TEXT]*`. Runs inside Redis, for it costs a tenth of as many commands.
  static let script = """
    local out = {}
    local function put(key, text) out[#out + 1], out[#out + 2] = key, text end
    local function hash(key, ...)
      local values = redis.call('HMGET', key, ...)
      for i = 1, select('#', ...) do values[i] = values[i] or '' end
      return table.concat(values, '|')
    end
    local function sorted(members)
      table.sort(members)
      return table.concat(members, ' ')
    end
    for _, key in ipairs(redis.call('KEYS', 's:*')) do
      local name = string.sub(key, 3)
      local kind = string.match(name, '^%a+')
      if kind == 'batch' then
        put(name, hash(key, 'status', 'place', 'stage', 'run', 'fence', 'worker', 'cancel', 'crashes', 'account',
          'operation', 'items_total', 'items_done', 'items_failed', 'alone', 'settled', 'attempt'))
      elseif kind == 'queue' or kind == 'suspects' or kind == 'lane' or kind == 'intake' or kind == 'enqueue' then
        put(name, table.concat(redis.call('LRANGE', key, 0, -1), ' '))
      elseif kind == 'leases' or kind == 'delayed' or kind == 'jumped' then
        put(name, table.concat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), ' '))
      elseif kind == 'lanes' then
        put(name, table.concat(redis.call('HGETALL', key), ' '))
      elseif name == 'progress:op' then
        put(name, hash(key, 'total', 'pending', 'processing', 'retrying', 'completed', 'completed_with_errors',
          'failed', 'cancelled', 'items_total', 'items_done', 'items_failed', 'status'))
      elseif kind == 'items' or kind == 'errors' then
        put(name, sorted(redis.call('HKEYS', key)))
      elseif kind == 'paused' then
        put(name, sorted(redis.call('SMEMBERS', key)))
      elseif kind == 'ended' then
        local runs = {}
        for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
          if entry[2][1] == 'runs' then
            for id, run in string.gmatch(entry[2][2], '(%S+) (%d+) %d+ %d+') do
              runs[#runs + 1] = id .. '/' .. run .. '=completed'
            end
          else
            runs[#runs + 1] = entry[2][2] .. '/' .. entry[2][4] .. '=' .. entry[2][6]
          end
        end
        put(name, table.concat(runs, ' '))
      elseif kind == 'meta' then
        put(name, hash(key, 'epoch'))
      end
    end
    return out
    """
}

/// The hash of one batch.
struct BatchRecord: Equatable {
  let id: String
  let status: String
  /// Without the prefix.
  let place: String
  let stage: String
  let run: Int
  let fence: Fence?
  let worker: String
  let isCancelling: Bool
  let crashes: Int
  let account: String
  let itemsTotal: Int
  let itemsDone: Int
  let itemsFailed: Int

  var isLiving: Bool { ["pending", "processing", "retrying"].contains(status) }

  init(_ id: String, _ text: String) {
    let fields = text.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
    self.id = id
    status = fields[0]
    place = String(fields[1].dropFirst(2))
    stage = fields[2]
    run = Int(fields[3]) ?? 0
    fence = Fence(fields[4])
    worker = fields[5]
    isCancelling = !fields[6].isEmpty
    crashes = Int(fields[7]) ?? 0
    account = fields[8]
    itemsTotal = Int(fields[10]) ?? 0
    itemsDone = Int(fields[11]) ?? 0
    itemsFailed = Int(fields[12]) ?? 0
  }
}

/// A worker's memory of a lease.
struct Token: Hashable {
  let batch: String
  let run: Int
  var stage: String
  let fence: Fence
}
