import {
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql'
import type { Row } from './access-matrix.ts'

/** A field of Query, Mutation or Subscription, by the name of its row. */
export type Entrance = { name: string; operation: string; field: GraphQLField<unknown, unknown> }

/** A place in a field's arguments that takes an id or the key of a tenant: `['filter', 'endpointIds']`. */
export type Place = { path: string[]; takes: 'id' | 'tenant' }

export function entrancesOf(schema: GraphQLSchema): Entrance[] {
  return [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((type) =>
    Object.values(type?.getFields() ?? {}).map((field) => ({
      name: `${type?.name}.${field.name}`,
      operation: String(type?.name.toLowerCase()),
      field,
    })),
  )
}

/** The names of the types that `node` finds. */
export function nodeTypesOf(schema: GraphQLSchema): string[] {
  const node = schema.getType('Node')
  return isInterfaceType(node) ? schema.getPossibleTypes(node).map(({ name }) => name) : []
}

/** A document that asks a field for something of all that it answers, with every argument as a variable of the same name. */
export function documentFor({ operation, field }: Entrance): string {
  const variables = field.args.map(({ name, type }) => `$${name}: ${type}`).join(', ')
  const args = field.args.map(({ name }) => `${name}: $${name}`).join(', ')
  const [head, given] = field.args.length === 0 ? ['', ''] : [`(${variables})`, `(${args})`]
  return `${operation} ${head} { answer: ${field.name}${given}${selectionOf(field)} }`
}

function selectionOf({ type }: Pick<GraphQLField<unknown, unknown>, 'type'>): string {
  const named = getNamedType(type)
  if (isLeafType(named)) return ''
  if (!isObjectType(named)) return ' { __typename }'
  const fields = Object.values(named.getFields()).filter(({ args }) => args.every((arg) => !isNonNullType(arg.type)))
  // Of a payload everything, of other objects what they are: ids of what was just made differ from call to call.
  const whole = 'userErrors' in named.getFields()
  if (named.getFields().results) return ' { results { event { __typename } userErrors { code message path } } }'
  if (whole) return ` { ${fields.map((one) => `${one.name}${partOf(one)}`).join(' ')} }`
  return 'nodes' in named.getFields() ? ' { nodes { __typename } }' : ' { __typename }'
}

function partOf({ name, type }: GraphQLField<unknown, unknown>): string {
  if (name === 'userErrors') return ' { code message path }'
  return isLeafType(getNamedType(type)) ? '' : ' { __typename }'
}

/** The values of a field's arguments: `id`, what its row has, and the shortest that is valid for others that are required. */
export function variablesFor({ field }: Entrance, row: Row, id: string | undefined): Record<string, unknown> {
  const made = field.args.filter(({ type }) => isNonNullType(type)).map(({ name, type }) => [name, shortest(type)])
  return { ...Object.fromEntries(made), ...(id === undefined ? {} : { id }), ...row.args }
}

let uniqueNames = 0

function shortest(given: GraphQLInputType): unknown {
  const type = getNullableType(given)
  if (isListType(type)) return []
  if (isEnumType(type)) return type.getValues()[0]?.name
  if (!isInputObjectType(type)) return some(type.name)
  const fields = Object.values(type.getFields())
  const needed = type.isOneOf ? fields.slice(0, 1) : fields.filter((one) => isNonNullType(one.type))
  return Object.fromEntries(needed.map((one) => [one.name, shortest(one.type)]))
}

function some(scalar: string): unknown {
  if (scalar === 'Boolean') return true
  if (scalar === 'Int' || scalar === 'Float' || scalar === 'JSON') return 1
  if (scalar === 'DateTime') return new Date().toISOString()
  return `x${uniqueNames++}`
}

/** Every place of a field's arguments that takes an id or a tenant's key, wherever in its inputs. */
export function placesOf({ field }: Entrance): Place[] {
  return field.args.flatMap(({ name, type }) => placesIn(type, [name]))
}

const DEEPEST = 6

function placesIn(type: GraphQLInputType, path: string[]): Place[] {
  const named = getNamedType(type)
  if (named.name === 'ID') return [{ path, takes: 'id' }]
  if (named.name === 'String' && path.at(-1) === 'tenant') return [{ path, takes: 'tenant' }]
  if (!isInputObjectType(named) || path.length > DEEPEST) return []
  return Object.values(named.getFields()).flatMap((one) => placesIn(one.type, [...path, one.name]))
}

/** Variables with this value at a place, and around it whatever it takes to be valid. */
export function withValueAt(
  entrance: Entrance,
  variables: Record<string, unknown>,
  { path: [first, ...rest] }: Place,
  value: string,
): Record<string, unknown> {
  const arg = entrance.field.args.find(({ name }) => name === first)
  if (arg === undefined) throw new Error(`${entrance.name} has no argument ${first}`)
  return { ...variables, [arg.name]: placed(arg.type, variables[arg.name], rest, value) }
}

function placed(given: GraphQLInputType, before: unknown, [first, ...rest]: string[], value: string): unknown {
  const type = getNullableType(given)
  if (isListType(type))
    return [placed(type.ofType, Array.isArray(before) ? before[0] : undefined, join(first, rest), value)]
  if (first === undefined || !isInputObjectType(type)) return value
  const field = type.getFields()[first]
  if (field === undefined) throw new Error(`${type.name} has no field ${first}`)
  const base = (before ?? shortest(type)) as Record<string, unknown>
  const inner = placed(field.type, base[first], rest, value)
  return type.isOneOf ? { [first]: inner } : { ...base, [first]: inner }
}

const join = (first: string | undefined, rest: string[]) => (first === undefined ? [] : [first, ...rest])
