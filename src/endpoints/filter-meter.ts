import { type CelEnv, CelScalar, celEnv, celFunc, celList, isCelList, isCelMap, listType } from '@bufbuild/cel'
import type { Expr } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js'
import { patternOf } from './filter-patterns.ts'
import { TIME_PARTS } from './filter-times.ts'

/**
 * How much an evaluation may do, whatever the machine and however often it is interrupted: a clock would make a match a miss
 * where a process was suspended. A step is some 0.1 µs: the worst filters measured take 12 ms of a processor, and 60 ms the first time.
 */
export const MOST_STEPS = 100_000

/** And all filters of one event together: as much as one tenant has of a round of routing, some 0.25 s. */
export const MOST_STEPS_OF_AN_EVENT = 1_000_000

export class TooManySteps extends Error {
  constructor() {
    super(`It takes more than ${MOST_STEPS} steps for this event.`)
    this.name = 'TooManySteps'
  }
}

// An evaluation is one synchronous call: there is never more than one under way.
let left = 0

/** Runs something and says how many steps it took, of those that it may take. */
export function counted<Result>(run: () => Result): { result: Result; steps: number } {
  left = MOST_STEPS
  const result = run()
  return { result, steps: Math.ceil(MOST_STEPS - Math.max(0, left)) }
}

export function spend(steps: number): void {
  left -= steps
  if (left < 0) throw new TooManySteps()
}

const LIST = listType(CelScalar.DYN)
const arrays = new WeakMap<object, unknown[]>()

const environment = celEnv({
  re2: { compile: (pattern) => patternOf(pattern) },
  funcs: [
    ...TIME_PARTS,
    // What is walked in a loop, and how many parts of a filter that takes for each entry.
    celFunc('@over', [CelScalar.DYN, CelScalar.INT], CelScalar.DYN, (range) => range as never),
    // The library makes a list of lists, which takes time with the square of its length, and overflows the stack at 20,000.
    celFunc('@append', [LIST, LIST], LIST, (list, entries) => {
      const known = arrays.get(list)
      const array = known ?? []
      for (const entry of entries as Iterable<unknown>) array.push(entry)
      const grown = known ? list : celList(array as never)
      if (!known) arrays.set(grown, array)
      return grown as never
    }),
  ],
})

/** The library's functions, each charged before it is called. */
export const METERED: CelEnv = Object.create(environment, {
  funcs: {
    value: {
      *[Symbol.iterator]() {
        yield* environment.funcs
      },
      find(name: string) {
        const group = environment.funcs.find(name)
        const call = (id: number, target: never, args: never[]) => {
          spend(costOf(name, target === undefined ? args : [target, ...args]))
          return group?.call(id, target, args)
        }
        return group && { name, [Symbol.iterator]: () => group[Symbol.iterator](), call }
      },
    },
  },
})

const sizeOf = (value: unknown) =>
  typeof value === 'string' ? value.length : isCelList(value) || isCelMap(value) ? value.size : 1

function costOf(name: string, values: readonly unknown[]): number {
  const [first, second] = values
  switch (name) {
    case '@over':
      return sizeOf(first) * (1 + Number(second))
    case '_==_':
    case '_!=_':
      return costOfEquality(first, second)
    case '@in':
      return isCelList(second) ? second.size * (2 + weightOf(first)) : 1
    case '_+_':
      return (sizeOf(first) + sizeOf(second)) / 8
    case '_<_':
    case '_<=_':
    case '_>_':
    case '_>=_':
      return typeof first === 'string' ? Math.min(first.length, sizeOf(second)) / 16 : 0
    case 'size':
      return typeof first === 'string' ? first.length / 2 : 0
    case 'contains':
      return costOfSearch(sizeOf(first), sizeOf(second))
    case 'startsWith':
    case 'endsWith':
      return sizeOf(second) / 16
    case 'matches':
      return sizeOf(first) * (16 + patternOf(String(second)).size / 4)
    case '@append':
    case '!_':
      return 0
    case 'timestamp':
    case 'duration':
      return 100 + sizeOf(first) / 4
    default:
      // Of a text, a whole number is read in time with the square of its length.
      return 20 + (typeof first === 'string' ? first.length / 4 + first.length ** 2 / 1000 : 0)
  }
}

const costOfSearch = (length: number, sought: number) => (sought > length ? 1 : length / 8 + (length * sought) / 100)

function costOfEquality(a: unknown, b: unknown): number {
  if (typeof a === 'string') return typeof b === 'string' && a.length === b.length ? a.length / 16 : 0
  const containers = (isCelList(a) && isCelList(b)) || (isCelMap(a) && isCelMap(b))
  return containers && a.size === b.size ? weightOf(a) : 0
}

/** How much there is in a value; spends as it goes, so that it ends where the steps do. */
function weightOf(value: unknown): number {
  if (typeof value === 'string') return value.length / 16
  if (!isCelList(value) && !isCelMap(value)) return 1
  let weight = 1
  for (const entry of value as Iterable<unknown>) {
    spend(1)
    weight += 1 + weightOf(isCelMap(value) ? (entry as [unknown, unknown])[1] : entry)
  }
  return weight
}

/**
 * Prepares a parsed filter for being counted, in place: each loop is charged for all of its rounds before it begins. Returns
 * how many parts are evaluated once.
 */
export function meter(expr: Expr): number {
  const { exprKind } = expr
  const all = (parts: readonly (Expr | undefined)[]) => parts.reduce((sum, part) => sum + (part ? meter(part) : 0), 1)
  switch (exprKind.case) {
    case 'selectExpr':
      return all([exprKind.value.operand])
    case 'listExpr':
      return all(exprKind.value.elements)
    case 'structExpr':
      return all(exprKind.value.entries.flatMap(({ keyKind, value }) => [keyKind.value as Expr, value]))
    case 'callExpr':
      return all([exprKind.value.target, ...exprKind.value.args])
    case 'comprehensionExpr': {
      const loop = exprKind.value
      if (loop.accuInit?.exprKind.case === 'listExpr') appendIn(loop.loopStep as Expr, loop.accuVar)
      const eachRound = all([loop.loopCondition, loop.loopStep])
      const once = all([loop.iterRange, loop.accuInit, loop.result])
      loop.iterRange = called('@over', expr.id, [loop.iterRange as Expr, constant(eachRound, expr.id)])
      return once
    }
    default:
      return 1
  }
}

/** `@result + [x]`, as macros write it, and nobody else can: the name is no name in a filter. */
function appendIn(step: Expr, accumulator: string): void {
  if (step.exprKind.case !== 'callExpr') return
  const call = step.exprKind.value
  const [first] = call.args
  if (first?.exprKind.case === 'identExpr' && first.exprKind.value.name === accumulator) call.function = '@append'
  else for (const arg of call.args) appendIn(arg, accumulator)
}

function called(name: string, id: bigint, args: Expr[]): Expr {
  return { id, exprKind: { case: 'callExpr', value: { function: name, args } } } as unknown as Expr
}

function constant(value: number, id: bigint): Expr {
  const constantKind = { case: 'int64Value', value: BigInt(value) }
  return { id, exprKind: { case: 'constExpr', value: { constantKind } } } as unknown as Expr
}
