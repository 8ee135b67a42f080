import type { ReplayId } from '../../../schema/ids.ts'
import { type PageInput, readPage } from '../../postgres/keyset.ts'
import { findReplays, listReplays, type ReplayFilterInput } from '../../replays/find.ts'
import { previewReplay } from '../../replays/preview.ts'
import type { ReplaySelectInput } from '../../replays/selection.ts'
import { cancelReplay, startReplay } from '../../replays/start.ts'
import { type Reach, reachOf, type Viewer } from '../../tenants/access.ts'
import { resolveReach, resolveTenant } from '../../tenants/find.ts'
import { known } from './known.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'

type ReplayInput = { tenant?: TenantKey; select: ReplaySelectInput }

/** What resolvers may ask about replays. */
export function replayCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    async preview(viewer: Viewer, { tenant, select }: ReplayInput) {
      return previewReplay(parts, await resolveTenant(scope, viewer, tenant, ['input', 'tenant']), select)
    },
    async start(viewer: Viewer, { tenant, select }: ReplayInput) {
      return startReplay(parts, viewer, await resolveTenant(scope, viewer, tenant, ['input', 'tenant']), select)
    },
    cancel: async (viewer: Viewer, id: string) => cancelReplay(parts, viewer, known('rpl', id)),
    follow: async (viewer: Viewer, id: string) => parts.replayProgress.follow(reachOf(viewer), known('rpl', id)),
    async list(viewer: Viewer, tenant: TenantKey, filter: ReplayFilterInput | null | undefined, page: PageInput) {
      return listReplays(orm, await resolveReach(scope, viewer, tenant, ['tenant']), filter, readPage(page))
    },
    byIds: (reach: Reach, ids: readonly ReplayId[]) => findReplays(orm, reach, ids),
  }
}
