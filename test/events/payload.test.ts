import { describe, expect, test } from 'vitest'
import { AlteredNumber, isAltered, mayAlterNumbers, payloadText, reviver } from '../../src/events/payload.ts'
import { Mistake } from '../../src/mistake.ts'

const MOST_BYTES = 1000

function refusalOf(input: Parameters<typeof payloadText>[0]): Pick<Mistake, 'code' | 'path'> {
  try {
    payloadText(input, ['input'], MOST_BYTES)
  } catch (error) {
    if (error instanceof Mistake) return { code: error.code, path: error.path }
    throw error
  }
  throw new Error('The payload was accepted')
}

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
const altered = (source: string) => new AlteredNumber(source)

describe('payloadJson is kept byte for byte', () => {
  test.each([
    ['2^53+1', '{"n":9007199254740993}'],
    ['a trailing zero', '{"price":1.10}'],
    ['an escaped U+0000', '{"s":"a\\u0000b"}'],
    ['an emoji', '{"s":"📯"}'],
    ['an escaped emoji', '{"s":"\\ud83d\\udcef"}'],
    ['a backslash before what looks like half an emoji', '{"s":"\\\\ud83d"}'],
    ['an escaped emoji after an escaped backslash', '{"s":"\\\\\\uD83D\\uDCEF"}'],
    ['duplicate keys', '{"a":1,"a":2}'],
    ['integer-like keys in odd order', '{"10":1,"9":2,"b":3,"1":4}'],
    ['white space of its own', ' {\n\t"a" : [ ] }\r\n'],
    ['a number no double can hold', '{"n":1e400}'],
    ['64 levels', nested(64)],
    ['brackets in a string', `{"s":"${'['.repeat(200)}"}`],
    ['a bare value', 'null'],
  ])('%s', (_, text) => {
    expect(payloadText({ payloadJson: text }, ['input'], MOST_BYTES)).toBe(text)
  })

  test('up to the last byte allowed', () => {
    const text = `"${'é'.repeat((MOST_BYTES - 2) / 2)}"`
    expect(payloadText({ payloadJson: text }, ['input'], MOST_BYTES)).toBe(text)
  })
})

describe('payload is written as JSON', () => {
  test.each([
    ['null', null, 'null'],
    ['a key named __proto__', JSON.parse('{"__proto__":{"a":1}}'), '{"__proto__":{"a":1}}'],
    ['an escaped U+0000', 'a\0b', '"a\\u0000b"'],
  ])('%s', (_, payload, text) => {
    expect(payloadText({ payload }, ['input'], MOST_BYTES)).toBe(text)
  })
})

