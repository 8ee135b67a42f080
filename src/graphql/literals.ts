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
  visit,
} from 'graphql'
import { refusal } from './errors.ts'
import { FRACTION, mustBe } from './input-words.ts'

/**
 * GraphQL's own rule about values that stand in the document. Its faults become INVALID_INPUT with the path of the input,
 * and no longer repeat what was given: it may be a secret.
 */
export function valuesOfCorrectType({ hideNames }: { hideNames: boolean }) {
  return (context: ValidationContext): ASTVisitor => {
    const told = (error: GraphQLError): GraphQLError => {
      const [node] = error.nodes ?? []
      const path = node === undefined ? [] : pathOf(context.getDocument(), (value) => value === node)
      return refusal('INVALID_INPUT', inPlainWords(context, error, hideNames), { nodes: error.nodes ?? null, path })
    }
    const overheard: ValidationContext = Object.create(context, {
      reportError: { value: (error: GraphQLError) => context.reportError(told(error)) },
    })
    return ValuesOfCorrectTypeRule(overheard)
  }
}

/** Only faults of a value itself repeat it; those of an object's fields say no more than their names. */
function inPlainWords(context: ValidationContext, { nodes, message }: GraphQLError, hideNames: boolean): string {
  const type = getNamedType(context.getInputType())
  const kind = nodes?.[0]?.kind ?? ''
  const found = kind === Kind.FLOAT && type?.name === 'Int' ? FRACTION : FOUND[kind]
  if (found === undefined) return message
  // Of an object that may be one, what is wrong is one of its fields.
  if (nodes?.[0]?.kind === Kind.OBJECT && !isLeafType(type)) return message
  const must = isLeafType(type)
    ? mustBe(type, found, { hideNames })
    : `must be an object, a ${type?.name}; ${found} was given.`
  return `The value ${must}`
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
