import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import type { ErrorCode } from '../../schema/error-codes.ts'
import { ALTERED, parseExactly } from './json.ts'
import { inWords, SIZES } from './limits.ts'
import { searchOf } from './location.ts'

/** A request that is refused before GraphQL sees it. */
export class BadRequest extends Error {
  readonly code = 'BAD_REQUEST' satisfies ErrorCode
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.name = 'BadRequest'
    this.status = status
  }
}

/** What GraphQL is asked to do. */
export type Params = { query?: unknown; variables?: unknown; operationName?: unknown; extensions?: unknown }

/** The operation in a request: the JSON body of a POST, the query string of a GET. Throws `BadRequest`. */
export async function readParams(request: IncomingMessage): Promise<Params> {
  if (request.method === 'GET') return readQueryString(request)
  refuseOtherContent(request)
  const bytes = await readBytes(request)
  // As text it would become U+FFFD silently, and be delivered so.
  if (!isUtf8(bytes)) throw new BadRequest(400, 'The body is not valid UTF-8.')
  return readJson(bytes.toString())
}

/** Only JSON: a form or a plain text can be sent by any web page to any server without asking (CSRF). */
function refuseOtherContent({ headers }: IncomingMessage): void {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') {
    throw new BadRequest(415, 'Send the operation as JSON, with the header "Content-Type: application/json".')
  }
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity') {
    throw new BadRequest(415, 'Send the body without Content-Encoding.')
  }
}

function readBytes(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = () => new BadRequest(413, `The body is larger than ${SIZES.body} bytes (${inWords(SIZES.body)}).`)
  return new Promise((resolve, reject) => {
    if (Number(request.headers['content-length'] ?? 0) > SIZES.body) return reject(tooLarge())
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= SIZES.body) return chunks.push(chunk)
      request.removeAllListeners('data').pause()
      reject(tooLarge())
    })
    request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)))
    request.on('error', () => reject(new BadRequest(400, 'The body broke off.')))
    request.on('close', () => reject(new BadRequest(400, 'The body broke off.')))
  })
}

function readJson(text: string): Params {
  const parsed = parseJson(text, 'The body')
  if (Array.isArray(parsed)) throw new BadRequest(400, 'Send one operation at a time, not a list of them.')
  if (typeof parsed !== 'object' || parsed === null) throw new BadRequest(400, 'The body must be a JSON object.')
  return parsed
}

function readQueryString(request: IncomingMessage): Params {
  const search = searchOf(request)
  const json = (name: string) => {
    const text = search.get(name)
    return text === null || text === '' ? undefined : parseJson(text, `The query parameter ${name}`)
  }
  return {
    query: search.get('query') ?? undefined,
    operationName: search.get('operationName') ?? undefined,
    variables: json('variables'),
    extensions: json('extensions'),
  }
}

function parseJson(text: string, what: string): unknown {
  let parsed: ReturnType<typeof parseExactly>
  try {
    parsed = parseExactly(text)
  } catch (error) {
    throw new BadRequest(400, `${what} is not JSON: ${withoutQuotation((error as Error).message)}`)
  }
  if (parsed.isAltered) throw new BadRequest(400, `${what} ${ALTERED}`)
  return parsed.value
}

/** V8 ends some of its messages with what stands around the fault, 20 characters of it: it may be a secret. */
function withoutQuotation(message: string): string {
  return message.replace(/, (\.\.\.)?"[\s\S]*$/, '').slice(0, 200)
}
