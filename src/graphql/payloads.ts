import type { ObjectRef } from '@pothos/core'
import { type ApiTypes, builder } from './builder.ts'
import { ErrorCodeEnum } from './enums.ts'
import type { Answer, UserError } from './errors.ts'

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

const USER_ERRORS = 'What was wrong with the call; empty when it succeeded.'

type Fields<Result> = (t: PothosSchemaTypes.ObjectFieldBuilder<ApiTypes, Answer<Result>>) => object

/** The type of what a mutation answers: these fields, and what was wrong with the call. */
export function payloadType<Result>(
  mutation: string,
  fields: Fields<Result>,
  { what = `The answer to \`${mutation}\`.`, userErrors = USER_ERRORS } = {},
) {
  const name = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}Payload`
  return builder.objectRef<Answer<Result>>(name).implement({
    description: what,
    fields: (t) => ({
      ...fields(t),
      userErrors: t.field({ type: [UserErrorRef], description: userErrors, resolve: (answer) => answer.userErrors }),
    }),
  })
}

/** The same for a mutation that answers one object. */
export function payloadWith<Name extends string, Value>(
  name: Name,
  type: ObjectRef<ApiTypes, Value>,
  mutation: string,
  what: string,
) {
  return payloadType<Record<Name, Value>>(mutation, (t) => ({
    [name]: t.field({
      type,
      nullable: true,
      description: `${what}; null when the call was refused.`,
      // Whether a value that is not known yet is a list is more than the types can say.
      resolve: (answer) => answer[name] as never,
    }),
  }))
}
