import { eq } from 'drizzle-orm'
import { type EventTypeId, publicId } from '../../schema/ids.ts'
import { eventTypes } from '../../schema/tables/event-types.ts'
import { recordAction } from '../audit/record.ts'
import { Mistake } from '../mistake.ts'
import type { Viewer } from '../tenants/access.ts'
import { type CatalogueSaveContext, lockCatalogue } from './save.ts'

/** Takes a type out of use: from now on it counts as unknown. What was published stays, and saving it brings it back. */
export async function archiveEventType(
  { db, wake, clock }: CatalogueSaveContext,
  viewer: Viewer,
  id: EventTypeId,
): Promise<EventTypeId> {
  const now = clock.now()
  await db.orm.transaction(async (tx) => {
    await lockCatalogue(tx)
    const [type] = await tx.select().from(eventTypes).where(eq(eventTypes.id, id))
    if (!type) throw new Mistake('NOT_FOUND', ['id'], `There is no event type ${publicId('ety', id)}.`)
    const updatedAt = new Date(Math.max(now.getTime(), type.updatedAt.getTime() + 1))
    await tx
      .update(eventTypes)
      .set({ archivedAt: type.archivedAt ?? now, updatedAt })
      .where(eq(eventTypes.id, id))
    const about = { action: 'EVENT_TYPE_ARCHIVE', tenantId: null, object: publicId('ety', id) } as const
    await recordAction(tx, viewer, { ...about, details: { name: type.name } }, now)
  })
  wake.signal('catalogue')
  return id
}
