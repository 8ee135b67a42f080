import type { Validation } from '../../schema/states.ts'
import type { Broken } from '../event-types/compatibility.ts'
import type { ImportState } from '../event-types/import.ts'
import type { WarningCode } from '../event-types/verdict.ts'
import { enumType } from './enums.ts'

export const PublishWarningCodeEnum = enumType<WarningCode>(
  'PublishWarningCode',
  'What there is to know about an event that was accepted.',
  {
    UNKNOWN_EVENT_TYPE: 'The catalogue has no such event type, or it is archived.',
    UNKNOWN_VERSION: 'The type has no such version: its payload was not looked at.',
    DEPRECATED_EVENT_TYPE: 'The type is deprecated; the message names the one to use instead.',
    SCHEMA_VIOLATION: 'The payload does not satisfy the schema of its type; `Event.schemaFaults` keeps where.',
  },
)

export const ValidationEnum = enumType<Validation>(
  'EventTypeValidation',
  'What becomes of an event whose payload does not satisfy the schema of its type.',
  {
    OFF: 'It is accepted: nobody looks.',
    WARN: 'It is accepted; `warnings` and `Event.schemaFaults` tell.',
    REJECT: 'It is refused as SCHEMA_VIOLATION, and nothing is written.',
  },
)

export const BrokenEnum = enumType<Broken>('BreaksWhom', 'Whom a change of a schema breaks.', {
  RECEIVERS: 'Those who read: something may come that was not to come, or what was sure to come may be missing.',
  PRODUCERS: 'Those who publish: what was allowed before is refused.',
  BOTH: 'Either, or both: the two cannot be told apart.',
})

export const ImportResultEnum = enumType<ImportState>('EventTypeImportState', 'What an import did to an event type.', {
  CREATED: 'It is new in the catalogue.',
  CHANGED: 'It was there, and is not as it was.',
  UNCHANGED: 'It was there just so.',
  REFUSED: 'Nothing of it was saved: `userErrors` say why.',
})
