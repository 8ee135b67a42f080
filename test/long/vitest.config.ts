import { defineConfig } from 'vitest/config'
import base from '../vitest.config.ts'

/** `npm run test:long`: what is only true of large numbers, and takes minutes. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/long/*.test.ts'],
    exclude: [],
    testTimeout: 1_800_000,
    reporters: ['verbose'],
  },
})
