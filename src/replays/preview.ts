import type { TenantId } from '../../schema/ids.ts'
import { timeOf } from '../../schema/ids.ts'
import type { DeliveryState } from '../../schema/states.ts'
import type { StoredSelection } from '../../schema/tables/replays.ts'
import { keptSince } from '../postgres/days.ts'
import { type Counted, countSelection, type SkipReason, sumOf } from './count.ts'
import { namedEndpoints, type ReplaySelectInput, readSelection } from './selection.ts'
import type { ReplaysContext } from './start.ts'

/** What one should know before a replay is started. */
export type ReplayWarning =
  | 'ENDPOINT_PAUSED'
  | 'ENDPOINT_DISABLED'
  | 'PENDING_LEFT_ALONE'
  | 'UNBOUNDED'
  | 'PARTLY_DROPPED'
  | 'FILTERED'

export type ReplayPreview = {
  total: number
  toRedeliver: number
  states: { state: DeliveryState; count: number }[]
  skips: { reason: SkipReason; count: number }[]
  oldestAt: Date | null
  warnings: { code: ReplayWarning; message: string }[]
}

/** What a replay would do now. Mistakes as in `startReplay`. */
export async function previewReplay(
  { db, scans, clock, operationsTenantId, retention }: ReplaysContext,
  tenant: TenantId,
  select: ReplaySelectInput,
): Promise<ReplayPreview> {
  const selection = readSelection(select)
  await namedEndpoints(db.orm, tenant, selection)
  const keptFrom = keptSince(clock.now(), retention.bodyDays)
  const counted = await countSelection({ scans, operationsTenantId, retention }, tenant, selection, clock.now())
  const sent = counted.filter(({ skipped }) => skipped === null)
  const oldest = sent.map(({ oldest }) => oldest).sort()[0]
  return {
    total: sumOf(counted),
    toRedeliver: sumOf(sent),
    states: countBy(counted, ({ state }) => state).map(([state, count]) => ({ state, count })),
    skips: countBy(counted, ({ skipped }) => skipped).map(([reason, count]) => ({ reason, count })),
    oldestAt: oldest === undefined ? null : new Date(timeOf(oldest as never)),
    warnings: warningsOf(counted, selection, keptFrom),
  }
}

function countBy<Key extends string>(
  counted: readonly Counted[],
  keyOf: (one: Counted) => Key | null,
): [Key, number][] {
  const counts = new Map<Key, number>()
  for (const one of counted) {
    const key = keyOf(one)
    if (key !== null) counts.set(key, (counts.get(key) ?? 0) + one.count)
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1))
}

function warningsOf(
  counted: readonly Counted[],
  selection: StoredSelection,
  keptFrom: Date,
): ReplayPreview['warnings'] {
  const sent = counted.filter(({ skipped }) => skipped === null)
  const at = (state: string) => sumOf(sent.filter(({ endpointState }) => endpointState === state))
  const [paused, disabled] = [at('PAUSED'), at('DISABLED')]
  const pending = sumOf(counted.filter(({ skipped }) => skipped === 'PENDING'))
  const unbounded = 'deliveries' in selection && !selection.deliveries.since && !selection.deliveries.eventIds
  const { since } = 'missed' in selection ? selection.missed : selection.deliveries
  const warnings: (ReplayPreview['warnings'][number] | null)[] = [
    paused > 0
      ? { code: 'ENDPOINT_PAUSED', message: `${paused} go to paused endpoints: they wait until those are resumed.` }
      : null,
    disabled > 0
      ? {
          code: 'ENDPOINT_DISABLED',
          message: `${disabled} go to disabled endpoints: they wait until those are resumed with endpointResume.`,
        }
      : null,
    pending > 0
      ? { code: 'PENDING_LEFT_ALONE', message: `${pending} are on their way already: the replay leaves them alone.` }
      : null,
    unbounded && sumOf(sent) > 0
      ? {
          code: 'UNBOUNDED',
          message:
            'Nothing bounds it at the beginning: it sends everything that is kept. Say from when, like since: "2026-03-01T08:00:00Z".',
        }
      : null,
    sent.some(({ filtered }) => filtered)
      ? {
          code: 'FILTERED',
          message: 'The endpoint has a filter, which is asked when they are brought: fewer than these may be wanted.',
        }
      : null,
    since !== undefined && new Date(since) < keptFrom
      ? {
          code: 'PARTLY_DROPPED',
          message: `What was accepted before ${keptFrom.toISOString()} is no longer kept, and is not sent.`,
        }
      : null,
  ]
  return warnings.filter((warning) => warning !== null)
}
