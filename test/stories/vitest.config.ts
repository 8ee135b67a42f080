import { defineConfig } from 'vitest/config'
import base from '../vitest.config.ts'

/** `npm run test:stories`: whole servers as processes of their own. Half of the time that all tests take is theirs. */
export default defineConfig({
  ...base,
  test: { ...base.test, include: ['test/stories/**/*.test.ts'], exclude: [] },
})
