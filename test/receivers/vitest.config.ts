import { defineConfig } from 'vitest/config'
import base from '../vitest.config.ts'

/** `npm run test:receivers`: apart from the other tests, because compilers are slow and not installed everywhere. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/receivers/*.test.ts'],
    exclude: [],
    // Compilers, on a busy machine.
    testTimeout: 300_000,
    // Names the languages that were left out.
    reporters: ['verbose'],
  },
})
