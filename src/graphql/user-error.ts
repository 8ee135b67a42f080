import { builder } from './builder.ts'
import { ErrorCodeEnum } from './enums.ts'
import type { UserError } from './errors.ts'

export const UserErrorRef = builder.objectRef<UserError>('UserError').implement({
  description: 'What was wrong with a call. Nothing was changed.',
  fields: (t) => ({
    code: t.expose('code', { type: ErrorCodeEnum, description: 'For programs.' }),
    message: t.exposeString('message', {
      description: 'For people: what is wrong and what to do about it. May change.',
    }),
    path: t.exposeStringList('path', {
      description: 'The place of the input at fault, from its root: `["input", "url"]`, `["events", "3", "type"]`.',
    }),
  }),
})

export const USER_ERRORS = 'What was wrong with the call; empty when it succeeded.'
