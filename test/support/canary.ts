import type { Db } from '../../src/postgres/client.ts'

/** A secret that must not be found anywhere: what it is, and its text. */
export type Canary = { name: string; value: string }

/** Something that was written or said, and where. */
export type Trace = { place: string; text: string }

export type Leak = { canary: string; form: string; place: string }

type Needle = { canary: string; form: string; bytes: Buffer }

/** Finds where any of these secrets can be read: as it is, or as base64, hex, JSON, or encoded for URLs, also in part. */
export type Search = { inTraces(traces: readonly Trace[]): Leak[]; inBytes(place: string, bytes: Buffer): Leak[] }

// Long enough not to be met by chance, short enough to find what was cut off: each stretch of a secret is looked for.
const STRETCH = 16

export function createSearch(canaries: readonly Canary[]): Search {
  // One pass over the bytes for all needles together, by their first four: there are ten thousand needles, and a hundred megabytes.
  const beginnings = new Uint8Array(2 ** 24)
  const byBeginning = new Map<number, Needle[]>()
  for (const needle of canaries.flatMap(needlesOf)) {
    beginnings[needle.bytes.readUIntLE(0, 3)] = 1
    const four = needle.bytes.readInt32LE(0)
    byBeginning.set(four, [...(byBeginning.get(four) ?? []), needle])
  }
  const inBytes = (place: string, bytes: Buffer): Leak[] => {
    const found = new Map<string, Leak>()
    for (let at = 0; at + STRETCH <= bytes.length; at++) {
      if (beginnings[threeAt(bytes, at)] !== 1) continue
      for (const { canary, form, bytes: needle } of byBeginning.get(bytes.readInt32LE(at)) ?? []) {
        if (bytes.subarray(at, at + needle.length).equals(needle))
          found.set(`${canary} ${form}`, { canary, form, place })
      }
    }
    return [...found.values()]
  }
  return {
    inBytes,
    inTraces: (traces) =>
      traces.flatMap(({ place, text }) => {
        // Bytes as Postgres prints them; what they hold is looked at as well.
        const columns = [...text.matchAll(/\\x((?:[0-9a-f]{2}){16,})/g)].map(([, hex]) =>
          Buffer.from(String(hex), 'hex'),
        )
        return [Buffer.from(text), ...columns].flatMap((bytes) => inBytes(place, bytes))
      }),
  }
}

function threeAt(bytes: Buffer, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16)
}

function needlesOf({ name, value }: Canary): Needle[] {
  const key = keyOf(value)
  const originals = [Buffer.from(value), ...(key ? [key] : [])]
  const forms: [string, string][] = [
    ...stretches('as it is', value),
    ...stretches('as JSON', JSON.stringify(value).slice(1, -1)),
    ...stretches('for a URL', encodeURIComponent(value)),
    ...stretches('for a URL', encodeURIComponent(value).toLowerCase()),
    ...originals.flatMap((bytes) => [
      ...stretches('as hex', bytes.toString('hex')),
      ...stretches('as hex', bytes.toString('hex').toUpperCase()),
      ...[0, 1, 2].flatMap((offset) => base64At(bytes, offset)),
    ]),
  ]
  const found = forms.map(([form, text]) => ({ canary: name, form, bytes: Buffer.from(text) }))
  if (key === null) return found
  // Also as text that was taken for Latin-1 once.
  const raw = [key.subarray(0, STRETCH), Buffer.from(key.toString('latin1').slice(0, STRETCH))]
  return [...found, ...raw.map((bytes) => ({ canary: name, form: 'its bytes', bytes }))]
}

/** What base64 makes of it wherever it begins in a longer text: its characters depend on what stands before. */
function base64At(bytes: Buffer, offset: number): [string, string][] {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes])
    .toString('base64')
    .replace(/=+$/, '')
  const whole = encoded.slice(offset === 0 ? 0 : offset + 1, -1)
  const forUrls = whole.replaceAll('+', '-').replaceAll('/', '_')
  return [...stretches('as base64', whole), ...stretches('as base64', forUrls)]
}

function stretches(form: string, text: string): [string, string][] {
  const found: [string, string][] = []
  // The first characters of a secret may be its prefix, or a hint by which it is recognised.
  const from = /^(whsec_|prk_)/.test(text) ? 8 : 0
  for (let at = from; at + STRETCH <= text.length; at += STRETCH) found.push([form, text.slice(at, at + STRETCH)])
  if (found.length === 0) throw new Error(`A canary must be longer than ${from + STRETCH} characters`)
  return [...found, [form, text.slice(-STRETCH)]]
}

/** The bytes that a secret is the base64 of, where it is that. */
function keyOf(value: string): Buffer | null {
  const text = value.replace(/^whsec_/, '')
  return /^[A-Za-z0-9+/]{32,}={0,2}$/.test(text) && !/^[0-9a-f]+$/.test(text) ? Buffer.from(text, 'base64') : null
}

/** Every table of a database as COPY writes it, those of the queue and of all partitions as well. */
export async function everyTable({ sql }: Pick<Db, 'sql'>): Promise<Trace[]> {
  const tables = await sql<{ name: string }[]>`
    select format('%I.%I', nspname, relname) as name from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where relkind in ('r', 'm') and nspname !~ '^pg_' and nspname <> 'information_schema' order by 1`
  const traces: Trace[] = []
  for (const { name } of tables) {
    const chunks: Buffer[] = []
    const stream = await sql.unsafe(`copy ${name} to stdout`).readable()
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    // A last row larger than the stream's buffer leaves the socket paused, and whatever is asked next without an answer.
    stream._read(0)
    // Text in COPY doubles each backslash.
    traces.push({ place: `the table ${name}`, text: Buffer.concat(chunks).toString('utf8').replaceAll('\\\\', '\\') })
  }
  return traces
}
