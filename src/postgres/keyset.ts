import { asc, desc, gt, lt, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { type NumberRange, type Optional, readWhole, wrong } from '../input.ts'

/** Lists are read newest first, page by page, by the id after which (or before which) the page begins. */
export type PageInput = {
  first?: Optional<number>
  after?: Optional<string>
  last?: Optional<number>
  before?: Optional<string>
}

/** A page that was asked for and can be read. `backward`: the last rows before a cursor instead of the first after one. */
export type PageRequest = { size: number; backward: boolean; after: string | null; before: string | null }

export type Page<Row> = {
  edges: { cursor: string; node: Row }[]
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null }
}

export const DEFAULT_PAGE_SIZE = 20
export const MOST_PAGE_SIZE = 100
export const PAGE_SIZE: NumberRange = { from: 0, to: MOST_PAGE_SIZE, unit: 'entries', like: DEFAULT_PAGE_SIZE }

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function readPage({ first, after, last, before }: PageInput): PageRequest {
  if (typeof first === 'number' && typeof last === 'number') {
    throw wrong(['last'], 'Give first or last, not both.')
  }
  const backward = typeof last === 'number'
  const size = readWhole(last ?? first ?? DEFAULT_PAGE_SIZE, PAGE_SIZE, [backward ? 'last' : 'first'])
  return { size, backward, after: readCursor(after, 'after'), before: readCursor(before, 'before') }
}

/** Cursors are opaque: what is in one may change. It only moves the bounds of a query that has its tenant already. */
export function cursorOf(id: string): string {
  return Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')
}

/** The bounds that a page puts on the ids, newest first. */
export function pageBounds(id: PgColumn, page: PageRequest): (SQL | undefined)[] {
  return [page.after === null ? undefined : lt(id, page.after), page.before === null ? undefined : gt(id, page.before)]
}

export function pageOrder(id: PgColumn, page: PageRequest): SQL {
  return page.backward ? asc(id) : desc(id)
}

/** One more than shown: whether there is another page. */
export function pageLimit(page: PageRequest): number {
  return page.size + 1
}

/** The page from the rows as they were read: in `pageOrder`, up to `pageLimit` of them. */
export function toPage<Row extends { id: string }>(rows: readonly Row[], page: PageRequest): Page<Row> {
  const more = rows.length > page.size
  const shown = rows.slice(0, page.size)
  if (page.backward) shown.reverse()
  const edges = shown.map((node) => ({ cursor: cursorOf(node.id), node }))
  return {
    edges,
    pageInfo: {
      hasNextPage: page.backward ? page.before !== null : more,
      hasPreviousPage: page.backward ? more : page.after !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  }
}

function readCursor(text: Optional<string>, argument: 'after' | 'before'): string | null {
  if (text === null || text === undefined) return null
  const hex = Buffer.from(text, 'base64url').toString('hex')
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  if (UUID.test(id) && cursorOf(id) === text) return id
  throw wrong([argument], 'This is not a cursor of this list: give one from pageInfo or an edge.')
}
