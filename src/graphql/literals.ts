import {
  type ASTNode,
  type ASTVisitor,
  type DocumentNode,
  type GraphQLError,
  getNamedType,
  isLeafType,
  Kind,
  type ValidationContext,
  type ValueNode,
  ValuesOfCorrectTypeRule,
  VariablesInAllowedPositionRule,
  visit,
} from 'graphql'
import { refusal } from './errors.ts'
import { mustBe, numberAs, numberAt, type Wording } from './input-words.ts'

/**
 * GraphQL's own rule about values that stand in the document. Its faults become INVALID_INPUT with the path of the input,
 * and no longer repeat what was given: it may be a secret.
 */
export function valuesOfCorrectType({ hideNames }: { hideNames: boolean }) {
  return (context: ValidationContext): ASTVisitor => {
    const told = (error: GraphQLError): GraphQLError => {
      const [node] = error.nodes ?? []
      const path = node === undefined ? [] : placeOf(context.getDocument(), node)
      return refusal('INVALID_INPUT', inPlainWords(context, error, { hideNames, path }), {
        nodes: error.nodes ?? null,
        path,
      })
    }
    return ValuesOfCorrectTypeRule(overhearing(context, told))
  }
}

/** GraphQL's own rule about where variables stand; its faults name the place as well, and what goes there if it is a number. */
export function variablesInAllowedPosition(context: ValidationContext): ASTVisitor {
  const told = ({ nodes, message }: GraphQLError): GraphQLError => {
    const [definition, use] = nodes ?? []
    const path = use === undefined ? [] : pathOf(context.getDocument(), (value) => value === use)
    const type = getNamedType(usesOf(context).find(({ node }) => node === use)?.type)
    const number = isLeafType(type) ? numberAt(type, path) : null
    const said = number === null ? message : `${message} It takes ${number}.`
    return refusal('GRAPHQL_VALIDATION_FAILED', path.length === 0 ? said : `${path.join('.')}: ${said}`, {
      nodes: definition && use ? [definition, use] : null,
      path,
    })
  }
  return VariablesInAllowedPositionRule(overhearing(context, told))
}

function usesOf(context: ValidationContext) {
  return context
    .getDocument()
    .definitions.flatMap((each) =>
      each.kind === Kind.OPERATION_DEFINITION ? context.getRecursiveVariableUsages(each) : [],
    )
}

function overhearing(context: ValidationContext, told: (error: GraphQLError) => GraphQLError): ValidationContext {
  return Object.create(context, {
    reportError: { value: (error: GraphQLError) => context.reportError(told(error)) },
  })
}

/** Only faults of a value itself repeat it; those of an object's fields say no more than their names. */
function inPlainWords(context: ValidationContext, { nodes, message }: GraphQLError, wording: Wording): string {
  const type = getNamedType(context.getInputType())
  const kind = nodes?.[0]?.kind ?? ''
  const isNumber = kind === Kind.INT || kind === Kind.FLOAT
  const found = isNumber && isLeafType(type) ? numberAs(type, kind === Kind.INT) : FOUND[kind]
  if (found === undefined) return message
  // Of an object that may be one, what is wrong is one of its fields.
  if (nodes?.[0]?.kind === Kind.OBJECT && !isLeafType(type)) return message
  const must = isLeafType(type)
    ? mustBe(type, found, wording)
    : `must be an object, a ${type?.name}; ${found} was given.`
  return wording.path.length === 0 ? `The value ${must}` : `${wording.path.join('.')}: ${must}`
}

const FOUND: Partial<Record<string, string>> = {
  [Kind.STRING]: 'a string',
  [Kind.INT]: 'a number',
  [Kind.FLOAT]: 'a number',
  [Kind.BOOLEAN]: 'true or false',
  [Kind.ENUM]: 'a word without quotes',
  [Kind.LIST]: 'a list',
  [Kind.OBJECT]: 'an object',
}

/** Where in the arguments a variable is used first: `['input']`, or under its own name where it is not used at all. */
export function pathOfVariable(document: DocumentNode, name: string): string[] {
  const isUse = (value: ASTNode) => value.kind === Kind.VARIABLE && value.name.value === name
  const path = pathOf(document, isUse)
  return path.length === 0 ? [name] : path
}

/** The way to a value in the document; the default of a variable stands where the variable does. */
function placeOf(document: DocumentNode, node: ASTNode): string[] {
  const path = pathOf(document, (value) => value === node)
  if (path.length > 0) return path
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue
    for (const { variable, defaultValue } of definition.variableDefinitions ?? []) {
      const below = defaultValue && within(defaultValue, (value) => value === node, [])
      if (below) return [...pathOfVariable(document, variable.name.value), ...below]
    }
  }
  return []
}

/** The way to a value among the arguments of a document, from the argument's name; empty when it is none of them. */
function pathOf(document: DocumentNode, wanted: (node: ASTNode) => boolean): string[] {
  let found: string[] | null = null
  visit(document, {
    Argument({ name, value }) {
      found ??= within(value, wanted, [name.value])
      return false
    },
  })
  return found ?? []
}

function within(value: ValueNode, wanted: (node: ASTNode) => boolean, path: string[]): string[] | null {
  if (wanted(value)) return path
  if (value.kind === Kind.LIST) return first(value.values, (entry, at) => within(entry, wanted, [...path, String(at)]))
  if (value.kind !== Kind.OBJECT) return null
  return first(value.fields, (field) => {
    const below = [...path, field.name.value]
    return wanted(field) ? below : within(field.value, wanted, below)
  })
}

function first<T>(all: readonly T[], find: (each: T, index: number) => string[] | null): string[] | null {
  for (const [index, each] of all.entries()) {
    const found = find(each, index)
    if (found) return found
  }
  return null
}
