/** One replacement in a file of postgres.js 3.4.9: `find` must stand in it exactly once. */
export type Edit = { find: string; put: string }

/** The mended files set it on the function they export, so that the loader can see that they are the ones running. */
export const MARK = 'postrider.mend'

/**
 * `src/connection.js`. One rule: what belongs to a session ends with its socket. Whoever still waits is rejected with
 * CONNECTION_CLOSED, and the next session of the same connection object starts from nothing.
 */
export const connectionEdits: Edit[] = [
  {
    find: 'export default Connection\n',
    put: `export default Connection\nConnection[Symbol.for('${MARK}')] = true\n`,
  },
  // A query for a connection without a socket has nobody to answer it (#1208). True: the connection must not be put
  // among the full ones, from where only an answer would bring it back.
  {
    find: `  function execute(q) {
    if (terminated)`,
    put: `  function execute(q) {
    if (socket === null) {
      queryError(q, Errors.connection('CONNECTION_CLOSED', options))
      return true
    }

    if (terminated)`,
  },
  // A query that cannot be serialised (an invalid date), pipelined behind another one: it stays in \`sent\` although
  // it was never sent, so that it waits for ever, and the other one is rejected in its place.
  {
    find: `      sent.length === 0 && write(Sync)
      errored(error)`,
    put: `      if (query !== q) {
        sent.remove(q)
        queryError(q, error)
        return true
      }
      sent.length === 0 && write(Sync)
      errored(error)`,
  },
  // The throw from setImmediate that ends the process (#1066, #1154, #1208). Queries do not come this far; what does is
  // the rest of a handshake or a Sync, which nobody waits for.
  {
    find: `  function nextWrite(fn) {
`,
    put: `  function nextWrite(fn) {
    if (socket === null) {
      nextWriteTimer !== null && clearImmediate(nextWriteTimer)
      chunk = nextWriteTimer = null
      return true
    }

`,
  },
  // A timer that is cleared but not forgotten keeps later writes, the next startup message too, in the buffer for ever;
  // a buffer that is not forgotten comes before that message.
  {
    find: `    clearImmediate(nextWriteTimer)
    socket.removeListener('data', data)`,
    put: `    clearImmediate(nextWriteTimer)
    chunk = nextWriteTimer = null
    socket.removeListener('data', data)`,
  },
  // - After an 'error' event queries may still come in until the 'close' event: they were dropped (\`!hadError\`).
  // - The dead session's error, rows and half a result met the first query of the next session (#1223).
  // - A first query whose session closed before it was ready was tried again without a pause, for ever. With several
  //   hosts (or a wanted kind of server) that is how the next one gets its turn; with one it is a failed connection.
  // - \`end()\` waited for a connection that had died in its transaction.
  {
    find: `    if (initial)
      return reconnect()

    !hadError && (query || sent.length) && error(Errors.connection('CONNECTION_CLOSED', options, socket))
    closedTime = performance.now()
    hadError && options.shared.retries++`,
    put: `    const again = options.host[1] || target_session_attrs ? initial : null
    const refused = initial && !again
    again && (initial = null)
    final && final(Errors.connection('CONNECTION_CLOSED', options, socket))
    errored(Errors.connection('CONNECTION_CLOSED', options, socket))
    while (sent.length)
      queryError(sent.shift(), Errors.connection('CONNECTION_CLOSED', options, socket))

    query = results = errorResponse = final = null
    result = new Result()
    rows = 0

    if (again) {
      initial = again
      return reconnect()
    }

    ended && (ended(), ending = ended = null)
    closedTime = performance.now()
    hadError || refused ? options.shared.retries++ : null`,
  },
  // - Nobody looks at the promise of the types query: rejected, it ended the process (#1223).
  // - A reservation that opened the connection was forgotten: without the types query it never settled (#751, #1219),
  //   and neither did one that the pool had handed to a reconnecting connection (#1195).
  {
    find: `      if (needsTypes) {
        initial.reserve && (initial = null)
        return fetchArrayTypes()
      }

      initial && !initial.reserve && execute(initial)
      options.shared.retries = retries = 0
      initial = null
      return`,
    put: `      if (needsTypes)
        return fetchArrayTypes().catch(noop)

      const first = initial
      options.shared.retries = retries = 0
      initial = null
      first.reserve ? first.reserve(connection) : execute(first)
      return`,
  },
  // The same of the query that asks what kind of server this is: rejected, it ended the process.
  {
    find: `    query.execute()
  }

  function ErrorResponse(x) {`,
    put: `    query.catch(noop)
  }

  function ErrorResponse(x) {`,
  },
  // While a cursor's reader is at work the session may end, and another query may run on the next one.
  {
    find: `  async function PortalSuspended() {
    try {
      const x = await Promise.resolve(query.cursorFn(result))
      rows = 0`,
    put: `  async function PortalSuspended() {
    const q = query
    try {
      const x = await Promise.resolve(q.cursorFn(result))
      if (query !== q)
        return
      rows = 0`,
  },
  {
    find: `    } catch (err) {
      write(Sync)
      query.reject(err)
    }`,
    put: `    } catch (err) {
      query === q && write(Sync)
      q.reject(err)
    }`,
  },
]

