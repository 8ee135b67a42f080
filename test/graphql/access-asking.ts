import { createClient } from 'graphql-ws'
import { WebSocket } from 'ws'

export type Question = { query: string; variables: Record<string, unknown> }

/** What came back, as far as it tells who may do what; `text` is all of it, byte for byte. */
export type Told = { outcome: string; text: string }

/** Puts a question to the API with a credential, or none. */
export type Ask = (url: string, credential: string | null, question: Question) => Promise<Told>

type Answer = {
  data?: { answer?: unknown } | null
  errors?: readonly { message: string; extensions?: Record<string, unknown> }[]
}

/**
 * In a word: `allowed`; `absent`, for what is not there; the code of the error that refuses; or, where the question itself was
 * wrong, what was said of it.
 */
function outcomeOf({ data, errors = [] }: Answer): string {
  const [error] = errors
  const code = error?.extensions?.code
  if (code === 'NOT_FOUND') return 'absent'
  if (code === 'UNAUTHENTICATED' || code === 'FORBIDDEN') return code
  if (error) return `${code}: ${error.message}`
  const answer = data?.answer as { userErrors?: { code: string; message: string }[] } | null
  if (answer === null) return 'absent'
  const [userError] = answer?.userErrors ?? []
  if (userError?.code === 'NOT_FOUND') return 'absent'
  return userError?.code === 'INVALID_INPUT' ? `INVALID_INPUT: ${userError.message}` : 'allowed'
}

const headersFor = (credential: string | null, accept: string) => ({
  'content-type': 'application/json',
  accept,
  ...(credential === null ? {} : { authorization: `Bearer ${credential}` }),
})

export const overHttp: Ask = async (url, credential, question) => {
  const headers = headersFor(credential, 'application/json')
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(question) })
  const text = await response.text()
  const outcome = outcomeOf(JSON.parse(text))
  const expected = outcome === 'UNAUTHENTICATED' ? 401 : 200
  return { outcome: response.status === expected ? outcome : `${response.status} ${outcome}`, text }
}

/** The first that a stream brings; then it is left. */
export const overSse: Ask = async (url, credential, question) => {
  const leaving = new AbortController()
  const headers = headersFor(credential, 'text/event-stream')
  const request = { method: 'POST', headers, body: JSON.stringify(question), signal: leaving.signal }
  const response = await fetch(url, request)
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    if (/^data: .+$/m.test(text)) break
  }
  leaving.abort()
  const json = /^data: (.+)$/m.exec(text)?.[1] ?? text
  return { outcome: outcomeOf(JSON.parse(json)), text }
}

/** The first that a subscription brings over a WebSocket of its own. */
export const overWebSocket: Ask = async (url, credential, question) => {
  const client = createClient({
    url: url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: credential === null ? {} : { authorization: `Bearer ${credential}` },
    retryAttempts: 0,
  })
  try {
    return await new Promise<Told>((resolve, reject) => {
      const told = (answer: Answer) => resolve({ outcome: outcomeOf(answer), text: JSON.stringify(answer) })
      client.subscribe(question, {
        next: (answer) => told(answer as Answer),
        error: (error) => {
          if (Array.isArray(error)) told({ errors: error })
          else if (isUnauthorized(error)) resolve({ outcome: 'UNAUTHENTICATED', text: '' })
          else reject(error)
        },
        complete: () => reject(new Error('It ended without a word')),
      })
    })
  } finally {
    await client.dispose()
  }
}

/** The socket itself was closed. */
const isUnauthorized = (error: unknown) => (error as { code?: unknown }).code === 4401
