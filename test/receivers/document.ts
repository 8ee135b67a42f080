import { readFileSync } from 'node:fs'

/** schema/webhook.md, as its readers see it. */
export const DOCUMENT = readFileSync(new URL('../../schema/webhook.md', import.meta.url), 'utf8')

/** The code between the fences that are tagged like this: "js verify". */
export function codeBlock(tag: string, document = DOCUMENT): string {
  const [before, after] = document.split(`\n\`\`\`${tag}\n`)
  const code = after?.split('\n```\n')[0]
  if (before === undefined || code === undefined) throw new Error(`webhook.md has no block of code tagged "${tag}"`)
  return `${code}\n`
}

/** The rows of the first table below a heading, each cell as text; the head is left out. */
export function tableBelow(heading: string): string[][] {
  const section = DOCUMENT.split(/\n(?=#+ )/).find((part) => part.startsWith(`${heading}\n`))
  const table = section && /(?:^\|.*\n)+/m.exec(section)?.[0]
  if (!table) throw new Error(`webhook.md has no table below "${heading}"`)
  return table
    .trimEnd()
    .split('\n')
    .slice(2)
    .map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

/** The text of a cell that is code: `like this`. */
export function codeIn(cell: string | undefined): string {
  const code = /^`([^`]*)`$/.exec(cell ?? '')?.[1]
  if (code === undefined) throw new Error(`not code: ${cell}`)
  return code
}
