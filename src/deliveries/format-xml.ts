import { endOfString } from '../events/payload.ts'

/**
 * JSON as XML, in the form of the W3C's fn:json-to-xml (XPath and XQuery Functions and Operators 3.1, section 17.5.3): `map`, `array`,
 * `string`, `number`, `boolean`, `null`, with the key of each member in the attribute `key`. Made from the text, so that numbers,
 * duplicate keys and the order of members survive. The text must be JSON.
 */
export function xmlOfJson(json: string): string {
  const xml: string[] = []
  const open: ('map' | 'array')[] = []
  let key: string | null = null
  const begin = (name: string, more = '') => {
    const namespace = xml.length === 0 ? ` xmlns="${NAMESPACE}"` : ''
    xml.push(`<${name}${namespace}${key === null ? '' : keyAttributes(key)}${more}>`)
    key = null
  }
  const tokens = /[{}[\]"]|[\w.+-]+/g
  for (let token = tokens.exec(json); token !== null; token = tokens.exec(json)) {
    const [text] = token
    if (text === '"') {
      const end = endOfString(json, token.index + 1)
      const string = unquoted(json.slice(token.index, end))
      tokens.lastIndex = end
      if (open.at(-1) === 'map' && key === null) key = string
      else {
        const isEscaped = NOT_IN_XML.test(string)
        begin('string', isEscaped ? ' escaped="true"' : '')
        xml.push(xmlText(isEscaped ? escaped(string) : string), '</string>')
      }
    } else if (text === '{' || text === '[') {
      const name = text === '{' ? 'map' : 'array'
      begin(name)
      open.push(name)
    } else if (text === '}' || text === ']') xml.push(`</${open.pop()}>`)
    else {
      const name = text === 'null' ? 'null' : text === 'true' || text === 'false' ? 'boolean' : 'number'
      begin(name)
      xml.push(name === 'null' ? '' : text, `</${name}>`)
    }
  }
  return xml.join('')
}

const NAMESPACE = 'http://www.w3.org/2005/xpath-functions'
// XML 1.0, production 2: there is no way to write these, not even as a reference. (Half surrogate pairs are refused when published.)
const NOT_IN_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u

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
  return text.replace(
    /[&<>"\t\n\r\x7f-\x9f\u2028]|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu,
    (character) => {
      if (NOT_IN_XML.test(character)) return '\ufffd'
      // White space and controls as well: parsers turn some of them into line feeds and spaces, those of XML 1.1 even U+0085.
      return NAMED[character] ?? `&#${character.charCodeAt(0)};`
    },
  )
}

const NAMED: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
