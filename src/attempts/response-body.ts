import type { attempts } from '../../schema/tables/attempts.ts'

type Response = Pick<typeof attempts.$inferSelect, 'responseBytes' | 'responseTruncated'>

/** What is known of a response's body. `kept` is null where nothing was kept: it was empty, or is no longer kept. */
export function responseBody({ responseBytes }: Response, kept: Buffer | null): Buffer | null {
  return kept ?? (responseBytes === 0 ? Buffer.alloc(0) : null)
}

/** The body as text, or null when it is not UTF-8. Where it was cut, half a character may be missing at the end. */
export function responseText(response: Response, kept: Buffer | null): string | null {
  const body = responseBody(response, kept)
  if (body === null) return null
  try {
    // Streaming keeps an incomplete last character back instead of failing on it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body, {
      stream: response.responseTruncated,
    })
  } catch {
    return null
  }
}
