import type { EventTypeId } from '../../schema/ids.ts'
import type { BreakingChange } from '../event-types/compatibility.ts'
import type { Imported } from '../event-types/import.ts'
import { BreakingChanges } from '../event-types/save.ts'
import { builder } from './builder.ts'
import { type Answer, payload, payloadOf, userError } from './errors.ts'
import { BrokenEnum, ImportResultEnum, ValidationEnum } from './event-type-enums.ts'
import { payloadType, UserErrorRef } from './payloads.ts'
import { EventTypeRef } from './refs.ts'

const BreakingChangeRef = builder.objectRef<BreakingChange>('BreakingChange').implement({
  description: 'A change of a schema that breaks those who rely on the one before.',
  fields: (t) => ({
    pointer: t.exposeString('pointer', {
      description:
        'Where, as a JSON Pointer (RFC 6901) into the schema with its references followed, like `/properties/amount`; empty for the whole.',
    }),
    rule: t.exposeString('rule', { description: 'The keyword that changed, like `required`.' }),
    breaks: t.expose('breaks', { type: BrokenEnum, description: 'Whom it breaks.' }),
    message: t.exposeString('message', {
      description: 'For people: `The field "amount" was removed.` May change.',
    }),
  }),
})

const BREAKING =
  'What of the schema breaks those who rely on the one before, at most 20; whether it was saved or refused'

type Saved = { id: EventTypeId; breaking: readonly BreakingChange[] }

const EventTypeSavePayload = payloadType<Saved>('eventTypeSave', (t) => ({
  eventType: t.field({
    type: EventTypeRef,
    nullable: true,
    description: 'The event type as it is now; null when the call was refused.',
    resolve: ({ id }, _, { loaders }) => (id === null ? null : loaders.eventType.load(id)),
  }),
  breakingChanges: t.field({
    type: [BreakingChangeRef],
    description: `${BREAKING}.`,
    resolve: ({ breaking }) => [...(breaking ?? [])],
  }),
}))

/** What a schema would break is told also where it was refused for it. */
async function saved(work: () => Promise<Saved>): Promise<Answer<Saved>> {
  let refusedFor: readonly BreakingChange[] = []
  const answer = await payloadOf<Saved>(['id', 'breaking'], () =>
    work().catch((error) => {
      if (error instanceof BreakingChanges) refusedFor = error.changes
      throw error
    }),
  )
  return { ...answer, breaking: answer.breaking ?? refusedFor }
}

const EventTypeArchivePayload = payloadType<{ id: EventTypeId }>('eventTypeArchive', (t) => ({
  eventType: t.field({
    type: EventTypeRef,
    nullable: true,
    description: 'The event type as it is now; null when the call was refused.',
    resolve: ({ id }, _, { loaders }) => (id === null ? null : loaders.eventType.load(id)),
  }),
}))

const EventTypeImportRef = builder.objectRef<Imported>('EventTypeImport').implement({
  description: 'What became of a webhook of the document.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'What the document calls it, like `invoice.paid`.' }),
    state: t.expose('state', { type: ImportResultEnum, description: 'What was done; with `dryRun` what would be.' }),
    eventType: t.field({
      type: EventTypeRef,
      nullable: true,
      description: 'The event type; null where there is none, because it was refused or only tried.',
      resolve: ({ id }, _, { loaders }) => (id === null ? null : loaders.eventType.load(id)),
    }),
    exampleDerived: t.exposeBoolean('exampleDerived', {
      description: 'Whether the document has no example of it, and one was made up that satisfies its schema.',
    }),
    breakingChanges: t.field({
      type: [BreakingChangeRef],
      description: `${BREAKING}.`,
      resolve: ({ breakingChanges }) => [...breakingChanges],
    }),
    userErrors: t.field({
      type: [UserErrorRef],
      description: 'Why it was refused; empty when it was not.',
      resolve: ({ mistakes }) => mistakes.map(userError),
    }),
  }),
})

const EventTypesImportPayload = payloadType<{ webhooks: Imported[] }>(
  'eventTypesImport',
  (t) => ({
    webhooks: t.field({
      type: [EventTypeImportRef],
      description: 'One for each webhook of the document, in its order; none when the document was refused.',
      resolve: ({ webhooks }) => webhooks ?? [],
    }),
  }),
  { userErrors: 'What was wrong with the document as a whole.' },
)

