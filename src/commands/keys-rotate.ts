import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { SYSTEM } from '../audit/actor.ts'
import { recordActionIn } from '../audit/record.ts'
import { type Config, npmTook, readConfig } from '../config.ts'
import { createLog, type Log } from '../log.ts'
import { type Address, type Db, openPool, type Session } from '../postgres/client.ts'
import { startEmbeddedPostgres } from '../postgres/embedded.ts'
import { LOCKS } from '../postgres/locks.ts'
import { refuseNewerSchema } from '../postgres/migrate.ts'
import { explainFault } from '../postgres/preflight.ts'
import { sealedColumns } from '../sealing/columns.ts'
import { WrongMasterKeys } from '../sealing/key-check.ts'
import { describeUses, keysInUse, missingKeys } from '../sealing/keys-in-use.ts'
import { processesWithout } from '../sealing/known-keys.ts'
import { addMasterKey, loadMasterKeys, type MasterKey, parseMasterKeys } from '../sealing/master-keys.ts'
import { type Rotated, rotateMasterKeys } from '../sealing/rotate.ts'
import { createSealer } from '../sealing/sealer.ts'

/** Why nothing was done, and what to do about it. */
class CannotRotate extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'CannotRotate'
    this.code = code
  }
}

const MASTER_KEYS_FILE = 'master-keys'
const PROGRESS_MS = 1000
const OTHER_RUN_MS = 5000

/**
 * `npm run keys:rotate`: seals everything in the database with the newest master key, so that the older ones can be taken away.
 * With `--new` a fresh key is put in front of those in the data directory first. docs/keys.md tells the whole way.
 */
async function main(): Promise<void> {
  const unknown = process.argv.slice(2).filter((word) => word !== '--new')
  if (unknown.length > 0) {
    throw new CannotRotate(
      'UNKNOWN_OPTION',
      `${unknown.join(' ')} means nothing here. Use: npm run keys:rotate [-- --new]`,
    )
  }
  const withNew = process.argv.includes('--new')
  if (!withNew && npmTook('new')) {
    throw new CannotRotate(
      'OPTION_TAKEN_BY_NPM',
      'npm kept --new to itself. Use: npm run keys:rotate -- --new. Nothing was changed.',
    )
  }
  const config = readConfig(undefined, { POSTRIDER_MASTER_KEYS: parseMasterKeys })
  const log = createLog('warn')
  const { address, leave } = await reachPostgres(config, log)
  const db = await openPool(address, { max: 3, name: 'rotation of keys', log, statementTimeoutMs: 0 })
  try {
    await alone(db, () => rotate(db, config, withNew))
  } finally {
    await leave(db)
    await db.close()
  }
}

async function rotate(db: Db, config: Config, withNew: boolean): Promise<void> {
  await checkTables(db)
  const present = await keysOf(config)
  const missing = await missingKeys(db.sql, createSealer(present))
  if (missing.length > 0) throw new WrongMasterKeys(missing)
  const keys = withNew ? await makeNew(db, config, present) : present
  const [newest] = keys as [MasterKey]
  if (!(await everybodyKnows(db, newest.id, withNew))) return
  const before = (await keysInUse(db.sql)).filter(({ keyId }) => keyId !== newest.id)
  const total = before.reduce((sum, { count }) => sum + count, 0)
  say(`The newest master key is ${newest.id}.`)
  say(total === 0 ? 'Nothing is sealed with another one.' : `To be sealed anew: ${describeUses(before)}.`)
  const startedAt = performance.now()
  const rotated = await rotateMasterKeys({
    db,
    sealer: createSealer(keys),
    note: (tx, planned) => {
      const details = {
        newestKey: newest.id,
        toSealAnew: planned.map(({ keyId, column, count }) => ({ key: keyId, what: column.what, count })),
      }
      return recordActionIn(tx, SYSTEM, { action: 'KEYS_ROTATE', tenantId: null, object: null, details }, new Date())
    },
    progress: tellProgress(total),
  })
  conclude(rotated, keys, config, performance.now() - startedAt)
}

/** A line at once, then every second at most. */
function tellProgress(total: number): (done: number) => void {
  let toldAt = Number.NEGATIVE_INFINITY
  return (done) => {
    if (performance.now() - toldAt < PROGRESS_MS) return
    toldAt = performance.now()
    say(`Sealed anew: ${done} of ${total}`)
  }
}

function conclude(
  { sealedAnew, left, damaged }: Rotated,
  keys: readonly MasterKey[],
  config: Config,
  ms: number,
): void {
  if (sealedAnew > 0) say(`Sealed anew: ${sealedAnew} in ${(ms / 1000).toFixed(1)} s.`)
  if (damaged > 0)
    say(
      `No key opens ${damaged} of them: they were altered, or moved to where they do not belong. They were left as they are.`,
    )
  const needed = new Set(left.map(({ keyId }) => keyId))
  if (left.length > 0) {
    say(`Still needed: ${describeUses(left)}. Run this again.`)
    process.exitCode = 1
  }
  const place = config.masterKeys === null ? join(config.dataDir, MASTER_KEYS_FILE) : 'POSTRIDER_MASTER_KEYS'
  for (const [index, { id }] of keys.entries()) {
    if (index === 0 || needed.has(id)) continue
    say(
      `Nothing in this database needs ${id} any more, key ${index + 1} of ${keys.length} in ${place}: it can be removed. Keep it with the backups that were made before. Live feeds that clients left before this rotation go on with a gap once it is gone.`,
    )
  }
}

