/** The key in an `Authorization` header, or in what a WebSocket client sends in its place; null when there is none. */
export function bearerToken(authorization: unknown): string | null {
  if (typeof authorization !== 'string') return null
  return /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1] ?? null
}
