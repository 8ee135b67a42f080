import type { SchemaFault } from '../../schema/tables/events.ts'
import type { PublishWarning } from '../event-types/verdict.ts'
import { builder } from './builder.ts'
import { PublishWarningCodeEnum } from './event-type-enums.ts'

/** What the catalogue says about a payload. */
export const SchemaFaultRef = builder.objectRef<SchemaFault>('SchemaFault').implement({
  description: 'A place of a payload that does not satisfy the schema of its event type.',
  fields: (t) => ({
    path: t.exposeString('path', {
      description:
        'The place, as a JSON Pointer (RFC 6901) like `/lines/0/amount`; empty for the payload as a whole. Very long ones end in `…`.',
    }),
    rule: t.exposeString('rule', {
      description:
        'The keyword of JSON Schema that says no, like `type` or `required`; `limit` where judging would take too long.',
    }),
    message: t.exposeString('message', { description: 'For people: `must be integer`. May change.' }),
  }),
})

export const PublishWarningRef = builder.objectRef<PublishWarning>('PublishWarning').implement({
  description: 'Something to know about an event that was accepted all the same.',
  fields: (t) => ({
    code: t.expose('code', { type: PublishWarningCodeEnum, description: 'For programs.' }),
    message: t.exposeString('message', {
      description: 'For people, with the name that may have been meant, or the type to use instead. May change.',
    }),
  }),
})
