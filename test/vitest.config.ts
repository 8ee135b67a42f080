import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  resolve: {
    // Vitest would load graphql twice, as CommonJS and as a module, and graphql refuses to work with its double.
    alias: [{ find: /^graphql$/, replacement: fileURLToPath(import.meta.resolve('graphql')) }],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/postgres.ts'],
    setupFiles: ['test/support/setup.ts'],
    exclude: ['test/bench/**', 'test/receivers/**', 'test/long/**', 'test/stories/**'],
    // It ends what hangs. On a machine with ten times its load, launching a server takes half a minute.
    testTimeout: 60_000,
    // Vitest's own second is less than a busy machine may take for anything.
    expect: { poll: { timeout: 10_000 } },
    // Tests wait more than they work: two files at a time, also where Vitest would take one core less than there are.
    maxWorkers: 2,
    // Each worker loads the program once: for every file anew took 90 s of 375 s of computing.
    isolate: false,
    hookTimeout: 60_000,
  },
})
