import { expect, test } from 'vitest'
import { elementsIn } from '../../src/endpoints/der.ts'

test.each`
  what                                         | hex                               | elements
  ${'an integer'}                              | ${'020105'}                       | ${1}
  ${'a sequence of two'}                       | ${'3006020105020106'}             | ${3}
  ${'a length in two bytes'}                   | ${'30820003020105'}               | ${2}
  ${'an octet string with a sequence'}         | ${'04053003020105'}               | ${3}
  ${'a bit string, whatever is in it'}         | ${'03053003020105'}               | ${1}
  ${'an octet string with something else'}     | ${'0404ffffffff'}                 | ${3}
  ${'BER of no length, with five in it'}       | ${'3080050005000500050005000000'} | ${7}
  ${'BER with a length that begins with 0000'} | ${'3084000000040500050005000500'} | ${7}
  ${'an octet string in segments'}             | ${'240a0403300a05040305000500'}   | ${7}
  ${'a tag in its long form'}                  | ${'3f10020500050005'}             | ${4}
  ${'more than there is'}                      | ${'30ff05000500'}                 | ${3}
  ${'nothing'}                                 | ${''}                             | ${0}
`('$what counts as $elements', ({ hex, elements }) => {
  expect(elementsIn(Buffer.from(hex, 'hex'))).toBe(elements)
})

test('64 KiB that nest as deeply as they can are counted at once', () => {
  const deep = Buffer.concat(
    Array.from({ length: 16_384 }, (_, n) => Buffer.from([0x30, 0x82, ...lengthOf(4 * (16_383 - n))])),
  )
  const startedAt = performance.now()
  expect(elementsIn(deep)).toBe(16_384)
  expect(performance.now() - startedAt).toBeLessThan(500)
})

const lengthOf = (bytes: number) => [bytes >> 8, bytes & 255]
