import type { TenantId } from '../../../schema/ids.ts'
import type { Feed } from '../../attempts/feed.ts'
import type { Redeliverer } from '../../deliveries/redeliver.ts'
import type { SecretsContext } from '../../endpoints/rotate-secret.ts'
import type { SaveContext } from '../../endpoints/save.ts'
import type { Publisher } from '../../events/publish.ts'
import type { Log } from '../../log.ts'
import type { Db } from '../../postgres/client.ts'
import type { ReplayProgress } from '../../replays/progress.ts'
import type { ReplaysContext } from '../../replays/start.ts'
import type { TestContext } from '../../routing/test-delivery.ts'
import type { KeyUsage } from '../../tenants/key-usage.ts'

/** What the rooms below need. */
export type CapabilityParts = SaveContext &
  SecretsContext &
  TestContext &
  ReplaysContext & {
    db: Db
    log: Log
    defaultTenantId: TenantId
    publisher: Publisher
    redeliverer: Redeliverer
    feed: Feed
    replayProgress: ReplayProgress
    keyUsage: Pick<KeyUsage, 'note'>
  }

/** How a call names a tenant. */
export type TenantKey = string | null | undefined
