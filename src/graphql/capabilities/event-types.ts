import type { EventTypeId } from '../../../schema/ids.ts'
import { readPatterns } from '../../endpoints/matching.ts'
import { archiveEventType } from '../../event-types/archive.ts'
import {
  type EventTypeFilter,
  findEventType,
  findEventTypes,
  findVersions,
  findVersionTexts,
  listEventTypes,
} from '../../event-types/find.ts'
import { type ImportOptions, importEventTypes } from '../../event-types/import.ts'
import type { EventTypeSettings } from '../../event-types/input.ts'
import { saveEventType } from '../../event-types/save.ts'
import { documentText } from '../../events/payload.ts'
import { type Optional, readList } from '../../input.ts'
import { type PageInput, readPage } from '../../postgres/keyset.ts'
import type { Viewer } from '../../tenants/access.ts'
import { known } from './known.ts'
import type { CapabilityParts } from './parts.ts'

/** As it comes: with JSON values in the place of texts. */
export type EventTypeInput = Omit<EventTypeSettings, 'version'> & {
  version?: Optional<{ version: string; schema?: unknown; example?: unknown }>
}

export type EventTypeFilterInput = { [Name in keyof EventTypeFilter]: EventTypeFilter[Name] | undefined }

/** What resolvers may ask about the catalogue. */
export function eventTypeCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  return {
    save(viewer: Viewer, { version, ...settings }: EventTypeInput, allowBreaking: boolean) {
      const path = ['input', 'version']
      const texts = version && {
        version: version.version,
        schema: documentText(version.schema, [...path, 'schema']),
        example: documentText(version.example, [...path, 'example']),
      }
      return saveEventType(parts, viewer, { ...settings, version: texts }, allowBreaking)
    },
    archive: async (viewer: Viewer, id: string) => archiveEventType(parts, viewer, known('ety', id)),
    import: (viewer: Viewer, document: string, options: ImportOptions) =>
      importEventTypes(parts, viewer, document, options),
    byName: (name: string) => findEventType(orm, name),
    list(filter: Optional<EventTypeFilterInput>, page: PageInput) {
      const { names, groups, archived, deprecated } = filter ?? {}
      const checked = {
        names: readPatterns(names, ['filter', 'names']) ?? null,
        groups: readList(groups, ['filter', 'groups']),
        archived: archived ?? null,
        deprecated: deprecated ?? null,
      }
      return listEventTypes(orm, checked, readPage(page))
    },
    byIds: (ids: readonly EventTypeId[]) => findEventTypes(orm, ids),
    versions: (ids: readonly EventTypeId[]) => findVersions(orm, ids),
    texts: (wanted: readonly { eventTypeId: EventTypeId; version: string }[]) => findVersionTexts(orm, wanted),
  }
}
