import { setImmediate } from 'node:timers/promises'
import { desc, eq, sql } from 'drizzle-orm'
import type { EventTypeId } from '../../schema/ids.ts'
import type { Validation } from '../../schema/states.ts'
import { eventTypes, eventTypeVersions } from '../../schema/tables/event-types.ts'
import { recordAction } from '../audit/record.ts'
import { wrong } from '../input.ts'
import { Mistake, mistakesIn } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import type { Viewer } from '../tenants/access.ts'
import type { BreakingChange } from './compatibility.ts'
import { type CheckedType, readEventType } from './input.ts'
import { readWebhooks, type Webhook } from './openapi.ts'
import { applyType, BreakingChanges, type CatalogueSaveContext, lockCatalogue } from './save.ts'

export type ImportOptions = {
  /** The version that the types get; absent: each its newest, or `1` for a new one. */
  version?: string | null | undefined
  validation?: Validation | null | undefined
  allowBreaking: boolean
  dryRun: boolean
}

export type ImportState = 'CREATED' | 'CHANGED' | 'UNCHANGED' | 'REFUSED'

export type Imported = {
  /** As the document calls it. */
  name: string
  state: ImportState
  /** Null where nothing was saved, and there was no such type before. */
  id: EventTypeId | null
  exampleDerived: boolean
  breakingChanges: readonly BreakingChange[]
  mistakes: readonly Mistake[]
}

export const FIRST_VERSION = '1'

type Read = { webhook: Webhook; checked: CheckedType | null; exampleDerived: boolean; mistakes: readonly Mistake[] }

/**
 * Saves the webhooks of an OpenAPI document as event types: each of them as a whole or not at all, whatever becomes of the
 * others. What is in the catalogue and not in the document stays as it is. Mistakes: INVALID_INPUT at `document`.
 */
export async function importEventTypes(
  context: CatalogueSaveContext,
  viewer: Viewer,
  document: string,
  options: ImportOptions,
): Promise<Imported[]> {
  const read: Read[] = []
  for (const webhook of readWebhooks(document)) {
    // Compiling hundreds of schemas takes seconds: whoever publishes meanwhile must not wait for all of them.
    await setImmediate()
    read.push(readOne(webhook, options))
  }
  const now = context.clock.now()
  const imported: Imported[] = []
  await context.db.orm
    .transaction(async (tx) => {
      await lockCatalogue(tx)
      for (const one of read) imported.push(await importOne(tx, one, options, now))
      if (options.dryRun) throw new OnlyTried()
      const changed = imported.filter(({ state }) => state === 'CREATED' || state === 'CHANGED').map(({ name }) => name)
      const refused = imported.filter(({ state }) => state === 'REFUSED').length
      const action = {
        action: 'EVENT_TYPES_IMPORT',
        tenantId: null,
        object: null,
        details: { changed, refused },
      } as const
      await recordAction(tx, viewer, action, now)
    })
    .catch((error) => {
      if (!(error instanceof OnlyTried)) throw error
    })
  if (!options.dryRun) context.wake.signal('catalogue')
  return options.dryRun ? imported.map((one) => (one.state === 'CREATED' ? { ...one, id: null } : one)) : imported
}

/** Takes back what was written to see what would come of it. */
class OnlyTried extends Error {}

function readOne(webhook: Webhook, { version, validation }: ImportOptions): Read {
  if ('problem' in webhook) {
    const mistake = wrong(['document'], webhook.problem)
    return { webhook, checked: null, exampleDerived: false, mistakes: [mistake] }
  }
  const { settings, schema, example, exampleDerived } = webhook
  const about = { ...settings, ...(validation ? { validation } : {}) }
  try {
    const checked = readEventType({ ...about, version: { version: version ?? FIRST_VERSION, schema, example } }, [
      'document',
    ])
    return { webhook, checked, exampleDerived, mistakes: [] }
  } catch (error) {
    if (!(error instanceof Mistake)) throw error
    const mistakes = mistakesIn(error).map((mistake) => ofDocument(mistake, exampleDerived))
    return { webhook, checked: null, exampleDerived, mistakes }
  }
}

/** As it is to whoever gave a document, and perhaps no example. */
function ofDocument({ code, path, message }: Mistake, exampleDerived: boolean): Mistake {
  const isMadeUp = exampleDerived && path.at(-1) === 'example'
  const said = isMadeUp
    ? `The document has no example of it, and the one that was made up does not do. ${message} Give one.`
    : message
  return new Mistake(code, ['document'], said)
}

async function importOne(
  tx: Pick<Orm, 'select' | 'insert' | 'update'>,
  read: Read,
  options: ImportOptions,
  now: Date,
): Promise<Imported> {
  const { name } = read.webhook
  const { version, allowBreaking } = options
  const known = await knownVersion(tx, name, version ?? null)
  const { checked, exampleDerived, mistakes } = withKnownExample(read, known, options)
  const result = { name, id: known?.id ?? null, exampleDerived, breakingChanges: [], mistakes }
  if (checked?.version == null) return { ...result, state: 'REFUSED' }
  const named = { ...checked.version, version: version ?? known?.version ?? FIRST_VERSION }
  try {
    const saved = await applyType(tx, { ...checked, version: named }, { now, allowBreaking, path: ['document'] })
    return { ...result, id: saved.id, state: saved.state, breakingChanges: saved.breaking }
  } catch (error) {
    if (!(error instanceof Mistake)) throw error
    const breakingChanges = error instanceof BreakingChanges ? error.changes : []
    return { ...result, state: 'REFUSED', breakingChanges, mistakes: mistakesIn(error) }
  }
}

/** With the example of the catalogue in place of one that is made up, where it fits: what somebody wrote says more. */
function withKnownExample(read: Read, known: KnownVersion | null, options: ImportOptions): Read {
  const { webhook, exampleDerived } = read
  if (!exampleDerived || 'problem' in webhook || known?.example == null) return read
  const kept = readOne({ ...webhook, example: known.example, exampleDerived: false }, options)
  return kept.checked ? kept : read
}

type KnownVersion = { id: EventTypeId; version: string | null; example: string | null }

/** The type with that version, else with its newest. */
async function knownVersion(
  tx: Pick<Orm, 'select'>,
  name: string,
  version: string | null,
): Promise<KnownVersion | null> {
  const { eventTypeId, createdAt, example } = eventTypeVersions
  const [row] = await tx
    .select({ id: eventTypes.id, version: eventTypeVersions.version, example })
    .from(eventTypes)
    .leftJoin(eventTypeVersions, eq(eventTypeId, eventTypes.id))
    .where(eq(eventTypes.name, name))
    .orderBy(
      sql`${eventTypeVersions.version} = ${version} desc nulls last`,
      desc(createdAt),
      desc(eventTypeVersions.version),
    )
    .limit(1)
  return row ?? null
}