/**
 * `src/index.js`. A transaction and a reservation know their connection only as an object, which lives on when its
 * session ends and is soon somebody else's: without these edits the rest of a dead transaction, its COMMIT or ROLLBACK
 * too, runs inside another caller's transaction (#1216).
 */
export const indexEdits: Edit[] = [
  {
    find: 'export default Postgres\n',
    put: `export default Postgres\nPostgres[Symbol.for('${MARK}')] = Connection[Symbol.for('${MARK}')]\n`,
  },
  // A reservation waits in one place only: as the first use of a connecting connection, or in the queue. In both, a
  // connection could be given to a reservation that had been rejected before, and was lost to the pool.
  {
    find: `        queries.push(query)
        closed.length && connect(closed.shift(), query)
      })

    move(c, reserved)`,
    put: `        closed.length ? connect(closed.shift(), query) : wait(query)
      })

    let gone = false
    c.onclose = () => {
      gone = true
      while (queue.length)
        queue.shift().reject(sessionLost())
    }
    move(c, reserved)`,
  },
  // A dead connection is not given back: it is among the closed ones already, or busy for somebody else.
  {
    find: `    sql.release = () => {
      c.reserved = null`,
    put: `    sql.release = () => {
      if (gone)
        return
      c.onclose = null
      c.reserved = null`,
  },
  {
    find: `    function handler(q) {
      c.queue === full
        ? queue.push(q)`,
    put: `    function handler(q) {
      if (gone)
        return q.reject(sessionLost())

      c.queue === full
        ? queue.push(q)`,
  },
  {
    find: `      , connection
      , prepare = null
`,
    put: `      , connection
      , gone = false
      , prepare = null
`,
  },
  // Queries queued inside a transaction were never settled (#1186).
  {
    find: '        new Promise((_, reject) => connection.onclose = reject)\n',
    put: `        new Promise((_, reject) => connection.onclose = e => {
          gone = true
          reject(e)
          while (queries.length)
            queries.shift().reject(sessionLost())
        })
`,
  },
  {
    find: `        q.catch(e => uncaughtError || (uncaughtError = e))
`,
    put: `        q.catch(e => uncaughtError || (uncaughtError = e))
        if (gone)
          return q.reject(sessionLost())

`,
  },
  // What finds every connection taken waits in the pool's queue, for ever where a transaction is never over: postgres.js has
  // no deadline for it. Ours is `acquire_timeout` (in ms), looked at only while somebody waits.
  {
    find: `    busy.length
      ? go(busy.shift(), query)
      : queries.push(query)
  }
`,
    put: `    busy.length
      ? go(busy.shift(), query)
      : wait(query)
  }

  function wait(query) {
    query.waitsSince = performance.now()
    queries.push(query)
    if (patience === null && options.shared.acquire_timeout)
      patience = setTimeout(refuseLate, options.shared.acquire_timeout / 10).unref()
  }

  function refuseLate() {
    const late = performance.now() - options.shared.acquire_timeout
    for (let n = queries.length; n > 0; n--) {
      const query = queries.shift()
      query.waitsSince > late
        ? queries.push(query)
        : query.reject(Errors.connection('ACQUIRE_TIMEOUT', options))
    }
    patience = queries.length ? setTimeout(refuseLate, options.shared.acquire_timeout / 10).unref() : null
  }
`,
  },
  {
    find: '  let ending = false\n',
    put: '  let ending = false\n    , patience = null\n',
  },
  {
    find: 'shared          : { retries: 0,',
    put: 'shared          : { acquire_timeout: o.acquire_timeout, retries: 0,',
  },
  {
    find: `  function move(c, queue) {
`,
    put: `  function sessionLost() {
    return Errors.connection('CONNECTION_CLOSED', options)
  }

  function move(c, queue) {
`,
  },
]
