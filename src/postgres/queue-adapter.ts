import type { Queryable, Sql } from './client.ts'

/** What pg-boss asks of a database: run this text with these values. */
export type QueueDatabase = {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/** Runs pg-boss's SQL on a pool, or on the connection of an open transaction, so that rows and tickets commit together. */
export function queueDatabase(queryable: Queryable): QueueDatabase {
  return {
    async executeSql(text, values = []) {
      // A script that opens a transaction of its own needs one connection from its BEGIN to its COMMIT.
      if ('reserve' in queryable && /^\s*BEGIN\b/i.test(text)) return runScript(queryable, text)
      if (values.length === 0) return { rows: flatten(await queryable.unsafe(text)) }
      // Prepared: otherwise every call costs a second round trip to describe the statement anew.
      const rows = await queryable.unsafe(text, values.map(toParameter) as never[], {
        prepare: true,
      })
      return { rows: flatten(rows) }
    },
  }
}

async function runScript(sql: Sql, text: string) {
  const connection = await sql.reserve()
  try {
    return { rows: flatten(await connection.unsafe(text)) }
  } catch (error) {
    await connection.unsafe('ROLLBACK').catch(() => {})
    throw error
  } finally {
    connection.release()
  }
}

/** Several statements come back as a list of results. */
function flatten(result: unknown): Record<string, unknown>[] {
  return (result as unknown[]).flatMap((row) => (Array.isArray(row) ? row : [row])) as Record<string, unknown>[]
}

function toParameter(value: unknown): unknown {
  if (value === undefined) return null
  if (value instanceof Date) return value.toISOString()
  // As text, whose type the server infers: Drizzle has made the json serializers of our pools leave text as it is.
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return JSON.stringify(value)
  return value
}
