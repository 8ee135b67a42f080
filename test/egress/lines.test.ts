import { Socket } from 'node:net'
import { expect, test, vi } from 'vitest'
import { classify } from '../../src/egress/failures.ts'
import { createLines } from '../../src/egress/lines.ts'

test('a socket that is closed again before it is used is one reset, not a reason to connect for ever', async () => {
  const connector = vi.fn(async () => new Socket().destroy())
  const lines = createLines({ connector, maxHeaderBytes: 1024, idleMs: 1000, longestLifeMs: 60_000 })
  const line = lines.take(new URL('http://127.0.0.1:9/'), Number.POSITIVE_INFINITY, false)

  const error = await new Promise((resolve) => {
    line.client.dispatch(
      { path: '/', method: 'POST', body: '{}' },
      {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd() {},
        onResponseError: (_controller, error) => resolve(error),
      },
    )
  })

  expect(classify(error)).toBe('RESET')
  expect(connector).toHaveBeenCalledTimes(1)
  await lines.close()
})
