import {
  type ASTNode,
  type ASTVisitor,
  type FieldNode,
  GraphQLError,
  Kind,
  NoSchemaIntrospectionCustomRule,
  parse,
  type SelectionNode,
  type SelectionSetNode,
  type ValidationContext,
  validate,
} from 'graphql'
import type { Plugin } from 'graphql-yoga'

/** How large a document may be. Introspection as GraphiQL sends it has a depth of 15 and some 300 tokens. */
export const LIMITS = {
  brackets: 200,
  characters: 100_000,
  tokens: 5_000,
  depth: 20,
  nestedLists: 3,
  aliases: 50,
  cost: 50_000,
}
const MOST_ERRORS = 20

/** Throws for a document that is too long to be looked at; large values belong into variables. */
export function refuseLongDocument(document: unknown): void {
  if (typeof document !== 'string') return
  if (bracketsIn(document) > LIMITS.brackets) {
    const message = `The document nests deeper than ${LIMITS.brackets} brackets.`
    throw new GraphQLError(message, { extensions: { code: 'DOCUMENT_TOO_LARGE' } })
  }
  if (document.length <= LIMITS.characters) return
  const message = `The document has ${document.length} characters; at most ${LIMITS.characters} are allowed. Send large values as variables.`
  throw new GraphQLError(message, { extensions: { code: 'DOCUMENT_TOO_LARGE' } })
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

/** Refuses documents that cost more to read or answer than any honest one; the same on both transports. */
export function createLimits({ introspection }: { introspection: boolean }): Plugin {
  return {
    onParse({ setParseFn }) {
      setParseFn((source, options) => parse(source, { ...options, maxTokens: LIMITS.tokens }))
    },
    onValidate({ addValidationRule, setValidationFn }) {
      addValidationRule(documentLimits)
      if (!introspection) addValidationRule(NoSchemaIntrospectionCustomRule)
      setValidationFn((schema, document, rules, _typeInfo, options) =>
        validate(schema, document, rules, { ...options, maxErrors: MOST_ERRORS, hideSuggestions: !introspection }),
      )
    },
  }
}

/** Depth, nested lists (each may hold a hundred entries) and aliases. A fragment counts where it is spread. */
function documentLimits(context: ValidationContext): ASTVisitor {
  let aliases = 0
  const refuse = (message: string, node: ASTNode) =>
    context.reportError(new GraphQLError(message, { nodes: node, extensions: { code: 'DOCUMENT_TOO_LARGE' } }))
  return {
    Field(node) {
      if (node.alias && ++aliases === LIMITS.aliases + 1) refuse(`At most ${LIMITS.aliases} aliases are allowed.`, node)
    },
    OperationDefinition(node) {
      const { depth, lists, cost } = measure(context, node.selectionSet, { page: DEFAULT_PAGE, fragments: new Map() })
      if (depth > LIMITS.depth) {
        refuse(`The operation is ${depth} levels deep; at most ${LIMITS.depth} are allowed.`, node)
      }
      if (lists > LIMITS.nestedLists) {
        refuse(`The operation nests ${lists} lists; at most ${LIMITS.nestedLists} are allowed.`, node)
      }
      if (cost > LIMITS.cost) {
        refuse(
          `The operation may answer ${cost} fields; at most ${LIMITS.cost} are allowed. Ask for smaller pages.`,
          node,
        )
      }
    },
  }
}

type Measure = { depth: number; lists: number; cost: number }
const NOTHING: Measure = { depth: 0, lists: 0, cost: 0 }

const DEFAULT_PAGE = 20
const LARGEST_PAGE = 100
/** Lists that are no connection: how many entries they may have. */
const LIST_SIZES: Record<string, number> = { results: 500, headers: 64, secrets: 5 }
/** Fields that may hold a quarter of a megabyte, or up to a hundred values, count as many. */
const WEIGHTS: Record<string, number> = {
  payload: 200,
  payloadJson: 200,
  body: 200,
  bodyBase64: 50,
  plannedAttempts: 20,
  delaysSeconds: 10,
}

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
  const cost = (WEIGHTS[name] ?? 1) + below.cost * entries
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
  if (size === undefined) return DEFAULT_PAGE
  return size.kind === Kind.INT ? Math.min(Number(size.value), LARGEST_PAGE) : LARGEST_PAGE
}
