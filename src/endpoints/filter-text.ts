/** A part of a filter: its text, and where it begins, counted in UTF-16 units from 0. */
export type Part = { text: string; offset: number }

/** A place in a text as people count: both from 1, columns in characters. */
export function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: [...(before.at(-1) as string)].length + 1 }
}

const AROUND = 40

/** The line of a place with a caret under it, cut where it is long. */
export function excerpt(text: string, offset: number): string {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  const end = text.indexOf('\n', offset)
  const line = text.slice(start, end === -1 ? text.length : end)
  const at = offset - start
  const from = Math.max(0, at - AROUND)
  const shown = [...line.slice(from, at + AROUND)].map(printable).join('')
  const before = [...line.slice(from, at)].map(() => ' ').join('')
  return `${from > 0 ? '…' : ''}${shown}${at + AROUND < line.length ? '…' : ''}\n${from > 0 ? ' ' : ''}${before}^`
}

const printable = (character: string) => (character < ' ' || character === '\u007f' ? ' ' : character)

/** How deep brackets nest, those in texts and comments left out. */
export function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (const { sign } of signsOf(text)) {
    if (OPENING.includes(sign)) deepest = Math.max(deepest, ++depth)
    else if (CLOSING.includes(sign)) depth--
  }
  return deepest
}

const OPENING = ['(', '[', '{']
const CLOSING = [')', ']', '}']

/** The conditions that must all hold: what stands between the `&&` of a filter, whatever brackets are around them. */
export function conditionsOf(part: Part): Part[] {
  const whole = trimmed(part)
  const { ands, weaker, enclosed } = outline(whole.text)
  if (enclosed) return conditionsOf({ text: whole.text.slice(1, -1), offset: whole.offset + 1 })
  if (ands.length === 0 || weaker) return [whole]
  const starts = [0, ...ands.map((at) => at + 2)]
  return starts.flatMap((start, index) =>
    conditionsOf({ text: whole.text.slice(start, ands[index]), offset: whole.offset + start }),
  )
}

function trimmed({ text, offset }: Part): Part {
  const lead = text.length - text.trimStart().length
  return { text: text.trim(), offset: offset + lead }
}

/** Where `&&` stands outside of all brackets, whether `||` or `?` does, and whether one pair of brackets is around it all. */
function outline(text: string): { ands: number[]; weaker: boolean; enclosed: boolean } {
  const ands: number[] = []
  let weaker = false
  let depth = 0
  let closedAt = -1
  for (const { sign, at } of signsOf(text)) {
    if (OPENING.includes(sign)) depth++
    else if (CLOSING.includes(sign) && --depth === 0 && closedAt === -1) closedAt = at
    else if (depth === 0 && sign === '&&') ands.push(at)
    else if (depth === 0 && (sign === '||' || sign === '?')) weaker = true
  }
  return { ands, weaker, enclosed: text.startsWith('(') && closedAt === text.length - 1 }
}

// Raw texts have no escapes; three quotes may hold line breaks.
const RAW = /(?:[rR][bB]?|[bB][rR])(?:"""[\s\S]*?"""|'''[\s\S]*?'''|"[^"\n]*"|'[^'\n]*')/
const ESCAPED =
  /"""(?:\\[\s\S]|[^\\])*?"""|'''(?:\\[\s\S]|[^\\])*?'''|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'/
const SIGNS = new RegExp(`//[^\\n]*|${RAW.source}|${ESCAPED.source}|&&|\\|\\||[?()[\\]{}]`, 'g')

/** Everything that groups or joins conditions, and texts and comments, which may look like it. */
function* signsOf(text: string): Generator<{ sign: string; at: number }> {
  for (const { 0: sign, index } of text.matchAll(SIGNS)) yield { sign, at: index }
}
