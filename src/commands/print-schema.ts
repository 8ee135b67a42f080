import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { printedSchema } from '../graphql/schema.ts'

/** Writes schema/schema.graphql. */
writeFileSync(fileURLToPath(new URL('../../schema/schema.graphql', import.meta.url)), printedSchema())
