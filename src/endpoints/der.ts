const CONSTRUCTED = 0x20
const OCTET_STRING = 0x04
const LONG_TAG = 0x1f
const LONG_LENGTH = 0x80
const LEAST_BYTES = 2

/**
 * How many elements some DER (X.690) consists of, with those in octet strings, where certificates have their extensions. What is not
 * DER, be it something else in an octet string or BER as OpenSSL reads it, counts as the smallest elements that may be in it.
 */
export function elementsIn(der: Buffer): number {
  let count = 0
  const ranges = [der]
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    for (let at = 0; at < range.length; ) {
      const content = contentAt(range, at)
      if (content === null) {
        count += Math.ceil((range.length - at) / LEAST_BYTES)
        break
      }
      const tag = range[at] as number
      if ((tag & CONSTRUCTED) !== 0 || tag === OCTET_STRING) ranges.push(range.subarray(content.from, content.end))
      count++
      at = content.end
    }
  }
  return count
}

function contentAt(range: Buffer, at: number): { from: number; end: number } | null {
  const [tag, first] = [range[at] as number, range[at + 1]]
  if (first === undefined || (tag & LONG_TAG) === LONG_TAG || first === LONG_LENGTH) return null
  // BER: octets in segments, which OpenSSL joins. What begins in one of them may go on in the next.
  if (tag === (OCTET_STRING | CONSTRUCTED)) return null
  const lengthBytes = first < LONG_LENGTH ? 0 : first - LONG_LENGTH
  const from = at + LEAST_BYTES + lengthBytes
  if (lengthBytes > 3 || from > range.length) return null
  const end = from + (lengthBytes === 0 ? first : range.readUIntBE(at + LEAST_BYTES, lengthBytes))
  return end > range.length ? null : { from, end }
}
