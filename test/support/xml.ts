import { DOMParser, type Element } from '@xmldom/xmldom'

const NAMESPACE = 'http://www.w3.org/2005/xpath-functions'

/** The first element of a document of ours, read by a parser that knows nothing of us. */
export function parseXml(text: string): Element {
  const onError = (level: string, message: string) => {
    // A warning: U+FFFD in the text, which may be meant.
    if (level !== 'warning') throw new Error(message)
  }
  return new DOMParser({ onError }).parseFromString(text, 'application/xml').documentElement as Element
}

export const childrenOf = (element: Element) =>
  [...element.childNodes].filter((node) => node.nodeType === 1) as Element[]

/** As fn:xml-to-json does: the JSON text that an element stands for, without white space; duplicate keys stay. */
export function jsonOfXml(element: Element): string {
  if (element.namespaceURI !== NAMESPACE) throw new Error(`${element.nodeName} is in ${element.namespaceURI}`)
  const members = childrenOf(element).map((child) => ({ key: child, json: jsonOfXml(child) }))
  switch (element.localName) {
    case 'map':
      return `{${members.map(({ key, json }) => `${textOf(key.getAttribute('key'), key.getAttribute('escaped-key'))}:${json}`).join()}}`
    case 'array':
      return `[${members.map(({ json }) => json).join()}]`
    case 'string':
      return textOf(element.textContent, element.getAttribute('escaped'))
    case 'null':
      return 'null'
    default:
      return String(element.textContent)
  }
}

/** Escaped text has JSON's own escapes, but for quotes. */
function textOf(text: string | null, escaped: string | null): string {
  return JSON.stringify(escaped === 'true' ? JSON.parse(`"${text?.replaceAll('"', '\\"')}"`) : text)
}
