import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { newId, type TenantId } from '../../schema/ids.ts'
import { readEpoch } from '../../src/attempts/epoch.ts'
import { secretContext } from '../../src/endpoints/secrets.ts'
import type { Db, Tx } from '../../src/postgres/client.ts'
import { sealedColumns } from '../../src/sealing/columns.ts'
import { checkMasterKeys, hasMetMasterKeys, WrongMasterKeys } from '../../src/sealing/key-check.ts'
import { keysInUse, missingKeys } from '../../src/sealing/keys-in-use.ts'
import { type MasterKey, parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { type RotationContext, rotateMasterKeys } from '../../src/sealing/rotate.ts'
import { createSealer, type Sealer } from '../../src/sealing/sealer.ts'
import { openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const [NEW, OLD, OLDER] = parseMasterKeys(
  Array.from({ length: 3 }, () => randomBytes(32).toString('base64')).join(),
) as [MasterKey, MasterKey, MasterKey]

/** A database with endpoints whose secrets are sealed by these keys in turn: `secret 0`, `secret 1`… */
async function databaseWith(count: number, sealers: readonly Sealer[] = [createSealer([OLD])]) {
  const db = await openDatabase()
  await readEpoch(db.sql)
  const [tenant] = await db.sql<{ id: TenantId }[]>`select id from postrider.tenants limit 1`
  const rows = Array.from({ length: count }, (_, n) => {
    const endpointId = newId<'ep'>(new Date())
    const context = secretContext(tenant?.id as TenantId, endpointId)
    return {
      endpointId,
      id: newId<'sec'>(new Date()),
      sealed: (sealers[n % sealers.length] as Sealer).seal(`secret ${n}`, context),
    }
  })
  const endpoints = rows.map(({ endpointId }) => endpointId)
  await db.sql`insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
    select id, ${tenant?.id as TenantId}, 'https://example.com/', 15, 20, now(), now() from unnest(${endpoints}::uuid[]) as id`
  await db.sql`insert into postrider.secrets (id, tenant_id, endpoint_id, sealed, created_at)
    select id, ${tenant?.id as TenantId}, endpoint, decode(sealed, 'hex'), now()
    from unnest(${rows.map(({ id }) => id)}::uuid[], ${endpoints}::uuid[], ${rows.map(({ sealed }) => sealed.toString('hex'))}::text[]) as made (id, endpoint, sealed)`
  const open = async (sealer: Sealer) => {
    const found = await db.sql<{ tenant: TenantId; endpoint: never; sealed: Buffer }[]>`
      select tenant_id as tenant, endpoint_id as endpoint, sealed from postrider.secrets order by id`
    return found.map(({ tenant, endpoint, sealed }) => sealer.open(sealed, secretContext(tenant, endpoint)))
  }
  return { db, open }
}

const rotate = (db: Db, keys: MasterKey[], more: Partial<RotationContext> = {}) =>
  rotateMasterKeys({ db, sealer: createSealer(keys), note: async () => {}, progress() {}, ...more })

const inUse = async (db: Db) => Object.fromEntries((await keysInUse(db.sql)).map(({ keyId, count }) => [keyId, count]))

test('every column that holds bytes is known to be sealed, or known not to be', async () => {
  const db = await openDatabase()
  const columns = await db.sql<{ name: string }[]>`
    select table_name || '.' || column_name as name from information_schema.columns
    where table_schema = 'postrider' and data_type = 'bytea'
      and table_name not in (select inhrelid::regclass::name from pg_inherits)
      and table_name not in (select relname from pg_class where relispartition)`
  const NOT_SEALED = [
    'signing_keys.public_key',
    'api_keys.hash',
    'attempt_bodies.body',
    'idempotency_keys.body_hash',
    'portal_sessions.hash',
  ]
  // Whoever adds a sealed column adds it to src/sealing/columns.ts: what is missing there is lost with its key.
  const known = [...NOT_SEALED, ...sealedColumns().map(({ table, column }) => `${table}.${column}`)]
  expect(columns.map(({ name }) => name).filter((name) => !known.includes(name))).toEqual([])
})

test('everything is sealed anew with the newest key, and noted once, before it begins', async () => {
  const { db, open } = await databaseWith(450, [createSealer([OLD]), createSealer([OLDER]), createSealer([NEW, OLD])])
  await checkMasterKeys(db.sql, createSealer([OLD, OLDER, NEW]))
  const notes: unknown[] = []
  const progress: number[] = []
  const keys = [NEW, OLD, OLDER]
  const note: RotationContext['note'] = async (_, planned) => {
    expect(await inUse(db)).toEqual({ [OLD.id]: 150, [OLDER.id]: 150, [NEW.id]: 150 })
    notes.push(planned.map(({ keyId, count }) => [keyId, count]))
  }
  const rotated = await rotate(db, keys, { note, progress: (done) => progress.push(done) })

  expect(rotated).toEqual({ sealedAnew: 300, left: [], damaged: 0 })
  expect(notes).toEqual([[OLD.id, OLDER.id].sort().map((id) => [id, 150])])
  expect(progress).toEqual([150, 300])
  expect(await inUse(db)).toEqual({ [NEW.id]: 450 })
  expect(await open(createSealer([NEW]))).toEqual(Array.from({ length: 450 }, (_, n) => `secret ${n}`))
  // The check value as well: the old keys are needed no more, and do no longer do.
  await checkMasterKeys(db.sql, createSealer([NEW]))
  await expect(checkMasterKeys(db.sql, createSealer([OLD]))).rejects.toThrow(WrongMasterKeys)
  await rotate(db, keys, { note })
  expect(notes).toHaveLength(1)
})

test('a key that is missing is named, with what needs it, and nothing is changed', async () => {
  const { db } = await databaseWith(5, [createSealer([OLD]), createSealer([OLDER])])
  const before = await db.sql`select sealed from postrider.secrets order by id`
  const attempt = rotate(db, [NEW, OLD], { note: () => expect.unreachable() })
  await expect(attempt).rejects.toThrow(`${OLDER.id} (2 signing secrets)`)
  expect(await db.sql`select sealed from postrider.secrets order by id`).toEqual(before)
})

test('a start is refused with keys that open only some of what is sealed', async () => {
  const { db } = await databaseWith(5, [createSealer([OLD]), createSealer([OLDER])])
  expect(await hasMetMasterKeys(db.sql)).toBe(true)
  await expect(checkMasterKeys(db.sql, createSealer([NEW]))).rejects.toThrow(`${OLD.id} (3 signing secrets)`)
  await expect(checkMasterKeys(db.sql, createSealer([NEW]))).rejects.toThrow(`${OLDER.id} (2 signing secrets)`)
  await expect(checkMasterKeys(db.sql, createSealer([OLD]))).rejects.toMatchObject({ code: 'WRONG_MASTER_KEYS' })
  // And they were not taken for this database's.
  expect(await db.sql`select key_check from postrider.installation`).toEqual([{ key_check: null }])
  await checkMasterKeys(db.sql, createSealer([NEW, OLD, OLDER]))
})

test('a fresh database takes the keys it meets, and no others after that', async () => {
  const { db } = await databaseWith(0)
  expect(await hasMetMasterKeys(db.sql)).toBe(false)
  await checkMasterKeys(db.sql, createSealer([OLD]))
  expect(await hasMetMasterKeys(db.sql)).toBe(true)
  await checkMasterKeys(db.sql, createSealer([NEW, OLD]))
  await expect(checkMasterKeys(db.sql, createSealer([NEW]))).rejects.toThrow(`${OLD.id} (1 check value)`)
})

test('what no key opens is left as it is, counted, and does not hold up the rest', async () => {
  const { db } = await databaseWith(300)
  await db.sql`update postrider.secrets set sealed = set_byte(sealed, 40, (get_byte(sealed, 40) + 1) % 256)
    where id in (select id from postrider.secrets order by id limit 2)`
  const { left, ...rotated } = await rotate(db, [NEW, OLD])
  expect(rotated).toEqual({ sealedAnew: 298, damaged: 2 })
  expect(left).toMatchObject([{ keyId: OLD.id, count: 2 }])
})

test('what somebody else is changing is waited for, as long as patience lasts', async () => {
  const { db } = await databaseWith(3)
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let locked = () => {}
  const isLocked = new Promise<void>((resolve) => {
    locked = resolve
  })
  const other = db.transaction(async (tx) => {
    await tx`update postrider.secrets set signs_until = now() where id = (select min(id::text)::uuid from postrider.secrets)`
    locked()
    await held
  })
  await isLocked
  expect(await rotate(db, [NEW, OLD], { patienceMs: 0 })).toMatchObject({
    sealedAnew: 2,
    left: [{ keyId: OLD.id, count: 1 }],
  })
  const rest = rotate(db, [NEW, OLD])
  await eventually(() => expect(inUse(db)).resolves.toEqual({ [OLD.id]: 1, [NEW.id]: 2 }))
  release()
  await other
  expect(await rest).toMatchObject({ sealedAnew: 1, left: [] })
})

test('which keys are needed is asked of the index, whatever is in the table', async () => {
  const { db } = await databaseWith(1)
  await db.sql`insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
    select gen_random_uuid(), (select id from postrider.tenants limit 1), 'https://example.com/', 15, 20, now(), now() from generate_series(1, 20000)`
  await db.sql`insert into postrider.secrets (id, tenant_id, endpoint_id, sealed, created_at)
    select gen_random_uuid(), tenant_id, id, (select sealed from postrider.secrets), now() from postrider.endpoints
    where id not in (select endpoint_id from postrider.secrets)`
  await db.sql`analyze postrider.secrets`
  await db.transaction(async (tx) => {
    const before = await rowsRead(tx)
    expect(await missingKeys(tx, createSealer([OLD]))).toEqual([])
    const after = await rowsRead(tx)
    // The one key there is, and that no other comes after it.
    expect([after.table - before.table, after.index - before.index]).toEqual([0, 1])
  })
})

/** How many secrets the session of a transaction has read until now, from the table as it lies and by an index. */
async function rowsRead(tx: Tx) {
  const [read] = await tx<[{ table: number; index: number }]>`
    select seq_tup_read::int as table, idx_tup_fetch::int as index from pg_stat_xact_user_tables
    where schemaname = 'postrider' and relname = 'secrets'`
  return read
}
