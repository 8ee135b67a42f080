import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { printedOperationalEvents } from '../../schema/operational-events.ts'
import { printedSchema } from '../graphql/schema.ts'

const write = (name: string, text: string) =>
  writeFileSync(fileURLToPath(new URL(`../../schema/${name}`, import.meta.url)), text)

/** Writes schema/schema.graphql, and schema/operational-events.json for those who receive. */
write('schema.graphql', printedSchema())
write('operational-events.json', printedOperationalEvents())
