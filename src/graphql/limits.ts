import {
  type ASTNode,
  type ASTVisitor,
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
export const LIMITS = { characters: 100_000, tokens: 5_000, depth: 20, nestedLists: 3, aliases: 50 }
const MOST_ERRORS = 20

/** Throws for a document that is too long to be looked at; large values belong into variables. */
export function refuseLongDocument(document: unknown): void {
  if (typeof document !== 'string' || document.length <= LIMITS.characters) return
  const message = `The document has ${document.length} characters; at most ${LIMITS.characters} are allowed. Send large values as variables.`
  throw new GraphQLError(message, { extensions: { code: 'DOCUMENT_TOO_LARGE' } })
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
      const { depth, lists } = measure(context, node.selectionSet, new Map())
      if (depth > LIMITS.depth) {
        refuse(`The operation is ${depth} levels deep; at most ${LIMITS.depth} are allowed.`, node)
      }
      if (lists > LIMITS.nestedLists) {
        refuse(`The operation nests ${lists} lists; at most ${LIMITS.nestedLists} are allowed.`, node)
      }
    },
  }
}

type Measure = { depth: number; lists: number }
const NOTHING: Measure = { depth: 0, lists: 0 }

function measure(
  context: ValidationContext,
  set: SelectionSetNode | undefined,
  fragments: Map<string, Measure>,
): Measure {
  let deepest = NOTHING
  for (const selection of set?.selections ?? []) {
    const one = measureOne(context, selection, fragments)
    deepest = { depth: Math.max(deepest.depth, one.depth), lists: Math.max(deepest.lists, one.lists) }
  }
  return deepest
}

function measureOne(context: ValidationContext, selection: SelectionNode, fragments: Map<string, Measure>): Measure {
  if (selection.kind === Kind.FRAGMENT_SPREAD) {
    const name = selection.name.value
    const known = fragments.get(name)
    if (known) return known
    // A fragment that spreads itself is another rule's error; here it must only come to an end.
    fragments.set(name, NOTHING)
    const found = measure(context, context.getFragment(name)?.selectionSet, fragments)
    fragments.set(name, found)
    return found
  }
  const below = measure(context, selection.selectionSet, fragments)
  if (selection.kind === Kind.INLINE_FRAGMENT) return below
  const isList = selection.name.value === 'nodes' || selection.name.value === 'edges'
  return { depth: below.depth + 1, lists: below.lists + (isList ? 1 : 0) }
}