const EventTypeVersionInput = builder.inputType('EventTypeVersionInput', {
  description: 'A version of an event type: a new one, or one that is there and changes.',
  fields: (t) => ({
    version: t.string({
      required: true,
      description: 'How events name it in their `version`, like `2026-11-01` or `1`: up to 64 characters.',
    }),
    schema: t.field({
      type: 'JSON',
      required: true,
      description:
        'The JSON Schema (draft 2020-12) of the payload, up to 64 KiB and 1,000 schemas in it, like `{ "type": "object", "properties": { "amount": { "type": "integer" } } }`. `$ref` leads within it (`#/$defs/…`); patterns run on RE2.',
    }),
    example: t.field({
      type: 'JSON',
      required: true,
      description: 'A payload that satisfies it, up to 64 KiB: `{ "amount": 4200 }`. `endpointTest` sends it.',
    }),
  }),
})

const VALIDATION = 'What becomes of events whose payload does not satisfy the schema'

const EventTypeSaveInput = builder.inputType('EventTypeSaveInput', {
  description: 'An event type to add, or to change. Absent: unchanged. Null: back to the default.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description:
        'Its name, like `invoice.paid`: words of letters, digits and `_` joined by dots, up to 128 characters. Where there is such a type, it is changed; an archived one is in use again.',
    }),
    description: t.string({ description: 'When it happens, up to 2,000 characters. Null: none.' }),
    group: t.string({
      description: 'Under which heading it is shown, like `Billing`: up to 100 characters. Null: none.',
    }),
    validation: t.field({ type: ValidationEnum, description: `${VALIDATION}. Null, and of a new type: OFF.` }),
    deprecated: t.boolean({ description: 'Whether it is not to be used any more. Null: it is.' }),
    replacement: t.string({
      description: 'Of a deprecated one: the name of the type to use instead, like `invoice.settled`. Null: none.',
    }),
    version: t.field({
      type: EventTypeVersionInput,
      description: 'A version with its schema. The others stay as they are.',
    }),
  }),
})

const ALLOW_BREAKING =
  'Whether a schema is saved that breaks those who rely on the one before: that of the same version, else of the newest. Default: false.'

builder.mutationFields((t) => ({
  eventTypeSave: t.field({
    type: EventTypeSavePayload,
    description:
      'Adds an event type to the catalogue, or changes it. It holds at once in this process, and within a second in all others. Takes an instance-wide key.',
    authScopes: { instanceAdmin: true },
    args: {
      input: t.arg({ type: EventTypeSaveInput, required: true, description: 'The event type.' }),
      allowBreaking: t.arg.boolean({ description: ALLOW_BREAKING }),
    },
    resolve: (_, { input, allowBreaking }, { viewer, eventTypes }) =>
      saved(async () => eventTypes.save(viewer, input, allowBreaking ?? false)),
  }),
  eventTypeArchive: t.field({
    type: EventTypeArchivePayload,
    description:
      'Takes an event type out of use: its events are those of an unknown type from then on. Nothing is deleted; `eventTypeSave` brings it back. Takes an instance-wide key.',
    authScopes: { instanceAdmin: true },
    args: { id: t.arg.id({ required: true, description: 'The event type, `ety_…`.' }) },
    resolve: (_, { id }, { viewer, eventTypes }) => payload('id', () => eventTypes.archive(viewer, id)),
  }),
  eventTypesImport: t.field({
    type: EventTypesImportPayload,
    description:
      'Saves the `webhooks` of an OpenAPI 3.1 document as event types, up to 300: name, description or summary, first tag as the group, `deprecated`, schema and example. Each is saved as a whole or refused, whatever becomes of the others; types that are not in the document stay as they are. Takes an instance-wide key.',
    authScopes: { instanceAdmin: true },
    args: {
      document: t.arg.string({
        required: true,
        description: 'The document as JSON text: `{"openapi":"3.1.0","webhooks":{"invoice.paid":{"post":…}}}`.',
      }),
      version: t.arg.string({
        description: 'The version that they get, like `2026-11-01`. Absent: each its newest, or `1` for a new one.',
      }),
      validation: t.arg({
        type: ValidationEnum,
        description: `${VALIDATION}. Absent: unchanged, and OFF for a new type.`,
      }),
      allowBreaking: t.arg.boolean({ description: ALLOW_BREAKING }),
      dryRun: t.arg.boolean({ description: 'Whether to tell only what would be done. Default: false.' }),
    },
    resolve: (_, { document, allowBreaking, dryRun, ...options }, { viewer, eventTypes }) =>
      payload('webhooks', () =>
        eventTypes.import(viewer, document, {
          ...options,
          allowBreaking: allowBreaking ?? false,
          dryRun: dryRun ?? false,
        }),
      ),
  }),
}))
