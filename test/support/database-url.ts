import type { Address } from '../../src/postgres/client.ts'

/** The URL that names the Unix socket of a server, as libpq writes it. */
export function databaseUrl({ host, port, user, database }: Exclude<Address, string>): string {
  return `postgres://${user}@localhost/${database}?host=${encodeURIComponent(host)}&port=${port}`
}
