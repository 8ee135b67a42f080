import type { Expr, Expr_Call } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js'
import {
  ARITHMETIC,
  FUNCTIONS,
  KIND,
  MACROS,
  NUMBERS,
  named,
  nearest,
  OPERATORS,
  type Signature,
  type Type,
} from './filter-language.ts'

/** Why a filter cannot be one; `at` is the part at fault. */
export class Unfit extends Error {
  readonly at: Expr

  constructor(at: Expr, message: string) {
    super(message)
    this.name = 'Unfit'
    this.at = at
  }
}

/** A part that something is done with, and what it may be. */
export type Operand = Type & { at: Expr }

const { BOOL, STRING, INT, DOUBLE, LIST, MAP, TIMESTAMP, DURATION } = KIND
const COMPARABLE = BOOL | STRING | NUMBERS | TIMESTAMP | DURATION
const truth: Type = { kinds: BOOL, entries: 0 }

/** What an operator makes of its operands; refuses what can never come to anything. */
export function typeOfOperator(expr: Expr, name: string, operands: readonly Operand[]): Type {
  const [left, right = left, last = right] = operands as [Operand, ...Operand[]]
  switch (name) {
    case '_&&_':
    case '_||_':
    case '!_':
      for (const operand of operands) mustBeTruth(operand, OPERATORS[name] as string)
      return truth
    case '_?_:_':
      mustBeTruth(left, '?')
      return { kinds: right.kinds | last.kinds, entries: right.entries | last.entries }
    case '_==_':
    case '_!=_':
      if ((alike(left.kinds) & alike(right.kinds)) === 0) throw neverEqual(expr, name, left, right)
      return truth
    case '@in':
      return typeOfIn(expr, left, right)
    case '_[_]':
      if ((left.kinds & (LIST | MAP)) === 0) throw new Unfit(expr, `There are no entries in ${named(left.kinds)}.`)
      return { kinds: left.entries, entries: left.entries }
    case '-_':
      if ((left.kinds & (INT | DOUBLE | DURATION)) === 0)
        throw new Unfit(expr, `There is no "-" for ${named(left.kinds)}.`)
      return { kinds: left.kinds & (INT | DOUBLE), entries: 0 }
    default:
      return Object.hasOwn(ARITHMETIC, name)
        ? typeOfArithmetic(expr, name, left, right)
        : typeOfComparison(expr, name, left, right)
  }
}

function mustBeTruth({ at, kinds }: Operand, operator: string): void {
  if ((kinds & BOOL) !== 0) return
  throw new Unfit(at, `"${operator}" takes what is true or false; this is ${named(kinds)}.`)
}

/** Numbers are compared whatever kind of number they are. */
const alike = (kinds: number) => ((kinds & NUMBERS) === 0 ? kinds : kinds | NUMBERS)

function typeOfIn(expr: Expr, left: Operand, right: Operand): Type {
  if ((right.kinds & (LIST | MAP)) === 0) {
    const hint = (right.kinds & STRING) === 0 ? '' : ' A text in a text is found with contains().'
    throw new Unfit(expr, `"in" looks into a list or an object; this is ${named(right.kinds)}.${hint}`)
  }
  const entries = (right.kinds & MAP) === 0 ? right.entries : ~0
  if ((alike(left.kinds) & alike(entries)) === 0 && entries !== 0)
    throw neverEqual(expr, '@in', left, { kinds: entries })
  return truth
}

function typeOfComparison(expr: Expr, name: string, left: Operand, right: Operand): Type {
  if ((alike(left.kinds) & alike(right.kinds) & COMPARABLE) === 0) throw neverEqual(expr, name, left, right)
  return truth
}

function neverEqual(expr: Expr, name: string, left: Pick<Type, 'kinds'>, right: Pick<Type, 'kinds'>): Unfit {
  const message = `"${OPERATORS[name]}" between ${named(left.kinds)} and ${named(right.kinds)} can never hold.`
  return new Unfit(expr, message)
}

function typeOfArithmetic(expr: Expr, name: string, left: Operand, right: Operand): Type {
  const possible = ARITHMETIC[name]?.filter(([l, r]) => (left.kinds & l) !== 0 && (right.kinds & r) !== 0) ?? []
  if (possible.length > 0) {
    const kinds = possible.reduce((union, [, , result]) => union | result, 0)
    return { kinds, entries: left.entries | right.entries }
  }
  const numbers = (left.kinds & NUMBERS) !== 0 && (right.kinds & NUMBERS) !== 0
  const hint = !numbers
    ? ''
    : name === '_%_'
      ? ' Numbers of JSON may have fractions: write int(payload.n) % 2.'
      : ' Numbers of JSON may have fractions, and are counted with such: write 1.0 instead of 1, or int(payload.n) instead of payload.n.'
  throw new Unfit(expr, `There is no "${OPERATORS[name]}" for ${named(left.kinds)} and ${named(right.kinds)}.${hint}`)
}

/** Refuses a call of what there is not; answers what it makes of its arguments, when they are known. */
export function typeOfCall(
  expr: Expr,
  { function: name, target, args }: Expr_Call,
): (on: Type | undefined, args: readonly Operand[]) => Type {
  if (Object.hasOwn(MACROS, name)) throw new Unfit(expr, `${name} is written ${MACROS[name]}.`)
  if (!Object.hasOwn(FUNCTIONS, name)) {
    const meant = nearest(name, [...Object.keys(FUNCTIONS), ...Object.keys(MACROS)])
    throw new Unfit(expr, `There is no function ${name}().${meant ? ` Did you mean ${meant}()?` : ''}`)
  }
  const signatures = FUNCTIONS[name] as readonly Signature[]
  const fitting = signatures.find(
    ({ method, args: wanted }) => (method !== undefined) === (target !== undefined) && wanted.length === args.length,
  )
  if (!fitting) throw new Unfit(expr, `${name} is written ${signatures.map((one) => written(name, one)).join(' or ')}.`)
  return (on, given) => {
    if (on && ((fitting.method as number) & on.kinds) === 0) {
      throw new Unfit(expr, `${name}() is for ${named(fitting.method as number)}; this is ${named(on.kinds)}.`)
    }
    fitting.args.forEach((wanted, index) => {
      const { at, kinds } = given[index] as Operand
      if ((wanted & kinds) === 0) throw new Unfit(at, `${name}() takes ${named(wanted)}; this is ${named(kinds)}.`)
    })
    return { kinds: fitting.result, entries: 0 }
  }
}

function written(name: string, { method, args }: Signature): string {
  const places = args.map((_, index) => 'xyz'[index]).join(', ')
  return method === undefined ? `${name}(${places})` : `value.${name}(${places})`
}
