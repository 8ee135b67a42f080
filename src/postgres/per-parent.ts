import { and, getTableColumns, type InferSelectModel, type SQL, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Orm } from './client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from './keyset.ts'

/** A row whose children are listed, and between which ids they lie: the time in them tells the partitions. */
export type Parent = { id: string; low: string; high: string }

/** For children that may come at any later time. */
export const HIGHEST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
/** For children that may have come at any earlier time. */
export const LOWEST_ID = '00000000-0000-0000-0000-000000000000'

/**
 * The same page of the children of several rows in one statement: one short index scan each, however many children
 * there are. The answer is in the order of the parents.
 */
export async function listPerParent<Table extends PgTable & { id: PgColumn }>(
  orm: Orm,
  query: { table: Table; parentId: PgColumn; where: SQL | undefined },
  parents: readonly Parent[],
  page: PageRequest,
): Promise<Page<InferSelectModel<Table> & { id: string }>[]> {
  const { table, parentId, where } = query
  const lows = parents.map(({ low }) => low)
  const highs = parents.map(({ high }) => high)
  const children = orm
    .select()
    .from(table as PgTable)
    .where(
      and(
        where,
        sql`${parentId} = parent.id and ${table.id} between parent.low and parent.high`,
        // Once more as plain values, for the planner: it leaves out whole partitions before it looks at any parent.
        sql`${table.id} between ${least(lows)} and ${greatest(highs)}`,
        ...pageBounds(table.id, page),
      ),
    )
    .orderBy(pageOrder(table.id, page))
    .limit(pageLimit(page))
    .as('child')
  const columns = Object.keys(getTableColumns(table)) as (keyof typeof children)[]
  const rows = await orm
    .select({ at: sql<string>`parent.at`, ...Object.fromEntries(columns.map((name) => [name, children[name]])) })
    .from(
      sql`unnest(${array(parents.map(({ id }) => id))}, ${array(lows)}, ${array(highs)}) with ordinality as parent(id, low, high, at)`,
    )
    .crossJoinLateral(children)
    .orderBy(sql`parent.at`, pageOrder(children.id as unknown as PgColumn, page))
  return parents.map((_, index) => toPage(childrenAt(rows, index + 1), page)) as never
}

function childrenAt(rows: readonly { at: string }[], at: number): { id: string }[] {
  return rows.filter((row) => Number(row.at) === at).map(({ at: _, ...child }) => child as unknown as { id: string })
}

/** As text with a cast: ids need no quoting, and a list of parameters would make a statement for every length. */
const array = (ids: readonly string[]) => sql`${`{${ids.join(',')}}`}::uuid[]`
const least = (ids: readonly string[]) => sql`${[...ids].sort()[0]}::uuid`
const greatest = (ids: readonly string[]) => sql`${[...ids].sort().at(-1)}::uuid`
