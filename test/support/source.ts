/**
 * What a test needs to know of a source file, read without a compiler (TypeScript 7 has no interface for programs): its
 * imports, its functions, and its code without comments and the contents of strings.
 */

export type Import = {
  specifier: string
  /** Values that are taken, by their exported names; `*` for all of them. */
  names: string[]
  /** `import type`, `export type … from`, `typeof import()`: gone when the program runs. */
  typeOnly: boolean
  /** `export … from`. */
  passedOn: boolean
  line: number
}

export type SourceFunction = { name: string; line: number; lines: number }

/** Imports whose specifier is not a literal cannot be judged; they are reported under this name. */
export const COMPUTED = '(computed)'

/** The text with comments and the contents of strings and regular expressions blanked out; every other place stays. */
export function codeOf(text: string): string {
  const code = [...text.split('')]
  const blank = (from: number, to: number) => {
    for (let at = from; at < to; at++) if (code[at] !== '\n') code[at] = ' '
  }
  // Open template literals, each with the depth of braces at which its `${` ends.
  const templates: number[] = []
  let depth = 0
  let at = 0
  while (at < text.length) {
    const char = text[at] as string
    if (text.startsWith('//', at)) {
      const end = endOf(text, '\n', at)
      blank(at, end)
      at = end
    } else if (text.startsWith('/*', at)) {
      const end = Math.min(endOf(text, '*/', at + 2) + 2, text.length)
      blank(at, end)
      at = end
    } else if (char === "'" || char === '"') {
      const end = endOfQuoted(text, at)
      blank(at + 1, end)
      at = end + 1
    } else if (char === '`' || (char === '}' && templates.at(-1) === depth)) {
      if (char === '}') templates.pop()
      const end = endOfTemplatePart(text, at + 1)
      blank(at + 1, end)
      const opens = text[end] === '$'
      if (opens) templates.push(depth)
      at = end + (opens ? 2 : 1)
    } else if (char === '/' && beginsRegex(code, at)) {
      const end = endOfRegex(text, at)
      blank(at + 1, end)
      at = end + 1
    } else {
      if (char === '{') depth++
      if (char === '}') depth--
      at++
    }
  }
  return code.join('')
}

function endOf(text: string, what: string, from: number): number {
  const found = text.indexOf(what, from)
  return found === -1 ? text.length : found
}

function endOfQuoted(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== text[start] && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1
  return at
}

/** The place of the closing backtick, or of the `$` in `${`. */
function endOfTemplatePart(text: string, start: number): number {
  let at = start
  while (at < text.length && text[at] !== '`' && !text.startsWith('${', at)) at += text[at] === '\\' ? 2 : 1
  return at
}

function endOfRegex(text: string, start: number): number {
  let at = start + 1
  let inClass = false
  while (at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/')) {
    if (text[at] === '[') inClass = true
    if (text[at] === ']') inClass = false
    at += text[at] === '\\' ? 2 : 1
  }
  return at
}

/** A slash divides after a value, and begins a regular expression anywhere else. */
function beginsRegex(code: string[], at: number): boolean {
  let end = at
  while (end > 0 && /\s/.test(code[end - 1] as string)) end--
  if (end === 0) return true
  const before = code[end - 1] as string
  if (!/[\w$)\]}'"`]/.test(before)) return true
  const word = /[\w$]+$/.exec(code.slice(Math.max(0, end - 12), end).join(''))?.[0]
  return word !== undefined && /^(return|typeof|case|in|of|do|else|void|delete|await|yield|throw)$/.test(word)
}

