import type { Dispatcher } from 'undici'

/** The headers of a request in the flat form that undici takes. */
export function flatHeaders(headers: readonly (readonly [string, string])[]): string[] {
  const flat: string[] = []
  let encoding = false
  for (const [name, value] of headers) {
    flat.push(name, value)
    encoding ||= name.toLowerCase() === 'accept-encoding'
  }
  // Nothing is ever decompressed, so nothing compressed is asked for.
  if (!encoding) flat.push('accept-encoding', 'identity')
  return flat
}

/** From the raw list: undici's parsed form turns a repeated header into an array and a name's case is lost. */
export function pairsOf(raw: Dispatcher.DispatchController['rawHeaders']): [string, string][] {
  const pairs: [string, string][] = []
  if (!Array.isArray(raw)) return pairs
  for (let i = 0; i + 1 < raw.length; i += 2) pairs.push([latin1(raw[i]), latin1(raw[i + 1])])
  return pairs
}

/** The bytes of names and values. */
export function sizeOf(pairs: readonly [string, string][]): number {
  return pairs.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
}

function latin1(text: Buffer | string | undefined): string {
  return typeof text === 'string' ? text : (text?.toString('latin1') ?? '')
}
