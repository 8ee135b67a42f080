import { GraphQLError, Kind, type ValueNode } from 'graphql'
import { AlteredNumber, isAltered } from '../events/payload.ts'
import { builder } from './builder.ts'

// RFC 3339: what `new Date` takes is far more, and depends on the machine's time zone where the text has none.
const DATE_TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/

builder.scalarType('DateTime', {
  description:
    'A moment in UTC with milliseconds, like `2026-11-20T19:34:30.123Z`. As input any RFC 3339 text with a zone.',
  serialize: (value) => (value as Date).toISOString(),
  parseValue: readDateTime,
  parseLiteral: (node) => readDateTime(node.kind === Kind.STRING ? node.value : undefined, node),
})

builder.scalarType('JSON', {
  description:
    'Any JSON value: object, list, string, number, boolean or null. Numbers whose digits would be lost, like 9007199254740993, are refused: send them as text.',
  serialize: (value) => value,
  // As it came out of the parser; numbers that it would have altered are marked in there already.
  parseValue: (value) => value,
  parseLiteral: readLiteral,
})

function readDateTime(value: unknown, node?: ValueNode): Date {
  const date = typeof value === 'string' && DATE_TIME.test(value) ? new Date(value) : null
  // The year as UTC has it: Postgres knows no year 0, and a year of five digits is written in another way.
  const year = date?.getUTCFullYear() ?? Number.NaN
  if (date !== null && year >= 1 && year <= 9999) return date
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : 'This'
  const message = `${shown} is not a DateTime: it needs a date, a time and a zone (Z or +01:00), like "2026-11-20T19:34:30.123Z".`
  throw new GraphQLError(message, { nodes: node ?? null })
}

function readLiteral(node: ValueNode, variables?: Record<string, unknown> | null): unknown {
  switch (node.kind) {
    case Kind.INT:
    case Kind.FLOAT:
      return isAltered(node.value) ? new AlteredNumber(node.value) : Number(node.value)
    case Kind.STRING:
    case Kind.BOOLEAN:
      return node.value
    case Kind.ENUM:
      // Not what stands there: it may be a secret.
      throw new GraphQLError('A word without quotes is not JSON; a string stands in double quotes.', { nodes: node })
    case Kind.NULL:
      return null
    case Kind.VARIABLE:
      // Absent while a document is validated; its value is checked when there is one.
      return variables?.[node.name.value]
    case Kind.LIST:
      return node.values.map((value) => readLiteral(value, variables))
    case Kind.OBJECT:
      // Not by assignment: a field named `__proto__` is a field like any other.
      return Object.fromEntries(node.fields.map(({ name, value }) => [name.value, readLiteral(value, variables)]))
  }
}
