import type { ErrorCode } from '../schema/error-codes.ts'

/**
 * The caller's mistake: what was wrong, where, and what to do about it. It becomes a user error in a payload, or the
 * top-level error INVALID_INPUT where there is none. Nothing was changed when it is thrown.
 */
export class Mistake extends Error {
  readonly code: ErrorCode
  /** Where in the input, from its root: `['input', 'url']`. */
  readonly path: string[]

  constructor(code: ErrorCode, path: string[], message: string) {
    super(message)
    this.name = 'Mistake'
    this.code = code
    this.path = path
  }
}

/** Several mistakes of one call, to be told together; whoever knows of one only sees the first. */
export class Mistakes extends Mistake {
  readonly all: readonly Mistake[]

  constructor(all: readonly [Mistake, ...Mistake[]]) {
    super(all[0].code, all[0].path, all[0].message)
    this.name = 'Mistakes'
    this.all = all
  }
}

/** Every single mistake that was thrown as one. */
export function mistakesIn(mistake: Mistake): readonly Mistake[] {
  return mistake instanceof Mistakes ? mistake.all : [mistake]
}

/** The same mistake, or mistakes, at another place of the input. */
export function moved(mistake: Mistake, place: (path: string[]) => string[]): Mistake {
  const all = mistakesIn(mistake).map(({ code, path, message }) => new Mistake(code, place(path), message))
  return toOne(all as [Mistake, ...Mistake[]])
}

/**
 * Reads the parts of an input, each by its own function, and answers what they did under the same names. When some of them
 * throw a `Mistake`, all of those are thrown together, so that a caller can mend them at once.
 */
export function readAll<Readers extends Record<string, () => unknown>>(
  readers: Readers,
): { [Name in keyof Readers]: ReturnType<Readers[Name]> } {
  const found: Mistake[] = []
  const read = Object.entries(readers).map(([name, reader]) => {
    try {
      return [name, reader()]
    } catch (error) {
      if (!(error instanceof Mistake)) throw error
      found.push(...mistakesIn(error))
      return [name, undefined]
    }
  })
  if (found.length > 0) throw toOne(found as [Mistake, ...Mistake[]])
  return Object.fromEntries(read)
}

/** The same for the entries of a list, which go by their index. */
export function readEach<Item, Value>(items: readonly Item[], read: (item: Item, index: number) => Value): Value[] {
  return Object.values(readAll(Object.fromEntries(items.map((item, index) => [index, () => read(item, index)]))))
}

/** One or several as one. */
export function toOne(all: readonly [Mistake, ...Mistake[]]): Mistake {
  return all.length === 1 ? all[0] : new Mistakes(all)
}
