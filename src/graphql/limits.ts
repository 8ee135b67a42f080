import {
  type ASTNode,
  type ASTVisitor,
  type FieldNode,
  GraphQLError,
  Kind,
  Lexer,
  NoSchemaIntrospectionCustomRule,
  parse,
  type SelectionNode,
  type SelectionSetNode,
  Source,
  TokenKind,
  type ValidationContext,
  type ValidationRule,
  ValuesOfCorrectTypeRule,
  VariablesInAllowedPositionRule,
  validate,
} from 'graphql'
import type { Plugin } from 'graphql-yoga'
import { type ErrorCode, isErrorCode } from '../../schema/error-codes.ts'
import { DEFAULT_PAGE_SIZE, MOST_PAGE_SIZE } from '../postgres/keyset.ts'
import { refusal } from './errors.ts'
import { valuesOfCorrectType, variablesInAllowedPosition } from './literals.ts'
import { faultsInVariables, type Operation } from './variables.ts'

/** How large an operation may be. Introspection as GraphiQL sends it has a depth of 15 and some 300 tokens. */
export const LIMITS = {
  /** Open at once, those in strings included. */
  brackets: 200,
  characters: 100_000,
  tokens: 5_000,
  depth: 20,
  /** Connections within connections: each may bring a hundred entries. */
  nestedLists: 3,
  aliases: 50,
  /** Fields that may be answered, as `LIST_SIZES` and `WEIGHTS` count them. */
  cost: 50_000,
  /** Of one list in the variables. Half a million took GraphQL 0.2 s, and as long again to say what is wrong. */
  entries: 10_000,
  /** How many errors are told of a document, or of its variables. */
  errors: 20,
}
/** GraphQL's own rules, in whose place ours stand. */
const OVERHEARD: readonly ValidationRule[] = [ValuesOfCorrectTypeRule, VariablesInAllowedPositionRule]

/** Throws for a document that is too long to be looked at; large values belong into variables. */
export function refuseLongDocument(document: unknown): void {
  if (typeof document !== 'string') return
  if (document.length > LIMITS.characters) {
    const message = `The document has ${document.length} characters; at most ${LIMITS.characters} are allowed. Send large values as variables.`
    throw refusal('DOCUMENT_TOO_LARGE', message)
  }
  if (bracketsIn(document) <= LIMITS.brackets) return
  throw refusal('DOCUMENT_TOO_LARGE', `The document nests deeper than ${LIMITS.brackets} brackets.`)
}

