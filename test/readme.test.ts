import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { startApi } from './graphql/api.ts'

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const blocks = (language: string) =>
  [...README.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, text]) => String(text))

const CURLS = blocks('sh').filter((text) => text.startsWith('curl'))
const DOCUMENTS = blocks('graphql')

type Answer = { data?: Record<string, { userErrors?: unknown[]; replay?: { id: string } } | null>; errors?: unknown[] }

/** In a real shell: quotes and line breaks are half of what can be wrong. A live one is left once it has said something. */
function run(command: string, env: Record<string, string>): Promise<string> {
  const enough = command.includes('replayProgress') ? 'event: complete' : command.includes('curl -N') ? '\n' : null
  const child = spawn('bash', ['-euc', command.replace('curl ', 'exec curl -s ')], { env: { ...process.env, ...env } })
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
      if (enough !== null && text.includes(enough)) child.kill()
    })
    child.once('error', reject)
    child.once('close', () => resolve(text))
  })
}

test('every command and every document of the README does what it says', async () => {
  const { url, adminKey, send } = await startApi()
  expect(CURLS.length).toBeGreaterThanOrEqual(6)
  expect(DOCUMENTS.map((document) => /^(query|mutation) (\w+)/.exec(document)?.[2])).toEqual([
    'Preview',
    'Start',
    'NewCustomer',
  ])
  const answers: Answer[] = []
  for (const document of DOCUMENTS) answers.push(await send(document))
  const replay = answers.find(({ data }) => data?.replayStart)?.data?.replayStart?.replay?.id as string

  const told = await Promise.all(
    CURLS.map((command) =>
      run(command.replace('http://127.0.0.1:4000/graphql', url).replace('rpl_…', replay), { KEY: adminKey }),
    ),
  )
  const live = told.filter((text) => text.startsWith('event: next') || text.startsWith(':'))
  expect(live).toHaveLength(CURLS.filter((command) => command.includes('text/event-stream')).length)
  // The replay has nothing to send: it is told of once, and ends.
  expect(live.at(-1)).toMatch(/"state":"COMPLETED".*event: complete/s)
  for (const text of live) expect(text).not.toContain('"errors"')
  answers.push(...told.filter((text) => !live.includes(text)).map((text) => JSON.parse(text)))
  for (const { data, errors } of answers) {
    expect(errors).toBeUndefined()
    for (const answer of Object.values(data ?? {})) expect(answer?.userErrors ?? []).toEqual([])
  }
})
