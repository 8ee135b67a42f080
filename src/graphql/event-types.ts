import { publicId } from '../../schema/ids.ts'
import type { EventType, EventTypeVersion } from '../event-types/find.ts'
import { builder } from './builder.ts'
import { ValidationEnum } from './event-type-enums.ts'
import { EventTypeRef, NodeRef } from './refs.ts'

const EventTypeVersionRef = builder.objectRef<EventTypeVersion>('EventTypeVersion').implement({
  description: 'What the payloads of an event type look like, in one of its versions.',
  fields: (t) => ({
    version: t.exposeString('version', { description: 'How events name it in `version`, like `2026-11-01`.' }),
    schema: t.field({
      type: 'JSON',
      description:
        'The JSON Schema (draft 2020-12) that payloads satisfy: `{ "type": "object", "required": ["amount"], … }`.',
      resolve: async (version, _, { loaders }) => JSON.parse((await loaders.eventTypeTexts.load(version)).schema),
    }),
    example: t.field({
      type: 'JSON',
      description: 'A payload that satisfies it.',
      resolve: async (version, _, { loaders }) => JSON.parse((await loaders.eventTypeTexts.load(version)).example),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was first saved.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it was last changed.' }),
  }),
})

EventTypeRef.implement({
  description:
    'Something that may happen, described in the catalogue: one for the whole installation, and everybody may read it.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `ety_…`.', resolve: ({ id }) => publicId('ety', id) }),
    name: t.exposeString('name', { description: 'What events have as their `type`, like `invoice.paid`.' }),
    description: t.exposeString('description', {
      nullable: true,
      description: 'When it happens, in words for those who receive it; null when nobody wrote any.',
    }),
    group: t.exposeString('group', {
      nullable: true,
      description: 'Under which heading it is shown, like `Billing`; null for none.',
    }),
    validation: t.expose('validation', {
      type: ValidationEnum,
      description: 'What becomes of events whose payload does not satisfy its schema.',
    }),
    deprecatedAt: t.expose('deprecatedAt', {
      type: 'DateTime',
      nullable: true,
      description:
        'Since when it is not to be used any more; null while it is. Its events are accepted, with a warning.',
    }),
    replacement: t.exposeString('replacement', {
      nullable: true,
      description: 'The name of the type to use instead, like `invoice.settled`; null for none.',
    }),
    versions: t.field({
      type: [EventTypeVersionRef],
      description: 'Its versions, newest first, at most 50: events that name none are judged by the first.',
      resolve: ({ id }, _, { loaders }) => loaders.eventTypeVersions.load(id),
    }),
    newestVersion: t.field({
      type: EventTypeVersionRef,
      nullable: true,
      description: 'The first of `versions`; null while it has none.',
      resolve: async ({ id }, _, { loaders }) => (await loaders.eventTypeVersions.load(id))[0],
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was added to the catalogue.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it, or a version of it, last changed.' }),
    archivedAt: t.expose('archivedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was taken out of use, and counts as unknown since; null while it is in use.',
    }),
  }),
})

const EventTypeConnection = builder.connectionObject(
  { type: EventTypeRef, name: 'EventTypeConnection', description: 'A page of event types, newest first.' },
  { name: 'EventTypeEdge', description: 'An event type and where it stands in its list.' },
)

const EventTypeFilter = builder.inputType('EventTypeFilter', {
  description: 'Which event types to list: AND between the fields, OR inside each.',
  fields: (t) => ({
    names: t.stringList({ description: 'With one of these names: `invoice.paid`, `invoice.*` or `*`.' }),
    groups: t.stringList({ description: 'In one of these groups, like `["Billing"]`.' }),
    archived: t.boolean({ description: 'True: those that are archived. False or absent: those in use.' }),
    deprecated: t.boolean({ description: 'Only those that are deprecated, or only those that are not.' }),
  }),
})

builder.queryFields((t) => ({
  eventType: t.field({
    type: EventTypeRef,
    nullable: true,
    description:
      'An event type by its name, also an archived one; null when the catalogue has none. Takes any credential.',
    authScopes: { any: true },
    args: { name: t.arg.string({ required: true, description: 'Its name, like `invoice.paid`.' }) },
    resolve: (_, { name }, { eventTypes }): Promise<EventType | null> => eventTypes.byName(name),
  }),
  eventTypes: t.connection(
    {
      type: EventTypeRef,
      description: 'The catalogue, newest first, without what is archived unless asked for. Takes any credential.',
      authScopes: { any: true },
      args: { filter: t.arg({ type: EventTypeFilter, description: 'Which of them.' }) },
      resolve: (_, { filter, ...page }, { eventTypes }) => eventTypes.list(filter, page),
    },
    EventTypeConnection,
  ),
}))
