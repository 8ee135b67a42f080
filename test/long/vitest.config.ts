import { defineConfig } from 'vitest/config'
import base from '../vitest.config.ts'

/** `npm run test:long`: what takes longer than `npm test` may. One at a time, because these start fleets and measure. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/long/**/*.test.ts'],
    exclude: [],
    testTimeout: 300_000,
    maxWorkers: 1,
    // Tells the figures.
    reporters: ['verbose'],
  },
})
