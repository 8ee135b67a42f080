import { endOfString } from '../events/payload.ts'

/**
 * JSON as XML, in the form of the W3C's fn:json-to-xml (XPath and XQuery Functions and Operators 3.1, section 17.5.3): `map`, `array`,
 * `string`, `number`, `boolean`, `null`, with the key of each member in the attribute `key`. Made from the text, so that numbers,
 * duplicate keys and the order of members survive. The text must be JSON.
 */
export function xmlOfJson(json: string): string {
  let xml = ''
  let at = 0
  let key = ''
  const begin = (name: string, more = '') => {
    const namespace = xml === '' ? ` xmlns="${NAMESPACE}"` : ''
    xml += `<${name}${namespace}${key}${more}>`
    key = ''
  }
  const open: ('map' | 'array')[] = []
  while (at < json.length) {
    const character = json[at] as string
    if (character === '"') {
      const end = endOfString(json, at + 1)
      const string = unquoted(json.slice(at, end))
      at = end
      if (key === '' && open.at(-1) === 'map') key = keyAttributes(string)
      else {
        const isEscaped = NOT_IN_XML.test(string)
        begin('string', isEscaped ? ' escaped="true"' : '')
        xml += `${xmlText(isEscaped ? escaped(string) : string)}</string>`
      }
    } else if (character === '{' || character === '[') {
      const name = character === '{' ? 'map' : 'array'
      begin(name)
      open.push(name)
      at++
    } else if (character === '}' || character === ']') {
      xml += `</${open.pop()}>`
      at++
    } else if (BETWEEN.includes(character)) at++
    else {
      const end = endOfWord(json, at)
      const word = json.slice(at, end)
      const name = NAMES[character] ?? 'number'
      begin(name)
      xml += `${name === 'null' ? '' : word}</${name}>`
      at = end
    }
  }
  return xml
}

const BETWEEN = ' \t\n\r,:'
/** By what they begin with. */
const NAMES: Record<string, string> = { t: 'boolean', f: 'boolean', n: 'null' }

/** Of a number, true, false or null. */
function endOfWord(json: string, start: number): number {
  let at = start
  while (at < json.length && !' \t\n\r,:]}'.includes(json[at] as string)) at++
  return at
}

const NAMESPACE = 'http://www.w3.org/2005/xpath-functions'
// XML 1.0, production 2: there is no way to write these, not even as a reference. Half surrogate pairs, too, but those are refused
// when an event is published.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
const NOT_IN_XML = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/
// Beside those: what means something to parsers, and white space and controls, some of which they turn into line feeds and spaces,
// those of XML 1.1 even U+0085.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
const NOT_AS_IT_IS = /[&<>"\0-\x1f\x7f-\x9f\u2028\ufffe\uffff]/g

const unquoted = (string: string) => (string.includes('\\') ? (JSON.parse(string) as string) : string.slice(1, -1))

function keyAttributes(key: string): string {
  return NOT_IN_XML.test(key) ? ` escaped-key="true" key="${xmlText(escaped(key))}"` : ` key="${xmlText(key)}"`
}

/** As with the option `escape`: what XML cannot hold, control characters and the backslash as JSON escapes them. */
function escaped(text: string): string {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
    /[\0-\x1f\x7f-\x9f\\\ufffe\uffff]/g,
    (character) =>
      SHORT_ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`,
  )
}

const SHORT_ESCAPES: Record<string, string> = {
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\f': '\\f',
  '\r': '\\r',
  '\\': '\\\\',
}

/** Text or the value of an attribute; a character that XML does not have is replaced. */
export function xmlText(text: string): string {
  return text.replace(NOT_AS_IT_IS, (character) => {
    return NOT_IN_XML.test(character) ? '\ufffd' : (NAMED[character] ?? `&#${character.charCodeAt(0)};`)
  })
}

const NAMED: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
