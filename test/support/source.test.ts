import { describe, expect, test } from 'vitest'
import { COMPUTED, codeOf, functionsOf, importsOf } from './source.ts'

describe('imports', () => {
  test.each<[string, string, string[] | 'types']>([
    [`import a from 'x'`, 'x', ['default']],
    [`import * as a from "x"`, 'x', ['*']],
    [`import a, { b, type C, d as e } from 'x'`, 'x', ['b', 'd', 'default']],
    [`import {\n  a,\n  // not: from 'y'\n  b,\n} from 'x'`, 'x', ['a', 'b']],
    [`import 'x'`, 'x', []],
    [`import type { A } from 'x'`, 'x', 'types'],
    [`import type A from 'x'`, 'x', 'types'],
    [`import type * as a from 'x'`, 'x', 'types'],
    [`import type from 'x'`, 'x', ['default']],
    // Stripping types leaves the import itself: the module is loaded.
    [`import { type A } from 'x'`, 'x', []],
    [`export { a } from 'x'`, 'x', ['a']],
    [`export * from 'x'`, 'x', ['*']],
    [`export * as a from 'x'`, 'x', ['*']],
    [`export type { A } from 'x'`, 'x', 'types'],
    [`const a = await import('x')`, 'x', ['*']],
    [`type A = typeof import('x')`, 'x', 'types'],
    [`const a = require("x")`, 'x', ['*']],
    [`const a = await import(name)`, COMPUTED, ['*']],
    ['const a = await import(`x/$' + '{name}`)', COMPUTED, ['*']],
    ['const a = `$' + '{await import("x")}`', 'x', ['*']],
    [`const a = /'/; import b from 'x'`, 'x', ['default']],
  ])('%s', (text, specifier, names) => {
    expect(importsOf(text)).toMatchObject([
      { specifier, names: names === 'types' ? [] : names, typeOnly: names === 'types' },
    ])
  })

  test.each([
    `// import a from 'x'`,
    `/* import a from 'x' */`,
    `const a = "import b from 'x'"`,
    "const a = `import b from 'x'`",
    `import.meta.resolve('x')`,
    `things.import('x')`,
    `export const from = 'x'`,
    `export function a() { return 'x' }`,
    `export type A = 'x'`,
    `const a = /import('x')/`,
  ])('none: %s', (text) => expect(importsOf(text)).toEqual([]))

  test('with their lines', () => {
    expect(importsOf(`import a from 'x'\n\nconst b = 1\nexport * from 'y'`).map(({ line }) => line)).toEqual([1, 4])
  })
})

test('code is what is left without comments, strings and regular expressions, each character in its place', () => {
  const text = 'a("b") // c\nd(`e$' + '{f({ g: "h" })}i`) / /j\\/[/]/.k / l'
  expect(codeOf(text)).toBe('a(" ")     \nd(` $' + '{f({ g: " " })} `) / /      /.k / l')
  expect(codeOf(text)).toHaveLength(text.length)
})

test('functions have a name and a length', () => {
  const text = `
export async function one<A extends { b: string }>(a: A): Promise<{ c: number } | null> {
  if (a) {
    return null
  }
}
const two = async ({ a }: B, { c } = d()) => {
  call(a, () => c)
}
class Three {
  four(): a is string[] {
    other(call(1)) 
  }
}
export const five = {
  async six() {
    seven.map((each) => {
      eight()
    })
  },
}
const nine = (t) => ({
  ten: t(),
})
declare function eleven(a: string): void
`
  expect(functionsOf(text).map(({ name, line, lines }) => `${name} ${line}+${lines}`)).toEqual([
    'one 2+5',
    'four 11+3',
    'six 16+5',
    'two 7+3',
    '(anonymous) 17+3',
    'nine 22+3',
  ])
})
