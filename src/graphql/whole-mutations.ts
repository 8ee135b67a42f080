import {
  type DocumentNode,
  type ExecutionArgs,
  type FieldNode,
  type GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql'
import type { Plugin } from 'graphql-yoga'
import type { Viewer } from '../tenants/access.ts'
import { mayUse, SCOPES_OF_FIELDS, scopesOf } from './builder.ts'
import type { Context } from './context.ts'
import { refusal } from './errors.ts'

/**
 * Refuses a mutation that asks for what its caller may not see of the result. Found out only after it was done, it would be
 * answered like one that was not, and be asked for again.
 */
export const refuseUnreadableResults: Plugin<Context> = {
  onExecute({ args, setResultAndStopExecution }) {
    const { schema, document, operationName, contextValue } = args as ExecutionArgs & { contextValue: Context }
    if (getOperationAST(document, operationName)?.operation !== 'mutation') return
    const error = findUnreadable(schema, document, contextValue.viewer)
    if (error !== null) setResultAndStopExecution({ errors: [error] })
  },
}

function findUnreadable(schema: GraphQLSchema, document: DocumentNode, viewer: Viewer): GraphQLError | null {
  const types = new TypeInfo(schema)
  let error: GraphQLError | null = null
  const enter = (node: FieldNode) => {
    const field = types.getFieldDef()
    // The mutation itself is refused before it is done. What is skipped is judged when it is known to be.
    if (error || !field || types.getParentType() === schema.getMutationType() || node.directives?.length) return
    const scopes = scopesOf(field)
    if (scopes.length === 0 || mayUse(viewer, field)) return
    const needed = scopes.map((scope) => SCOPES_OF_FIELDS[scope].wording).join(' or ')
    const message = `This credential may not use ${field.name}: that needs the scope ${needed}. Nothing was done: leave it out.`
    error = refusal('FORBIDDEN', message, { nodes: node })
  }
  visit(document, visitWithTypeInfo(types, { Field: { enter } }))
  return error
}
