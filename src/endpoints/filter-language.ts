/**
 * The words of filters, which are expressions of CEL (the Common Expression Language): what they may name, and the kinds of
 * values that each takes and makes. What is not here is refused when a filter is saved.
 */

/** Kinds of values as bits: what a part of a filter may be is a set of them. */
export const KIND = {
  BOOL: 1,
  STRING: 2,
  INT: 4,
  UINT: 8,
  DOUBLE: 16,
  NULL: 32,
  LIST: 64,
  MAP: 128,
  TIMESTAMP: 256,
  DURATION: 512,
  TYPE: 1024,
} as const

const { BOOL, STRING, INT, UINT, DOUBLE, NULL, LIST, MAP, TIMESTAMP, DURATION, TYPE } = KIND
export const ANY = 2047
export const NUMBERS = INT | UINT | DOUBLE
/** What comes out of a payload: all numbers of JSON are doubles. */
export const JSON_KINDS = BOOL | STRING | DOUBLE | NULL | LIST | MAP

/** What a part of a filter may be, and what its entries may be if it is a list or a map. */
export type Type = { kinds: number; entries: number }

export const VARIABLES: Record<string, Type> = {
  type: { kinds: STRING, entries: 0 },
  version: { kinds: STRING | NULL, entries: 0 },
  channels: { kinds: LIST, entries: STRING },
  payload: { kinds: JSON_KINDS, entries: JSON_KINDS },
  tenant: { kinds: STRING, entries: 0 },
}

/** What `type(…)` answers, and is compared with. */
export const TYPE_NAMES = ['bool', 'string', 'double', 'int', 'uint', 'list', 'map', 'null_type', 'type']

/** `method`: what stands before its dot. Without it a function is called with all that it takes in brackets. */
export type Signature = { method?: number; args: readonly number[]; result: number }

const SIZED = STRING | LIST | MAP
const getter = [{ method: TIMESTAMP, args: [], result: INT }]
const clock = [{ method: TIMESTAMP | DURATION, args: [], result: INT }]
const ofTexts = [{ method: STRING, args: [STRING], result: BOOL }]

export const FUNCTIONS: Record<string, readonly Signature[]> = {
  size: [
    { args: [SIZED], result: INT },
    { method: SIZED, args: [], result: INT },
  ],
  contains: ofTexts,
  startsWith: ofTexts,
  endsWith: ofTexts,
  matches: ofTexts,
  int: [{ args: [NUMBERS | STRING | TIMESTAMP | DURATION], result: INT }],
  uint: [{ args: [NUMBERS | STRING], result: UINT }],
  double: [{ args: [NUMBERS | STRING], result: DOUBLE }],
  string: [{ args: [BOOL | STRING | NUMBERS | TIMESTAMP | DURATION], result: STRING }],
  bool: [{ args: [BOOL | STRING], result: BOOL }],
  timestamp: [{ args: [STRING | INT | TIMESTAMP], result: TIMESTAMP }],
  duration: [{ args: [STRING | INT | DURATION], result: DURATION }],
  type: [{ args: [ANY], result: TYPE }],
  getFullYear: getter,
  getMonth: getter,
  getDate: getter,
  getDayOfMonth: getter,
  getDayOfWeek: getter,
  getDayOfYear: getter,
  getHours: clock,
  getMinutes: clock,
  getSeconds: clock,
  getMilliseconds: clock,
}

/** Written like functions, and expanded while the text is read: what comes as a call was not written as they must be. */
export const MACROS: Record<string, string> = {
  has: 'has(payload.field), with a field at its end',
  exists: 'list.exists(x, condition)',
  all: 'list.all(x, condition)',
  exists_one: 'list.exists_one(x, condition)',
  map: 'list.map(x, value)',
  filter: 'list.filter(x, condition)',
}

/** What an operator is called in a parsed expression. */
export const OPERATORS: Record<string, string> = {
  '_&&_': '&&',
  '_||_': '||',
  '!_': '!',
  '_?_:_': '?:',
  '_==_': '==',
  '_!=_': '!=',
  '_<_': '<',
  '_<=_': '<=',
  '_>_': '>',
  '_>=_': '>=',
  '_+_': '+',
  '_-_': '-',
  '_*_': '*',
  '_/_': '/',
  '_%_': '%',
  '-_': '-',
  '@in': 'in',
  '_[_]': '[]',
}

/** What arithmetic there is; each kind only with itself. */
export const ARITHMETIC: Record<string, readonly (readonly [left: number, right: number, result: number])[]> = {
  '_+_': [
    ...[INT, UINT, DOUBLE, STRING, LIST, DURATION].map((kind) => [kind, kind, kind] as const),
    [TIMESTAMP, DURATION, TIMESTAMP],
    [DURATION, TIMESTAMP, TIMESTAMP],
  ],
  '_-_': [
    ...[INT, UINT, DOUBLE, DURATION].map((kind) => [kind, kind, kind] as const),
    [TIMESTAMP, TIMESTAMP, DURATION],
    [TIMESTAMP, DURATION, TIMESTAMP],
  ],
  '_*_': [INT, UINT, DOUBLE].map((kind) => [kind, kind, kind] as const),
  '_/_': [INT, UINT, DOUBLE].map((kind) => [kind, kind, kind] as const),
  '_%_': [INT, UINT].map((kind) => [kind, kind, kind] as const),
}

const NAMES: Record<keyof typeof KIND, string> = {
  BOOL: 'true or false',
  STRING: 'a text',
  INT: 'a whole number',
  UINT: 'a whole number',
  DOUBLE: 'a number',
  NULL: 'null',
  LIST: 'a list',
  MAP: 'an object',
  TIMESTAMP: 'a time',
  DURATION: 'a duration',
  TYPE: 'a type',
}

/** A set of kinds in words: `a text or null`. */
export function named(kinds: number): string {
  if (kinds === JSON_KINDS) return 'a value of the payload'
  const words = Object.entries(NAMES).flatMap(([kind, word]) =>
    (kinds & KIND[kind as keyof typeof KIND]) === 0 ? [] : [word],
  )
  return [...new Set(words)].join(' or ')
}

/** The one that was probably meant: of those that differ in at most a third of their letters, the nearest. */
export function nearest(name: string, known: readonly string[]): string | null {
  const ranked = known
    .map((word) => ({ word, distance: distance(name.toLowerCase(), word.toLowerCase()) }))
    .filter((one) => one.distance <= Math.max(1, Math.floor(one.word.length / 3)))
    .sort((a, b) => a.distance - b.distance)
  return ranked[0]?.word ?? null
}

function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 8) return Number.POSITIVE_INFINITY
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
