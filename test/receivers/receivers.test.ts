import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { createEndpoint, publish, startServer } from '../support/app.ts'
import { startReceiver } from '../support/receiver.ts'
import { type Case, casesOfRequest, linesOf, vectorCases } from './cases.ts'
import { codeBlock, DOCUMENT } from './document.ts'
import { build, judge, LANGUAGES, type Language, temporaryDirectory, versionOf } from './languages.ts'

/** The code of schema/webhook.md, in each language that is installed, judges requests that the real server sent. */

const PAYLOADS: Record<string, string> = {
  'an ordinary payload': '{"invoice":"in_8231","amount":49.5}',
  'letters of many scripts': '{"text":"Zürich, Ελλάδα, 東京, עברית, ĳ, e\u0301"}',
  'an emoji': '{"text":"🚲 👩‍👩‍👧‍👦"}',
  escapes: '{"text":"\\u0000\\u00e9\\ud83d\\ude80\\"\\\\\\/\\n\\u2028"}',
  '2^53+1': '{"n":9007199254740993,"price":1.10,"tiny":1e-400}',
  'duplicate keys': '{"a":1,"a":2,"__proto__":{"b":3}}',
  'white space': ' { "a" :\t[ 1 , 2 ]\n}\r\n',
  'an empty object': '{}',
  'a bare null': 'null',
  '200 KB': JSON.stringify({ text: 'ä€🏔 '.repeat(20_000) }),
}

/** Everything that the verifiers are asked; the server is started once for all of them. */
let asked: Promise<Case[]> | null = null
function allCases(): Promise<Case[]> {
  asked ??= makeCases()
  return asked
}

async function makeCases(): Promise<Case[]> {
  const { api } = await startServer()
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  const { secret } = await createEndpoint(api, { url: receiver.url })
  const names = new Map<string, string>()
  for (const [name, payloadJson] of Object.entries(PAYLOADS)) {
    names.set(await publish(api, { type: 'invoice.paid', payloadJson }), name)
  }
  const requests = await receiver.waitForRequests(names.size, 20_000)
  expect(new Set(requests.map(({ headers }) => headers['webhook-id']))).toEqual(new Set(names.keys()))
  const cases = [
    ...publishedVectors().flatMap(vectorCases),
    ...requests.flatMap((request) =>
      casesOfRequest(names.get(request.headers['webhook-id'] as string) as string, secret, request),
    ),
  ]
  expect(cases.length).toBeGreaterThan(800)
  return cases
}

function publishedVectors() {
  type Vector = { secrets: [string]; id: string; timestamp: number; body: string; signature: string }
  const { v1 }: { v1: Vector[] } = JSON.parse(
    readFileSync(new URL('../vectors/standard-webhooks.json', import.meta.url), 'utf8'),
  )
  return v1.map((vector) => ({ ...vector, secret: vector.secrets[0] }))
}

/** Where a verifier is wrong: each line a case, what it should have said, and what it said. */
async function mistakesOf(language: Language, directory: string, cases: readonly Case[]): Promise<string[]> {
  const verdicts = await judge(language, directory, linesOf(cases))
  expect(verdicts).toHaveLength(cases.length)
  return cases.flatMap(({ name, expected }, index) => {
    const verdict = verdicts[index] as string
    const [word] = verdict.split(' ')
    const right = expected === 'not accepted' ? word === 'refused' || word === 'error' : word === expected
    return right ? [] : [`${name}: should be ${expected}, is ${verdict}`]
  })
}

for (const language of LANGUAGES) {
  const version = versionOf(language)
  test.skipIf(version === null)(`${language.name} ${version ?? 'is not installed'}: right in every case`, async () => {
    const cases = await allCases()
    const directory = await temporaryDirectory()
    await build(language, directory)
    expect(await mistakesOf(language, directory, cases)).toEqual([])
  })
}

// Mistakes that verifiers are known for, each put into the one for Node. A case that notices none of them proves nothing.
test.each([
  ['no look at the timestamp', '> 300)', '> Infinity)'],
  ['a tolerance of ten minutes', '> 300)', '> 600)'],
  ['a tolerance of less than five minutes', '> 300)', '>= 300)'],
  ['timestamps of the future', 'Math.abs(now - Number(timestamp))', 'now - Number(timestamp)'],
  [
    'a timestamp that only begins with digits',
    /\$\/\.test\(timestamp\)(.*?)Number\(timestamp\)/s,
    '/.test(timestamp)$1parseInt(timestamp, 10)',
  ],
  ['whatever Number() takes', '!/^[0-9]{1,12}$/.test(timestamp)', 'Number.isNaN(Number(timestamp))'],
  ['only the first signature', "signatures.split(' ')", "[signatures.split(' ')[0]]"],
  ['only the last signature', "signatures.split(' ')", "[signatures.split(' ').at(-1)]"],
  ['only the first secret', 'of secrets)', 'of secrets.slice(0, 1))'],
  [
    'a prefix of the signature',
    'given.length === expected.length && timingSafeEqual(given, expected)',
    'expected.subarray(0, given.length).equals(given)',
  ],
  ['signatures of other lengths', 'given.length === expected.length && ', ''],
  ['any version', 'Buffer.from(signature)', "Buffer.from(signature.replace(/^\\w+,/, 'v1,'))"],
  ['no version', 'Buffer.from(signature)', "Buffer.from(signature.replace(/^(?!v1,)/, 'v1,'))"],
  ['white space of any kind', "split(' ')", 'split(/\\s+/)'],
  [
    'decoding what is no base64',
    'Buffer.from(signature)\n',
    "Buffer.from('v1,' + Buffer.from(signature.slice(3), 'base64').toString('base64'))\n",
  ],
  ['the text of the secret as its key', "Buffer.from(secret.replace(/^whsec_/, ''), 'base64')", 'Buffer.from(secret)'],
  ['an empty key', 'key.length < 24', 'false'],
  ['a body as text', 'update(body)', "update(body.toString('latin1'))"],
  ['a body that is parsed and written again', 'update(body)', 'update(JSON.stringify(JSON.parse(body)))'],
  ['a header that is missing', '!id || !signatures || ', ''],
])('the cases notice: %s', async (_, right, wrong) => {
  const [node] = LANGUAGES as [Language]
  const directory = await temporaryDirectory()
  const weakened = DOCUMENT.replace(right, wrong)
  expect(codeBlock('js verify', weakened)).not.toBe(codeBlock('js verify'))
  await build(node, directory, weakened)
  expect(await mistakesOf(node, directory, await allCases())).not.toEqual([])
})