/** Everything a file imports, or exports from elsewhere, in the order of its lines. */
export function importsOf(text: string, code = codeOf(text)): Import[] {
  const found: Import[] = []
  const lineAt = (at: number) => text.slice(0, at).split('\n').length
  const quotedAt = (quote: number) => text.slice(quote + 1, endOfQuoted(text, quote))

  // import x, { y } from '…'; import '…'; export { x } from '…'; export * from '…'
  const declaration =
    /(?<![.\w$])(import|export)\b(?!\s*[(.])(\s+type(?=\s*[\w${*])(?!\s+from\b))?(?<clause>[\w$\s{},*]*?(?:\bfrom\s*|(?<=import)\s*))(?<quote>['"])/g
  for (const match of code.matchAll(declaration)) {
    const { clause = '', quote = '' } = match.groups ?? {}
    if (match[1] === 'export' && !/^\s*[{*]/.test(clause)) continue
    const typeOnly = match[2] !== undefined
    found.push({
      specifier: quotedAt(match.index + match[0].length - quote.length),
      names: typeOnly ? [] : namesIn(clause),
      typeOnly,
      passedOn: match[1] === 'export',
      line: lineAt(match.index),
    })
  }
  // import('…'), typeof import('…'), require('…')
  for (const match of code.matchAll(/(?<![.\w$])(typeof\s+)?(?:import|require)\s*\(\s*(['"`])?/g)) {
    const quote = match.index + match[0].length - 1
    const literal = match[2] === "'" || match[2] === '"'
    const typeOnly = match[1] !== undefined
    found.push({
      specifier: literal ? quotedAt(quote) : COMPUTED,
      names: typeOnly ? [] : ['*'],
      typeOnly,
      passedOn: false,
      line: lineAt(match.index),
    })
  }
  return found.sort((a, b) => a.line - b.line)
}

/** `a, { b, type C, d as e } from` → default, b, d. */
function namesIn(clause: string): string[] {
  const names: string[] = []
  const inBraces = /\{([^}]*)\}/.exec(clause)?.[1] ?? ''
  for (const part of inBraces.split(',')) {
    const name = part.trim().split(/\s+/)[0]
    if (name && name !== 'type') names.push(name)
  }
  const outside = clause.replace(/\{[^}]*\}/, '').replace(/\bfrom\s*$/, '')
  if (outside.includes('*')) names.push('*')
  if (/^\s*[\w$]/.test(outside)) names.push('default')
  return names
}

/** Functions with a name and their length, from their head to their last brace; one in another counts for both. */
export function functionsOf(text: string, code = codeOf(text)): SourceFunction[] {
  const found: SourceFunction[] = []
  const add = (name: string, start: number, body: number) => {
    const first = code.slice(0, start).split('\n').length
    const last = code.slice(0, closing(code, body)).split('\n').length
    found.push({ name, line: first, lines: last - first + 1 })
  }
  // function name(…) {, and name(…) { as a method of an object or a class.
  const heads = /(?<![.\w$])(?:(?:async\s+)?function\s*\*?\s*([\w$]*)|([\w$]+))\s*(?=[<(])/g
  for (const head of code.matchAll(heads)) {
    if (/^(if|for|while|switch|catch|return|await|typeof|import|function|async)$/.test(head[2] ?? '')) continue
    const body = bodyAfter(code, head.index + head[0].length)
    if (body !== null) add(head[1] || head[2] || '(anonymous)', head.index, body)
  }
  // name = (…) => {, name: (…) => ({, and those without a name.
  for (const arrow of code.matchAll(/=>\s*[{(]/g)) {
    const start = headOfArrow(code, arrow.index)
    const name = /([\w$]+)\s*[=:]\s*(?:async\s*)?$/.exec(code.slice(Math.max(0, start - 80), start))?.[1]
    add(name ?? '(anonymous)', start, arrow.index + arrow[0].length - 1)
  }
  return found
}

/** The brace that opens a body after `(…)` or `<…>(…): Type`, or null when it was a call. */
function bodyAfter(code: string, start: number): number | null {
  let at = start
  if (code[at] === '<') at = closing(code, at) + 1
  if (code[at] !== '(') return null
  at = skipSpace(code, closing(code, at) + 1)
  if (code[at] === '{') return at
  if (code[at] !== ':') return null
  let typeIsWhole = false
  for (at = skipSpace(code, at + 1); at < code.length; at = skipSpace(code, at)) {
    const char = code[at] as string
    if (char === '{' && typeIsWhole) return at
    if ('{([<'.includes(char)) {
      at = closing(code, at) + 1
      typeIsWhole = true
    } else if (/[\w$.'"]/.test(char)) {
      const word = /^(?:[\w$.]+|'[^']*'|"[^"]*")/.exec(code.slice(at))?.[0] ?? char
      at += word.length
      typeIsWhole = !/^(is|asserts|keyof|typeof|readonly|extends)$/.test(word)
    } else if (char === '|' || char === '&') {
      at++
      typeIsWhole = false
    } else return null
  }
  return null
}

/** The place of the bracket that closes the one at `open`. `=>` closes nothing. */
function closing(code: string, open: number): number {
  const pairs: Record<string, string> = { '(': ')', '[': ']', '{': '}', '<': '>' }
  const opener = code[open] as string
  const closer = pairs[opener] as string
  let depth = 0
  for (let at = open; at < code.length; at++) {
    if (code[at] === opener) depth++
    if (code[at] === closer && code[at - 1] !== '=') depth--
    if (depth === 0) return at
    // A less-than sign that was no bracket.
    if (opener === '<' && code[at] === ';') return at
  }
  return code.length
}

/** Where `(…)` or `name` before an arrow begins. */
function headOfArrow(code: string, arrow: number): number {
  let at = arrow - 1
  while (at > 0 && /\s/.test(code[at] as string)) at--
  if (code[at] !== ')') return at - (/[\w$]*$/.exec(code.slice(0, at))?.[0].length ?? 0)
  let depth = 0
  for (; at > 0; at--) {
    if (code[at] === ')') depth++
    if (code[at] === '(') depth--
    if (depth === 0) return at
  }
  return at
}

function skipSpace(code: string, from: number): number {
  let at = from
  while (at < code.length && /\s/.test(code[at] as string)) at++
  return at
}
