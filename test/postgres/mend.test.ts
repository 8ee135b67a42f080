import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, connect as dial, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import type { Options, Sql, TransactionSql } from 'postgres'
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest'
import { loadPostgres, mend } from '../../src/postgres/mend.ts'

// What a query may be told whose session ended: by the library, by the server's last words, by the operating system.
const SESSION_LOST = ['CONNECTION_CLOSED', '57P01', 'ECONNRESET', 'EPIPE']

const address = inject('postgresAddress')
const open: Sql[] = []
const uncaught: unknown[] = []
const note = (error: unknown) => void uncaught.push(error)
let postgres: Awaited<ReturnType<typeof loadPostgres>>
let killer: Sql

beforeAll(async () => {
  postgres = await loadPostgres()
  killer = postgres({ ...address, max: 1 })
  process.on('uncaughtException', note).on('unhandledRejection', note)
})

afterAll(async () => {
  process.off('uncaughtException', note).off('unhandledRejection', note)
  await killer.end({ timeout: 1 })
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((sql) => sql.end({ timeout: 1 })))
  await turn()
  expect(uncaught.splice(0)).toEqual([])
})

function pool(options: Options<Record<string, never>> = {}): Sql {
  const sql = postgres({ ...address, max: 2, backoff: 0.01, ...options } as Options<Record<string, never>>)
  open.push(sql)
  return sql
}

/** Ends a session from outside, and waits until the server has forgotten it. */
async function terminate(pid: number) {
  await killer`select pg_terminate_backend(${pid}::int)`
  for (let alive = 1; alive > 0; ) alive = (await killer`select 1 from pg_stat_activity where pid = ${pid}::int`).length
}

async function pidOf(sql: Sql | TransactionSql): Promise<number> {
  const [row] = await sql`select pg_backend_pid() as pid`
  return row?.pid
}

/** What became of promises, none of which may take longer than this. */
async function settled(promises: Promise<unknown>[], deadlineMs = 5000) {
  const late = Symbol('late')
  const outcomes = await Promise.race([Promise.allSettled(promises), wait(deadlineMs, late, { ref: false })])
  if (outcomes === late) throw new Error(`A promise was not settled within ${deadlineMs} ms`)
  return outcomes as PromiseSettledResult<unknown>[]
}

const codesOf = (outcomes: PromiseSettledResult<unknown>[]) =>
  outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : []))

async function expectToWork(sql: Sql) {
  const numbers = [1, 2, 3, 4, 5, 6]
  const outcomes = await settled(numbers.map((n) => sql`select ${n}::int as n`))
  expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason))).toEqual(
    numbers.map((n) => [{ n }]),
  )
  await settled([sql.begin((tx) => tx`select 1`), sql.begin((tx) => tx`select 1`)])
}

type Death = (
  tx: TransactionSql,
  pid: number,
  round: number,
  ask: (query: Promise<unknown>) => void,
) => Promise<unknown>

const deaths: Record<string, Death> = {
  async 'between small writes'(tx, pid, round, ask) {
    const dying = terminate(pid)
    for (let n = 0; n < 40; n++) {
      ask(tx`select ${n}::int`)
      for (let turns = 0; turns < round; turns++) await turn()
    }
    await dying
  },
  async 'while a statement runs'(tx, pid, round, ask) {
    ask(tx`select pg_sleep(5)`)
    await wait(round)
    await terminate(pid)
  },
  async 'right before the commit'(_tx, pid, round) {
    await terminate(pid)
    for (let turns = 0; turns < round; turns++) await turn()
  },
  async 'with queries pipelined and queued'(tx, pid, round, ask) {
    for (let n = 0; n < 150; n++) ask(tx`select ${n}::int, pg_sleep(0.001)`)
    await wait(round)
    await terminate(pid)
  },
  async 'well before the next query'(tx, pid, round, ask) {
    await terminate(pid)
    await wait(round * 5)
    ask(tx`select 1`)
    await turn()
    ask(tx`select ${round}::int`)
    ask(tx.savepoint((inner) => inner`select 2`))
  },
}

test.each(Object.entries(deaths))('the session of a transaction ends %s: ten times', async (_when, die) => {
  const sql = pool()
  for (let round = 0; round < 10; round++) {
    const asked: Promise<unknown>[] = []
    const transaction = sql.begin(async (tx) => {
      await die(tx, await pidOf(tx), round, (query) => {
        query.catch(() => {})
        asked.push(query)
      })
    })
    const [outcome] = await settled([transaction])
    expect(SESSION_LOST).toContain(codesOf([outcome as PromiseSettledResult<unknown>])[0])
    for (const code of codesOf(await settled(asked))) expect(SESSION_LOST).toContain(code)
    await expectToWork(sql)
  }
})

test('a listener whose session ends listens again and hears again: 50 times', async () => {
  const sql = pool()
  const heard: string[] = []
  let listening = 0
  await sql.listen(
    'mend',
    (payload) => heard.push(payload),
    () => listening++,
  )
  for (let round = 1; round <= 50; round++) {
    const [row] = await killer`select pid from pg_stat_activity where query ilike 'listen "mend"%'`
    await terminate(row?.pid)
    await expect.poll(() => listening, { interval: 2, timeout: 5000 }).toBe(round + 1)
    await sql.notify('mend', `round ${round}`)
    await expect.poll(() => heard.at(-1), { interval: 2, timeout: 5000 }).toBe(`round ${round}`)
  }
  expect(heard).toHaveLength(50)
}, 60_000)