describe('refused', () => {
  test.each([
    ['neither payload nor payloadJson', {}, 'INVALID_INPUT', ['payload']],
    ['both of them', { payload: 1, payloadJson: '1' }, 'INVALID_INPUT', ['payload']],
    ['payload null beside payloadJson', { payload: null, payloadJson: '1' }, 'INVALID_INPUT', ['payload']],
    ['65 levels as text', { payloadJson: nested(65) }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['65 levels', { payload: JSON.parse(nested(65)) }, 'INVALID_PAYLOAD', ['payload']],
    [
      'so many levels that writing them fails',
      { payload: JSON.parse(nested(200_000)) },
      'INVALID_PAYLOAD',
      ['payload'],
    ],
    ['half a surrogate pair', { payloadJson: '{"s":"\ud83d"}' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['an escaped half', { payloadJson: '{"s":"\\ud83d"}' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['an escaped second half', { payloadJson: '{"s":"\\uDCEF"}' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['two first halves', { payloadJson: '["\\ud83d\\ud83d\\udcef"]' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['halves apart', { payloadJson: '["\\ud83d \\udcef"]' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['an escaped half in a key', { payloadJson: '{"\\ud83d":1}' }, 'INVALID_PAYLOAD', ['payloadJson']],
    [
      'an escaped half under a repeated key',
      { payloadJson: '{"a":"\\ud83d","a":1}' },
      'INVALID_PAYLOAD',
      ['payloadJson'],
    ],
    ['half a pair in payload', { payload: { s: '\udcef' } }, 'INVALID_PAYLOAD', ['payload']],
    ['half a pair in a key of payload', { payload: { '\ud83d': 1 } }, 'INVALID_PAYLOAD', ['payload']],
    ['no JSON', { payloadJson: '{"a":1,}' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['nothing', { payloadJson: '' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['a byte order mark', { payloadJson: '\ufeff{}' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['a raw U+0000', { payloadJson: '"\0"' }, 'INVALID_PAYLOAD', ['payloadJson']],
    ['a byte too many', { payloadJson: `"${'é'.repeat(MOST_BYTES / 2)}"` }, 'PAYLOAD_TOO_LARGE', ['payloadJson']],
    ['a byte too many when written', { payload: 'x'.repeat(MOST_BYTES - 1) }, 'PAYLOAD_TOO_LARGE', ['payload']],
    ['an altered number', { payload: altered('9007199254740993') }, 'NUMBER_WOULD_CHANGE', ['payload']],
    [
      'an altered number deep inside',
      { payload: { items: [1, { price: altered('1e400') }] } },
      'NUMBER_WOULD_CHANGE',
      ['payload', 'items', '1', 'price'],
    ],
  ])('%s', (_, input, code, path) => {
    expect(refusalOf(input)).toEqual({ code, path: ['input', ...path] })
  })
})

describe('a number that parsing would alter', () => {
  test.each`
    source                      | altered
    ${'0'}                      | ${false}
    ${'-0'}                     | ${false}
    ${'-0.000'}                 | ${false}
    ${'0e999'}                  | ${false}
    ${'1.10'}                   | ${false}
    ${'110e-2'}                 | ${false}
    ${'0.1'}                    | ${false}
    ${'1e23'}                   | ${false}
    ${'1E+2'}                   | ${false}
    ${'9007199254740992'}       | ${false}
    ${'9007199254740993'}       | ${true}
    ${'-9007199254740993'}      | ${true}
    ${'9007199254740993.0'}     | ${true}
    ${'9007199254740994'}       | ${false}
    ${'0.30000000000000004'}    | ${false}
    ${'0.300000000000000041'}   | ${true}
    ${'123456789012345678'}     | ${true}
    ${'100000000000000000000'}  | ${false}
    ${'1.7976931348623157e308'} | ${false}
    ${'1e309'}                  | ${true}
    ${'5e-324'}                 | ${false}
    ${'4e-324'}                 | ${true}
    ${'1e-400'}                 | ${true}
  `('$source: $altered', ({ source, altered }) => {
    expect(isAltered(source)).toBe(altered)
  })

  test('every double survives in each of its notations, and none of its neighbours in the last place does', () => {
    const bits = new DataView(new ArrayBuffer(8))
    for (let i = 0; i < 5000; i++) {
      for (let byte = 0; byte < 8; byte++) bits.setUint8(byte, Math.random() * 256)
      const number = bits.getFloat64(0)
      if (!Number.isFinite(number)) continue
      for (const source of [String(number), number.toExponential()]) {
        expect(isAltered(source), source).toBe(false)
        expect(isAltered(padded(source)), padded(source)).toBe(false)
      }
      // Twenty-five digits say more than a double can keep, unless what follows its shortest form is all zeros.
      const longer = number
        .toExponential()
        .replace('e', `${number.toExponential().includes('.') ? '' : '.'}0000000000000001e`)
      expect(isAltered(longer), longer).toBe(true)
    }
  })

  test('texts that are not searched for altered numbers hold none', () => {
    for (let i = 0; i < 5000; i++) {
      const digits = Array.from({ length: Math.ceil(Math.random() * 20) }, () => Math.floor(Math.random() * 10)).join(
        '',
      )
      const point = Math.floor(Math.random() * digits.length)
      const plain = `${1 + Math.floor(Math.random() * 9)}${digits.slice(0, point)}.${digits.slice(point)}`.replace(
        /\.$/,
        '',
      )
      const source = Math.random() < 0.5 ? plain : `${plain}e${Math.floor(Math.random() * 199) - 99}`
      if (!mayAlterNumbers(source)) expect(isAltered(source), source).toBe(false)
    }
  })

  test('is judged in time that grows with its length, not with the square of it', () => {
    const source = `1.${'0'.repeat(100_000)}1`
    const startedAt = performance.now()
    expect(isAltered(source)).toBe(true)
    expect(performance.now() - startedAt).toBeLessThan(500)
  })

  test('is marked where it stands when a text is parsed', () => {
    const parsed = JSON.parse('{"a":[1.10,9007199254740993],"b":1e400,"c":"9007199254740993"}', reviver)
    expect(parsed).toEqual({ a: [1.1, altered('9007199254740993')], b: altered('1e400'), c: '9007199254740993' })
  })
})

/** The same number with zeros that say nothing. */
function padded(source: string): string {
  const [mantissa = '', exponent] = source.split('e')
  const long = mantissa.includes('.') ? `${mantissa}000` : `${mantissa}.000`
  return exponent === undefined ? long : `${long}e${exponent}`
}