/** Sealed anew for a process that lacks the key, everything would be unreadable to it, and its deliveries would fail. */
async function everybodyKnows(db: Db, newest: string, isNew: boolean): Promise<boolean> {
  const { lacking, sealingOtherwise } = await processesWithout(db.sql, newest)
  if (lacking && isNew) {
    say(`The new master key is ${newest}. Nothing is sealed with it yet.`)
    say('Now restart Postrider, which reads its keys when it starts, and then run: npm run keys:rotate')
    return false
  }
  if (lacking) {
    throw new CannotRotate(
      'KEY_NOT_EVERYWHERE',
      `A Postrider that is running does not have the newest key, ${newest}: its deliveries would fail. Give the key to every process, restart them, and run this again. Nothing was changed.`,
    )
  }
  if (sealingOtherwise) {
    throw new CannotRotate(
      'KEY_NOT_EVERYWHERE',
      `A Postrider that is running has the key ${newest}, but not in the first place: it goes on sealing with another one. Put it first everywhere, restart, and run this again. Nothing was changed.`,
    )
  }
  return true
}

async function makeNew(db: Db, { masterKeys, dataDir }: Config, [newest]: readonly MasterKey[]): Promise<MasterKey[]> {
  if (masterKeys !== null) {
    throw new CannotRotate(
      'KEYS_ARE_GIVEN',
      'Your keys stand in POSTRIDER_MASTER_KEYS: put a new one in front of them yourself, as from: openssl rand -base64 32. --new is for keys in the data directory.',
    )
  }
  if ((await processesWithout(db.sql, newest?.id ?? '')).lacking) {
    throw new CannotRotate(
      'KEY_NOT_EVERYWHERE',
      `There is a new key already that the running Postrider has not read: ${newest?.id}. Restart it, and then run: npm run keys:rotate`,
    )
  }
  return addMasterKey(dataDir)
}

async function keysOf({ masterKeys, dataDir }: Config): Promise<MasterKey[]> {
  return masterKeys === null ? loadMasterKeys(dataDir, { mayCreate: false }) : parseMasterKeys(masterKeys)
}

async function checkTables(db: Db): Promise<void> {
  await refuseNewerSchema(db)
  const names = ['installation', ...sealedColumns().map(({ table }) => table)].map((table) => `postrider.${table}`)
  const [row] = await db.sql<[{ complete: boolean }]>`
    select bool_and(to_regclass(name) is not null) as complete from unnest(${names}::text[]) as name`
  if (row.complete) return
  throw new CannotRotate(
    'NOT_INSTALLED',
    'This database lacks tables of this version of Postrider: start Postrider on it once.',
  )
}

/** One rotation at a time. */
async function alone(db: Db, work: () => Promise<void>): Promise<void> {
  const session = await db.sql.reserve().catch((error: unknown) => {
    throw explainFault(error)
  })
  try {
    // A run that was killed lets go when its session has noticed, which a statement may delay.
    const deadline = performance.now() + OTHER_RUN_MS
    while (!(await tryLock(session))) {
      if (performance.now() > deadline) {
        throw new CannotRotate(
          'KEYS_BEING_ROTATED',
          'The keys are being rotated already, by another run of this command.',
        )
      }
      await wait(100)
    }
    await work()
  } finally {
    // With the session goes the lock.
    session.release()
  }
}

async function tryLock(session: Session): Promise<boolean> {
  const [row] = await session<{ ours: boolean }[]>`
    select pg_try_advisory_lock(${LOCKS.masterKeys}::bigint) as ours`
  return row?.ours ?? false
}

type Reached = { address: Address; leave(db: Db): Promise<void> }

/** The embedded Postgres is left as it was found: running, or stopped unless somebody uses it by now. */
async function reachPostgres({ databaseUrl, dataDir }: Config, log: Log): Promise<Reached> {
  if (databaseUrl !== null) return { address: databaseUrl, leave: async () => {} }
  const server = await startEmbeddedPostgres({ dataDir, log, mayCreate: false })
  const leave = async ({ sql }: Db) => {
    if (server.adopted) return
    const [row] = await sql<{ unused: boolean }[]>`select pg_try_advisory_lock(${LOCKS.presence}::bigint) as unused`
    if (row?.unused) await server.stop()
  }
  return { address: server.address, leave }
}

function say(sentence: string): void {
  process.stdout.write(`${sentence}\n`)
}

main().catch((error: unknown) => {
  const known = error instanceof Error && 'code' in error && /^[A-Z][A-Z_]+$/.test(String(error.code))
  process.stderr.write(`${known ? error.message : error instanceof Error ? error.stack : String(error)}\n`)
  process.exitCode = 1
})
