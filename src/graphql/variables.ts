import {
  type DocumentNode,
  type GraphQLError,
  type GraphQLInputObjectType,
  type GraphQLInputType,
  type GraphQLSchema,
  getOperationAST,
  isInputObjectType,
  isInputType,
  isListType,
  isNonNullType,
  typeFromAST,
} from 'graphql'
import { refusal } from './errors.ts'
import { fieldsOf, kindOf, wrongLeaf } from './input-words.ts'
import { pathOfVariable } from './literals.ts'

export type Operation = {
  schema: GraphQLSchema
  document: DocumentNode
  operationName?: string | null | undefined
  variableValues?: unknown
}

/** `errors`: how many are told; `entries`: of one list. */
export type VariableLimits = { errors: number; entries: number }

// For GraphQL over HTTP, where the client asked for its own content type.
const REQUEST_ERROR = { http: { spec: true, status: 400 } }
const NO_MORE = Symbol('told enough')

/**
 * What is wrong with the variables of an operation: each an INVALID_INPUT with the path of the input at fault, named as the
 * argument that takes the variable. GraphQL would refuse the same, but repeat what was given, secrets too, without a limit
 * to how often, and name no path.
 */
export function faultsInVariables(
  operation: Operation,
  { hideNames, limits }: { hideNames: boolean; limits: VariableLimits },
): GraphQLError[] {
  const { schema, document, operationName, variableValues } = operation
  const definitions = getOperationAST(document, operationName)?.variableDefinitions ?? []
  if (definitions.length === 0) return []
  const faults: GraphQLError[] = []
  const given = (variableValues ?? {}) as Members
  try {
    for (const node of definitions) {
      const name = node.variable.name.value
      const type = typeFromAST(schema, node.type)
      const value = Object.hasOwn(given, name) ? given[name] : undefined
      if (!isInputType(type) || (value === undefined && node.defaultValue !== undefined)) continue
      const report: Check['report'] = (way, message) => {
        const path = way.map(String)
        faults.push(
          refusal('INVALID_INPUT', `Variable "$${name}", ${path.join('.')}: ${message}`, {
            nodes: node,
            path,
            ...REQUEST_ERROR,
          }),
        )
        if (faults.length === limits.errors) throw NO_MORE
      }
      check(value, type, { path: pathOfVariable(document, name), hideNames, limits, report })
    }
  } catch (error) {
    if (error !== NO_MORE) throw error
  }
  return faults
}

/** A list of a million entries has numbers on its way, which become text only where something is wrong. */
type Way = (string | number)[]
type Check = { path: Way; hideNames: boolean; limits: VariableLimits; report(path: Way, message: string): void }

/** As GraphQL coerces input: https://spec.graphql.org/October2021/#sec-Input-Values. `path` is one list, put back after use. */
function check(value: unknown, type: GraphQLInputType, way: Check): void {
  if (isNonNullType(type)) {
    if (value !== null && value !== undefined) check(value, type.ofType, way)
    else way.report([...way.path], value === null ? 'must not be null.' : 'is required, and was not given.')
  } else if (value === null || value === undefined) {
    // Absent, or back to the default.
  } else if (isListType(type)) {
    if (Array.isArray(value)) checkList(value, type.ofType, way)
    else check(value, type.ofType, way)
  } else if (isInputObjectType(type)) {
    if (typeof value === 'object' && !Array.isArray(value)) checkObject(value as Members, type, way)
    else way.report([...way.path], `must be an object, a ${type.name}; ${kindOf(value)} was given.`)
  } else {
    const wrong = wrongLeaf(type, value, way)
    if (wrong !== null) way.report([...way.path], wrong)
  }
}

type Members = Record<string, unknown>

function checkList(values: readonly unknown[], type: GraphQLInputType, way: Check): void {
  if (values.length > way.limits.entries) {
    way.report([...way.path], `has ${values.length} entries; no list may have more than ${way.limits.entries}.`)
    return
  }
  for (let index = 0; index < values.length; index++) checkAt(index, values[index], type, way)
}

function checkObject(given: Members, type: GraphQLInputObjectType, way: Check): void {
  const fields = type.getFields()
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(fields, name)) continue
    const short = name.slice(0, 60)
    way.report(
      [...way.path, short],
      `there is no field ${JSON.stringify(short)}: it must be one${fieldsOf(type, way)}.`,
    )
  }
  for (const field of Object.values(fields)) {
    // Its own only: a field named like something that every object has would seem to be given.
    const member = Object.hasOwn(given, field.name) ? given[field.name] : undefined
    if (member === undefined && field.defaultValue !== undefined) continue
    checkAt(field.name, member, field.type, way)
  }
  if (!type.isOneOf) return
  const [only, ...others] = Object.keys(given).filter((name) => given[name] !== undefined)
  if (only !== undefined && others.length === 0 && given[only] !== null) return
  way.report([...way.path], `must have exactly one field${fieldsOf(type, way)}, and it must not be null.`)
}

function checkAt(place: string | number, value: unknown, type: GraphQLInputType, way: Check): void {
  way.path.push(place)
  check(value, type, way)
  way.path.pop()
}