/** How deep brackets nest, those in strings included: the parser calls itself for each, to the end of the stack. */
function bracketsIn(document: string): number {
  let depth = 0
  let deepest = 0
  for (const bracket of document.match(/[[\](){}]/g) ?? []) {
    depth += '[({'.includes(bracket) ? 1 : -1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}

/**
 * Refuses documents that cost more to read or answer than any honest one, and variables that do not fit them; the same on
 * both transports. Every error has a code.
 */
export function createLimits({ introspection }: { introspection: boolean }): Plugin {
  const hideNames = !introspection
  const refuseVariables = (operation: Operation, stop: (result: { errors: GraphQLError[] }) => void) => {
    const errors = faultsInVariables(operation, { hideNames, limits: LIMITS })
    if (errors.length > 0) stop({ errors })
  }
  return {
    onParse({ setParseFn }) {
      setParseFn((source, options) => {
        try {
          return parse(source, { ...options, maxTokens: LIMITS.tokens })
        } catch (error) {
          if (!(error instanceof GraphQLError)) throw error
          throw hasTooManyTokens(source) ? tooManyTokens() : withCode('GRAPHQL_PARSE_FAILED', withoutText(error))
        }
      })
    },
    onValidate({ addValidationRule, setValidationFn }) {
      addValidationRule(documentLimits)
      addValidationRule(valuesOfCorrectType({ hideNames }))
      addValidationRule(variablesInAllowedPosition)
      if (hideNames) addValidationRule(NoSchemaIntrospectionCustomRule)
      setValidationFn((schema, document, given, _typeInfo, options) => {
        const rules = (given as ValidationRule[]).filter((rule) => !OVERHEARD.includes(rule))
        const errors = validate(schema, document, rules, {
          ...options,
          maxErrors: LIMITS.errors,
          hideSuggestions: hideNames,
        })
        // Without a place it is no fault of the document: GraphQL has given up comparing its fields with each other.
        if (errors.length === 1 && errors[0]?.nodes === undefined) return [tooManyFields()]
        return errors.map((error) => withCode('GRAPHQL_VALIDATION_FAILED', error))
      })
    },
    onExecute: ({ args, setResultAndStopExecution }) => refuseVariables(args, setResultAndStopExecution),
    onSubscribe: ({ args, setResultAndStopExecution }) => refuseVariables(args, setResultAndStopExecution),
  }
}

const tooManyTokens = () =>
  refusal(
    'DOCUMENT_TOO_LARGE',
    `The document has more than ${LIMITS.tokens} tokens (words and signs). Send large values as variables.`,
  )

/** Of what stands where it cannot, GraphQL repeats all of it: a text in quotes may be a secret, and so may a very long word. */
function withoutText({ message, nodes, source, positions }: GraphQLError): GraphQLError {
  const told = message.replace(/ (?:(String|BlockString) "[\s\S]*"|(Name) "\w{41,}")\.$/, ' $1$2.')
  return new GraphQLError(told, { nodes: nodes ?? null, source: source ?? null, positions: positions ?? null })
}

const tooManyFields = () => refusal('DOCUMENT_TOO_LARGE', 'The document asks for the same fields too many times.')

/** Asked only where the document could not be parsed, to know why. */
function hasTooManyTokens(source: string | Source): boolean {
  const lexer = new Lexer(typeof source === 'string' ? new Source(source) : source)
  try {
    for (let count = 0; count <= LIMITS.tokens; count++) if (lexer.advance().kind === TokenKind.EOF) return false
    return true
  } catch {
    return false
  }
}

/** GraphQL's own errors have no code. */
function withCode(code: ErrorCode, error: GraphQLError): GraphQLError {
  if (isErrorCode(error.extensions.code)) return error
  const { nodes, source, positions, extensions, message } = error
  const at = { nodes: nodes ?? null, source: source ?? null, positions: positions ?? null }
  return new GraphQLError(message, { ...at, extensions: { ...extensions, code } })
}

/** Depth, nested lists (each may hold a hundred entries) and aliases. A fragment counts where it is spread. */
function documentLimits(context: ValidationContext): ASTVisitor {
  let aliases = 0
  const refuse = (message: string, node: ASTNode) =>
    context.reportError(refusal('DOCUMENT_TOO_LARGE', message, { nodes: node }))
  return {
    Field(node) {
      if (node.alias && ++aliases === LIMITS.aliases + 1) refuse(`At most ${LIMITS.aliases} aliases are allowed.`, node)
    },
    OperationDefinition(node) {
      const { depth, lists, cost } = measure(context, node.selectionSet, {
        page: DEFAULT_PAGE_SIZE,
        fragments: new Map(),
      })
      if (depth > LIMITS.depth) {
        refuse(`The operation is ${depth} levels deep; at most ${LIMITS.depth} are allowed.`, node)
      }
      if (lists > LIMITS.nestedLists) {
        refuse(`The operation nests ${lists} lists; at most ${LIMITS.nestedLists} are allowed.`, node)
      }
      if (cost > LIMITS.cost) {
        refuse(
          `The operation may answer ${cost} fields; at most ${LIMITS.cost} are allowed. Ask for smaller pages, or for less at once.`,
          node,
        )
      }
    },
  }
}

type Measure = { depth: number; lists: number; cost: number }
const NOTHING: Measure = { depth: 0, lists: 0, cost: 0 }

/** Lists that are no connection: how many entries they may have. Every list of the API stands here or below. */
export const LIST_SIZES: Record<string, number> = {
  results: 500,
  headers: 64,
  secrets: 5,
  signingKeys: 6,
  also: 4,
  userErrors: 5,
  authorities: 20,
  mayUse: 100,
  states: 4,
  skips: 3,
  warnings: 5,
  routing: 500,
  routingExplain: 500,
  schemaFaults: 10,
  // Of an event type fifty, each with a schema of up to 64 KiB: a few types with all of them at a time.
  versions: 100,
  webhooks: 300,
  breakingChanges: 20,
}
/**
 * Fields that may hold a quarter of a megabyte, or up to a hundred values, count as many; and so do those that read much. One
 * answer may hold some fifty payloads, 13 MB.
 */
export const WEIGHTS: Record<string, number> = {
  payload: 200,
  payloadJson: 200,
  body: 200,
  bodyBase64: 50,
  schema: 25,
  example: 25,
  plannedAttempts: 20,
  delaysSeconds: 10,
  eventTypes: 10,
  scopes: 4,
  path: 5,
  channels: 10,
  filter: 4,
  routing: 5000,
  routingExplain: 5000,
  replayPreview: 10_000,
  replayStart: 10_000,
  // Up to 500 events each.
  eventPublishBatch: 10_000,
  // A hostile schema takes a second to be compiled and compared.
  eventTypeSave: 2_000,
  eventTypesImport: 10_000,
}

// A filter that matches hardly anything has the whole history read.
const FILTER_WEIGHT = 2000

/** `page`: how many entries the connection around may bring. */
type Around = { page: number; fragments: Map<string, Measure> }

function measure(context: ValidationContext, set: SelectionSetNode | undefined, around: Around): Measure {
  let whole = NOTHING
  for (const selection of set?.selections ?? []) {
    const one = measureOne(context, selection, around)
    const { depth, lists } = whole
    whole = { depth: Math.max(depth, one.depth), lists: Math.max(lists, one.lists), cost: whole.cost + one.cost }
  }
  return whole
}

function measureOne(context: ValidationContext, selection: SelectionNode, around: Around): Measure {
  if (selection.kind === Kind.FRAGMENT_SPREAD) return measureFragment(context, selection.name.value, around)
  if (selection.kind === Kind.INLINE_FRAGMENT) return measure(context, selection.selectionSet, around)
  const name = selection.name.value
  const below = measure(context, selection.selectionSet, { ...around, page: pageOf(selection) })
  const isPage = name === 'nodes' || name === 'edges'
  const entries = isPage ? around.page : (LIST_SIZES[name] ?? 1)
  const filter = selection.arguments?.some((argument) => argument.name.value === 'filter') ? FILTER_WEIGHT : 0
  // A list of scalars has entries, too.
  const ofEntries = LIST_SIZES[name] === undefined ? entries * below.cost : entries * Math.max(1, below.cost)
  const cost = (WEIGHTS[name] ?? 1) + filter + ofEntries
  return { depth: below.depth + 1, lists: below.lists + (isPage ? 1 : 0), cost }
}

/** Measured once for each size of page, so that fragments which spread fragments take no longer than they are. */
function measureFragment(context: ValidationContext, name: string, around: Around): Measure {
  const key = `${name} ${around.page}`
  const known = around.fragments.get(key)
  if (known) return known
  // A fragment that spreads itself is another rule's error; here it must only come to an end.
  around.fragments.set(key, NOTHING)
  const found = measure(context, context.getFragment(name)?.selectionSet, around)
  around.fragments.set(key, found)
  return found
}

function pageOf({ arguments: given = [] }: FieldNode): number {
  const size = given.find(({ name }) => name.value === 'first' || name.value === 'last')?.value
  if (size === undefined) return DEFAULT_PAGE_SIZE
  return size.kind === Kind.INT ? Math.min(Number(size.value), MOST_PAGE_SIZE) : MOST_PAGE_SIZE
}