test('the rest of a dead transaction does not run in the transaction that has its connection now', async () => {
  const sql = pool({ max: 1 })
  const gate = Promise.withResolvers<void>()
  const rest = Promise.withResolvers<unknown>()
  rest.promise.catch(() => {})
  const doomed = sql.begin(async (tx) => {
    await terminate(await pidOf(tx))
    await gate.promise
    tx`commit`.then(rest.resolve, rest.reject)
  })
  expect(codesOf(await settled([doomed]))).toHaveLength(1)

  await sql.begin(async (tx) => {
    const before = await tx`select pg_current_xact_id()::text as id`
    gate.resolve()
    expect(codesOf(await settled([rest.promise]))).toEqual(['CONNECTION_CLOSED'])
    expect(await tx`select pg_current_xact_id()::text as id`).toEqual(before)
  })
})

test('a reserved connection whose session ends rejects what is asked of it and is not given back', async () => {
  const sql = pool({ max: 1 })
  for (let round = 0; round < 10; round++) {
    const reserved = await sql.reserve()
    const pid = await pidOf(reserved)
    const asked = Array.from({ length: round }, (_, n) => reserved`select ${n}::int, pg_sleep(0.01)`.execute())
    for (const query of asked) query.catch(() => {})
    await terminate(pid)
    for (const code of codesOf(await settled(asked))) expect(SESSION_LOST).toContain(code)
    await wait(round)
    expect(SESSION_LOST).toContain(codesOf(await settled([reserved`select 1`]))[0])
    // The query may hear of it with the socket's error, the pool hears of it with its close.
    await wait(5)
    reserved.release()
    await expectToWork(sql)
  }
})

test.each([true, false])('a connection can be reserved first thing (fetch_types: %s)', async (fetch_types) => {
  const sql = pool({ max: 1, fetch_types })
  const first = (await settled([sql.reserve()]))[0] as PromiseFulfilledResult<Awaited<ReturnType<Sql['reserve']>>>
  const second = sql.reserve()
  await terminate(await pidOf(first.value))
  await settled([first.value`select 1`])
  await wait(5)
  first.value.release()
  await settled([second.then((reserved) => reserved.release())])
  await expectToWork(sql)
})

test('the first query of a new session gets its own rows, not the error or the rows of the last one', async () => {
  const sql = pool({ max: 1 })
  for (let round = 0; round < 5; round++) {
    const pid = await pidOf(sql)
    const long = sql`select n, pg_sleep(0.002) from generate_series(1, 5000) n`.execute()
    await wait(20)
    const [dead] = await settled([long, terminate(pid)])
    expect(dead?.status).toBe('rejected')
    await wait(20)
    expect(await sql`select 1 as n`).toEqual([{ n: 1 }])
  }
})

test('a query that cannot be serialised fails alone, also behind another one', async () => {
  const sql = pool({ max: 1, fetch_types: false })
  await sql`select ${new Date()}::timestamptz as d`
  const first = sql`select 1 as n, pg_sleep(0.05)::text`.execute()
  const bad = sql`select ${new Date(Number.NaN)}::timestamptz as d`.execute()
  const outcomes = await settled([first, bad])
  expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected'])
  await expectToWork(sql)
})

test('a pool can be ended while a transaction of it is dead', async () => {
  const sql = pool({ max: 1 })
  const dying = sql.begin(async (tx) => {
    const pid = await pidOf(tx)
    const ended = sql.end()
    await wait(10)
    await terminate(pid)
    await settled([ended])
  })
  expect(codesOf(await settled([dying]))).toHaveLength(1)
})

test('a session that ends while it starts rejects the query that wanted it', async () => {
  const gate = await doorkeeper()
  const sql = pool({ host: gate.directory, max: 1 })
  gate.lets = 'nobody'
  expect(codesOf(await settled([sql`select 1`]))).toHaveLength(1)
  gate.lets = 'in, and throws out when it asks for the types'
  expect(codesOf(await settled([sql`select 1`]))).toHaveLength(1)
  gate.lets = 'everybody'
  await expectToWork(sql)
  await sql.end({ timeout: 1 })
  await gate.close()
})

test('a text that is not there once is a loud failure', () => {
  const edits = [{ find: 'b', put: 'c' }]
  expect(mend('abd', edits, 'x')).toBe('acd')
  expect(() => mend('ad', edits, 'x')).toThrow('Cannot mend x: expected once but found 0 times')
  expect(() => mend('abb', edits, 'x')).toThrow('found 2 times')
})

type Door = 'everybody' | 'nobody' | 'in, and throws out when it asks for the types'

/** Stands before the server, on a socket of its own, and ends sessions while they start. */
async function doorkeeper() {
  const directory = await mkdtemp(join(tmpdir(), 'postrider-door-'))
  const door = { directory, lets: 'everybody' as Door, close }
  const sockets = new Set<Socket>()
  const server = createServer((guest) => {
    if (door.lets === 'nobody') return guest.destroy()
    const inside = dial(join(address.host, `.s.PGSQL.${address.port}`))
    sockets.add(guest).add(inside)
    for (const socket of [guest, inside]) socket.on('error', () => {})
    guest.on('data', (bytes) => {
      if (door.lets !== 'everybody' && bytes.includes('pg_type')) guest.destroy()
      else inside.write(bytes)
    })
    guest.on('close', () => inside.destroy())
    inside.pipe(guest)
  })
  server.listen(join(directory, `.s.PGSQL.${address.port}`))
  async function close() {
    for (const socket of sockets) socket.destroy()
    server.close()
    await rm(directory, { recursive: true, force: true })
  }
  return door
}
