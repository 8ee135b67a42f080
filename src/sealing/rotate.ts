import { setTimeout as wait } from 'node:timers/promises'
import type { Db, Tx } from '../postgres/client.ts'
import type { SealedColumn } from './columns.ts'
import { renewKeyCheck, WrongMasterKeys } from './key-check.ts'
import { type KeyUse, keyIdColumn, keysInUse, missingKeys } from './keys-in-use.ts'
import { SealError, type Sealer } from './sealer.ts'

export type RotationContext = {
  db: Db
  sealer: Sealer
  /** Called once, before anything is sealed anew, in a transaction; not when there is nothing to do. */
  note(tx: Tx, planned: readonly KeyUse[]): Promise<void>
  /** Called after each batch with how many values were sealed anew by now. */
  progress(done: number): void
  /** How long to wait for rows that somebody else keeps locked, in milliseconds. */
  patienceMs?: number
}

/** `left`: what still needs a key other than the newest. `damaged`: how many of these no key opens. */
export type Rotated = { sealedAnew: number; left: KeyUse[]; damaged: number }

// Some 10 ms each, so that whoever wants to change one of these rows hardly notices.
const BATCH = 200
const PATIENCE_MS = 30_000
const PAUSE_MS = 100

/**
 * Seals with the newest master key whatever is sealed with another one. Each batch is a transaction of its own, and what is done is
 * seen by the values themselves: killed at any moment, the next run does the rest. Servers that know both keys notice nothing.
 * Throws `WrongMasterKeys` before anything is changed when a key is missing.
 */
export async function rotateMasterKeys(context: RotationContext): Promise<Rotated> {
  const { db, sealer, note } = context
  const missing = await missingKeys(db.sql, sealer)
  if (missing.length > 0) throw new WrongMasterKeys(missing)
  const planned = await outdated(db, sealer)
  await db.transaction(async (tx) => {
    const renewed = await renewKeyCheck(tx, sealer)
    if (renewed || planned.length > 0) await note(tx, planned)
  })
  let sealedAnew = 0
  const damaged: Buffer[] = []
  // Since when nothing was to be had although something is left: that is being changed by somebody else.
  let waitingSince: number | null = null
  // Again and again: a server that was told of the new key late may have sealed with an old one meanwhile.
  for (;;) {
    const left = await outdated(db, sealer)
    const isAll = left.reduce((sum, { count }) => sum + count, 0) <= damaged.length
    const outOfPatience =
      waitingSince !== null && performance.now() - waitingSince >= (context.patienceMs ?? PATIENCE_MS)
    if (isAll || outOfPatience) return { sealedAnew, left, damaged: damaged.length }
    const before = sealedAnew + damaged.length
    for (const { column, keyId } of left) {
      for (;;) {
        const batch = await db.transaction((tx) => sealSomeAnew(tx, { column, keyId }, sealer, damaged))
        damaged.push(...batch.damaged)
        sealedAnew += batch.sealedAnew
        if (batch.found === 0) break
        context.progress(sealedAnew)
      }
    }
    if (sealedAnew + damaged.length > before) waitingSince = null
    else {
      waitingSince ??= performance.now()
      await wait(PAUSE_MS)
    }
  }
}

async function outdated({ sql }: Db, sealer: Sealer): Promise<KeyUse[]> {
  return (await keysInUse(sql)).filter(({ keyId }) => keyId !== sealer.newest)
}

type Row = { ctid: string; place: string[]; sealed: Buffer }

async function sealSomeAnew(
  tx: Tx,
  { column, keyId }: Pick<KeyUse, 'column' | 'keyId'>,
  sealer: Sealer,
  known: readonly Buffer[],
): Promise<{ found: number; sealedAnew: number; damaged: Buffer[] }> {
  const table = tx(`postrider.${column.table}`)
  const place = tx.unsafe(`array[${column.place.map((name) => `${name}::text`).join(', ')}]`)
  const apart = known.map((value) => value.toString('hex'))
  // Whatever is locked is left for later: so this waits for nobody while others wait for it, and no two wait for each other.
  const rows = await tx<Row[]>`
    select ctid::text, ${place} as place, ${tx(column.column)} as sealed from ${table}
    where ${keyIdColumn(tx, column)} = ${Buffer.from(keyId, 'hex')}
      and encode(${tx(column.column)}, 'hex') <> all(${apart as never}::text[])
    limit ${BATCH} for no key update skip locked`
  const damaged: Buffer[] = []
  const anew = rows.flatMap((row) => {
    const sealed = sealAnew(row, column, sealer)
    if (sealed === null) damaged.push(row.sealed)
    return sealed === null ? [] : [{ ctid: row.ctid, sealed: sealed.toString('hex') }]
  })
  // A row's place on the disk cannot change while it is locked, and serves for tables with any key.
  const updated = await tx`
    update ${table} set ${tx(column.column)} = decode(anew.sealed, 'hex')
    from unnest(${anew.map(({ ctid }) => ctid) as never}::tid[], ${anew.map(({ sealed }) => sealed) as never}::text[]) as anew (at, sealed)
    where ${table}.ctid = anew.at`
  return { found: rows.length, sealedAnew: updated.count, damaged }
}

/** Null for a value that its key does not open: it is left as it is, for whoever can still say what it was. */
function sealAnew({ place, sealed }: Row, column: SealedColumn, sealer: Sealer): Buffer | null {
  const context = column.context(place)
  try {
    return sealer.seal(sealer.open(sealed, context), context)
  } catch (error) {
    if (error instanceof SealError && error.code === 'SEALED_DAMAGED') return null
    throw error
  }
}
