import type { Buffer } from 'node:buffer'
import { createHmac } from 'node:crypto'
import { parseSecret } from '../endpoints/signing-secret.ts'

/** What is signed: exactly the bytes that are sent, with the event's id and the attempt's time in Unix seconds. */
export type Signable = { id: string; timestamp: number; body: Buffer | string }

/**
 * The value of `webhook-signature`, Standard Webhooks v1 (specification, "Signature scheme" and "Signature header format"):
 * one HMAC-SHA256 of `{id}.{timestamp}.{body}` per secret, the order of the secrets kept, so the caller puts the newest first.
 */
export function signStandard({ id, timestamp, body }: Signable, secrets: readonly string[]): string {
  const head = `${id}.${timestamp}.`
  return secrets
    .map((secret) => `v1,${createHmac('sha256', keyOf(secret)).update(head).update(body).digest('base64')}`)
    .join(' ')
}

function keyOf(secret: string): Buffer {
  const key = parseSecret(secret)
  // Secrets are checked when they are saved. The message must not quote it.
  if (key === null) throw new Error('a stored signing secret is not whsec_ and the base64 of 24 to 64 bytes')
  return key
}
