import { test } from 'vitest'
import { rotateLive } from './live-rotation.ts'

test('the master key is changed under 1,000 endpoints in use, killed half-way and finished', async () => {
  console.log(await rotateLive(1000))
})
