import { defineConfig } from 'vitest/config'
import base from '../vitest.config.ts'

/** `npm run test:long`: apart from the other tests, because they take minutes. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/long/**/*.test.ts'],
    exclude: [],
    testTimeout: 900_000,
    // Tells what was measured.
    reporters: ['verbose'],
  },
})
