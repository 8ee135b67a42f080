import { type GraphQLResolveInfo, Kind } from 'graphql'

/** Whether an object is asked for nothing but these fields: then there may be no need to read it. */
export function selectsOnly(
  { fieldNodes }: Pick<GraphQLResolveInfo, 'fieldNodes'>,
  fields: readonly string[],
): boolean {
  return fieldNodes.every(({ selectionSet }) =>
    selectionSet?.selections.every((one) => one.kind === Kind.FIELD && fields.includes(one.name.value)),
  )
}
