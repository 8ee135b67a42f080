import { test } from 'vitest'
import { rotateLive } from './live-rotation.ts'

test('the master key is changed in use, killed half-way and finished: everything that arrives verifies', async () => {
  await rotateLive(400)
}, 60_000)
